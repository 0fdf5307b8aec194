//! What is made again in a scratch network ends as the real one does; what cannot be made again keeps its step.

use std::io::{ErrorKind, Write};
use std::net::TcpListener;

use fourtuple::lab::why::Goal;
use fourtuple::net::TcpState;
use nix::errno::Errno;
use nix::sys::socket::{setsockopt, sockopt};
use socket2::Socket;

use super::advice::Answer;
use super::agrees::{at, made, question};
use super::scene::{self, Options, State};
use crate::program::namespace::isolated;
use crate::program::until;

const RA: Options = Options::of(true, false);

fn listening(ip: &str, port: u16, options: Options) -> Socket {
    let socket = scene::open(at(ip, port), options);
    socket.bind(&at(ip, port).into()).unwrap();
    socket.listen(8).unwrap();
    socket
}

fn client_of(ip: &str, port: u16) -> Socket {
    let socket = scene::open(at(ip, port), Options::NONE);
    socket.connect(&at(ip, port).into()).unwrap();
    socket
}

fn wait_for(port: u16, state: TcpState) {
    until(&format!("{state} on port {port}"), || {
        let rows = fourtuple::kernel::inet_diag::sockets_on(port.try_into().unwrap()).unwrap();
        rows.into_iter().find(|row| row.state == state)
    });
}

#[test]
fn what_a_stopped_server_has_not_accepted_goes_with_it() {
    if !isolated() {
        return;
    }
    let goal = Goal::Listen(at("127.0.0.1", 3000));
    let server = listening("127.0.0.1", 3000, Options::NONE);
    // Some have given up, one waits on.
    let waits = client_of("127.0.0.1", 3000);
    drop([client_of("127.0.0.1", 3000), client_of("127.0.0.1", 3000)]);
    wait_for(3000, TcpState::CloseWait);
    let answer = Answer::about(goal, Options::NONE);
    let stop = answer.step("stop").unwrap();
    assert_eq!((&stop["tried_out"], &stop["reuse_address"]), (&true.into(), &false.into()), "{stop}");
    assert_eq!(made(&question(goal, Options::NONE), Options::NONE), Some(("bind", Errno::EADDRINUSE)));
    drop(server);
    assert_eq!(made(&question(goal, Options::NONE), Options::NONE), None);
    drop(waits);
}

#[test]
fn a_client_in_its_handshake_leaves_nothing_when_it_is_stopped() {
    if !isolated() {
        return;
    }
    let goal = Goal::Listen(at("127.0.0.1", 3000));
    let scene = scene::set(State::SynSent, at("127.0.0.1", 3000), Options::NONE);
    let stop = Answer::about(goal, Options::NONE).step("stop").unwrap().clone();
    assert_eq!(stop["tried_out"], true, "{stop}");
    drop(scene);
    assert_eq!(made(&question(goal, Options::NONE), Options::NONE), None);
}

#[test]
fn time_wait_on_any_number_of_addresses_is_passed_over_with_so_reuseaddr() {
    if !isolated() {
        return;
    }
    for (port, addresses) in [(3000, 5), (3001, 60)] {
        let server = listening("0.0.0.0", port, RA);
        for last in 1..=addresses {
            let client = client_of(&format!("127.0.0.{last}"), port);
            drop(server.accept().unwrap());
            drop(client);
        }
        drop(server);
        let goal = Goal::Listen(at("0.0.0.0", port));
        let answer = Answer::about(goal, Options::NONE);
        let set: Vec<_> = answer.of("advice").filter(|advice| advice["step"] == "set").collect();
        // With more of them than bind(2) is asked about, the options stay unknown, and nothing is dropped.
        let is_known = addresses < 30;
        assert_eq!(set[0]["words"], "SO_REUSEADDR on the new socket");
        assert_eq!(
            (set[0]["tried_out"].as_bool(), set.len()),
            (Some(is_known), if is_known { 1 } else { 2 }),
            "{set:?}"
        );
        assert_eq!(made(&question(goal, RA), RA), None);
    }
}

#[test]
fn a_connection_that_a_server_has_closed_outlives_it() {
    if !isolated() {
        return;
    }
    let server: TcpListener = listening("127.0.0.1", 3000, Options::NONE).into();
    let silent = scene::open(at("127.0.0.1", 0), Options::NONE);
    silent.set_recv_buffer_size(2048).unwrap();
    silent.connect(&at("127.0.0.1", 3000).into()).unwrap();
    let (mut connection, _) = server.accept().unwrap();
    setsockopt(&connection, sockopt::SndBuf, &4096).unwrap();
    connection.set_nonblocking(true).unwrap();
    while connection.write(&[0; 65_536]).map_err(|error| error.kind()) != Err(ErrorKind::WouldBlock) {}
    drop(connection);
    wait_for(3000, TcpState::FinWait1);
    let goal = Goal::Listen(at("127.0.0.1", 3000));
    let answer = Answer::about(goal, Options::NONE);
    drop(server);
    // To stop the server is not enough.
    assert_eq!(made(&question(goal, Options::NONE), Options::NONE), Some(("bind", Errno::EADDRINUSE)));
    let stop = answer.of("advice").find(|advice| advice["step"] == "stop");
    assert!(stop.is_none_or(|stop| stop["tried_out"] == false), "{stop:?}");
}
