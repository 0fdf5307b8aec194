//! Sockets that are in other hands than those of a process that has made them itself.

use std::io::IoSlice;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};

use fourtuple::net::TcpState;
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use socket2::{Domain, Socket, Type};

use super::scene::{self, Options};
use crate::program::kernel::process_state;
use crate::program::namespace::as_ordinary_user;
use crate::program::{Program, skip, until};

/// Where a process may have its sockets.
pub const PLACES: [&str; 4] = ["table", "thread", "first-thread-ended", "io-uring"];

const PYTHON: &str = r#"
import ctypes, socket, sys, threading, time

libc = ctypes.CDLL(None, use_errno=True)

def made():
    sockets = []
    for text in sys.argv[2:]:
        state, ip, port = text.split(",")
        sockets.append(socket.socket(socket.AF_INET6 if ":" in ip else socket.AF_INET))
        sockets[-1].bind((ip, int(port)))
        if state == "listen":
            sockets[-1].listen()
    return sockets

def stay():
    print("ready", flush=True)
    time.sleep(3600)

def hold(apart):
    # CLONE_FILES: a table of its own.
    if apart and libc.unshare(0x400):
        sys.exit("unshare")
    sockets = made()
    stay()

def register():
    ring = libc.syscall(425, 8, (ctypes.c_uint8 * 120)())
    if ring < 0:
        print("refused", flush=True)
        sys.exit()
    sockets = made()
    numbers = (ctypes.c_int * len(sockets))(*(each.fileno() for each in sockets))
    if libc.syscall(427, ring, 2, numbers, len(sockets)):
        sys.exit("io_uring_register")
    for each in sockets:
        each.close()
    stay()

place = sys.argv[1]
if place == "table":
    hold(False)
elif place == "io-uring":
    register()
else:
    threading.Thread(target=hold, args=(place == "thread",)).start()
    if place == "first-thread-ended":
        libc.pthread_exit(None)
    time.sleep(3600)
"#;

/// A process that has sockets in one of the [`PLACES`], each said as `listen,127.0.0.1,3000` or `bound,…`; another user's,
/// if wanted. None, and a skip, where the kernel has no io_uring.
pub fn process(place: &str, sockets: &[String], of_another_user: bool) -> Option<Program> {
    let mut command = if of_another_user { as_ordinary_user("python3") } else { Command::new("python3") };
    let process = Program::spawn(command.args(["-c", PYTHON, place]).args(sockets));
    if process.line_with(&["re"]) == "refused" {
        skip("io_uring is refused here");
        return None;
    }
    if place == "first-thread-ended" {
        until("the first thread to end", || process_state(process.pid()).filter(|&state| state == 'Z'));
    }
    Some(process)
}

/// A command that has the socket as its standard input.
pub fn with_socket(command: &mut Command, socket: &Socket) -> Program {
    let socket = OwnedFd::from(socket.try_clone().unwrap());
    Program::spawn_with_input(command.stdin(Stdio::from(socket)))
}

/// The socket on its way to a process that has not received it: the ends of that way.
pub fn in_flight(socket: Socket) -> [UnixStream; 2] {
    let (one, other) = UnixStream::pair().unwrap();
    let descriptors = [socket.as_raw_fd()];
    let rights = [ControlMessage::ScmRights(&descriptors)];
    sendmsg::<()>(one.as_raw_fd(), &[IoSlice::new(b"x")], &rights, MsgFlags::empty(), None).unwrap();
    [one, other]
}

/// A connection at `local` that was closed with bytes which the other end does not take: that end.
pub fn unacknowledged(local: SocketAddr) -> Socket {
    let server = scene::open(local, Options::NONE);
    server.bind(&local.into()).unwrap();
    server.listen(1).unwrap();
    let reached = scene::reached_at(local);
    let client = Socket::new(Domain::for_address(reached), Type::STREAM, None).unwrap();
    client.set_recv_buffer_size(2048).unwrap();
    client.connect(&reached.into()).unwrap();
    let (accepted, _) = server.accept().unwrap();
    accepted.set_nonblocking(true).unwrap();
    while accepted.send(&[0; 65_536]).is_ok() {}
    let remote = client.local_addr().unwrap().as_socket().unwrap();
    drop((accepted, server));
    scene::wait_for(reached, remote, TcpState::FinWait1);
    client
}
