//! Listens as told, and serves by the model asked for.

use std::net::SocketAddr;
use std::panic::resume_unwind;
use std::thread;

use crate::cli;
use crate::drive::{
    Ended, EventLoop, ForkPerClient, Front, Limits, LoopSettings, sequential, thread_per_client,
};
use crate::error::{Error, Result};
use crate::kernel::holders::listeners_on;
use crate::report::{Event, Reporter, Totals};
use crate::service::{Reply, Replying, Signal as Asked};
use nix::sys::signal::{Signal, raise};
use socket2::Socket;

use super::args::{ConcurrencyModel, ListenerArgs};

/// Serves until a signal ends it.
pub(super) fn serve<R>(args: &ListenerArgs, reporter: &Reporter, reply: R) -> Result<(Ended, Totals)>
where
    R: Reply + Send + Sync + 'static,
{
    match args.model {
        ConcurrencyModel::EventLoop => serve_by_loops(args, reporter, &reply),
        ConcurrencyModel::Sequential => sequential(open_front(args, reporter)?, reply),
        ConcurrencyModel::Fork => ForkPerClient::run(open_front(args, reporter)?, reply),
        ConcurrencyModel::Thread => thread_per_client(open_front(args, reporter)?, reply),
    }
}

/// A listening socket, and the thread that accepts from it.
fn open_front(args: &ListenerArgs, reporter: &Reporter) -> Result<Front> {
    let front = Front::new(listen(args, first_address(args))?, reporter.clone(), settings(args))?;
    tell_ready(args, front.local(), reporter);
    Ok(front)
}

fn serve_by_loops<R: Reply + Sync>(
    args: &ListenerArgs,
    reporter: &Reporter,
    reply: &R,
) -> Result<(Ended, Totals)> {
    let (settings, mut local) = (settings(args), first_address(args));
    let mut loops = Vec::new();
    for worker in 0..args.workers {
        // One answers for all.
        let asked: &[_] = if worker == 0 { &[Asked::Stop, Asked::Status] } else { &[Asked::Stop] };
        let mut event_loop = EventLoop::new(reporter.clone(), settings.clone(), asked)?;
        // The first may have been given a port.
        local = event_loop.accept_from(listen(args, local)?)?;
        loops.push(event_loop);
    }
    tell_ready(args, local, reporter);
    run_all(loops, reply)
}

fn first_address(args: &ListenerArgs) -> SocketAddr {
    args.ip.at(args.port)
}

fn settings(args: &ListenerArgs) -> LoopSettings {
    let limits =
        Limits { receive: args.receive_timeout.0, send: args.socket.send_timeout.0, ..Limits::default() };
    let (drain, spin, max_connections) = (args.drain, args.spin, args.max_connections);
    LoopSettings { limits, drain, spin, max_connections, ..LoopSettings::default() }
}

fn listen(args: &ListenerArgs, local: SocketAddr) -> Result<Socket> {
    cli::listen(local, &args.socket.options(args.receive_timeout), args.backlog)
}

fn tell_ready(args: &ListenerArgs, local: SocketAddr, reporter: &Reporter) {
    let options = args.socket.options(args.receive_timeout);
    // Before the ready line: this may read all of /proc, and whoever is told to come shall be served at once.
    let others =
        if options.reuse_port { listeners_on(local, args.workers).unwrap_or_default() } else { Vec::new() };
    reporter.report(&Event::Listening {
        local,
        reuse_address: options.reuse_address,
        reuse_port: options.reuse_port,
        model: (args.model != ConcurrencyModel::EventLoop).then(|| args.model.name()),
        workers: args.workers,
    });
    if !others.is_empty() {
        reporter.report(&Event::SharedWith { pids: &others });
    }
}

/// Runs the first loop on this thread and each further one on its own, until all have ended.
fn run_all<R: Reply + Sync>(loops: Vec<EventLoop>, reply: &R) -> Result<(Ended, Totals)> {
    let run = |event_loop| run(event_loop, reply.clone());
    let mut loops = loops.into_iter();
    let first = loops.next();
    thread::scope(|scope| {
        let start = |other| {
            let thread = thread::Builder::new().name("worker".to_owned()).spawn_scoped(scope, || run(other));
            thread.map_err(|error| end_all(Error::new("clone", "for a worker", error)))
        };
        let others: Vec<_> = loops.map(start).collect::<Result<_>>()?;
        let mut sum = first.map_or(Ok((Ended::Stopped, Totals::default())), run)?;
        for other in others {
            let (ended, totals) = other.join().unwrap_or_else(|panic| resume_unwind(panic))?;
            sum.0 = sum.0.max(ended);
            sum.1 += totals;
        }
        Ok(sum)
    })
}

fn run(event_loop: EventLoop, reply: impl Reply) -> Result<(Ended, Totals)> {
    let mut replying = Replying::new(reply);
    match event_loop.run(&mut replying) {
        Ok(ended) => Ok((ended, replying.totals())),
        Err(error) => Err(end_all(error)),
    }
}

/// The other workers would serve on, and the error would wait for their end.
fn end_all(error: Error) -> Error {
    let _ = raise(Signal::SIGTERM);
    error
}
