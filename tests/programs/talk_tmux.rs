//! A conversation as its user sees it: in tmux, which draws what a terminal would show.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Command;

use crate::program::client::{accept, read_to_fin};
use crate::program::{has, path, until};
use tempfile::TempDir;

/// A tmux server of its own with one window of 80 columns; it is killed when this is dropped.
struct Tmux {
    directory: TempDir,
}

impl Tmux {
    /// Runs a script of sh, in which `$talk` is the program and `$dir` a directory to write to.
    fn run(script: &str) -> Self {
        let tmux = Self { directory: tempfile::tempdir().unwrap() };
        let directory = tmux.path("");
        let script = format!("talk='{}'; dir='{}'; {script}; sleep 600", path("talk"), directory.display());
        tmux.command(&["-f", "/dev/null", "new-session", "-d", "-x", "80", "-y", "24", &script]);
        tmux
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    #[track_caller]
    fn command(&self, arguments: &[&str]) -> String {
        let socket = self.path("tmux");
        let mut command = Command::new("tmux");
        // That of some users is nologin(8), and some have no language of UTF-8. sh(1) may end itself at a Ctrl-C.
        command.env("SHELL", "/bin/bash").env("LC_ALL", "C.UTF-8").arg("-S").arg(socket).args(arguments);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn press(&self, key: &str) {
        self.command(&["send-keys", key]);
    }

    /// All rows, those that have left the window included.
    fn rows(&self) -> Vec<String> {
        self.command(&["capture-pane", "-p", "-S", "-"]).trim_end().lines().map(str::to_owned).collect()
    }

    #[track_caller]
    fn shows(&self, row: &str) {
        until(&format!("{row:?} on the screen"), || {
            self.rows().iter().any(|shown| shown == row).then_some(())
        });
    }

    #[track_caller]
    fn file(&self, name: &str) -> String {
        until(name, || fs::read_to_string(self.path(name)).ok().filter(|text| text.ends_with('\n')))
    }
}

impl Drop for Tmux {
    fn drop(&mut self) {
        let _ = Command::new("tmux").arg("-S").arg(self.path("tmux")).arg("kill-server").status();
    }
}

/// A `talk` in tmux that has called, and the other end of its connection.
#[track_caller]
fn calling() -> (Tmux, TcpStream) {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = server.local_addr().unwrap().port();
    let tmux = Tmux::run(&format!(
        "stty -a >\"$dir/before\"; sh -c 'echo $$ >\"$0/pid\"; exec \"$1\" 127.0.0.1 {port}' \"$dir\" \"$talk\"; \
         echo $? >\"$dir/status\"; stty -a >\"$dir/after\""
    ));
    let stream = accept(&server);
    tmux.shows(">");
    (tmux, stream)
}

/// Fails unless the talk ends with this status and leaves the terminal as it was.
#[track_caller]
fn ends(tmux: &Tmux, status: &str) {
    assert_eq!(tmux.file("status").trim(), status, "{:#?}", tmux.rows());
    assert_eq!(tmux.file("after"), tmux.file("before"));
}

#[test]
fn a_hundred_lines_arrive_while_one_is_typed_and_it_is_sent_whole() {
    if !has("tmux", "-V") {
        return;
    }
    let (tmux, mut stream) = calling();
    let typed = "one line that is typed while a hundred others arrive, with é, 世 and 🦀";
    let characters: Vec<char> = typed.chars().collect();
    for number in 0..100 {
        if let Some(character) = characters.get(number) {
            tmux.command(&["send-keys", "-l", &character.to_string()]);
        }
        writeln!(stream, "line {number}").unwrap();
    }
    tmux.shows(&format!("> {typed}"));
    tmux.shows("remote: line 99");
    let (prompt, above) = {
        let mut rows = tmux.rows();
        (rows.pop().unwrap(), rows)
    };
    let arrived: Vec<String> = (0..100).map(|number| format!("remote: line {number}")).collect();
    assert_eq!(above[above.len() - 100..], arrived);
    assert_eq!(prompt, format!("> {typed}"));
    tmux.press("Enter");
    let mut sent = vec![0; typed.len() + 1];
    stream.read_exact(&mut sent).unwrap();
    assert_eq!(String::from_utf8(sent).unwrap(), format!("{typed}\n"));
    // Ctrl-C makes the terminal throw away what nobody has read, termios(3): not before the line has come.
    tmux.press("C-c");
    assert_eq!(read_to_fin(&stream), b"");
    ends(&tmux, "0");
}

#[test]
fn the_terminal_is_as_before_when_the_other_side_ends_at_a_keyword_and_at_sigterm() {
    if !has("tmux", "-V") {
        return;
    }
    let (tmux, stream) = calling();
    tmux.command(&["send-keys", "half a line"]);
    tmux.shows("> half a line");
    drop(stream);
    ends(&tmux, "0");
    tmux.shows("The other side has ended the talk");

    let (tmux, stream) = calling();
    tmux.command(&["send-keys", "revoir", "Enter"]);
    assert_eq!(read_to_fin(&stream), b"revoir\n");
    ends(&tmux, "0");

    let (tmux, _stream) = calling();
    let pid = tmux.file("pid").trim().parse().unwrap();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGTERM).unwrap();
    ends(&tmux, "0");
}

#[test]
fn a_talk_that_was_stopped_goes_on_with_the_line_being_typed() {
    if !has("tmux", "-V") || !has("bash", "--version") {
        return;
    }
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = server.local_addr().unwrap().port();
    let tmux = Tmux::run("PS1='shell$ ' bash --norc --noprofile -i");
    tmux.shows("shell$");
    tmux.command(&["send-keys", &format!("'{}' 127.0.0.1 {port}", path("talk")), "Enter"]);
    let mut stream = accept(&server);
    tmux.shows(">");
    tmux.press("half ");
    tmux.shows("> half");
    tmux.press("C-z");
    tmux.shows("shell$");
    writeln!(stream, "in the meantime").unwrap();
    tmux.command(&["send-keys", "fg", "Enter"]);
    tmux.shows("remote: in the meantime");
    tmux.command(&["send-keys", "a line", "Enter"]);
    tmux.shows("> half a line");
    tmux.press("C-c");
    assert_eq!(read_to_fin(&stream), b"half a line\n");
}
