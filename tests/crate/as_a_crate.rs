//! The crate in somebody else's program: its examples run, and it changes nothing there.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::program::{Program, field, path};
use fourtuple::lab::matrix;
use fourtuple::{
    EventLoop, Format, Goal, LoopSettings, PlannedCall, Reporter, SocketOptions, Verbosity, bind, sockets,
    why,
};
use nix::sys::signal::Signal::{SIGINT, SIGTERM};
use nix::sys::signal::raise;

/// `cargo test` builds examples too; `cargo test --test crate` does not.
fn example(name: &str) -> Command {
    let path = Path::new(path("fourtuple")).with_file_name("examples").join(name);
    if !path.exists() {
        assert!(Command::new(env!("CARGO")).args(["build", "--example", name]).status().unwrap().success());
    }
    Command::new(path)
}

#[test]
fn the_echo_server_echoes_and_ends_with_a_signal() {
    let mut server = Program::spawn(example("echo").arg("127.0.0.1:0"));
    let local = server.line("listening on ").split(' ').next_back().unwrap().parse().unwrap();
    crate::program::client::round_trip(&crate::program::client::connect(local), b"hello");
    server.signal(SIGTERM);
    server.end().well();
}

#[test]
fn the_other_examples_say_who_listens_and_why_a_call_fails() {
    let listener =
        Program::spawn(Command::new(path("listener")).args(["0", "127.0.0.1", "--reuse-port", "off"]));
    let local = field(&listener.line("listening "), "local").to_owned();
    let holder = format!("LISTEN {local} pid={} (listener)", listener.pid());
    let table = Program::spawn(&mut example("sockets")).end().well().stdout;
    assert!(table.contains(&holder), "{table}");
    let said = Program::spawn(example("why").arg(&local)).end().well().stdout;
    assert!(
        said.starts_with("bind fails with EADDRINUSE: ") && said.contains(&format!("in the way: {holder}")),
        "{said}"
    );
}

#[test]
fn a_program_that_uses_it_keeps_its_signal_handlers_and_is_not_started_again() {
    let caught = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(SIGINT as i32, Arc::clone(&caught)).unwrap();
    let reporter = Reporter::to(None, Format::Text, Verbosity::Normal);
    let _event_loop = EventLoop::new(reporter, LoopSettings::default(), &[]).unwrap();
    let holder = bind(([127, 0, 0, 1], 0).into(), &SocketOptions::default()).unwrap();
    assert!(sockets().unwrap().iter().any(|row| row.local == holder.local()));
    let question = PlannedCall { goal: Goal::Bind(holder.local()), options: SocketOptions::default() };
    let mut answer = why(&question).unwrap();
    answer.try_out(&question);
    assert!(answer.advice.iter().all(|advice| advice.trial != fourtuple::lab::why::TrialOutcome::Works));
    let refused = matrix::measure(Vec::new(), &[]).unwrap_err().to_string();
    assert!(refused.contains("call `attend` first"), "{refused}");
    raise(SIGINT).unwrap();
    assert!(caught.load(Ordering::Relaxed));
}

#[test]
fn its_advice_names_no_program_of_ours() {
    let holder = bind(([127, 0, 0, 1], 0).into(), &SocketOptions::default()).unwrap();
    let goal = Goal::Connect { local: None, remote: holder.local() };
    let answer = why(&PlannedCall { goal, options: SocketOptions::default() }).unwrap();
    let steps: Vec<String> = answer.advice.iter().map(|advice| advice.remedy.to_string()).collect();
    assert!(steps.contains(&format!("nothing listens on {}: a listener does", holder.local())), "{steps:?}");
}

/// The names that `src/lib.rs` exports.
fn face() -> Vec<String> {
    let library = include_str!("../../src/lib.rs");
    let exported = library.lines().filter_map(|line| line.strip_prefix("pub use ")).map(|path| {
        let names = path.strip_suffix(';').expect("an export on one line").rsplit_once("::").unwrap().1;
        names.trim_matches(['{', '}']).split(", ").map(str::to_owned).collect::<Vec<_>>()
    });
    exported.flatten().collect()
}

/// All that doctests say, but for lines that are left out of the docs.
fn examples() -> String {
    let found =
        Command::new("find").args([concat!(env!("CARGO_MANIFEST_DIR"), "/src"), "-name", "*.rs"]).output();
    let sources = String::from_utf8(found.unwrap().stdout).unwrap();
    let mut said = String::new();
    for source in sources.lines() {
        let text = std::fs::read_to_string(source).unwrap();
        let docs = text.lines().filter_map(|line| {
            let line = line.trim_start();
            line.strip_prefix("///").or_else(|| line.strip_prefix("//!"))
        });
        let mut inside = false;
        for line in docs {
            if line.trim_start().starts_with("```") {
                inside = !inside;
            } else if inside {
                said.push_str(line);
                said.push('\n');
            }
        }
    }
    said
}

#[test]
fn every_name_of_the_face_stands_in_an_example() {
    let examples = examples();
    let words: Vec<&str> = examples.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
    let missing: Vec<String> = face().into_iter().filter(|name| !words.contains(&name.as_str())).collect();
    assert!(missing.is_empty(), "no example says {missing:?}");
}

#[test]
fn it_needs_few_crates_and_fewer_without_our_programs() {
    let crates = |more: &[&str]| {
        let tree = Command::new(env!("CARGO"))
            .args(["tree", "--offline", "--edges", "normal", "--prefix", "none", "--format", "{p}"])
            .args(more)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .unwrap();
        assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
        let text = String::from_utf8(tree.stdout).unwrap();
        text.lines().map(|line| line.trim_end_matches(" (*)").to_owned()).collect::<BTreeSet<_>>().len()
    };
    let (library, all) = (crates(&["--no-default-features"]), crates(&[]));
    assert!(library <= 45 && all <= 115, "{library} and {all}");
}
