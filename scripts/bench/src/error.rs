//! How a measurement goes wrong.

/// Content is a verdict about the server; all else keeps one server from being measured.
#[derive(Debug)]
pub enum Error {
    /// An answer was not what had been sent.
    Content(String),
    /// The reason why there is no figure.
    Unable(String),
}

pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub fn unable(words: impl Into<String>) -> Self {
        Self::Unable(words.into())
    }

    pub fn is_content(&self) -> bool {
        matches!(self, Self::Content(_))
    }

    pub fn words(&self) -> &str {
        match self {
            Self::Content(words) | Self::Unable(words) => words,
        }
    }
}

impl<E: std::error::Error> From<E> for Error {
    fn from(error: E) -> Self {
        Self::Unable(error.to_string())
    }
}
