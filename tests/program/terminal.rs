//! A program at a terminal: its keys, what it shows, and the settings it leaves behind.

use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use nix::pty::{Winsize, openpty};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{PATIENCE, Record, path, until};

/// What stands on the screen after all that the program wrote; a terminal does not show it.
const END: &str = "\0";

/// A program whose standard streams are a terminal; it is killed when this is dropped.
pub struct Terminal {
    child: Child,
    keyboard: File,
    screen: Record,
    line: OwnedFd,
    /// The settings before, for people and for stty(1).
    before: String,
    reset: String,
}

impl Terminal {
    /// Starts one of this package's programs on 80 columns.
    #[track_caller]
    pub fn start(program: &str, arguments: &[&str]) -> Self {
        Self::run(Command::new(path(program)).args(arguments))
    }

    /// Starts a command on 80 columns.
    #[track_caller]
    pub fn run(command: &Command) -> Self {
        Self::of_columns(80, command)
    }

    /// Starts a command on 132 columns, on which no table is folded.
    #[track_caller]
    pub fn wide(command: &Command) -> Self {
        Self::of_columns(132, command)
    }

    #[track_caller]
    fn of_columns(columns: u16, command: &Command) -> Self {
        let size = Winsize { ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        let pair = openpty(Some(&size), None).unwrap();
        let stream = || Stdio::from(pair.slave.try_clone().unwrap());
        let (before, reset) = (settings(&pair.slave), stty("-g", &pair.slave).trim().to_owned());
        // Only the terminal that controls a session sends its signals.
        let mut session = Command::new("setsid");
        session.arg("--ctty").arg(command.get_program()).args(command.get_args()).env("TERM", "xterm");
        session.current_dir(command.get_current_dir().unwrap_or(Path::new(".")));
        let child = session.stdin(stream()).stdout(stream()).stderr(stream()).spawn().unwrap();
        let keyboard = File::from(pair.master);
        let screen = Record::of(keyboard.try_clone().unwrap());
        Self { child, keyboard, screen, line: pair.slave, before, reset }
    }

    /// Types.
    pub fn press(&self, keys: &str) {
        (&self.keyboard).write_all(keys.as_bytes()).unwrap();
    }

    /// Sets the terminal as it was before the program started, as a shell does when it gets the terminal back.
    pub fn take_back(&self) {
        stty(&self.reset, &self.line);
        assert_eq!(settings(&self.line), self.before);
    }

    /// Makes the window so many columns wide, which the kernel tells the program by SIGWINCH.
    pub fn resize(&self, columns: u16) {
        let columns = columns.to_string();
        let stty =
            Command::new("stty").args(["columns", &columns]).stdin(self.line.try_clone().unwrap()).status();
        assert!(stty.unwrap().success());
    }

    /// Waits until the program has written this.
    #[track_caller]
    pub fn shows(&self, text: &str) {
        let shown = self.screen.wait(|bytes| String::from_utf8_lossy(bytes).contains(text).then_some(()));
        assert!(shown.is_some(), "no {text:?} within {PATIENCE:?}:\n{}", self.shown());
    }

    /// Waits until the program has written what is looked for, or has ended.
    #[track_caller]
    pub fn shows_or_ends(&mut self, look: impl Fn(&str) -> bool) {
        until("what a terminal is to show", || {
            let ended = self.child.try_wait().unwrap().is_some();
            (ended || look(&self.shown())).then_some(())
        });
    }

    /// All that the program has written so far.
    pub fn shown(&self) -> String {
        self.screen.text().replace(END, "")
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id() as i32), signal).unwrap();
    }

    /// The process's number.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until the terminal's settings are others than before.
    #[track_caller]
    pub fn is_taken(&self) {
        until("other settings of the terminal", || (settings(&self.line) != self.before).then_some(()));
    }

    /// Waits for the end; fails unless the terminal's settings are as before. The status, `None` for a signal's.
    #[track_caller]
    pub fn end(&mut self) -> Option<i32> {
        let status = until("the end of the program", || self.child.try_wait().unwrap());
        // What it wrote last may still be on its way to the screen.
        File::from(self.line.try_clone().unwrap()).write_all(END.as_bytes()).unwrap();
        self.shows(END);
        assert_eq!(settings(&self.line), self.before, "{}", self.shown());
        status.code()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn settings(line: &OwnedFd) -> String {
    stty("-a", line)
}

fn stty(option: &str, line: &OwnedFd) -> String {
    let output = Command::new("stty").arg(option).stdin(line.try_clone().unwrap()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}
