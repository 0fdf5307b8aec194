//! `fourtuple isolate`: what the command gets, what passes through, and that nothing remains.

#![cfg(target_os = "linux")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::{Pid, geteuid};

/// How long anything may take before a test gives up: this is for what hangs.
const PATIENCE: Duration = Duration::from_secs(600);

const PROGRAM: &str = env!("CARGO_BIN_EXE_fourtuple");

fn isolate(arguments: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command.arg("isolate").args(arguments);
    command
}

fn run(arguments: &[&str]) -> Output {
    isolate(arguments).output().unwrap()
}

fn run_script(script: &str) -> Output {
    run(&["--", "bash", "-c", script])
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Whether this machine gives out no namespaces at all; says so.
fn refused() -> bool {
    let output = run(&["--", "true"]);
    let refused = output.status.code() == Some(125);
    if refused {
        let required = std::env::var("REQUIRE_ALL").is_ok_and(|value| value != "0");
        assert!(!required, "{}", stderr(&output));
        eprintln!("skipped: {}", stderr(&output));
    }
    refused
}

/// An isolated script that runs until it is told otherwise; killed on drop.
struct Running {
    child: Child,
    lines: Receiver<String>,
}

impl Running {
    /// Starts the script in a process group of its own, with `argument` as its `$0`.
    fn start(script: &str, argument: &str) -> Self {
        Self::spawn(&mut isolate(&["--", "bash", "-c", script, argument]))
    }

    /// Starts this very program inside, to tell each signal that it gets.
    fn telling_signals() -> Self {
        let program = std::env::current_exe().unwrap();
        let test = ["--ignored", "--exact", "isolate::tell_signals", "--nocapture"];
        let command = [&["--", program.to_str().unwrap()][..], &test].concat();
        let running = Self::spawn(isolate(&command).env(INSIDE, "1"));
        while running.line() != "ready" {}
        running
    }

    fn spawn(command: &mut Command) -> Self {
        let mut child = command.process_group(0).stdout(Stdio::piped()).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (said, lines) = channel();
        thread::spawn(move || stdout.lines().map_while(Result::ok).try_for_each(|line| said.send(line)));
        Self { child, lines }
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().try_into().unwrap())
    }

    #[track_caller]
    fn line(&self) -> String {
        self.lines.recv_timeout(PATIENCE).expect("a line in time")
    }

    /// Waits until nobody has its standard output open.
    fn hear_out(&self) {
        let mut heard = Ok(String::new());
        while heard.is_ok() {
            heard = self.lines.recv_timeout(PATIENCE);
        }
        assert_eq!(heard, Err(RecvTimeoutError::Disconnected));
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The processes that run in this network or PID namespace, named as its link is (`net:[4026532008]`).
fn processes_in(namespace: &str) -> Vec<u32> {
    let kind = namespace.split(':').next().unwrap();
    let is_member = |pid: &u32| {
        fs::read_link(format!("/proc/{pid}/ns/{kind}")).is_ok_and(|link| link.as_os_str() == namespace)
    };
    let pids =
        fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.filter(is_member).filter(runs).collect()
}

/// Whether it is more than an exit status that waits to be reaped, which takes the system's own init its time.
fn runs(pid: &u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

fn assert_gone(namespaces: &[&str]) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let left: Vec<u32> = namespaces.iter().flat_map(|namespace| processes_in(namespace)).collect();
        if left.is_empty() {
            return;
        }
        assert!(Instant::now() < deadline, "{left:?} still in {namespaces:?} after {PATIENCE:?}");
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn the_commands_exit_status_passes_through() {
    if refused() {
        return;
    }
    for status in [0, 7, 255] {
        assert_eq!(run_script(&format!("exit {status}")).status.code(), Some(status));
    }
}

#[test]
fn the_signal_that_ends_the_command_ends_isolate() {
    if refused() {
        return;
    }
    for (name, number) in [("TERM", 15), ("KILL", 9), ("PIPE", 13), ("ABRT", 6)] {
        let status = run_script(&format!("ulimit -c 0; kill -{name} $$")).status;
        assert_eq!(status.signal(), Some(number), "{name}: {status}");
    }
}

#[test]
fn a_command_that_is_missing_is_127_and_one_that_is_no_program_126() {
    if refused() {
        return;
    }
    let missing = run(&["--", "./no-such-program"]);
    assert_eq!(missing.status.code(), Some(127));
    assert_eq!(stderr(&missing), "fourtuple: execve ./no-such-program: ENOENT (No such file or directory)\n");
    let text = run(&["--", "/etc/passwd"]);
    assert_eq!(text.status.code(), Some(126));
    assert!(stderr(&text).contains("execve /etc/passwd: EACCES"), "{}", stderr(&text));
}

#[test]
fn without_a_command_or_with_half_a_sysctl_the_usage_is_wrong() {
    for arguments in
        [&[][..], &["--sysctl", "net.ipv4.tcp_timestamps", "--", "true"], &["--join", "0", "--", "true"]]
    {
        assert_eq!(run(arguments).status.code(), Some(2), "{arguments:?}");
    }
}

#[test]
fn the_short_help_fits_40_lines() {
    let help = stdout(&run(&["-h"]));
    assert!(help.lines().count() <= 40 && help.contains("fourtuple isolate --join 4711 -- bash"), "{help}");
}

#[test]
fn lo_is_up_so_a_port_nobody_listens_on_refuses() {
    if refused() {
        return;
    }
    for address in ["127.0.0.1", "127.0.0.2"] {
        let output = run_script(&format!("exec 3<>/dev/tcp/{address}/9"));
        assert!(stderr(&output).contains("Connection refused"), "{address}: {}", stderr(&output));
    }
}

#[test]
fn the_sysctls_that_decide_an_outcome_are_pinned() {
    if refused() {
        return;
    }
    for (key, value) in [
        ("tcp_timestamps", "1"),
        ("tcp_rfc1337", "1"),
        ("tcp_tw_reuse", "0"),
        ("tcp_syn_retries", "3"),
        ("tcp_syn_linear_timeouts", "0"),
        ("tcp_congestion_control", "reno"),
        ("ip_local_port_range", "32768\t60999"),
    ] {
        let output = run_script(&format!(
            "cd /proc/sys/net/ipv4 && if test -e {key}; then cat {key}; else echo none; fi"
        ));
        let found = stdout(&output);
        assert!([value, "none"].contains(&found.trim_end()), "{key}: {found} {}", stderr(&output));
    }
}

#[test]
fn a_sysctl_is_added_and_a_pinned_one_overridden() {
    if refused() {
        return;
    }
    let output = run(&[
        "--sysctl",
        "net.ipv4.tcp_syn_retries=6",
        "--sysctl",
        "net.ipv4.ip_local_port_range=40000 40007",
        "--sysctl",
        "net.ipv4.tcp_fin_timeout=7",
        "--",
        "sh",
        "-c",
        "cd /proc/sys/net/ipv4 && cat tcp_syn_retries ip_local_port_range tcp_fin_timeout",
    ]);
    assert_eq!(stdout(&output), "6\n40000\t40007\n7\n", "{}", stderr(&output));
}

#[test]
fn a_sysctl_the_kernel_does_not_take_is_named_and_nothing_runs() {
    if refused() {
        return;
    }
    for (sysctl, reason) in [
        ("net.ipv4.no_such_setting=1", "ENOENT"),
        ("net.ipv4.tcp_timestamps=often", "EINVAL"),
        ("kernel.hostname=lab", "not a setting of a network namespace"),
    ] {
        let output = run(&["--sysctl", sysctl, "--", "echo", "ran"]);
        let (key, _) = sysctl.split_once('=').unwrap();
        assert_eq!(output.status.code(), Some(125), "{sysctl}");
        assert!(stderr(&output).contains(key) && stderr(&output).contains(reason), "{}", stderr(&output));
        assert_eq!(stdout(&output), "");
    }
}

#[test]
fn the_command_is_among_its_own_processes_only() {
    if refused() {
        return;
    }
    let output = run_script("echo $$; echo /proc/[0-9]*");
    let shown = stdout(&output);
    let (pid, processes) = shown.split_once('\n').unwrap();
    assert_eq!(pid, "2");
    if !stderr(&output).contains("/proc shows the processes outside") {
        assert_eq!(processes, "/proc/1 /proc/2\n");
    }
}

#[test]
fn a_signal_sent_to_isolate_reaches_the_command() {
    if refused() {
        return;
    }
    let running = Running::telling_signals();
    for name in ["HUP", "INT", "QUIT", "ALRM", "TERM", "USR1", "USR2"] {
        let signal = format!("SIG{name}").parse::<Signal>().unwrap();
        kill(running.pid(), signal).unwrap();
        assert_eq!(running.line(), signal.as_str());
    }
}

#[test]
fn a_signal_sent_to_the_process_group_reaches_the_command_once() {
    if refused() {
        return;
    }
    let running = Running::telling_signals();
    for _ in 0..20 {
        killpg(running.pid(), Signal::SIGTERM).unwrap();
        assert_eq!(running.line(), "SIGTERM");
        // Passed on after whatever was to be passed on before it: of two signals the lower number comes first.
        kill(running.pid(), Signal::SIGWINCH).unwrap();
        assert_eq!(running.line(), "SIGWINCH");
    }
}

/// Set where this program is run inside a namespace by one of its own tests.
const INSIDE: &str = "TESTED_INSIDE";

/// Not a test of its own: a command that tells each signal that it gets. A trap of bash may miss one while it reads.
#[test]
#[ignore = "run as the command by the tests above"]
fn tell_signals() {
    if std::env::var_os(INSIDE).is_none() {
        return;
    }
    let numbers = [1, 2, 3, 10, 12, 14, 15, 28];
    let mut signals = signal_hook::iterator::Signals::new(numbers).unwrap();
    println!("\nready");
    for number in signals.forever() {
        println!("{}", Signal::try_from(number).unwrap());
    }
}

#[test]
fn what_the_caller_ignores_stays_ignored_in_the_command() {
    if refused() {
        return;
    }
    let script = r#"trap "" HUP; exec "$0" isolate -- grep -E "SigIgn|SigBlk" /proc/self/status"#;
    let output = Command::new("bash").args(["-c", script, PROGRAM]).output().unwrap();
    let masks = stdout(&output);
    assert!(masks.contains("SigBlk:\t0000000000000000"), "{masks}");
    let ignored = masks.lines().find_map(|line| line.strip_prefix("SigIgn:\t")).unwrap();
    // The first bit is SIGHUP's; whoever runs the tests may ignore others.
    assert_eq!(u64::from_str_radix(ignored, 16).unwrap() & 1, 1, "{masks}");
}

#[test]
fn a_caller_that_ignores_sigchld_still_learns_the_exit_status() {
    if refused() {
        return;
    }
    let ignoring = ["10", "env", "--ignore-signal=CHLD", PROGRAM, "isolate", "--", "sh", "-c", "exit 3"];
    assert_eq!(Command::new("timeout").args(ignoring).status().unwrap().code(), Some(3));
}

#[test]
fn another_process_joins_given_any_process_inside_or_isolate_itself() {
    if refused() {
        return;
    }
    let running = Running::start("readlink /proc/self/ns/net; sleep 1000 & echo ready; wait", "bash");
    let network = running.line();
    assert_eq!(running.line(), "ready");
    let members = processes_in(&network);
    assert!(members.contains(&running.child.id()) && members.len() >= 3, "{members:?}");
    for pid in members {
        let script = "readlink /proc/self/ns/net; pwd; echo $(($$ < 100)); exit 9";
        let output = run(&["--join", &pid.to_string(), "--", "sh", "-c", script]);
        let directory = std::env::current_dir().unwrap();
        assert_eq!(
            stdout(&output),
            format!("{network}\n{}\n1\n", directory.display()),
            "{}",
            stderr(&output)
        );
        assert_eq!(output.status.code(), Some(9));
    }
}

#[test]
fn joining_a_process_that_does_not_run_names_it() {
    let output = run(&["--join", "2147483647", "--", "true"]);
    assert_eq!(output.status.code(), Some(125));
    assert!(stderr(&output).contains("no process 2147483647 runs here"), "{}", stderr(&output));
}

#[test]
fn a_background_child_ends_with_the_command() {
    if refused() {
        return;
    }
    let output = run_script("readlink /proc/self/ns/net; setsid nohup sleep 1000 & true");
    assert!(output.status.success());
    assert_gone(&[stdout(&output).trim_end()]);
}

/// Not a test of its own: what a script leaves in the background.
#[test]
#[ignore = "run in the background of a namespace by the test below"]
fn hold_a_listening_socket() {
    if std::env::var_os(INSIDE).is_none() {
        return;
    }
    let socket = TcpListener::bind("127.0.0.1:3000").unwrap();
    let link = |kind| fs::read_link(format!("/proc/self/ns/{kind}")).unwrap().display().to_string();
    println!("\nheld {} {}", link("net"), link("pid"));
    drop(socket.accept());
}

#[test]
fn sigkill_leaves_no_process_and_no_namespace() {
    if refused() {
        return;
    }
    let script = r#"( TESTED_INSIDE=1 setsid nohup "$0" --ignored --exact isolate::hold_a_listening_socket --nocapture & ); sleep 1000; true"#;
    let holder = std::env::current_exe().unwrap();
    for _ in 0..repetitions() {
        let mut running = Running::start(script, holder.to_str().unwrap());
        let held = loop {
            let line = running.line();
            if let Some(("held", namespaces)) = line.split_once(' ') {
                break namespaces.to_owned();
            }
        };
        let namespaces: Vec<&str> = held.split(' ').collect();
        let [network, pids] = namespaces[..] else { panic!("{held}") };
        assert!(processes_in(network).len() >= 4 && !processes_in(pids).is_empty());
        running.child.kill().unwrap();
        assert_gone(&namespaces);
        // Each of them had this pipe open.
        running.hear_out();
    }
}

#[test]
fn what_is_stopped_inside_does_not_outlive_isolate_either() {
    if refused() {
        return;
    }
    let mut running = Running::start("readlink /proc/self/ns/net; sleep 1000 & echo ready; wait", "bash");
    let network = running.line();
    assert_eq!(running.line(), "ready");
    for pid in processes_in(&network).into_iter().filter(|pid| *pid != running.child.id()) {
        kill(Pid::from_raw(pid.try_into().unwrap()), Signal::SIGSTOP).unwrap();
    }
    running.child.kill().unwrap();
    assert_gone(&[&network]);
}

/// 5, or as many as ISOLATE_REPETITIONS says.
fn repetitions() -> u32 {
    std::env::var("ISOLATE_REPETITIONS").map_or(5, |text| text.parse().unwrap())
}

#[test]
fn a_spent_namespace_limit_is_named_with_the_command_that_raises_it() {
    if refused() {
        return;
    }
    // The limit is that of a user namespace, so never touch the one the tests run in: root would get no other.
    let script = r#"read -r _ _ users < /proc/self/uid_map; test "$users" = 1 || exit 99
        echo 0 > /proc/sys/user/max_net_namespaces; exec "$0" isolate -- true"#;
    let without_network_rights = ["--bounding-set=-net_admin", PROGRAM];
    let mut command = if geteuid().is_root() { Command::new("setpriv") } else { Command::new("env") };
    let words = if geteuid().is_root() { &without_network_rights[..] } else { &without_network_rights[1..] };
    let output = command.args(words).args(["isolate", "--", "bash", "-c", script, PROGRAM]).output().unwrap();
    assert_eq!(output.status.code(), Some(125), "{}", stderr(&output));
    let said = stderr(&output);
    assert!(said.contains("unshare CLONE_NEWNET: ENOSPC"), "{said}");
    assert!(said.contains("sudo sysctl user.max_net_namespaces=10000; or NAMESPACE=host"), "{said}");
}
