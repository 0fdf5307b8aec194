//! What `fourtuple why` advises: each step that it has tried out is followed, and the call then works.

use std::fmt;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use fourtuple::kernel::time_wait::TIME_WAIT;
use fourtuple::lab::why::{Goal, why};
use nix::errno::Errno;
use serde_json::Value;

use super::agrees::{Outcome, PAIRS, at, in_time, made, question, sysctl};
use super::scene::{self, Options, Scene, State};
use crate::program::Program;
use crate::program::namespace::isolated;

/// What is answered where an address is taken, or is not there.
const IN_USE: [Errno; 2] = [Errno::EADDRINUSE, Errno::EADDRNOTAVAIL];

/// The lines of an answer.
pub struct Answer(Vec<Value>);

impl Answer {
    /// Shows the sockets that it names.
    pub fn print(&self) {
        for row in self.of("in-the-way").chain(self.of("beside")) {
            let shown = ["event", "state", "local", "remote", "reuse_address", "reuse_port", "v6_only"];
            println!("  {}", shown.map(|key| row[key].to_string()).join(" "));
        }
    }

    /// What the program answers; its status is checked against the verdict.
    #[track_caller]
    pub fn to(arguments: &[&str]) -> Self {
        let end = Program::run("fourtuple", &[&["why"], arguments, &["--format", "json"]].concat());
        let lines: Vec<Value> = end.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert!(!lines.is_empty(), "{end:#?}");
        let answer = Self(lines);
        assert_eq!(end.status, Some(if answer.works() { 0 } else { 1 }), "{end:#?}");
        answer
    }

    /// The answer about a goal.
    #[track_caller]
    pub fn about(goal: Goal, options: Options) -> Self {
        let on_off = |on| if on { "on" } else { "off" };
        let (local, remote) = match goal {
            Goal::Connect { local, remote } => (local, Some(remote)),
            Goal::Bind(local) | Goal::Listen(local) => (Some(local), None),
        };
        let addresses: Vec<String> = [local, remote].iter().flatten().map(SocketAddr::to_string).collect();
        let mut arguments = vec![goal.call()];
        arguments.extend(addresses.iter().map(String::as_str));
        arguments.extend(["--reuse-address", on_off(options.reuse_address)]);
        arguments.extend(["--reuse-port", on_off(options.reuse_port)]);
        arguments.extend(["--v6-only", on_off(options.v6_only)]);
        Self::to(&arguments)
    }

    pub fn works(&self) -> bool {
        self.of("verdict").next().unwrap()["works"] == true
    }

    /// What it says that comes of the call.
    fn outcome(&self) -> Outcome {
        let verdict = self.of("verdict").next().unwrap();
        let call = ["bind", "listen", "connect"].into_iter().find(|call| verdict["fails_at"] == *call)?;
        let errno = IN_USE.into_iter().find(|errno| verdict["errno"] == format!("{errno:?}")).unwrap();
        Some((call, errno))
    }

    pub fn of<'a>(&'a self, event: &'a str) -> impl Iterator<Item = &'a Value> {
        self.0.iter().filter(move |line| line["event"] == event)
    }

    /// The step of this name.
    pub fn step(&self, name: &str) -> Option<&Value> {
        self.of("advice").find(|advice| advice["step"] == name)
    }
}

/// The call that is to be made after a step.
pub fn call_after(advice: &Value) -> (Goal, Options) {
    let address = |key: &str| advice[key].as_str().map(|text| text.parse().unwrap());
    let local: Option<SocketAddr> = address("local");
    let goal = match advice["call"].as_str().unwrap() {
        "bind" => Goal::Bind(local.unwrap()),
        "listen" => Goal::Listen(local.unwrap()),
        _ => Goal::Connect { local, remote: address("remote").unwrap() },
    };
    let on = |key: &str| advice[key].as_bool().unwrap_or(false);
    let options = Options { v6_only: on("v6_only"), ..Options::of(on("reuse_address"), on("reuse_port")) };
    (goal, options)
}

/// A situation and what is asked about it.
struct Case {
    state: State,
    held: SocketAddr,
    old: Options,
    goal: Goal,
    new: Options,
}

impl Case {
    /// Takes each step and makes the call; how many were taken.
    fn follow_all(&self, elsewhere: &mut u16) -> Vec<String> {
        let mut scene = Some(scene::set(self.state, self.held, self.old));
        let answer = Answer::about(self.goal, self.new);
        if answer.of("verdict").next().unwrap()["unknown"] == true {
            assert!(answer.of("advice").all(|advice| advice["tried_out"] == false), "{self}");
            return Vec::new();
        }
        // Of this process itself the rules say nothing: it is the one that has the old socket.
        for step in why(&question(self.goal, self.new)).unwrap().advice.iter().map(|advice| &advice.remedy) {
            let is_there = step.name() == "elsewhere" || answer.step(step.name()).is_some();
            assert!(is_there, "{self}: {step:?} did not help where it was tried");
        }
        assert_eq!(answer.outcome(), made(&question(self.goal, self.new), self.new), "{self}");
        let mut taken = Vec::new();
        for advice in answer.of("advice").filter(|advice| advice["step"] != "elsewhere") {
            let name = advice["step"].as_str().unwrap();
            assert_eq!(advice["tried_out"], true, "{self}: {advice}");
            if self.follow(name, advice, &mut scene, elsewhere) {
                taken.push(name.to_owned());
            }
        }
        taken
    }

    fn follow(&self, name: &str, advice: &Value, scene: &mut Option<Scene>, elsewhere: &mut u16) -> bool {
        let (mut goal, options) = call_after(advice);
        let words = advice["words"].as_str().unwrap();
        let mut _other = None;
        match name {
            "set" | "address" | "port" => {}
            "restart" | "next-time" => {
                // On another port, where nothing of the old one is left.
                *elsewhere += 1;
                let mut old = self.old;
                old.reuse_address |= words.contains("SO_REUSEADDR");
                old.reuse_port |= words.contains("SO_REUSEPORT");
                old.v6_only |= words.contains("IPV6_V6ONLY");
                let port = |local: SocketAddr| SocketAddr::new(local.ip(), *elsewhere);
                _other = Some(scene::set(self.state, port(self.held), old));
                goal = match goal {
                    Goal::Bind(local) => Goal::Bind(port(local)),
                    Goal::Listen(local) => Goal::Listen(port(local)),
                    Goal::Connect { .. } => return false,
                };
            }
            "stop" if !words.contains("wait a minute") => drop(scene.take()),
            _ => return false,
        }
        assert_eq!(made(&question(goal, options), options), None, "{self}: {advice}");
        true
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {} {:?}, {:?} {:?}", self.state, self.held, self.old, self.goal, self.new)
    }
}

#[test]
fn every_step_that_was_tried_out_works_when_it_is_taken() {
    if !isolated() {
        return;
    }
    let (mut port, mut elsewhere) = (3000, 20_000);
    let mut taken: Vec<String> = Vec::new();
    let olds = State::ALL.into_iter().flat_map(|state| Options::ALL.map(|old| (state, old)));
    let all = olds.flat_map(|(state, old)| PAIRS.map(|pair| (state, old, pair)));
    // One in three: prime to the number of pairs, so each state meets each pair.
    for (index, (state, old, (held, v6_only, asked, asked_v6_only))) in
        all.enumerate().filter(|(index, _)| index % 3 == 0)
    {
        port += 1;
        let new = Options { v6_only: asked_v6_only, ..Options::ALL[index % 3] };
        let goal = if index % 2 == 0 { Goal::Listen(at(asked, port)) } else { Goal::Bind(at(asked, port)) };
        let case = Case { state, held: at(held, port), old: Options { v6_only, ..old }, goal, new };
        taken.extend(case.follow_all(&mut elsewhere));
    }
    for name in ["set", "restart", "address", "port", "stop", "next-time"] {
        let count = taken.iter().filter(|step| *step == name).count();
        println!("{name}: {count}");
        assert!(count > 3, "{name} was taken {count} times of {}", taken.len());
    }
}

#[test]
fn every_step_that_frees_a_four_tuple_works_when_it_is_taken() {
    if !isolated() {
        return;
    }
    let mut taken = 0;
    for (index, state) in [State::Client, State::FinWait2, State::CloseWait].into_iter().enumerate() {
        for (number, ip) in ["127.0.0.1", "::1"].into_iter().enumerate() {
            let local = at(ip, 3000 + (index * 2 + number) as u16);
            let scene = scene::set(state, local, Options::of(true, false));
            let (local, remote) = scene.tuple.unwrap();
            let goal = Goal::Connect { local: Some(local), remote };
            let answer = Answer::about(goal, Options::of(true, false));
            for name in ["address", "port"] {
                // IPv6 has one address on loopback.
                let Some(advice) = answer.step(name) else { continue };
                let (goal, options) = call_after(advice);
                assert_eq!(advice["tried_out"], true, "{advice}");
                assert_eq!(made(&question(goal, options), options), None, "{advice}");
                taken += 1;
            }
        }
    }
    assert_eq!(taken, 9);
}

/// Asks what to wait for, waits so long, and makes the call. `set` has the address held for so many seconds; it is set again,
/// for longer, where the machine was too busy to ask and to be refused within them.
fn wait_out(seconds: &[u64], set: impl Fn(u64) -> Scene, goal: Goal) {
    let new = Options::NONE;
    for &seconds in seconds {
        let begin = Instant::now();
        let _scene = set(seconds);
        let answer = Answer::about(goal, new);
        let before = made(&question(goal, new), new);
        if begin.elapsed() >= Duration::from_secs(seconds) {
            continue;
        }
        let advice = answer.step("wait").unwrap_or_else(|| panic!("{goal:?}: no wait"));
        assert_eq!(advice["tried_out"], true, "{advice}");
        assert_eq!(before, Some(("bind", Errno::EADDRINUSE)));
        let most = Duration::from_micros(advice["wait_at_most_us"].as_u64().unwrap());
        // A bind that fails leaves no trace.
        while let Some(outcome) = made(&question(goal, new), new) {
            assert!(begin.elapsed() < most, "{outcome:?} after {most:?}: {advice}");
            thread::sleep(Duration::from_millis(20));
        }
        return;
    }
    panic!("{goal:?}: not asked within {seconds:?} s");
}

#[test]
fn who_waits_as_long_as_told_gets_the_address() {
    if !isolated() {
        return;
    }
    for (port, held, asked) in
        [(3000, "127.0.0.1", "127.0.0.1"), (3001, "0.0.0.0", "0.0.0.0"), (3002, "::1", "::")]
    {
        let set = |seconds: u64| {
            sysctl("ipv4/tcp_fin_timeout", &seconds.to_string());
            scene::set(State::OrphanedFinWait2, at(held, port), Options::NONE)
        };
        wait_out(&[3, 12, 48, 120], set, Goal::Listen(at(asked, port)));
    }
}

#[test]
fn the_wait_for_time_wait_is_a_minute_and_an_eighth_of_it_at_most() {
    if !isolated() {
        return;
    }
    let mut port = 3000;
    let answer = in_time(TIME_WAIT / 3, || {
        port += 1;
        let _scene = scene::set(State::TimeWait, at("127.0.0.1", port), Options::NONE);
        Answer::about(Goal::Listen(at("127.0.0.1", port)), Options::NONE)
    });
    let advice = answer.step("wait").unwrap();
    let [least, most] = ["wait_us", "wait_at_most_us"].map(|key| advice[key].as_u64().unwrap());
    assert!((40_000_000..=60_000_000).contains(&least), "{advice}");
    assert_eq!(most - least, 60_000_000 / 8, "{advice}");
}

#[test]
#[ignore = "takes a minute: TIME-WAIT has no setting"]
fn who_waits_for_the_end_of_time_wait_gets_the_address() {
    if !isolated() {
        return;
    }
    let held = at("127.0.0.1", 3000);
    let set = |_| scene::set(State::TimeWait, held, Options::NONE);
    wait_out(&[TIME_WAIT.as_secs(); 3], set, Goal::Listen(held));
}
