//! The first socket, brought into its state.

use std::io::Read;
use std::net::{IpAddr, SocketAddr};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use socket2::Socket;

use super::calls::Trial;
use super::cell::{Options, State};
use super::pair::BindAddress;
use crate::error::{Error, Result};
use crate::kernel::inet_diag;
use crate::net::{self, BoundSocket, FourTuple, TcpState, local_address};

/// How long a state may take to come; on lo it takes microseconds.
const PATIENCE: Duration = Duration::from_secs(5);
const LOOK_AGAIN: Duration = Duration::from_micros(200);

/// The first socket, and what it needs to stay in its state.
pub(super) enum First {
    Bound(BoundSocket),
    /// The sockets that stay open.
    Other(#[expect(dead_code, reason = "held, and closed at the end")] Vec<Socket>),
}

impl First {
    /// Makes it on the port of the trial.
    pub(super) fn bring(trial: &mut Trial) -> Result<Self> {
        let [place, _] = trial.cell.pair.places();
        let bound = trial.open("first", place, trial.cell.first, trial.port)?;
        Ok(match trial.cell.state {
            State::Bound => Self::Bound(bound),
            State::Listen => Self::Other(vec![trial.listen("first", bound)?]),
            State::Accepted => Self::Other(accepted(trial, place, bound)?.into()),
            state => Self::Other(FirstConnection::open(trial, place, bound)?.into_state(trial, state)?),
        })
    }
}

/// A connection that was accepted at the first one's address, and its other end; the listener is closed.
fn accepted(trial: &mut Trial, place: BindAddress, bound: BoundSocket) -> Result<[Socket; 2]> {
    let listening = trial.listen("first", bound)?;
    let client_place = BindAddress { ip: place.reached_at(), v6_only: None };
    let client = trial.open("client", client_place, Options::Neither, 0)?;
    let remote = client_place.port(trial.port);
    let client = connect(trial, "client", client, remote)?;
    let child = accept(trial, "first", &listening, "child")?;
    trial.note("first", "close", None);
    drop(listening);
    let tuple = FourTuple { local: remote, remote: local_address(&client)? };
    wait(trial, "child", tuple, TcpState::Established)?;
    Ok([child, client])
}

/// A connection from the first one's address to the port above it.
struct FirstConnection {
    first: Socket,
    peer: Socket,
    tuple: FourTuple,
}

impl FirstConnection {
    fn open(trial: &mut Trial, place: BindAddress, bound: BoundSocket) -> Result<Self> {
        let server_place = BindAddress { ip: place.reached_at(), v6_only: None };
        let port = trial.port + 1;
        let server = trial.open("server", server_place, Options::Neither, port)?;
        let server = trial.listen("server", server)?;
        let remote = SocketAddr::new(as_family_of(place, server_place.ip), port);
        let first = connect(trial, "first", bound, remote)?;
        let peer = accept(trial, "server", &server, "peer")?;
        trial.note("server", "close", None);
        let tuple = FourTuple { local: local_address(&first)?, remote };
        wait(trial, "first", tuple, TcpState::Established)?;
        Ok(Self { first, peer, tuple })
    }

    /// Brings the first one into `state`; what must stay open for that comes back.
    fn into_state(self, trial: &mut Trial, state: State) -> Result<Vec<Socket>> {
        let Self { first, peer, tuple } = self;
        match state {
            State::FinWait2 => {
                shutdown(trial, "first", &first)?;
                let reversed = FourTuple { local: tuple.remote, remote: tuple.local };
                wait(trial, "peer", reversed, TcpState::CloseWait)?;
                acknowledge(trial, &peer)?;
                wait(trial, "first", tuple, TcpState::FinWait2)?;
            }
            State::CloseWait => {
                shutdown(trial, "peer", &peer)?;
                wait(trial, "first", tuple, TcpState::CloseWait)?;
            }
            State::TimeWait => {
                for (name, socket) in [("first", first), ("peer", peer)] {
                    drop(socket);
                    trial.note(name, "close", None);
                }
                wait(trial, "first", tuple, TcpState::TimeWait)?;
                return Ok(Vec::new());
            }
            State::Bound | State::Listen | State::Established | State::Accepted => {}
        }
        Ok(vec![first, peer])
    }
}

/// The address as a socket of this place writes it: an IPv6 socket reaches IPv4 by mapped addresses.
fn as_family_of(place: BindAddress, ip: IpAddr) -> IpAddr {
    match (place.ip, ip) {
        (IpAddr::V6(_), IpAddr::V4(ip)) => ip.to_ipv6_mapped().into(),
        _ => ip,
    }
}

fn connect(trial: &mut Trial, name: &str, socket: BoundSocket, remote: SocketAddr) -> Result<Socket> {
    let connected = socket.connect(remote);
    trial.note(name, format_args!("connect {remote}"), connected.as_ref().err());
    connected
}

fn accept(trial: &mut Trial, name: &str, listening: &Socket, child: &str) -> Result<Socket> {
    let accepted = net::accept_within(listening, PATIENCE)
        .map_err(|error| Error::new("accept", format_args!("port {}", trial.port), error));
    trial.note(name, format_args!("accept as {child}"), accepted.as_ref().err());
    accepted
}

fn shutdown(trial: &mut Trial, name: &str, socket: &Socket) -> Result<()> {
    let outcome = socket.shutdown(std::net::Shutdown::Write);
    let outcome = outcome.map_err(|error| Error::new("shutdown", name, error));
    trial.note(name, "shutdown WR", outcome.as_ref().err());
    outcome
}

/// Has the peer acknowledge the FIN that it has got, which it would else put off for 40 ms or more.
///
/// TCP_QUICKACK sends what is put off once nothing is unread, and a FIN is something to read.
fn acknowledge(trial: &mut Trial, mut peer: &Socket) -> Result<()> {
    let failed = |call| move |error| Error::new(call, "peer", error);
    peer.read(&mut [0]).map_err(failed("recv"))?;
    trial.note("peer", "recv", None);
    peer.set_tcp_quickack(true).map_err(failed("setsockopt"))?;
    trial.note("peer", "setsockopt TCP_QUICKACK 1", None);
    Ok(())
}

/// Waits until the kernel has the connection in this state.
fn wait(trial: &mut Trial, name: &str, tuple: FourTuple, wanted: TcpState) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while inet_diag::connection(tuple)?.is_none_or(|row| row.state != wanted) {
        if Instant::now() >= deadline {
            return Err(Error::new("wait", format_args!("{wanted} {tuple}"), Errno::ETIMEDOUT));
        }
        sleep(LOOK_AGAIN);
    }
    trial.note(name, format_args!("wait {wanted}"), None);
    Ok(())
}
