//! The processes that hold.

use std::env::current_exe;
use std::io::{BufRead, BufReader, Write};
use std::ops::Range;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, ChildStdin, Command, ExitCode, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::report::{Event, Failures, LoadEvent, Reporter};
use crate::service::load::{HoldPlan, Spread};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::args::{Close, HoldArgs};
use super::share::{HolderProgress, Order};

/// How long the holders have to end: on a busy machine a million connections take more than a minute.
const PATIENCE: Duration = Duration::from_secs(300);

/// All holders, and what each has said last.
pub(super) struct Crew {
    holders: Vec<HolderProcess>,
    said: Receiver<(usize, Option<HolderProgress>)>,
}

struct HolderProcess {
    child: Child,
    /// Closed when this process ends, however it ends.
    _lifeline: ChildStdin,
    progress: HolderProgress,
    /// It will say no more.
    ended: bool,
}

impl Crew {
    /// Starts them, and gives each its share.
    ///
    /// # Errors
    ///
    /// `EAGAIN` from `fork`, `EMFILE` from `pipe`.
    pub(super) fn start(args: &HoldArgs, spread: &Spread, processes: usize) -> Result<Self> {
        let (sender, said) = channel();
        let both = shares(0..args.count, processes).zip(shares(args.count..spread.capacity(), processes));
        let holders = both.enumerate().map(|(number, (share, spare))| {
            let plan = HoldPlan {
                spread: spread.clone(),
                share,
                spare,
                verify: args.verify,
                timeout: args.reply_timeout,
                finish: args.close == Close::Fin,
            };
            HolderProcess::start(
                number,
                &Order { plan, connect_timeout: args.connect_timeout },
                sender.clone(),
            )
        });
        Ok(Self { holders: holders.collect::<Result<_>>()?, said })
    }

    /// Takes in what they have said.
    pub(super) fn listen(&mut self) {
        while let Ok((number, said)) = self.said.try_recv() {
            self.note(number, said);
        }
    }

    fn note(&mut self, number: usize, said: Option<HolderProgress>) {
        if let Some(holder) = self.holders.get_mut(number) {
            match said {
                Some(progress) => holder.progress = progress,
                None => holder.ended = true,
            }
        }
    }

    /// Whether every connection has had its outcome.
    pub(super) fn is_settled(&self) -> bool {
        self.holders.iter().all(|holder| holder.progress.settled || holder.ended)
    }

    /// Whether all have ended.
    pub(super) fn is_gone(&self) -> bool {
        self.holders.iter().all(|holder| holder.ended)
    }

    /// Connections that stand.
    pub(super) fn open(&self) -> usize {
        self.holders.iter().map(|holder| holder.progress.open).sum()
    }

    /// Connections whose answer was right.
    pub(super) fn verified(&self) -> usize {
        self.holders.iter().map(|holder| holder.progress.verified).sum()
    }

    /// Their numbers.
    pub(super) fn pids(&self) -> Vec<u32> {
        self.holders.iter().map(|holder| holder.child.id()).collect()
    }

    /// Ends them, and tells which connections came to nothing; those are an error.
    pub(super) fn end(mut self, reporter: &Reporter) -> Result<ExitCode> {
        for holder in &self.holders {
            // Not waited for yet, so the pid is still its own.
            let _ = kill(Pid::from_raw(holder.child.id() as i32), Signal::SIGTERM);
        }
        let deadline = Instant::now() + PATIENCE;
        while !self.is_gone() {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok((number, said)) = self.said.recv_timeout(left) else { break };
            self.note(number, said);
        }
        let mut failures = Failures::default();
        let mut first = None;
        for mut holder in self.holders {
            let _ = holder.child.kill();
            let status =
                holder.child.wait().map_err(|error| Error::new("waitpid", holder.child.id(), error))?;
            failures += holder.progress.failures;
            // Asked to end before it could catch the signal.
            let in_time = status.signal() == Some(Signal::SIGTERM as i32);
            if !status.success() && !in_time {
                let words =
                    format!("a holder of {} connections ended by itself: {status}", holder.progress.open);
                failures.other += holder.progress.open as u64;
                first.get_or_insert(words);
            }
            first = first.or(holder.progress.first);
        }
        reporter.report(&Event::Load(LoadEvent::Failures(failures)));
        match first {
            None => Ok(ExitCode::SUCCESS),
            Some(words) => {
                let note = format_args!("{} connections failed; this was the first", failures.sum());
                Err(Error::new("hold", "", std::io::Error::other(words)).note(note))
            }
        }
    }
}

/// Equal shares of these numbers.
fn shares(all: Range<usize>, processes: usize) -> impl Iterator<Item = Range<usize>> {
    let begin = move |share| all.start + share * all.len() / processes;
    (0..processes).map(move |share| begin(share)..begin(share + 1))
}

impl HolderProcess {
    /// In a process group of its own: Ctrl-C reaches this process alone, which then ends its holders.
    fn start(number: usize, order: &Order, said: Sender<(usize, Option<HolderProgress>)>) -> Result<Self> {
        let executable = current_exe().map_err(|error| Error::new("readlink", "/proc/self/exe", error))?;
        let mut child = Command::new(executable)
            .args(["load", "share"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()
            .map_err(|error| Error::new("fork", "for a holder", error))?;
        let (Some(mut lifeline), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(Error::new("pipe", "", nix::errno::Errno::EBADF));
        };
        let mut line = serde_json::to_string(order).unwrap_or_default();
        line.push('\n');
        lifeline.write_all(line.as_bytes()).map_err(|error| Error::new("write", "to a holder", error))?;
        let listen = move || {
            for line in BufReader::new(output).lines().map_while(std::result::Result::ok) {
                let _ = said.send((number, serde_json::from_str(&line).ok()));
            }
            let _ = said.send((number, None));
        };
        let thread = thread::Builder::new().spawn(listen);
        thread.map_err(|error| Error::new("clone", "for a holder's lines", error))?;
        Ok(Self { child, _lifeline: lifeline, progress: HolderProgress::default(), ended: false })
    }
}
