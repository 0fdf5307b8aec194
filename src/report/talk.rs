//! What a conversation tells.

use std::net::SocketAddr;
use std::time::Duration;

use crate::text::Line;

/// A line of a conversation.
#[derive(Clone, Copy, Debug)]
pub enum TalkEvent<'a> {
    Said {
        /// Who: a name, `remote` where none is known, `*` for a relay itself.
        by: &'a [u8],
        text: &'a [u8],
        /// No newline stood behind it, so far.
        unfinished: bool,
    },
    /// A word of ours to the one who sits here.
    Notice { words: &'a str },
    /// What the replies to a test should be, learned from the first one.
    Expect { reply: &'a str },
    /// A case of a test is over.
    Test { name: &'a str, sent: usize, outcome: TestOutcome<'a> },
    Conversation {
        state: &'a str,
        /// The address that is called from, or listened at.
        local: SocketAddr,
        /// The other side's, where there is one.
        remote: Option<SocketAddr>,
        received: u64,
        sent: u64,
        /// Bytes that the kernel has not taken yet.
        unsent: usize,
    },
}

/// What came of sending something to see what is replied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TestOutcome<'a> {
    /// The reply was as expected, its last byte there after this time.
    Passed(Duration),
    /// It was not, as these words tell.
    Failed(&'a [u8]),
    NotRun,
}

impl TalkEvent<'_> {
    pub(super) fn fields<'l>(&self, line: &'l mut Line) -> &'l mut Line {
        match *self {
            Self::Said { by, text, unfinished } => {
                line.begin("said").text("by", by).whole_text("text", text).mark("unfinished", unfinished)
            }
            Self::Notice { words } => line.begin("notice").text("words", words.as_bytes()),
            Self::Expect { reply } => line.begin("expect").text("reply", reply.as_bytes()),
            Self::Test { name, sent, outcome } => {
                line.begin("test").field("name", name).number("sent", sent as u64);
                match outcome {
                    TestOutcome::Passed(rtt) => line.field("outcome", "passed").duration("rtt", rtt),
                    TestOutcome::Failed(words) => line.field("outcome", "failed").text("words", words),
                    TestOutcome::NotRun => line.field("outcome", "not-run"),
                }
            }
            Self::Conversation { state, local, remote, received, sent, unsent } => line
                .begin("conversation")
                .field("state", state)
                .field("local", local)
                .field_if_any("remote", remote)
                .number("received", received)
                .number("sent", sent)
                .number("unsent", unsent as u64),
        }
    }
}
