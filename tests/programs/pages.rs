//! Man pages and shell completions: every program makes its own.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::program::{path, programs};
use tempfile::TempDir;

/// The pages and completions of `program`, below a directory of their own.
fn generated(program: &str) -> TempDir {
    let prefix = TempDir::new().unwrap();
    let status = Command::new(path(program)).arg("--generate").arg(prefix.path()).status().unwrap();
    assert!(status.success());
    prefix
}

/// What `command` prints, however it ends.
fn printed(command: &mut Command) -> String {
    String::from_utf8(command.output().unwrap().stdout).unwrap()
}

/// Every `--option` in a text.
fn options(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !(c.is_alphanumeric() || c == '-'));
    words.filter(|word| word.len() > 3 && word.starts_with("--")).collect()
}

/// The subcommands that a help lists.
fn subcommands(help: &str) -> Vec<&str> {
    let listed = help.split_once("Commands:\n").map_or("", |(_, rest)| rest);
    // Words that go over a second line stand further in.
    let names = listed.lines().take_while(|line| !line.is_empty()).filter(|line| !line.starts_with("   "));
    names.filter_map(|line| line.split_whitespace().next()).filter(|&name| name != "help").collect()
}

fn assert_page_says_all_of_help(page: &Path, help: &str) {
    let page = fs::read_to_string(page).unwrap_or_else(|error| panic!("{}: {error}", page.display()));
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        let without_words = line.starts_with(r"\fB\-") && lines.next() == Some("");
        assert!(!without_words, "nothing is said of {line}");
    }
    let page = page.replace(r"\-", "-").replace(r"\fB", " ").replace(r"\fR", " ");
    let missing: Vec<_> = options(help).difference(&options(&page)).copied().collect();
    assert!(missing.is_empty(), "{missing:?} of --help not in the page");
}

#[test]
fn the_page_of_each_program_and_subcommand_says_every_option_of_its_help() {
    for program in programs() {
        let prefix = generated(program);
        let pages = prefix.path().join("share/man/man1");
        let help = printed(Command::new(path(program)).arg("--help"));
        assert_page_says_all_of_help(&pages.join(format!("{program}.1")), &help);
        for subcommand in subcommands(&help) {
            let help = printed(Command::new(path(program)).args([subcommand, "--help"]));
            assert_page_says_all_of_help(&pages.join(format!("{program}-{subcommand}.1")), &help);
        }
    }
}

#[test]
fn bash_completes_an_option_of_each_program() {
    let typed = "source \"$1\"; COMP_WORDS=(\"$2\" --hel) COMP_CWORD=1; \
                 \"_$2\" \"$2\" --hel \"$2\"; printf '%s\\n' \"${COMPREPLY[@]}\"";
    for program in programs() {
        let prefix = generated(program);
        let completions = prefix.path().join("share/bash-completion/completions").join(program);
        let mut bash = Command::new("bash");
        bash.args(["--norc", "-c", typed, "bash"]).arg(completions).arg(program);
        assert_eq!(printed(&mut bash), "--help\n", "{program}");
    }
}

#[test]
fn a_place_that_cannot_be_written_is_named() {
    let output = Command::new(path("listener")).args(["--generate", "/dev/null/x"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(
        said,
        "listener: write /dev/null/x/share/bash-completion/completions: ENOTDIR (Not a directory)\n"
    );
}
