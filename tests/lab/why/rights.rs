//! A hundred situations, each asked about with every kind of right to look: nothing false is said of who has a socket.

use std::collections::BTreeSet;
use std::env;
use std::net::SocketAddr;
use std::process::{self, Command};

use fourtuple::kernel::holders::Holder;
use fourtuple::kernel::inet_diag::shows_bound;
use fourtuple::lab::why::{Goal, Remedy, why};
use serde_json::{Value, json};

use super::agrees::{at, question};
use super::hands::{self, PLACES};
use super::scene::{self, Options, State};
use crate::program::kernel::loopbacks;
use crate::program::namespace::{as_ordinary_user, has_ordinary_user, isolated, reaches_this_test};
use crate::program::{Program, has, path, skip};

/// What [`ask`] is asked about.
const ASKED: &str = "ASKED_ABOUT";

/// Not a test: asks about each of the addresses, with the rights that it has.
#[test]
#[ignore = "asks for another test"]
fn ask() {
    let Ok(asked) = env::var(ASKED) else { return };
    for asked in asked.split(' ') {
        let answer = why(&question(Goal::Bind(asked.parse().unwrap()), Options::NONE)).unwrap();
        let pids = |processes: &[_]| -> Value { serde_json::to_value(processes).unwrap() };
        let socket = |holder: &Holder| {
            json!({
                "local": holder.row.local.to_string(), "inode": holder.row.inode,
                "ownership": holder.ownership().name(), "processes": pids(&holder.processes),
            })
        };
        let sockets: Vec<Value> = answer.in_the_way.iter().map(|found| socket(&found.holder)).collect();
        let stopped = answer.advice.iter().find_map(|advice| match &advice.remedy {
            Remedy::Stop(processes, _) => Some(pids(processes)),
            _ => None,
        });
        let steps: Vec<String> = answer.advice.iter().map(|advice| advice.remedy.to_string()).collect();
        let words = [steps, answer.remarks].concat();
        let said = json!({
            "asked": asked, "sockets": sockets, "stopped": stopped, "words": words,
        });
        println!("answer {said}");
    }
}

/// The test again, which has no `--version` to see whether an ordinary user may start it.
fn as_user(test: &str) -> Command {
    let mut command = as_ordinary_user("env");
    command.arg(test);
    command
}

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asker {
    Root,
    OrdinaryUser,
    /// Without CAP_SYS_PTRACE.
    BareRoot,
    RootOfUserNamespace,
    /// An ordinary user, where /proc hides the processes of others.
    BehindHidepid,
}

impl Asker {
    const ALL: [Self; 5] =
        [Self::Root, Self::OrdinaryUser, Self::BareRoot, Self::RootOfUserNamespace, Self::BehindHidepid];

    fn command(self) -> Command {
        let test = env::current_exe().unwrap();
        let test = test.to_str().unwrap();
        match self {
            Self::Root => Command::new(test),
            Self::OrdinaryUser => as_user(test),
            Self::BareRoot => {
                let mut command = Command::new("setpriv");
                command.args(["--bounding-set=-sys_ptrace", "--inh-caps=-sys_ptrace", test]);
                command
            }
            Self::RootOfUserNamespace => {
                let mut command = as_ordinary_user("unshare");
                command.args(["--user", "--map-root-user", test]);
                command
            }
            Self::BehindHidepid => {
                let user = as_user(test);
                let mut command = Command::new("unshare");
                command.args(["--mount", "sh", "-c"]);
                command.args(["mount -t proc -o hidepid=2 proc /proc && exec \"$@\"", "sh"]);
                command.arg(user.get_program()).args(user.get_args());
                command
            }
        }
    }

    /// What it is answered about each of these addresses.
    fn answers(self, asked: &str) -> Vec<Value> {
        let mut command = self.command();
        command.args(["--exact", "why::rights::ask", "--include-ignored", "--nocapture", "--test-threads=1"]);
        let end = Program::spawn(command.env(ASKED, asked)).end().well();
        let lines = end.stdout.lines().filter_map(|line| line.split_once("answer ").map(|(_, line)| line));
        lines.map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// Who really has a socket, if it is not closed or waits to be accepted.
#[derive(Clone, Debug)]
enum Hands {
    Processes(BTreeSet<u64>),
    OnItsWay,
}

/// An address that is asked for, and who has the sockets at it.
struct Situation {
    asked: SocketAddr,
    hands: Hands,
    /// Of one of several sockets, who has that.
    but: Option<(SocketAddr, Hands)>,
}

/// All situations, and what keeps them up.
#[derive(Default)]
struct Situations {
    all: Vec<Situation>,
    processes: Vec<Program>,
    kept: Vec<Box<dyn Send>>,
}

impl Situations {
    fn next(&self, ip: &str) -> SocketAddr {
        at(ip, 3000 + u16::try_from(self.all.len()).unwrap())
    }

    fn add(&mut self, asked: SocketAddr, pids: &[u32]) {
        let hands = Hands::Processes(pids.iter().map(|&pid| pid.into()).collect());
        self.all.push(Situation { asked, hands, but: None });
    }

    /// Sockets in each place where a process may have them.
    fn add_places(&mut self, places: &[(&str, &str)]) {
        for place in PLACES {
            for of_another_user in [false, true] {
                let first = self.all.len();
                let mut sockets = Vec::new();
                for (state, ip) in places {
                    let asked = self.next(ip);
                    sockets.push(format!("{state},{ip},{}", asked.port()));
                    self.add(asked, &[]);
                }
                let Some(process) = hands::process(place, &sockets, of_another_user) else {
                    self.all.truncate(first);
                    continue;
                };
                let pids = BTreeSet::from([process.pid().into()]);
                self.all[first..].iter_mut().for_each(|of| of.hands = Hands::Processes(pids.clone()));
                self.processes.push(process);
            }
        }
    }

    /// A socket of this process that is in other hands then.
    fn add_handed_on(&mut self, state: &str, ip: &str) {
        let socket = |asked: SocketAddr| {
            let socket = scene::open(asked, Options::NONE);
            socket.bind(&asked.into()).unwrap();
            if state == "listen" {
                socket.listen(8).unwrap();
            }
            socket
        };
        for heirs in [&[true][..], &[false, true]] {
            let asked = self.next(ip);
            let socket = socket(asked);
            let sleep = |&of_another_user: &bool| {
                let mut command =
                    if of_another_user { as_ordinary_user("sleep") } else { Command::new("sleep") };
                hands::with_socket(command.arg("3600"), &socket)
            };
            let processes: Vec<Program> = heirs.iter().map(sleep).collect();
            let pids: Vec<u32> = processes.iter().map(Program::pid).collect();
            self.add(asked, &pids);
            self.processes.extend(processes);
        }
        let asked = self.next(ip);
        self.kept.push(Box::new(hands::in_flight(socket(asked))));
        self.all.push(Situation { asked, hands: Hands::OnItsWay, but: None });
    }

    /// A socket of this process in each state.
    fn add_states(&mut self, ip: &str) {
        for state in State::ALL.into_iter().filter(|state| !matches!(state, State::Bound | State::Listen)) {
            let asked = self.next(ip);
            self.kept.push(Box::new(scene::set(state, asked, Options::NONE)));
            self.add(asked, &[process::id()]);
        }
        let asked = self.next(ip);
        self.kept.push(Box::new(hands::unacknowledged(asked)));
        self.add(asked, &[process::id()]);
    }

    /// Sockets of two users on one port.
    fn add_two_users(&mut self, states: [&str; 2]) {
        let (asked, pids) = (self.next("0.0.0.0"), [false, true]);
        let socket = |(state, ip)| format!("{state},{ip},{}", asked.port());
        let sockets = [(states[0], "127.0.0.1"), (states[1], "127.0.0.2")].map(socket);
        let pids = pids.map(|of_another_user| {
            let own = sockets[usize::from(of_another_user)].clone();
            let process = hands::process("table", &[own], of_another_user).unwrap();
            let pid = process.pid();
            self.processes.push(process);
            pid
        });
        self.add(asked, &pids[..1]);
        let theirs = Hands::Processes(BTreeSet::from([pids[1].into()]));
        let last = self.all.last_mut().unwrap();
        last.but = Some((at("127.0.0.2", asked.port()), theirs));
    }
}

impl Situation {
    fn hands_of(&self, socket: &Value) -> &Hands {
        match &self.but {
            Some((local, hands)) if socket["local"] == local.to_string() => hands,
            _ => &self.hands,
        }
    }

    /// What is wrong with an answer about it.
    fn mistake(&self, asker: Asker, answer: &Value) -> Option<&'static str> {
        let sockets = answer["sockets"].as_array().unwrap();
        if sockets.is_empty() {
            return Some("nothing is in the way");
        }
        let words = answer["words"].to_string();
        if let Some(mistake) = sockets.iter().find_map(|socket| self.mistake_about(asker, socket)) {
            return Some(mistake);
        }
        let is_on_its_way = matches!(self.hands, Hands::OnItsWay);
        if words.contains("PID namespace") && !is_on_its_way {
            return Some("it is in this PID namespace");
        }
        let whole = ["may not be looked into", "hidepid", "not seen", "CAP_SYS_PTRACE"];
        if asker == Asker::Root && whole.iter().any(|part| words.contains(part)) {
            return Some("root sees all");
        }
        let is_ordinary = matches!(asker, Asker::OrdinaryUser | Asker::BehindHidepid);
        if words.contains("as root of the host has it") && !is_ordinary
            || words.contains("root lacks") && asker != Asker::BareRoot
            || words.contains("this user namespace alone") && asker != Asker::RootOfUserNamespace
        {
            return Some("these are another's rights");
        }
        let all = sockets.iter().filter(|socket| socket["inode"] != 0).map(|socket| self.hands_of(socket));
        let all: BTreeSet<u64> = all.flat_map(Hands::pids).collect();
        (!answer["stopped"].is_null() && pids(&answer["stopped"]) != all).then_some("others have it too")
    }

    fn mistake_about(&self, asker: Asker, socket: &Value) -> Option<&'static str> {
        let (hands, known) = (self.hands_of(socket), pids(&socket["processes"]));
        let real = hands.pids();
        match socket["ownership"].as_str().unwrap() {
            "nobody" => (socket["inode"] != 0).then_some("a process has it"),
            _ if socket["inode"] == 0 => Some("no process has it"),
            "known" => (known != real).then_some("these are not they"),
            "known-in-part" if asker == Asker::Root => Some("root knows all"),
            "known-in-part" => (known.is_empty() || !known.is_subset(&real)).then_some("these have it not"),
            "unseen" => (asker == Asker::Root).then_some("root may look into all"),
            "not-found" => matches!(hands, Hands::Processes(_)).then_some("a process has it open"),
            _ => Some("no such word"),
        }
    }
}

impl Hands {
    fn pids(&self) -> BTreeSet<u64> {
        match self {
            Self::Processes(pids) => pids.clone(),
            Self::OnItsWay => BTreeSet::new(),
        }
    }
}

fn pids(processes: &Value) -> BTreeSet<u64> {
    processes.as_array().unwrap().iter().map(|process| process["pid"].as_u64().unwrap()).collect()
}

#[test]
fn whatever_may_be_looked_into_nothing_false_is_said_of_who_has_a_socket() {
    if !isolated() || !has("python3", "--version") {
        return;
    }
    if !has_ordinary_user(path("fourtuple")) || !reaches_this_test() {
        return skip("no ordinary user may start this test");
    }
    let states: &[&str] = if shows_bound() { &["bound", "listen"] } else { &["listen"] };
    let ips: Vec<&str> = loopbacks().chain(["0.0.0.0"]).collect();
    let mut situations = Situations::default();
    let places: Vec<(&str, &str)> =
        states.iter().flat_map(|&state| ips.iter().map(move |&ip| (state, ip))).collect();
    situations.add_places(&places);
    places.iter().for_each(|(state, ip)| situations.add_handed_on(state, ip));
    ips.iter().for_each(|ip| situations.add_states(ip));
    for one in states {
        states.iter().for_each(|other| situations.add_two_users([*one, *other]));
    }
    let asked: Vec<String> = situations.all.iter().map(|situation| situation.asked.to_string()).collect();
    eprintln!("{} situations", asked.len());
    let mut mistakes = Vec::new();
    for asker in Asker::ALL {
        let answers = asker.answers(&asked.join(" "));
        assert_eq!(answers.len(), asked.len(), "{asker:?}");
        for (situation, answer) in situations.all.iter().zip(&answers) {
            let mistake = situation.mistake(asker, answer);
            mistakes.extend(mistake.map(|mistake| format!("{asker:?}: {mistake}: {answer}")));
        }
    }
    assert!(mistakes.is_empty(), "{} mistakes: {mistakes:#?}", mistakes.len());
}
