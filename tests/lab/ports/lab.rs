//! Sockets that have ports, and clients that look for one.

use std::fs;
use std::mem::MaybeUninit;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;

use fourtuple::Result;
use fourtuple::kernel::inet_diag::{SocketRow, sockets};
use fourtuple::lab::ports::{Asked, Destination, Forecast, Method, Situation, plan};
use fourtuple::net::{SocketOptions, TcpState, bind, connect_unbound, poll, socket};
use nix::libc::POLLOUT;
use socket2::{Domain, Socket};

use crate::program::{PATIENCE, until};

/// Writes a setting of this network under `net.ipv4.`.
pub fn write_sysctl(name: &str, value: &str) {
    fs::write(format!("/proc/sys/net/ipv4/{name}"), value).unwrap_or_else(|error| panic!("{name}: {error}"));
}

/// Lets the kernel pick from these ports.
pub fn set_range(range: &RangeInclusive<u16>) {
    write_sysctl("ip_local_port_range", &format!("{} {}", range.start(), range.end()));
}

/// Numbers that look random, the same ones for the same seed (Knuth's MMIX generator).
pub struct Numbers(pub u64);

impl Numbers {
    pub fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % end
    }

    pub fn of<T: Copy>(&mut self, values: &[T]) -> T {
        values[self.below(values.len())]
    }
}

/// Listening sockets, two of each family, and sockets that have ports.
pub struct Lab {
    listening: Vec<(SocketAddr, Socket)>,
    sockets: Vec<Socket>,
}

impl Lab {
    pub fn new() -> Self {
        let open = |address: &str| {
            let address = address.parse().unwrap();
            let listening = bind(address, &SocketOptions::default()).unwrap().listen(4096).unwrap();
            (address, listening)
        };
        let listening = ["127.0.1.1:9000", "127.0.1.2:9000", "[::1]:9000", "[::1]:9001"].map(open).into();
        Self { listening, sockets: Vec::new() }
    }

    /// The listening sockets of this family.
    pub fn remotes(&self, from: IpAddr) -> Vec<SocketAddr> {
        let remotes = self.listening.iter().map(|(remote, _)| *remote);
        remotes.filter(|remote| remote.is_ipv4() == from.is_ipv4()).collect()
    }

    /// Empties the queues of the listening sockets.
    pub fn accept_all(&mut self) {
        for (_, listener) in &self.listening {
            self.sockets.extend(std::iter::from_fn(|| listener.accept().ok()).map(|(socket, _)| socket));
        }
    }

    /// Opens a connection and keeps it.
    pub fn connect(&mut self, bound: bool, local: SocketAddr, remote: SocketAddr) {
        self.sockets.push(connect(bound, local, remote));
    }

    /// Opens a connection to a listening socket made for it, and keeps all three.
    pub fn connect_to_own(&mut self, local: SocketAddr, listening: SocketAddr) {
        let listening = bind(listening, &SocketOptions::default()).unwrap().listen(1).unwrap();
        self.sockets.push(connect(true, local, listening.local_addr().unwrap().as_socket().unwrap()));
        self.sockets.extend([until("a connection", || listening.accept().ok()).0, listening]);
    }

    /// Opens a connection and closes it, the client first.
    pub fn leave_in_time_wait(&mut self, bound: bool, local: SocketAddr, remote: SocketAddr) {
        self.accept_all();
        self.close_first(connect(bound, local, remote), remote);
    }

    /// Closes a connection before the other side does; it is the only one that is not accepted.
    pub fn close_first(&self, client: Socket, remote: SocketAddr) {
        poll(&client, POLLOUT, PATIENCE).unwrap();
        let local = client.local_addr().unwrap().as_socket().unwrap();
        let (_, listener) = self.listening.iter().find(|(address, _)| *address == remote).unwrap();
        let (server, _) = until("a connection", || listener.accept().ok());
        drop(client);
        until("FIN", || (server.recv(&mut [MaybeUninit::uninit()]).ok() == Some(0)).then_some(()));
        drop(server);
        let left =
            |row: &SocketRow| (row.state, row.local, row.remote) == (TcpState::TimeWait, local, remote);
        until("TIME-WAIT", || sockets().unwrap().into_iter().find(left));
    }

    /// Does something to this port, or nothing.
    pub fn occupy(&mut self, port: u16, numbers: &mut Numbers) {
        let at = |ip: &str| SocketAddr::new(ip.parse().unwrap(), port);
        let anywhere = at(numbers.of(&["127.0.0.1", "127.0.0.5", "0.0.0.0", "::", "::1"]));
        let client = at(numbers.of(&["127.0.0.1", "127.0.0.5", "::1"]));
        let remotes = self.remotes(client.ip());
        let (remote, bound) = (numbers.of(&remotes), numbers.below(2) == 0);
        match numbers.below(9) {
            0 => self.sockets.push(bind(anywhere, &SocketOptions::default()).unwrap().listen(1).unwrap()),
            1 => self.sockets.push(only_bound(anywhere)),
            2 => self.connect(bound, client, remote),
            3 => remotes.iter().for_each(|remote| self.connect(false, client, *remote)),
            4 => self.leave_in_time_wait(bound, client, remote),
            5 => {
                let options =
                    SocketOptions { local_port_range: Some((port, port)), ..SocketOptions::default() };
                let remote = "[::1]:9000".parse().unwrap();
                self.sockets.push(connect_unbound(remote, &options).unwrap());
            }
            _ => {}
        }
    }
}

fn only_bound(local: SocketAddr) -> Socket {
    let socket = socket(Domain::for_address(local)).unwrap();
    socket.bind(&local.into()).unwrap();
    socket
}

/// A connection from exactly this address and port, which bind(2) or connect(2) has chosen.
fn connect(bound: bool, local: SocketAddr, remote: SocketAddr) -> Socket {
    let (port, any_port) = (local.port(), SocketAddr::new(local.ip(), 0));
    let client = if bound {
        bind(local, &SocketOptions::default())
    } else {
        let local_port_range = Some((port, port));
        bind(
            any_port,
            &SocketOptions { bind_address_no_port: true, local_port_range, ..SocketOptions::default() },
        )
    };
    let client = client.unwrap().connect(remote).unwrap();
    poll(&client, POLLOUT, PATIENCE).unwrap();
    assert_eq!(client.local_addr().unwrap().as_socket(), Some(local));
    client
}

/// A connection as `method` makes it; `port` is for the methods that choose it themselves.
pub fn open(
    method: Method,
    from: IpAddr,
    port: u16,
    remote: SocketAddr,
    linger: Option<Duration>,
) -> Result<Socket> {
    let fixed = is_fixed(method);
    let options = SocketOptions {
        bind_address_no_port: [Method::BindAddressNoPort, Method::LocalPortRange].contains(&method),
        local_port_range: (method == Method::LocalPortRange).then_some((1, u16::MAX)),
        reuse_address: method == Method::ReuseAddress,
        reuse_port: method == Method::ReusePort,
        linger,
        ..SocketOptions::default()
    };
    match method {
        Method::Connect => connect_unbound(remote, &options),
        _ => bind(SocketAddr::new(from, if fixed { port } else { 0 }), &options)?.connect(remote),
    }
}

fn is_fixed(method: Method) -> bool {
    [Method::ReuseAddress, Method::ReusePort].contains(&method)
}

/// How many connections `method` makes with these ports, and the call and errno of the last failure.
pub fn made(method: Method, from: IpAddr, ports: &[u16], remotes: &[SocketAddr]) -> (usize, String) {
    let (mut clients, mut failure) = (Vec::new(), String::new());
    for remote in remotes {
        // One more than there are ports, so that something fails.
        for port in ports.iter().chain(ports.first()) {
            // Closed at the end, they leave no TIME-WAIT.
            match open(method, from, *port, *remote, Some(Duration::ZERO)) {
                Ok(client) => clients.push(client),
                Err(error) => {
                    failure = format!("{} {:?}", error.call(), error.errno().unwrap());
                    if !is_fixed(method) {
                        break;
                    }
                }
            }
        }
    }
    (clients.len(), failure)
}

/// What is planned for `method` here and now, at this rate to each destination.
pub fn forecast(method: Method, from: IpAddr, remotes: &[SocketAddr], rate: usize) -> Forecast {
    let destination = |remote: &SocketAddr| Destination::of(*remote, from).unwrap();
    let asked = Asked {
        from,
        destinations: remotes.iter().map(destination).collect(),
        rate: Some(rate),
        time_wait: Duration::from_secs(60),
    };
    let forecasts = plan(&Situation::now(from).unwrap(), &asked);
    forecasts.into_iter().find(|forecast| forecast.method == method).unwrap()
}
