//! Asking changes nothing: what later binds answer is the same whether `why` was asked before or not.
//!
//! Each situation is made twice, on two ports, call by call. About one of them everything is asked, and then the same
//! binds are made on both. The kernel remembers of a port how it was bound before (`fastreuse` and `fastreuseport` of its
//! bind bucket), so one successful trial bind shows in a later answer.

use std::env;
use std::net::{Shutdown, SocketAddr};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use fourtuple::Error;
use fourtuple::kernel::inet_diag::sockets_on;
use fourtuple::lab::explain::explain;
use fourtuple::lab::ports::Situation;
use fourtuple::lab::why::{Goal, PlannedCall, why};
use fourtuple::net::{SocketOptions, TcpState};
use nix::errno::Errno;
use nix::unistd::{Uid, geteuid, setfsuid};
use socket2::Socket;

use super::advice::Answer;
use super::agrees::{PAIRS, at, made, question};
use super::numbers::Numbers;
use super::scene::{self, Options, State, open};
use crate::program::namespace::isolated;
use crate::program::{Program, path, until};

/// Where sockets of a situation are bound.
const ADDRESSES: [&str; 7] =
    ["127.0.0.1", "127.0.0.2", "0.0.0.0", "::1", "::", "::ffff:127.0.0.1", "::ffff:0.0.0.0"];
/// Where somebody listens for those who connect.
const SERVER: u16 = 1000;
const LATER: usize = 10;
/// SO_REUSEADDR and SO_REUSEPORT of ten sockets.
pub const MOSTLY_SHARED: [(bool, bool); 10] = {
    let (neither, address, port, both) = ((false, false), (true, false), (false, true), (true, true));
    [neither, address, address, address, port, port, port, both, both, both]
};

/// A socket to be.
#[derive(Clone, Copy, Debug)]
struct Wish {
    ip: &'static str,
    options: Options,
    uid: u32,
}

impl Wish {
    /// Mostly one address, one user and some option, for a chance of a conflict and of a match.
    fn random(numbers: &mut Numbers, usual: &'static str, users: &[u32]) -> Self {
        let ip = if numbers.chance(75) { usual } else { numbers.pick(&ADDRESSES) };
        let (reuse_address, reuse_port) = numbers.pick(&MOSTLY_SHARED);
        let options = Options { reuse_address, reuse_port, v6_only: numbers.chance(20) };
        Self { ip, options, uid: numbers.pick(users) }
    }

    fn bound(self, port: u16) -> Result<Socket, Errno> {
        let local = at(self.ip, port);
        let own = setfsuid(Uid::from_raw(self.uid));
        let socket = open(local, self.options);
        setfsuid(own);
        socket.bind(&local.into()).map(|()| socket).map_err(|error| errno(&error))
    }
}

fn errno(error: &std::io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().unwrap())
}

/// What happens on a port; numbers are those of its sockets.
#[derive(Clone, Copy, Debug)]
enum Act {
    Bind(Wish),
    Listen(usize),
    /// Somebody connects to it and is accepted.
    Visit(usize),
    Connect(usize),
    /// Our side closes first; whether the other one follows.
    Close(usize, bool),
    /// The other side closes first.
    Leave(usize),
}

/// A port with what has been done on it.
struct Port {
    number: u16,
    sockets: Vec<Option<Socket>>,
    /// The other ends of connections, in the places of their sockets.
    others: Vec<Option<Socket>>,
}

impl Port {
    fn new(number: u16) -> Self {
        Self { number, sockets: Vec::new(), others: Vec::new() }
    }

    fn add(&mut self, socket: Option<Socket>, other: Option<Socket>) {
        self.sockets.push(socket);
        self.others.push(other);
    }

    fn act(&mut self, act: Act, servers: &[Socket; 2]) -> Result<(), Errno> {
        match act {
            Act::Bind(wish) => self.add(Some(wish.bound(self.number)?), None),
            Act::Listen(index) => match self.sockets.get(index).and_then(Option::as_ref) {
                Some(socket) if self.others[index].is_none() => {
                    socket.listen(8).map_err(|error| errno(&error))?;
                }
                _ => {}
            },
            Act::Visit(index) => {
                let Some((accepted, visitor)) = self.visited(index) else { return Ok(()) };
                self.add(Some(accepted), Some(visitor));
            }
            Act::Connect(index) => self.connect(index, servers)?,
            Act::Close(index, both) => self.close(index, both),
            Act::Leave(index) => {
                if let Some(other) = self.others.get_mut(index).and_then(Option::take) {
                    let _ = other.shutdown(Shutdown::Write);
                    self.sockets[index] = None;
                }
            }
        }
        Ok(())
    }

    fn visited(&self, index: usize) -> Option<(Socket, Socket)> {
        let listening = self.sockets.get(index)?.as_ref()?;
        if !listening.is_listener().unwrap() {
            return None;
        }
        let local = listening.local_addr().unwrap().as_socket().unwrap();
        let visitor = open(reached(local), Options::NONE);
        visitor.set_nonblocking(true).unwrap();
        let _ = visitor.connect(&reached(local).into());
        // Of a group that shares the address another one may have it.
        listening.set_nonblocking(true).unwrap();
        let (accepted, _) = listening.accept().ok()?;
        Some((accepted, visitor))
    }

    fn connect(&mut self, index: usize, servers: &[Socket; 2]) -> Result<(), Errno> {
        let Some(socket) = self.sockets.get(index).and_then(Option::as_ref) else { return Ok(()) };
        if self.others[index].is_some() || socket.is_listener().unwrap() {
            return Ok(());
        }
        let local = socket.local_addr().unwrap().as_socket().unwrap();
        let is_ipv6 = local.ip().to_canonical().is_ipv6();
        let remote = match local {
            SocketAddr::V4(_) => at("127.0.0.1", SERVER),
            SocketAddr::V6(_) if is_ipv6 => at("::1", SERVER),
            SocketAddr::V6(_) => at("::ffff:127.0.0.1", SERVER),
        };
        socket.connect(&remote.into()).map_err(|error| errno(&error))?;
        let (accepted, _) = servers[usize::from(is_ipv6)].accept().unwrap();
        self.others[index] = Some(accepted);
        Ok(())
    }

    fn close(&mut self, index: usize, both: bool) {
        let Some(socket) = self.sockets.get_mut(index).and_then(Option::take) else { return };
        let tuple = socket
            .peer_addr()
            .ok()
            .map(|remote| (socket.local_addr().unwrap().as_socket().unwrap(), remote.as_socket().unwrap()));
        drop(socket);
        let Some((local, remote)) = tuple else { return };
        if both {
            self.others[index] = None;
        }
        let settled = if both { TcpState::TimeWait } else { TcpState::FinWait2 };
        until(&format!("{local} -> {remote} in {settled}"), || {
            let rows = sockets_on(self.number.try_into().unwrap()).unwrap();
            let found = rows.into_iter().find(|row| row.remote == remote && row.local == local);
            // It may be over at once: by an RST for what was unread, or a FIN that came first.
            found.is_none_or(|row| row.state == settled).then_some(())
        });
    }
}

/// Where a socket bound to `local` is reached.
fn reached(local: SocketAddr) -> SocketAddr {
    let ip = match local.ip().to_canonical() {
        ip if !ip.is_unspecified() => local.ip(),
        _ if local.is_ipv4() => "127.0.0.1".parse().unwrap(),
        _ if local.ip().to_canonical().is_ipv4() => "::ffff:127.0.0.1".parse().unwrap(),
        _ => "::1".parse().unwrap(),
    };
    SocketAddr::new(ip, local.port())
}

/// A few calls that leave sockets, connections and what is left of them.
fn acts(numbers: &mut Numbers, usual: &'static str, users: &[u32]) -> Vec<Act> {
    let count = 2 + numbers.below(8);
    let mut acts = vec![Act::Bind(Wish::random(numbers, usual, users))];
    for _ in 0..count {
        let index = numbers.below(4);
        acts.push(match numbers.below(10) {
            0..3 => Act::Bind(Wish::random(numbers, usual, users)),
            3 => Act::Listen(index),
            4 => Act::Visit(index),
            5 => Act::Connect(index),
            6 | 7 => Act::Close(index, true),
            8 => Act::Close(index, numbers.chance(30)),
            _ => Act::Leave(index),
        });
    }
    acts
}

/// Everything that may be asked about a port.
fn ask(numbers: &mut Numbers, usual: &'static str, port: u16) {
    for _ in 0..1 + numbers.below(2) {
        let Wish { ip, options, .. } = Wish::random(numbers, usual, &[0]);
        let local = at(ip, port);
        let remote = at(if local.is_ipv4() { "127.0.0.1" } else { "::1" }, SERVER);
        let goal = match numbers.below(4) {
            0 => Goal::Bind(local),
            1 | 2 => Goal::Listen(local),
            _ => Goal::Connect { local: Some(local), remote },
        };
        let question = PlannedCall { goal, options: socket_options(options) };
        let mut answer = why(&question).unwrap();
        if numbers.chance(5) {
            answer.look_elsewhere(&question);
        }
        if numbers.chance(10) {
            Answer::about(goal, options);
        }
        if numbers.chance(2) {
            let command = numbers.pick(&[
                &["matrix"][..],
                &["ports", "measure"],
                &["ports", "now"],
                &["ports", "plan"],
            ]);
            Program::spawn(Command::new(path("fourtuple")).args(command)).end();
        }
        if numbers.chance(30) {
            // What `listener` and `connector` say where it failed.
            let error = Error::new("bind", local, Errno::EADDRINUSE);
            explain(error, local, None, &question.options);
        }
        if numbers.chance(5) {
            Situation::now(at(usual, 0).ip().to_canonical()).unwrap();
        }
    }
}

fn socket_options(options: Options) -> SocketOptions {
    let Options { reuse_address, reuse_port, v6_only } = options;
    SocketOptions { reuse_address, reuse_port, v6_only: Some(v6_only), ..SocketOptions::default() }
}

/// Makes a situation on two ports, calls `ask` about the second, and says which later bind differs.
fn difference(
    seed: u64,
    ports: [u16; 2],
    servers: &[Socket; 2],
    ask: impl Fn(&mut Numbers, &'static str, u16),
) -> Result<(), String> {
    let mut numbers = Numbers(seed);
    let users: &[u32] = if geteuid().is_root() && has_other_user() { &[0, 0, 0, 1] } else { &[0] };
    let usual = numbers.pick(&ADDRESSES);
    let acts = acts(&mut numbers, usual, users);
    let [mut without, mut with] = ports.map(Port::new);
    for &act in &acts {
        let [one, other] = [&mut without, &mut with].map(|port| port.act(act, servers));
        if one != other {
            return Err(format!("seed {seed}: the situation itself differs at {act:?}: {one:?} {other:?}"));
        }
    }
    ask(&mut numbers, usual, with.number);
    for later in 0..LATER {
        let wish = Wish::random(&mut numbers, usual, users);
        let (keeps, listens) = (numbers.chance(50), numbers.chance(30));
        let [one, other] = [&mut without, &mut with].map(|port| {
            let socket = wish.bound(port.number)?;
            let listened = if listens { socket.listen(8).map_err(|error| errno(&error)) } else { Ok(()) };
            if keeps {
                port.add(Some(socket), None);
            }
            listened
        });
        if one != other {
            return Err(format!(
                "seed {seed}: later bind {later}, {wish:?}, answers {other:?} and not {one:?} after {acts:#?}"
            ));
        }
    }
    Ok(())
}

/// Whether sockets may be made for another user here.
fn has_other_user() -> bool {
    let own = setfsuid(Uid::from_raw(1));
    setfsuid(own) == Uid::from_raw(1)
}

/// How many of these situations differ, and how.
fn differences(seed: u64, count: usize, ask: impl Fn(&mut Numbers, &'static str, u16) + Copy) -> Vec<String> {
    let servers = ["127.0.0.1", "::1"].map(|ip| {
        let socket = open(at(ip, SERVER), Options::of(true, false));
        socket.bind(&at(ip, SERVER).into()).unwrap();
        socket.listen(64).unwrap();
        socket
    });
    (0..count)
        .filter_map(|index| {
            let port = 2000 + 2 * index as u16;
            difference(seed.wrapping_add(index as u64), [port, port + 1], &servers, ask).err()
        })
        .collect()
}

#[track_caller]
fn none(seed: u64, count: usize) {
    let differing = differences(seed, count, ask);
    println!("{count} situations from seed {seed}, {} differ", differing.len());
    assert!(differing.is_empty(), "{}", differing.join("\n"));
}

#[test]
fn what_later_binds_answer_is_the_same_when_why_was_asked() {
    if isolated() {
        none(1, 600);
    }
}

#[test]
#[ignore = "takes minutes: 5,000 situations of a seed that is new each time, or SEED's"]
fn what_later_binds_answer_is_the_same_in_thousands_of_new_situations() {
    if isolated() {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
        let seed = env::var("SEED").map_or(now, |seed| seed.parse().unwrap());
        none(seed, 5000);
    }
}

#[test]
fn one_trial_bind_shows_in_what_later_binds_answer() {
    if !isolated() {
        return;
    }
    for options in Options::ALL {
        let trial = move |_: &mut Numbers, _: &'static str, port: u16| {
            drop(Wish { ip: "127.0.0.3", options, uid: 0 }.bound(port));
        };
        let found = differences(1, 600, trial).len();
        println!("{options:?}: {found} of 600");
        assert!(found > 0, "{options:?}");
    }
}

#[test]
fn asking_changes_no_later_answer() {
    if !isolated() {
        return;
    }
    let mut port = 3000;
    for state in [State::TimeWait, State::Client, State::Bound] {
        for old in Options::ALL {
            for (held, v6_only, asked, asked_v6_only) in PAIRS {
                let all = Options::ALL.map(|new| Options { v6_only: asked_v6_only, ..new });
                // Each option set on a port of its own, so that no call made here has a part in it.
                let outcome = |ask: bool, port: &mut u16| {
                    all.map(|new| {
                        *port += 1;
                        let _scene = scene::set(state, at(held, *port), Options { v6_only, ..old });
                        let goal = Goal::Bind(at(asked, *port));
                        for other in all.into_iter().filter(|_| ask) {
                            why(&question(goal, other)).unwrap();
                        }
                        made(&question(goal, new), new)
                    })
                };
                assert_eq!(
                    outcome(true, &mut port),
                    outcome(false, &mut port),
                    "{state:?} {held} {old:?} {asked}"
                );
            }
        }
    }
}

/// A socket of this user, bound.
fn bound(ip: &'static str, options: Options, port: u16) -> Result<Socket, Errno> {
    Wish { ip, options, uid: geteuid().as_raw() }.bound(port)
}

#[test]
fn a_worker_with_so_reuseport_comes_in_after_why_as_before() {
    if !isolated() {
        return;
    }
    // An old connection drains; the new server is remembered for SO_REUSEPORT, which the connection lacks.
    let old = bound("127.0.0.1", Options::of(true, false), 3000).unwrap();
    old.listen(8).unwrap();
    let _client = std::net::TcpStream::connect("127.0.0.1:3000").unwrap();
    let (_connection, _) = old.accept().unwrap();
    drop(old);
    let new = bound("127.0.0.1", Options::of(true, true), 3000).unwrap();
    new.listen(8).unwrap();
    for (options, works) in [(Options::of(false, true), true), (Options::of(true, false), false)] {
        let verdict = Answer::about(Goal::Listen(at("127.0.0.1", 3000)), options);
        assert_eq!(verdict.of("verdict").next().unwrap()["works"], works);
        assert!(bound("127.0.0.1", Options::of(false, true), 3000).is_ok());
    }
}

#[test]
fn why_leaves_no_user_behind_who_is_let_in_unchecked() {
    if !isolated() {
        return;
    }
    let _first = bound("0.0.0.0", Options::of(true, true), 3000).unwrap();
    let second = bound("::", Options { v6_only: true, ..Options::of(true, false) }, 3000).unwrap();
    second.listen(8).unwrap();
    Answer::about(Goal::Bind(at("0.0.0.0", 3000)), Options::of(false, true));
    assert_eq!(bound("::", Options::of(true, true), 3000).err(), Some(Errno::EADDRINUSE));
}
