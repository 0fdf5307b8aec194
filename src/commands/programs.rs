//! The programs of the lab, each under a name of its own.

mod connector;
mod listener;
mod relay;
mod talk;

use std::env;
use std::ffi::{CString, OsStr, OsString};
use std::path::Path;
use std::process::ExitCode;

use nix::sys::prctl::set_name;

/// A program and its name, which no subcommand has.
pub(super) struct Program {
    pub name: &'static str,
    pub main: fn(&[OsString]) -> ExitCode,
}

/// All of them but `fourtuple` itself.
pub(super) const ALL: [Program; 4] = [
    Program { name: "listener", main: listener::main },
    Program { name: "connector", main: connector::main },
    Program { name: "talk", main: talk::main },
    Program { name: "relay", main: relay::main },
];

/// The program that is called, and the command line as it is to read it: by the name of a link, or by the first argument.
pub(super) fn called() -> Option<(&'static Program, Vec<OsString>)> {
    let arguments: Vec<OsString> = env::args_os().collect();
    if let Some(program) = arguments.first().and_then(|path| named(Path::new(path).file_name()?)) {
        return Some((program, arguments));
    }
    let program = arguments.get(1).and_then(|word| named(word))?;
    // What tables of sockets and processes show.
    let _ = CString::new(program.name).map(|name| set_name(&name));
    Some((program, arguments.into_iter().skip(1).collect()))
}

fn named(word: &OsStr) -> Option<&'static Program> {
    ALL.iter().find(|program| word == program.name)
}
