//! Man pages and shell completions, made from what `--help` is made from.

use std::fs;
use std::io;
use std::path::Path;

use clap::Command;
use clap_complete::{Shell, generate_to};

use crate::error::{Error, Result};

/// Where a shell looks for completions, below an installation's prefix.
const COMPLETIONS: [(Shell, &str); 3] = [
    (Shell::Bash, "share/bash-completion/completions"),
    (Shell::Zsh, "share/zsh/site-functions"),
    (Shell::Fish, "share/fish/vendor_completions.d"),
];

/// Writes a page for the program and for each of its subcommands, and completions for three shells, to where an
/// installation below `prefix` has them.
///
/// # Errors
///
/// What mkdir(2), open(2) and write(2) say.
pub(super) fn install(mut command: Command, prefix: &Path) -> Result<()> {
    let name = command.get_name().to_owned();
    let pages = complete(command.clone());
    for (shell, place) in COMPLETIONS {
        write_below(prefix, place, |directory| {
            let written = generate_to(shell, &mut command, &name, directory)?;
            // bash looks for the plain name.
            if shell == Shell::Bash { fs::rename(&written, directory.join(&name)) } else { Ok(()) }
        })?;
    }
    write_below(prefix, "share/man/man1", |directory| clap_mangen::generate_to(pages, directory))
}

/// A page says all that `--help` says: clap_mangen leaves out what `-h` leaves out.
fn complete(command: Command) -> Command {
    let command = command.disable_help_subcommand(true);
    command.mut_args(|arg| arg.hide_short_help(false)).mut_subcommands(complete)
}

fn write_below(prefix: &Path, place: &str, write: impl FnOnce(&Path) -> io::Result<()>) -> Result<()> {
    let directory = prefix.join(place);
    fs::create_dir_all(&directory)
        .and_then(|()| write(&directory))
        .map_err(|error| Error::new("write", directory.display(), error))
}
