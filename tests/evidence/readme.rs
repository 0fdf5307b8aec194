//! Every command of the README's console blocks does what the README shows: on a terminal, and in a pipe.
//!
//! A section is played in one network namespace, its blocks in order. What listens or captures stays until
//! the section ends; every other command is waited for. `^C` is Ctrl-C on a terminal and SIGINT elsewhere. Durations and
//! process numbers are as they are; `…` is any text, and alone on a line any lines. A block of `console terminal` is
//! one of a program that speaks to people otherwise than to a pipe, and is played on a terminal only.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::thread;

use super::experiments::every_experiment;
use crate::program::terminal::Terminal;
use crate::program::{Program, has, path, programs, until};
use nix::sys::signal::Signal;
use snapbox::assert_data_eq;
use tempfile::TempDir;

/// How the first, second or third line begins of what waits for the next blocks.
const READY: [&str; 4] = ["listening ", "capturing ", "* waiting ", "Waiting "];

/// Where a command writes.
#[derive(Clone, Copy)]
enum Surface {
    Terminal,
    Pipe,
}

/// A command, and the output shown before and after Ctrl-C, if that is pressed.
struct Block {
    /// It is for people: in a pipe it says something else.
    terminal: bool,
    command: String,
    shown: String,
    shown_after_interrupt: Option<String>,
}

impl Block {
    /// What follows the word `console`.
    fn parse(text: &str) -> Self {
        let (mark, text) = text.split_once('\n').expect(text);
        assert!(["", " terminal"].contains(&mark), "console{mark}");
        let (command, output) = text.strip_prefix("$ ").expect(text).split_once('\n').unwrap_or((text, ""));
        let (before, after) = match output.split_once("^C") {
            Some((before, after)) => (before, Some(after.to_owned())),
            None => (output, None),
        };
        Self {
            terminal: !mark.is_empty(),
            command: command.to_owned(),
            shown: before.to_owned(),
            shown_after_interrupt: after,
        }
    }

    /// The line that says that it is ready, of a program that waits for what the next blocks do.
    fn ready(&self) -> Option<&str> {
        let is_ready = |line: &&str| READY.iter().any(|beginning| line.starts_with(beginning));
        self.shown.lines().take(3).find(is_ready)
    }
}

/// The console blocks of each section that has any.
fn sections(readme: &str) -> Vec<Vec<Block>> {
    let blocks = |section: &str| -> Vec<Block> {
        let starts = section.split("```console").skip(1);
        starts.map(|rest| Block::parse(rest.split("```").next().unwrap())).collect()
    };
    readme.split("\n## ").map(blocks).filter(|blocks| !blocks.is_empty()).collect()
}

/// A folder that looks like a built checkout.
fn checkout() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    fs::create_dir(folder.path().join("out")).unwrap();
    for program in programs() {
        symlink(path(program), folder.path().join("out").join(program)).unwrap();
    }
    for part in ["experiments", "scripts"] {
        symlink(root.join(part), folder.path().join(part)).unwrap();
    }
    folder
}

/// `make` as the Makefile has it, less the build. What `make experiments` runs has been run.
const MAKE: &str = "make() { case $1 in
    experiment-*) scripts/run-experiments --show ${1#experiment-} ;;
    *) return 2 ;;
    esac; }";

/// A network namespace that lasts as long as this.
struct Network(Program);

impl Network {
    fn new() -> Self {
        let wait = ["isolate", "--", "bash", "-c", "echo ready; exec sleep 3600"];
        let isolate = Program::spawn(Command::new(path("fourtuple")).args(wait));
        isolate.line("ready");
        Self(isolate)
    }

    /// A command to be run inside.
    fn command(&self, command: &str, folder: &Path) -> Command {
        let inside = self.0.pid().to_string();
        let script = format!("{MAKE}\nexec 2>&1\n{command}");
        let mut isolate = Command::new(path("fourtuple"));
        isolate.args(["isolate", "--join", &inside, "--", "bash", "-c", &script]).current_dir(folder);
        isolate
    }
}

/// A command that runs.
enum Running {
    Terminal(Terminal),
    Pipe(Program),
}

impl Running {
    fn start(command: &mut Command, surface: Surface) -> Self {
        match surface {
            Surface::Terminal => Self::Terminal(Terminal::wide(command)),
            Surface::Pipe => Self::Pipe(Program::spawn(command)),
        }
    }

    /// What stands there so far.
    fn said(&self) -> String {
        match self {
            Self::Terminal(terminal) => screen(&terminal.shown()),
            Self::Pipe(program) => program.said(),
        }
    }

    /// Waits for a line that begins so.
    #[track_caller]
    fn line(&self, prefix: &str) {
        until(prefix, || self.said().lines().any(|line| line.starts_with(prefix)).then_some(()));
    }

    /// Waits for as many whole lines as are shown.
    #[track_caller]
    fn lines_of(&self, shown: &str) {
        let most = shown.lines().count();
        until(shown, || (self.said().matches('\n').count() >= most).then_some(()));
    }

    fn interrupt(&self) {
        match self {
            Self::Terminal(terminal) => terminal.press("\x03"),
            Self::Pipe(program) => program.signal(Signal::SIGINT),
        }
    }

    /// Waits for the end; all that was said.
    #[track_caller]
    fn end(&mut self) -> String {
        match self {
            Self::Terminal(terminal) => {
                terminal.end();
                screen(&terminal.shown())
            }
            Self::Pipe(program) => program.end().stdout,
        }
    }
}

/// What stands on a screen that all this was written to: colours aside, and without what was written over.
fn screen(written: &str) -> String {
    written.split('\n').map(row).collect::<Vec<_>>().join("\n")
}

fn row(written: &str) -> String {
    let (mut row, mut column) = (Vec::new(), 0);
    let mut characters = written.chars();
    while let Some(character) = characters.next() {
        match character {
            '\r' => column = 0,
            '\x1b' => match characters.find(char::is_ascii_alphabetic) {
                Some('K') => row.truncate(column),
                Some('m') => {}
                other => panic!("ESC … {other:?} in {written:?}"),
            },
            _ => {
                if column < row.len() {
                    row[column] = character;
                } else {
                    row.push(character);
                }
                column += 1;
            }
        }
    }
    row.into_iter().collect()
}

/// Plays each section in a network of its own.
fn play_all(surface: Surface) {
    let readme = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let sections = sections(&readme);
    assert!(sections.len() >= 4, "the README has lost its console blocks");
    thread::scope(|scope| {
        for blocks in &sections {
            scope.spawn(move || play(blocks, surface));
        }
    });
}

fn play(blocks: &[Block], surface: Surface) {
    let (folder, network) = (checkout(), Network::new());
    let mut staying = Vec::new();
    for block in blocks {
        if block.command == "make experiments" {
            compare(&every_experiment().text, &block.shown);
            continue;
        }
        let surface = if block.terminal { Surface::Terminal } else { surface };
        let mut running = Running::start(&mut network.command(&block.command, folder.path()), surface);
        if let Some(line) = block.ready() {
            running.line(line);
            staying.push((running, block));
        } else if let Some(after) = &block.shown_after_interrupt {
            running.lines_of(&block.shown);
            running.interrupt();
            let key = if matches!(surface, Surface::Terminal) { "^C" } else { "" };
            compare(&running.end(), &format!("{}{key}{after}", block.shown));
        } else {
            compare(&running.end(), &block.shown);
        }
    }
    for (running, block) in staying {
        running.lines_of(&block.shown);
        compare(&running.said(), &block.shown);
    }
}

#[track_caller]
fn compare(said: &str, shown: &str) {
    let pattern = shown.lines().map(|line| match line {
        "…" => "...\n".to_owned(),
        line => format!("{}\n", any_duration_and_pid(line).replace('…', "[..]")),
    });
    let pattern: String = pattern.collect();
    assert_data_eq!(said, pattern);
}

/// The line with `…` in the place of what is another one at every run: durations (`85us`) and process numbers.
fn any_duration_and_pid(line: &str) -> String {
    let mut pattern = String::new();
    let mut rest = line;
    while let Some(start) = rest.find(|character: char| character.is_ascii_digit()) {
        let (before, number) = rest.split_at(start);
        let end = number.find(|character: char| !character.is_ascii_digit() && character != '.');
        let (number, after) = number.split_at(end.unwrap_or(number.len()));
        let unit = after.split(|character: char| !character.is_ascii_alphabetic()).next();
        let pid = before.ends_with("pid ") || before.ends_with("pid=");
        pattern.push_str(before);
        rest = match unit {
            Some(unit @ ("us" | "ms" | "s")) => &after[unit.len()..],
            _ => after,
        };
        pattern.push_str(if pid || rest.len() < after.len() { "…" } else { number });
    }
    pattern + rest
}

#[test]
fn every_command_does_on_a_terminal_what_the_readme_shows() {
    play_all(Surface::Terminal);
}

#[test]
fn every_command_does_in_a_pipe_what_the_readme_shows() {
    play_all(Surface::Pipe);
}

/// The commands in a cell of a table.
fn commands(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

#[test]
fn every_client_of_the_five_classics_reaches_every_server_of_its_row() {
    let readme = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let table = readme.split("| the exercise | server | client | experiment |\n").nth(1).unwrap();
    let rows: Vec<Vec<&str>> = table
        .lines()
        .skip(1)
        .take_while(|line| line.starts_with('|'))
        .map(|line| line.split('|').map(str::trim).collect())
        .collect();
    assert_eq!(rows.len(), 5);
    for row in rows {
        for (server, client) in commands(row[2])
            .into_iter()
            .flat_map(|server| commands(row[3]).into_iter().map(move |client| (server, client)))
        {
            reaches(server, client);
        }
    }
}

/// Starts both in a network of their own, somebody typing `hello` to the client, and waits for the server to take it.
fn reaches(server: &str, client: &str) {
    if client.starts_with("nc ") && !has("nc", "-h") {
        return;
    }
    let (folder, network) = (checkout(), Network::new());
    let run = |command: &str| {
        let typed = format!("export PATH=$PWD/out:$PATH; (echo hello; sleep 3600) | {command}");
        Program::spawn(&mut network.command(&typed, folder.path()))
    };
    let (server, client) = {
        let server = run(server);
        server.line("listening ");
        (server, run(client))
    };
    let taken = |line: &str| line.starts_with("accepted ") || line.starts_with("client ");
    until("the server has taken the client", || server.said().lines().any(taken).then_some(()));
    drop(client);
}
