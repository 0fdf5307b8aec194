//! Steps read and checked, before the first one is performed.

mod arguments;
mod cursor;
mod sockets;
#[cfg(test)]
mod tests;
mod values;

use super::steps::Step;
use super::words::{self, Checked, Mistake, Word};
use cursor::Cursor;
use sockets::{Sockets, socket_name};

/// Reads `text`, and checks that each step is about a socket that is open by then.
///
/// A step without a name is about the socket that was named last, or, before any was named, about the one
/// socket without a name.
pub(super) fn parse(text: &str) -> Checked<Vec<Step>> {
    let words = words::steps(text)?;
    if words.is_empty() {
        return Err(Mistake::new(text.len()..text.len(), "expected a step, such as `socket`"));
    }
    let mut sockets = Sockets::default();
    let mut step = |words: &Vec<Word>| step(Cursor::new(words), &mut sockets);
    words
        .iter()
        .zip(1..)
        .map(|(words, number)| step(words).map_err(|mistake| mistake.in_step(number)))
        .collect()
}

fn step(mut words: Cursor, sockets: &mut Sockets) -> Checked<Step> {
    let (mut word, mut at) = words.plain("a call")?;
    let prefix = word.split_once(':').map(|(name, rest)| (name.to_owned(), rest.to_owned()));
    let named = prefix.is_some();
    if let Some((name, rest)) = prefix {
        let end = at.start + name.len();
        sockets.named = Some(socket_name(&name, at.start..end)?);
        (word, at) = if rest.is_empty() { words.plain("a call")? } else { (rest, end + 1..at.end) };
    }
    let call = arguments::call(&word, at.clone(), &mut words)?;
    words.nothing_more()?;
    if named && !call.has_socket() {
        let why = format!("`{}` needs no socket; expected no name before it", call.name());
        return Err(Mistake::new(at, why));
    }
    let socket = sockets.named.clone();
    sockets.account(&call, at)?;
    sockets.account_for_argument(&call, words.last())?;
    Ok(Step { socket, call })
}
