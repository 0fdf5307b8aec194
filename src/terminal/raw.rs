//! A terminal that hands over each key at once and shows none by itself.

use std::io;
use std::os::fd::AsFd;

use nix::sys::termios::{LocalFlags, SetArg, SpecialCharacterIndices, Termios, tcgetattr, tcsetattr};
use nix::unistd::{getpgrp, tcgetpgrp};

use crate::error::{Error, Result};

/// How often the settings are tried to be set: nobody else sets them back.
const ATTEMPTS: usize = 100;
/// The width where the terminal does not tell.
const COLUMNS: usize = 80;

/// The terminal at standard input, without line editing and echo. It is as before once this is dropped.
pub(crate) struct RawTerminal {
    before: Termios,
}

impl RawTerminal {
    /// Takes line editing and echo from the terminal. Ctrl-C and Ctrl-Z still send their signals.
    ///
    /// # Errors
    ///
    /// `ENOTTY` where standard input is no terminal, `EIO` where it has gone.
    pub(crate) fn take() -> Result<Self> {
        let failed = |errno| Error::new("tcgetattr", "standard input", errno);
        let terminal = Self { before: tcgetattr(io::stdin()).map_err(failed)? };
        terminal.set_again();
        Ok(terminal)
    }

    /// The same again: whoever had the terminal while we were stopped has its own mind.
    pub(crate) fn set_again(&self) {
        let mut raw = self.before.clone();
        raw.local_flags.remove(LocalFlags::ICANON | LocalFlags::ECHO | LocalFlags::IEXTEN);
        for (index, value) in [
            (SpecialCharacterIndices::VMIN, 1),
            (SpecialCharacterIndices::VTIME, 0),
            // Ctrl-\ would end us without asking.
            (SpecialCharacterIndices::VQUIT, 0),
        ] {
            if let Some(slot) = raw.control_chars.get_mut(index as usize) {
                *slot = value;
            }
        }
        set(&raw);
    }

    pub(crate) fn columns(&self) -> usize {
        let size = terminal_size::terminal_size_of(io::stdout().as_fd());
        size.map_or(COLUMNS, |(width, _)| usize::from(width.0)).max(1)
    }
}

impl Drop for RawTerminal {
    fn drop(&mut self) {
        set(&self.before);
    }
}

/// Sets it now: to wait until all output has been read (TCSADRAIN) could take for ever. In the background the
/// terminal is somebody else's.
fn set(mode: &Termios) {
    let background = tcgetpgrp(io::stdin()).is_ok_and(|foreground| foreground != getpgrp());
    let _ = background || (0..ATTEMPTS).any(|_| tcsetattr(io::stdin(), SetArg::TCSANOW, mode).is_ok());
}
