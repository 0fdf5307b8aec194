//! `fourtuple perform`: socket calls exactly as they are written.

mod parse;
mod show;
mod stage;
mod steps;
mod words;

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use fourtuple::cli::{self, OutputArgs};
use fourtuple::report::{say, visible};

use words::Mistake;

const EXAMPLES: &str = "\
Examples:
  fourtuple perform 'socket; bind 127.0.0.1:3001; connect 127.0.0.1:3000; send \"x\"; recv; close'
  fourtuple perform 'a: socket; bind 127.0.0.1:0; listen 1; b: socket; connect @a; a: accept as c'";

/// Make socket calls exactly as written, and print what each returns
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct PerformArgs {
    /// The calls, with `;` or a new line between them
    #[arg(value_name = "STEPS")]
    steps: String,
    /// How long a call may block, and a state be waited for
    #[arg(long, default_value = "10s", value_parser = cli::positive_duration, value_name = "DURATION")]
    patience: Duration,
    #[command(flatten)]
    output: OutputArgs,
}

/// Performs the steps, or says what is wrong with them.
pub fn run(args: &PerformArgs) -> ExitCode {
    match parse::parse(&args.steps) {
        Ok(steps) => {
            cli::run("fourtuple", &args.output, |reporter| show::perform(steps, args.patience, reporter))
        }
        Err(mistake) => {
            say(&format!("fourtuple: {}", pointed_at(&args.steps, &mistake)));
            ExitCode::from(2)
        }
    }
}

/// What is wrong, below it the line where it is, and marks under the place.
fn pointed_at(text: &str, mistake: &Mistake) -> String {
    let before = text.get(..mistake.at.start).unwrap_or_default();
    let begin = before.rfind('\n').map_or(0, |newline| newline + 1);
    let line = text.get(begin..).and_then(|rest| rest.lines().next()).unwrap_or_default();
    let column = before.get(begin..).unwrap_or_default().chars().count();
    let place = text.get(mistake.at.clone()).and_then(|place| place.lines().next()).unwrap_or_default();
    let marks = "^".repeat(place.chars().count().max(1));
    {
        let (step, why) = (mistake.step, &mistake.why);
        format!("STEPS: step {step}: {why}\n  {}\n  {}{marks}", visible(line), " ".repeat(column))
    }
}
