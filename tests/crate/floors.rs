//! What scripts/check-floors must see, however it is written: each fault is planted in a copy of src.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// What check-floors says of src once lines are added to the ends of these files, some of them new.
#[track_caller]
fn faults(added: &[(&str, &str)]) -> String {
    let copy = TempDir::new().unwrap();
    let src = copy.path().join("src");
    let copied = Command::new("cp").arg("-r").arg(in_package("src")).arg(&src).status().unwrap();
    assert!(copied.success());
    for (file, lines) in added {
        let path = src.join(file);
        let before = fs::read_to_string(&path).unwrap_or_default();
        fs::write(&path, format!("{before}\n{lines}\n")).unwrap();
    }
    let output = Command::new(in_package("scripts/check-floors")).arg(&src).output().unwrap();
    assert!(!output.status.success(), "nothing is wrong with {added:?}");
    String::from_utf8(output.stderr).unwrap()
}

fn in_package(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

#[track_caller]
fn assert_says(faults: &str, fault: &str) {
    assert!(faults.lines().any(|line| line.ends_with(fault)), "no line `{fault}` in:\n{faults}");
}

#[test]
fn two_files_that_use_each_other_are_a_circle() {
    let faults = faults(&[
        ("wire.rs", "mod first;\nmod second;"),
        (
            "wire/first.rs",
            "use super::{\n    second::{\n        Second,\n    },\n};\npub struct First(Second);",
        ),
        ("wire/second.rs", "pub struct Second;\nfn first() -> super::first::First { todo!() }"),
    ]);
    assert_says(&faults, "  src/wire/first.rs uses Second of src/wire/second.rs");
    assert_says(&faults, "  src/wire/second.rs uses First of src/wire/first.rs");
}

#[test]
fn a_child_that_uses_what_its_parent_defines_and_uses_itself_is_a_circle() {
    let faults = faults(&[
        ("wire.rs", "mod child;\npub use child::Child;\npub struct Shared;"),
        ("wire/child.rs", "pub struct Child(super::Shared);"),
    ]);
    assert_says(&faults, "  src/wire.rs uses Child of src/wire/child.rs");
    assert_says(&faults, "  src/wire/child.rs uses Shared of src/wire.rs");
}

#[test]
fn a_name_that_a_parent_only_reexports_is_an_arrow_to_the_file_that_defines_it() {
    let faults = faults(&[
        ("wire.rs", "mod first;\nmod second;\npub use {first::First, second::Second as Renamed};"),
        ("wire/first.rs", "pub struct First(super::Renamed);"),
        ("wire/second.rs", "use super::First;\npub struct Second(First);"),
    ]);
    assert_says(&faults, "  src/wire/first.rs uses Second of src/wire/second.rs");
    assert_says(&faults, "  src/wire/second.rs uses First of src/wire/first.rs");
    assert!(!faults.contains("of src/wire.rs"), "{faults}");
}

#[test]
fn of_a_module_and_an_item_of_one_name_the_item_is_meant() {
    let faults = faults(&[
        ("wire.rs", "mod first;\nmod second;\npub use {first::first, second::second};"),
        ("wire/first.rs", "pub fn first() { super::second() }"),
        ("wire/second.rs", "use super::first;\npub fn second() { first() }"),
    ]);
    assert_says(&faults, "  src/wire/first.rs uses second of src/wire/second.rs");
    assert_says(&faults, "  src/wire/second.rs uses first of src/wire/first.rs");
}

#[test]
fn rooms_of_one_floor_may_not_know_each_other() {
    let grouped = faults(&[("wire/capture.rs", "use crate::{\n    kernel::watch::{self, Watch},\n};")]);
    assert_says(&grouped, "wire may not use kernel: Watch of src/kernel/watch.rs");
    let in_code = faults(&[("kernel/route.rs", "fn planted() { crate::terminal::keys::planted() }")]);
    assert_says(&in_code, "kernel may not use terminal: planted of src/terminal/keys.rs");
    let instruments = faults(&[("lab/matrix/cell.rs", "fn planted() { super::super::why::planted() }")]);
    assert_says(&instruments, "lab/matrix may not use lab/why: planted of src/lab/why.rs");
    let subcommands = faults(&[("commands/hide.rs", "use super::sockets::planted;")]);
    assert_says(
        &subcommands,
        "commands/hide may not use commands/sockets: planted of src/commands/sockets.rs",
    );
}

#[test]
fn an_arrow_upward_is_a_fault_however_it_is_written() {
    let multi_line = faults(&[("net/open.rs", "use crate::drive::{\n    EventLoop as Loop,\n};")]);
    assert_says(&multi_line, "net may not use drive: EventLoop of src/drive/event_loop.rs");
    let by_super = faults(&[("kernel/route.rs", "fn planted() { super::super::lab::planted() }")]);
    assert_says(&by_super, "kernel may not use lab: planted of src/lab.rs");
    let of_all = faults(&[("text/line.rs", "use crate::drive::*;\nfn planted() -> EventLoop { todo!() }")]);
    assert_says(&of_all, "text may not use drive: EventLoop of src/drive/event_loop.rs");
    let through_a_module =
        faults(&[("net/open.rs", "use crate as all;\nfn planted() { all::service::planted() }")]);
    assert_says(&through_a_module, "net may not use service: planted of src/service.rs");
}

#[test]
fn a_type_is_named_once() {
    let faults =
        faults(&[("wire/segment.rs", "struct Planted;"), ("commands/hide.rs", "fn f() { enum Planted {} }")]);
    let fault =
        "Planted: a type's name is said once, not in each of src/wire/segment.rs src/commands/hide.rs";
    assert_says(&faults, fault);
}

#[test]
fn tests_and_comments_and_strings_may_say_what_they_like() {
    let planted = "// crate::lab::planted()\nconst PLANTED: &str = \"mio::planted crate::lab::planted\";\n\
                   #[cfg(test)]\nuse crate::lab::{self, why::planted};\n#[cfg(test)]\nmod more { use crate::lab::planted; }";
    let faults = faults(&[("net/wildcard.rs", planted), ("net/source.rs", "use crate::lab::a_fault;")]);
    assert_says(&faults, "net may not use lab: a_fault of src/lab.rs");
    assert!(!faults.contains("planted"), "{faults}");
}

#[test]
fn what_a_floor_may_not_say_is_a_fault() {
    let faults = faults(&[
        ("lab/why/step.rs", "use mio::Poll;"),
        ("service/reply.rs", "use std::net::TcpStream;"),
        ("cli/stop.rs", "fn planted() { socket2::Socket::new() }"),
        ("kernel/route.rs", "fn planted() { std::net::TcpListener::bind() }"),
    ]);
    assert_says(&faults, "mio::: only drive knows readiness");
    assert_says(&faults, "TcpStream: service never names a socket");
    assert_says(&faults, "Socket::new(: only net, kernel and wire open sockets");
    assert_says(&faults, "TcpListener::bind: only src/net/open.rs opens TCP sockets");
}

#[test]
fn what_a_user_types_is_spelled_by_cli_and_commands_alone() {
    let faults = faults(&[
        ("drive/accept.rs", "const PLANTED: &str = \"no answer within 5s (--planted-flag)\";"),
        ("wire/segment.rs", "fn planted() { say(r#\"first\n`make experiment-2`\"#) }"),
        ("lab/why/claim.rs", "const PLANTED: &str = \"fourtuple planted shows it\";"),
        ("lab/questions.rs", "// --innocent\n#[cfg(test)]\nmod more { const TEST: &str = \"--innocent\"; }"),
        ("cli/stop.rs", "const PLANTED: &str = \"--innocent\";"),
    ]);
    assert_says(&faults, "--planted-flag: only cli and commands say what a user types");
    assert_says(&faults, "make experiment: only cli and commands say what a user types");
    assert_says(&faults, "fourtuple planted: only cli and commands say what a user types");
    assert!(!faults.contains("innocent"), "{faults}");
}
