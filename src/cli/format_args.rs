//! The `--format` of a command whose whole output it decides.

use clap::{Arg, Args};

use crate::text::Format;

/// How an answer is written.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct FormatArgs {
    /// How it is written: text, or one JSON object a line
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub format: Format,
}

/// Says in the help of that argument what is written: `"sockets are"`.
pub(crate) fn how(subject: &str) -> impl FnOnce(Arg) -> Arg {
    let help = format!("How {subject} written: text, or one JSON object a line");
    |format| format.help(help)
}
