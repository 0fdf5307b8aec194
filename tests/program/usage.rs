//! What a program prints of itself, and how it refuses wrong usage.

use std::process::Command;

use super::{End, Program, path};

/// The help that these arguments ask for, in 80 columns.
#[track_caller]
pub fn help(program: &str, arguments: &[&str]) -> String {
    let mut command = Command::new(path(program));
    let end = Program::spawn(command.args(arguments).env("COLUMNS", "80")).end().well();
    assert_eq!(end.stderr, "");
    end.stdout
}

/// The same for `-h`: fails unless it fits 40 lines of 80 columns.
#[track_caller]
pub fn short_help(program: &str, arguments: &[&str]) -> String {
    let help = help(program, &[arguments, &["-h"]].concat());
    assert!(help.lines().count() <= 40, "{program} {arguments:?} -h has {} lines", help.lines().count());
    let wide: Vec<&str> = help.lines().filter(|line| line.chars().count() > 80).collect();
    assert!(wide.is_empty(), "{wide:#?}");
    help
}

/// Fails unless the help that these arguments ask for is as in its file in tests/snapshots, which is named after them.
#[track_caller]
pub fn help_is_kept(program: &str, arguments: &[&str]) {
    let dash = |word: &&str| if word.starts_with('-') { (*word).to_owned() } else { format!("-{word}") };
    let name: String = arguments.iter().map(dash).collect();
    let path = format!("{}/tests/snapshots/{program}{name}.txt", env!("CARGO_MANIFEST_DIR"));
    snapbox::assert_data_eq!(help(program, arguments), snapbox::Data::read_from(path.as_ref(), None).raw());
}

/// Fails unless the usage is refused with these words, and nothing is printed besides.
#[track_caller]
pub fn refused(program: &str, arguments: &[&str], words: &str) -> End {
    let end = Program::run(program, arguments).with_status(2);
    assert!(end.stderr.contains(words), "{arguments:?}: {}", end.stderr);
    assert_eq!(end.stdout, "", "{arguments:?}");
    end
}
