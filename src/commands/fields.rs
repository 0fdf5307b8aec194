//! `fourtuple fields`: what the experiments call to read JSON Lines, which bash cannot.

use std::io::{self, BufRead, Write};
use std::process::ExitCode;

use clap::Args;
use serde_json::Value;

use crate::cli;
use crate::error::{Error, Result};

/// Print some values of each line of one event, of the JSON Lines on standard input
#[derive(Args)]
pub(super) struct FieldsArgs {
    /// The event
    event: String,
    /// The keys, in the order in which their values are printed; one that a line lacks is `-`
    #[arg(required = true)]
    keys: Vec<String>,
}

/// Prints them, a line each. A line that is cut, as the last one may be while it is written, is passed over.
pub(super) fn run(args: &FieldsArgs) -> Result<ExitCode> {
    let mut output = io::BufWriter::new(io::stdout().lock());
    for line in io::stdin().lock().lines() {
        let line = line.map_err(|error| Error::new("read", "standard input", error))?;
        let Ok(object) = serde_json::from_str::<Value>(&line) else { continue };
        if object.get("event").is_some_and(|event| *event == *args.event) {
            let values: Vec<String> = args.keys.iter().map(|key| shown(object.get(key))).collect();
            if let Err(error) = writeln!(output, "{}", values.join(" ")) {
                return cli::written(Err(error));
            }
        }
    }
    cli::written(output.flush())
}

fn shown(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => "-".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_value_that_there_is_not_is_a_dash_and_a_string_has_no_quotes() {
        assert_eq!(shown(None), "-");
        assert_eq!(shown(Some(&Value::Null)), "-");
        assert_eq!(shown(Some(&json!("a b"))), "a b");
        assert_eq!(shown(Some(&json!([1, false]))), "[1,false]");
    }
}
