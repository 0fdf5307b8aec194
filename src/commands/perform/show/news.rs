//! What one thread of the performance hears from the others.

use std::sync::mpsc::Sender;

/// What the watching thread hears.
pub(super) enum News {
    /// The step of this index begins.
    Began(usize),
    /// The thread of the calls has come to its end.
    Ended,
    Signal(i32),
}

/// Says that its thread has ended, however it did.
pub(super) struct Tell(pub Sender<News>);

impl Drop for Tell {
    fn drop(&mut self) {
        let _ = self.0.send(News::Ended);
    }
}
