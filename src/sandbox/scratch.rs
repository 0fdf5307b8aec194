//! A scratch network: a question about sockets, answered where no other socket is and nothing outside is touched.
//!
//! The program starts itself once more. That process enters a network namespace of its own, answers, and ends; with it
//! the network goes. So a program with threads may ask, and an ordinary user too.

use std::ffi::OsStr;
use std::io::{self, ErrorKind, Read, Write, stdin, stdout};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio, exit};
use std::sync::atomic::{AtomicBool, Ordering};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::report::say;
use crate::sandbox::namespace::{self, Sysctl};

/// Whether this program answers where it is started to: another one would begin its own work once more.
static ATTENDS: AtomicBool = AtomicBool::new(false);

/// The first argument of a process that answers.
const MARK: &str = "--scratch";
const PROGRAM: &str = "/proc/self/exe";

/// What may be asked. It and its answer pass from one process to the other as JSON.
///
/// ```standalone_crate
/// use fourtuple::{Known, Question, SocketOptions, TcpState, ask, attend, bind, known, sockets};
/// use serde::{Deserialize, Serialize};
///
/// /// How many sockets are there where nobody else is?
/// #[derive(Serialize, Deserialize)]
/// struct HowMany;
///
/// impl Question for HowMany {
///     type Answer = usize;
///     const NAME: &str = "how-many";
///
///     fn answer(self) -> fourtuple::Result<usize> {
///         let _one = bind("127.0.0.1:3000".parse().unwrap(), &SocketOptions::default())?.listen(1)?;
///         Ok(sockets()?.iter().filter(|row| row.state == TcpState::Listen).count())
///     }
/// }
///
/// fn main() {
///     attend(&[known::<HowMany>()]);
///     match ask(&HowMany, &[]) {
///         Ok(count) => assert_eq!(count, 1),
///         Err(refused) => println!("no namespaces here: {refused}"),
///     }
/// }
/// ```
pub trait Question: Serialize + DeserializeOwned {
    /// What comes back.
    type Answer: Serialize + DeserializeOwned;
    /// Its name, which no other question has.
    const NAME: &str;

    /// Answers, in a network that has lo and nothing else; the process has one thread and ends afterwards.
    ///
    /// # Errors
    ///
    /// A call that failed though the question does not ask about it.
    fn answer(self) -> Result<Self::Answer>;
}

/// Asks `question` in a new network with the pinned sysctls and then these: one question may hold thousands of trials.
///
/// Takes a few milliseconds, and returns early where this process ends: the other one is killed then.
///
/// # Errors
///
/// What the system answers where it refuses namespaces, with what stands in the way and which command allows it;
/// and what the question's own answering fails with. A failure there is told as it is here. A program that has not called
/// [`attend`] asks nothing.
pub fn ask<Q: Question>(question: &Q, sysctls: &[Sysctl]) -> Result<Q::Answer> {
    if !ATTENDS.load(Ordering::Relaxed) {
        let reason = io::Error::other("this program does not answer questions");
        return Err(Error::new("scratch", Q::NAME, reason).hint("call `attend` first in its main function"));
    }
    let failed = |call| move |error| Error::new(call, PROGRAM, error);
    let request =
        serde_json::to_vec(&Request { sysctls, question }).map_err(|error| malformed::<Q>(&error))?;
    let mut child = Command::new(PROGRAM)
        .arg0("fourtuple")
        .args([MARK, Q::NAME])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(failed("execve"))?;
    let answer = exchange(&mut child, &request);
    let status = child.wait().map_err(failed("waitpid"))?;
    let answer = answer.map_err(failed("read"))?;
    if !status.success() {
        return Err(Error::new("scratch", Q::NAME, io::Error::other(status.to_string())));
    }
    serde_json::from_slice::<Result<Q::Answer>>(&answer).map_err(|error| malformed::<Q>(&error))?
}

fn exchange(child: &mut Child, request: &[u8]) -> io::Result<Vec<u8>> {
    // Dropped, and so closed, at the end of the statement.
    match child.stdin.take().map_or(Ok(()), |mut input| input.write_all(request)) {
        // It ended before it had read everything; its status tells.
        Err(error) if error.kind() != ErrorKind::BrokenPipe => return Err(error),
        _ => {}
    }
    let mut answer = Vec::new();
    child.stdout.take().map_or(Ok(0), |mut output| output.read_to_end(&mut answer))?;
    Ok(answer)
}

/// Answers one of the `known` questions and ends the process where it was started to; returns at once in every other.
///
/// A program calls it before it starts a thread: a process with threads may enter no user namespace.
pub fn attend(known: &[Known]) {
    ATTENDS.store(true, Ordering::Relaxed);
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().as_deref() != Some(OsStr::new(MARK)) {
        return;
    }
    let Some(known) = arguments.next().and_then(|name| known.iter().find(|known| name == known.name)) else {
        return;
    };
    let outcome = write_answer(known);
    if let Err(error) = &outcome {
        say(&format!("fourtuple: scratch {}: {error}", known.name));
    }
    exit(outcome.is_err().into())
}

fn write_answer(known: &Known) -> io::Result<()> {
    let mut request = Vec::new();
    stdin().read_to_end(&mut request)?;
    stdout().write_all(&(known.answer)(&request)?)
}

/// What one process writes to the other.
#[derive(Serialize, Deserialize)]
struct Request<S, Q> {
    sysctls: S,
    question: Q,
}

/// A question by its name.
#[derive(Clone, Copy, Debug)]
pub struct Known {
    name: &'static str,
    answer: fn(&[u8]) -> serde_json::Result<Vec<u8>>,
}

/// The entry of `Q` among the known ones.
pub const fn known<Q: Question>() -> Known {
    Known { name: Q::NAME, answer: answer::<Q> }
}

fn answer<Q: Question>(request: &[u8]) -> serde_json::Result<Vec<u8>> {
    let Request::<Vec<Sysctl>, Q> { sysctls, question } = serde_json::from_slice(request)?;
    serde_json::to_vec(&namespace::enter_network(&sysctls).and_then(|()| question.answer()))
}

fn malformed<Q: Question>(error: &serde_json::Error) -> Error {
    Error::new("scratch", Q::NAME, io::Error::other(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize, Deserialize)]
    struct Nothing;

    impl Question for Nothing {
        type Answer = ();
        const NAME: &str = "nothing";

        fn answer(self) -> Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_process_that_ends_without_an_answer_is_told_by_its_status() {
        attend(&[]);
        // This program started once more does not know its arguments, and says so.
        let error = ask(&Nothing, &[]).unwrap_err().to_string();
        assert!(error.starts_with("scratch nothing: exit status: "), "{error}");
    }
}
