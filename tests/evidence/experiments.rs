//! The vocabulary of the experiments: each of them holds, and fails when it should.

mod evidence;
mod lab;
mod lessons;
mod packets;
mod predict;
mod states;

use std::env;
use std::fs;
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::OnceLock;
use std::thread;

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};

use crate::program::schema;
use lab::{CONNECTED, Lab, ROOT, Verdict, can_isolate, each_fails, each_is_told, experiment, wait_until};

/// How all experiments went.
pub struct All {
    /// How many there are.
    count: usize,
    /// In how many of them our programs told what they did.
    told: usize,
    /// How many files of their bundles were compared with their schema.
    compared: usize,
    /// What is wrong with them.
    mistakes: Vec<String>,
    status: Option<i32>,
    /// What run-experiments printed.
    pub text: String,
}

/// All experiments, run once by whoever asks first, and to the last check where REQUIRE_ALL is set.
pub fn every_experiment() -> &'static All {
    static ALL: OnceLock<All> = OnceLock::new();
    ALL.get_or_init(|| {
        let lab = Lab::new();
        let mut run = lab.run_experiments();
        run.envs(env::var_os("REQUIRE_ALL").map(|value| ("REQUIRE_ALL", value)));
        let Verdict { status, text } = Verdict::of(run.output().unwrap());
        let names: Vec<String> = fs::read_dir(Path::new(ROOT).join("experiments"))
            .unwrap()
            .filter_map(|entry| Some(entry.unwrap().file_name().to_str()?.strip_suffix(".sh")?.to_owned()))
            .collect();
        let told = |name: &&String| {
            let events = fs::metadata(lab.directory.path().join(name).join("events.jsonl"));
            events.is_ok_and(|events| events.len() > 0)
        };
        let files = names.iter().flat_map(|name| {
            let bundle = lab.directory.path().join(name);
            schema::FILES.map(|file| bundle.join(file)).into_iter().filter(|path| path.exists())
        });
        let compared: Vec<Option<String>> = files.map(|path| schema::mistake_in_file(&path)).collect();
        All {
            count: names.len(),
            told: names.iter().filter(told).count(),
            compared: compared.len(),
            mistakes: compared.into_iter().flatten().collect(),
            status,
            text,
        }
    })
}

#[test]
fn every_experiment_holds() {
    if !can_isolate() {
        return;
    }
    let All { count, told, status, text, .. } = every_experiment();
    assert_eq!(*status, Some(0), "{text}");
    // A socket of another user needs root.
    let skipped = if geteuid().is_root() { 0 } else { 1 };
    let counts = format!("\n{} passed, 0 failed, {skipped} skipped\n", count - skipped);
    assert!(text.ends_with(&counts), "{text}");
    // Some of our programs take part in each, and tell what they do.
    assert_eq!(*told, count - skipped);
}

#[test]
fn every_file_of_every_bundle_is_what_its_schema_says() {
    if !can_isolate() {
        return;
    }
    let All { count, compared, mistakes, .. } = every_experiment();
    assert_eq!(mistakes, &[] as &[String]);
    let skipped = if geteuid().is_root() { 0 } else { 1 };
    assert_eq!(*compared, (count - skipped) * schema::FILES.len());
}

/// The caller's own network, in which nothing is captured but the ports that the script names.
#[test]
fn experiments_hold_in_the_network_of_their_caller() {
    if !can_isolate() {
        return;
    }
    let names = ["01-two-listener-addresses", "17-seven-steps", "24-the-interactive-echo"];
    thread::scope(|scope| {
        for name in names {
            scope.spawn(move || {
                let lab = Lab::new();
                let script = lab.directory.path().join("host.sh");
                let path = experiment(&format!("{name}.sh"));
                fs::write(
                    &script,
                    format!("exec \"$PROGRAMS/fourtuple\" isolate -- bash '{}'", path.display()),
                )
                .unwrap();
                let verdict = Verdict::of(lab.bash(&script).env("NAMESPACE", "host").output().unwrap());
                verdict.passes();
                assert!(!verdict.text.contains("# SKIP "), "{}", verdict.text);
                let bundle = lab.directory.path().join(name);
                let manifest = fs::read_to_string(bundle.join("manifest.json")).unwrap();
                assert!(manifest.contains(r#""namespace": "host""#), "{manifest}");
                let watched = fs::read_to_string(bundle.join("sockets.jsonl")).unwrap();
                assert!(watched.contains(r#""to":"ESTABLISHED""#), "{watched}");
            });
        }
    });
}

/// A virtual machine may be stopped for longer than any word is patient.
#[test]
fn a_machine_that_stands_still_for_a_while_fails_nothing() {
    let Some(lab) = Lab::isolated() else { return };
    let stands_still = "held=0
        third_time() { ((++held == 3)) || { sleep 0.4; return 1; }; }
        patience=300000
        wait_until third_time || die 'gave up'";
    lab.conclude(CONNECTED, &format!("{stands_still}\nexpect_echo red hello")).passes();
}

#[test]
fn run_experiments_counts_them_and_shows_the_output_of_those_that_failed() {
    let Some(lab) = Lab::isolated() else { return };
    lab.script_called("01-true.sh", &format!("{CONNECTED}\nexpect_echo red hello\nconclude"));
    lab.script_called("02-untrue.sh", "start_listener one $FIRST:3000\nconclude");
    lab.script_called("03-not-here.sh", "require nonsense\nconclude");
    let run = |arguments: &[&str]| {
        let mut command = lab.run_experiments();
        Verdict::of(command.args(arguments).env("EXPERIMENTS", lab.directory.path()).output().unwrap())
    };
    let all = run(&[]);
    all.fails_with("\n    not ok 1 - the experiment checks nothing\n");
    all.fails_with("\nskipped 03 not here: nonsense is not installed\n");
    all.fails_with("\n1 passed, 1 failed, 1 skipped\n");
    run(&["1"]).passes();
    assert_eq!(run(&["3"]).status, Some(4));
    assert_eq!(run(&["--show", "3"]).status, Some(4));
    let unknown = run(&["4"]);
    assert_eq!(unknown.status, Some(2));
    assert!(unknown.text.contains("there is no experiment 4; there is\n  01-true\n"), "{}", unknown.text);
}

#[test]
fn what_takes_a_second_user_is_skipped_where_there_is_none() {
    let Some(lab) = Lab::isolated() else { return };
    let verdict = lab.run(
        "require_another_user\nstart_listener one $FIRST:3000\nexpect_state LISTEN $FIRST:3000\nconclude",
    );
    match geteuid().is_root() {
        true => verdict.passes(),
        false => {
            verdict.is_skipped("a socket of another user needs root");
        }
    }
}

#[test]
fn facts_that_hold_pass() {
    let Some(lab) = Lab::isolated() else { return };
    lab.conclude(
        CONNECTED,
        "expect_established $FIRST:3001 $FIRST:3000
            expect_established $FIRST:* $FIRST:3000
            expect_state LISTEN $FIRST:3000
            expect_echo red hello
            expect_accepted one $FIRST:3000 $FIRST:3001
            expect_no_socket any $SECOND:3000
            stop red
            expect_closed $FIRST:3001 $FIRST:3000",
    )
    .passes();
}

#[test]
fn facts_hold_with_ipv6_too() {
    let Some(lab) = Lab::isolated() else { return };
    lab.run(
        "start_listener one [::1]:3000
            start_connector red [::1]:3001 [::1]:3000 hello
            expect_established [::1]:3001 [::1]:3000
            expect_echo red hello
            conclude",
    )
    .passes();
}

#[test]
fn a_wrong_expectation_fails() {
    each_fails(
        CONNECTED,
        &[
            (
                "expect_established $FIRST:3001 $FIRST:3007",
                "not ok 1 - ESTABLISHED 127.0.0.1:3001 -> 127.0.0.1:3007",
            ),
            ("expect_state SYN-SENT $FIRST:3001", "not ok 1 - SYN-SENT 127.0.0.1:3001"),
            ("expect_closed $FIRST:3001 $FIRST:3000", "not ok 1 - closed 127.0.0.1:3001 -> 127.0.0.1:3000"),
            ("expect_closed $FIRST:3001 $FIRST:3007", "not ok 1 - closed 127.0.0.1:3001 -> 127.0.0.1:3007"),
            ("expect_echo red hullo", "not ok 1 - red is answered \"hullo\""),
            (
                "expect_accepted one $FIRST:3000 $FIRST:3002",
                "not ok 1 - one accepts 127.0.0.1:3000 <- 127.0.0.1:3002",
            ),
            ("expect_line red nonsense", "not ok 1 - red writes \"nonsense\""),
            ("expect_no_socket LISTEN $FIRST:3000", "not ok 1 - never LISTEN 127.0.0.1:3000"),
        ],
    );
}

#[test]
fn an_error_counts_only_with_its_call_its_errno_and_status_1() {
    let Some(lab) = Lab::isolated() else { return };
    let twin = format!("{CONNECTED}\nstart_connector twin $FIRST:3001 $FIRST:3000");
    lab.conclude(&twin, "expect_connect_error twin EADDRNOTAVAIL").passes();
    for wrong in ["expect_bind_error twin EADDRNOTAVAIL", "expect_connect_error twin EADDRINUSE"] {
        lab.conclude(&twin, wrong).fails_with("not ok 1 - twin: ");
    }
    lab.run(
        "start_program liar -- bash -c 'echo liar: bind 127.0.0.1:1: EACCES >&2; exit 3'
        expect_bind_error liar EACCES
        conclude",
    )
    .fails_with("not ok 1 - liar: bind EACCES");
}

#[test]
fn a_wrong_row_of_the_option_table_fails() {
    if !can_isolate() {
        return;
    }
    let verdict = Lab::new().run_in_vain(
        "start_listener one $FIRST:3000
        start_listener two $SECOND:3000
        expect_second <<TABLE
            options  from         first to     second to     second
            neither  $FIRST:3011  $FIRST:3000  $SECOND:3000  ESTABLISHED
            both     $FIRST:3012  $FIRST:3000  $SECOND:3000  bind EADDRINUSE
            both     $FIRST:3013  $FIRST:3000  $FIRST:3000   bind EADDRNOTAVAIL
TABLE
        conclude",
    );
    for number in 1..=3 {
        verdict.fails_with(&format!("not ok {number} - "));
    }
}

#[test]
fn absence_is_checked_over_the_whole_record() {
    let Some(lab) = Lab::isolated() else { return };
    // Nobody looks at the socket table while the connection stands.
    let body = format!(
        "{CONNECTED}\nstop red\nexpect_no_socket ESTABLISHED $FIRST:3001 $FIRST:3000\nstop one\nconclude"
    );
    lab.run(&body).fails_with("not ok 1 - never ESTABLISHED 127.0.0.1:3001 -> 127.0.0.1:3000");
}

#[test]
fn an_experiment_that_checks_nothing_fails() {
    let Some(lab) = Lab::isolated() else { return };
    lab.run(&format!("{CONNECTED}\nconclude")).fails_with("not ok 1 - the experiment checks nothing");
    lab.run("leave_out 'no reason'\nconclude").fails_with("not ok 2 - the experiment checks nothing");
}

/// bash goes on with the next line of a script after some errors of its own.
#[test]
fn an_expectation_that_ends_without_its_check_fails() {
    let Some(lab) = Lab::isolated() else { return };
    let word = "expect_luck() { expectation expect_luck; local -A none; : ${none[]}; check 0 luck any :; }\n";
    for next in ["conclude", "expect_closed 127.0.0.1:1 127.0.0.1:2\nconclude"] {
        let script = format!("{CONNECTED}\n{word}expect_luck\n{next}");
        lab.run(&script).fails_with("expect_luck: has checked nothing");
    }
}

#[test]
fn a_script_that_ends_without_its_conclusion_fails() {
    let Some(lab) = Lab::isolated() else { return };
    for end in ["", "exit 0", "false", "expect_nonsense red", "echo $unset", "if fi", "start_listener two"] {
        let body = format!("{CONNECTED}\nexpect_established $FIRST:3001 $FIRST:3000\n{end}");
        lab.run(&body).fails_with("not ok 2 - the experiment reaches its conclusion");
    }
}

#[test]
fn a_mistake_is_told_with_its_line_and_its_word() {
    each_is_told(&[
        ("start_listener one $FIRST:3000", "test.sh:5: start_listener: a program is called 'one' already"),
        ("start_listener two 3000", "test.sh:5: start_listener: '3000' is not IP:PORT"),
        (
            "start_connector blue $FIRST:3002",
            "test.sh:5: start_connector needs NAME LOCAL_IP:PORT REMOTE_IP:PORT",
        ),
        ("start_program blue -- nonsense", "test.sh:5: start_program: no program 'nonsense'"),
        ("expect_established $FIRST:3001", "test.sh:5: expect_established needs LOCAL REMOTE"),
        ("expect_state OPEN $FIRST:3001", "test.sh:5: expect_state: 'OPEN' is no TCP state"),
        ("expect_echo blue hello", "test.sh:5: expect_echo: no program is called 'blue'"),
        ("send_signal one NONSENSE", "test.sh:5: send_signal: NONSENSE is no signal for one"),
        ("expect_nonsense", "test.sh:5: \"expect_nonsense\" failed with status 127"),
    ]);
}

#[test]
fn a_program_that_fails_to_start_ends_the_experiment_with_what_it_said() {
    let Some(lab) = Lab::isolated() else { return };
    lab.run(
        "start_connector red $FIRST:3001 $FIRST:3000\nexpect_established $FIRST:3001 $FIRST:3000\nconclude",
    )
    .fails_with("connector: connect 127.0.0.1:3001 -> 127.0.0.1:3000: ECONNREFUSED");
}

#[test]
fn a_missing_program_fails() {
    for name in crate::program::programs() {
        let lab = Lab::new();
        fs::remove_file(lab.programs().join(name)).unwrap();
        lab.run("conclude").fails_with(&format!("{name} is not there: make build"));
    }
}

#[test]
fn a_refused_namespace_is_a_skip_with_its_reason_and_fails_where_all_is_required() {
    let lab = Lab::new();
    lab.replace("fourtuple", "echo 'fourtuple: unshare: EPERM' >&2\nexit 125");
    lab.run("conclude").is_skipped("no namespace: fourtuple: unshare: EPERM");
    lab.run_requiring_all("conclude").fails_with("fourtuple: unshare: EPERM");
}

#[test]
fn what_is_not_installed_is_a_skip_and_fails_where_all_is_required() {
    let Some(lab) = Lab::isolated() else { return };
    assert_eq!(lab.run("require nonsense\nconclude").status, Some(4));
    lab.run_requiring_all("require nonsense\nconclude").fails_with("nonsense is not installed");
}

#[test]
fn a_variable_left_over_does_not_pass_for_a_namespace() {
    let Some(lab) = Lab::isolated() else { return };
    let script = lab.script("conclude");
    let here = fs::read_link("/proc/self/ns/net").unwrap();
    let leftover = format!("1 {} {}", here.display(), script.display());
    let output = lab.bash(&script).env("EXPERIMENT_OUTSIDE", leftover).output().unwrap();
    Verdict::of(output).fails_with("still in the network namespace");
}

/// Runs experiments 1 to 3 at once, which must fail; they are given little patience, for there is much to fail.
#[track_caller]
fn first_three_fail(lab: &Lab, with: &str) {
    let running: Vec<Child> =
        ["01-two-listener-addresses.sh", "02-one-wildcard-listener.sh", "03-two-listener-ports.sh"]
            .map(|name| {
                lab.bash(&experiment(name))
                    .env("PATIENCE", "1")
                    .stdout(Stdio::piped())
                    .stderr(Stdio::piped())
                    .spawn()
                    .unwrap()
            })
            .into();
    for child in running {
        Verdict::of(child.wait_with_output().unwrap()).fails_with(with);
    }
}

#[test]
fn experiments_fail_with_a_connector_that_ignores_its_local_port() {
    let Some(lab) = Lab::isolated() else { return };
    lab.replace("connector", r#"exec REAL "$1" 0 "${@:3}""#);
    first_three_fail(&lab, "not ok 1 - ESTABLISHED 127.0.0.1:3001 -> 127.0.0.1:3000");
}

#[test]
fn experiments_fail_with_a_listener_that_does_not_echo() {
    let Some(lab) = Lab::isolated() else { return };
    // Stopped once it listens: the kernel goes on completing handshakes, and nobody answers.
    lab.replace(
        "listener",
        r#"
        exec 3< <(exec REAL "$@")
        listener=$!
        trap 'kill -KILL $listener' EXIT
        trap 'exit 0' TERM
        IFS= read -r line <&3 || exit 1
        kill -STOP $listener
        printf '%s\n' "$line"
        wait $listener"#,
    );
    first_three_fail(&lab, " - red is answered \"hello\"\n# expected");
}

/// An experiment whose program sleeps, for a time that tells it from all others.
struct Idle {
    script: String,
    sleeper: Vec<u8>,
}

impl Idle {
    fn new(number: i32) -> Self {
        let seconds = format!("9{}.{number}", std::process::id());
        Self {
            script: format!("start_program idle -- sleep {seconds}\nexpect_line idle never\nconclude"),
            sleeper: format!("sleep\0{seconds}\0").into_bytes(),
        }
    }

    fn is_there(&self) -> bool {
        fs::read_dir("/proc")
            .unwrap()
            .filter_map(|entry| fs::read(entry.ok()?.path().join("cmdline")).ok())
            .any(|line| line == self.sleeper)
    }

    #[track_caller]
    fn runs(&self) {
        wait_until("the program runs", || self.is_there());
    }

    #[track_caller]
    fn has_ended(&self) {
        wait_until("the program has ended", || !self.is_there());
    }
}

#[test]
fn a_signal_ends_everything_an_experiment_started() {
    if !can_isolate() {
        return;
    }
    // As a script and `nohup` start what they put in the background.
    let ignoring = "trap '' INT HUP; exec bash \"$0\"";
    for (words, signal, status) in [
        (&[][..], Signal::SIGINT, 130),
        (&[], Signal::SIGTERM, 143),
        (&["-c", ignoring], Signal::SIGINT, 130),
        (&["-c", ignoring], Signal::SIGTERM, 143),
    ] {
        let lab = Lab::new();
        let idle = Idle::new(status);
        let mut command = lab.bash_with(words, &lab.script(&idle.script));
        let child = command.env("PATIENCE", "600").stdout(Stdio::piped()).spawn().unwrap();
        idle.runs();
        kill(Pid::from_raw(child.id().try_into().unwrap()), signal).unwrap();
        let verdict = Verdict::of(child.wait_with_output().unwrap());
        assert_eq!(verdict.status, Some(status), "{}", verdict.text);
        assert!(!verdict.text.contains("still there"), "{}", verdict.text);
        idle.has_ended();
    }
}

#[test]
fn a_signal_to_run_experiments_ends_everything_they_started() {
    if !can_isolate() {
        return;
    }
    let ignoring = "trap '' INT HUP; exec bash \"$0\"";
    for (signal, status) in [(Signal::SIGINT, 130), (Signal::SIGTERM, 143)] {
        let lab = Lab::new();
        let idle = Idle::new(status + 1);
        lab.script_called("01-idle.sh", &idle.script);
        let mut command = lab.bash_with(&["-c", ignoring], &Path::new(ROOT).join("scripts/run-experiments"));
        command.env("EXPERIMENTS", lab.directory.path()).env("PATIENCE", "600");
        let mut child = command.stdout(Stdio::null()).spawn().unwrap();
        idle.runs();
        kill(Pid::from_raw(child.id().try_into().unwrap()), signal).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(status));
        idle.has_ended();
    }
}
