//! An earlier matrix, or another kernel's, against this one.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::process::ExitCode;

use crate::cli;
use crate::error::{Error, Result};
use crate::lab::matrix::{self, Matrix};
use crate::report::say;
use crate::sandbox::namespace::Sysctl;
use crate::text::{Escaped, Format, Line};

/// No matrix is as large.
const LARGEST: u64 = 16 << 20;

/// Measures the cells of the file again; the exit status says whether any differs.
pub(super) fn run(path: &Path, sysctls: &[Sysctl], format: Format) -> Result<ExitCode> {
    let file = match read(path) {
        Ok(file) => file,
        Err(error) => {
            say(&format!("fourtuple: {error}"));
            return Ok(ExitCode::from(2));
        }
    };
    let now = matrix::measure(file.cells.iter().map(|(cell, _)| *cell).collect(), sysctls)?;
    let (lines, differing) = compare(&file, &now, format);
    let printed = cli::print(&lines)?;
    Ok(if differing == 0 { printed } else { ExitCode::FAILURE })
}

fn read(path: &Path) -> Result<Matrix> {
    let name = Escaped(path.as_os_str().as_encoded_bytes()).to_string();
    let failed = |call| {
        let name = name.clone();
        move |error: io::Error| {
            Error::new(call, name, error).hint("a file that `fourtuple matrix --format json` wrote")
        }
    };
    let mut text = String::new();
    let file = File::open(path).map_err(failed("open"))?;
    file.take(LARGEST).read_to_string(&mut text).map_err(failed("read"))?;
    Matrix::from_lines(&text)
        .map_err(|why| failed("read")(io::Error::other(Escaped(why.as_bytes()).to_string())))
}

/// A line for each setting and each cell that differs, then one with the counts.
fn compare(file: &Matrix, now: &Matrix, format: Format) -> (String, u64) {
    let mut lines: Vec<String> = settings(file, now, format);
    let (mut differing, mut not_compared) = (0, 0);
    for (&(cell, before), &(_, after)) in file.cells.iter().zip(&now.cells) {
        if !(before.is_measured() && after.is_measured()) {
            not_compared += 1;
        } else if before != after {
            differing += 1;
            let mut line = Line::new(format, "differs");
            line.field("cell", cell).field("file", before).field("now", after);
            lines.push(line.finish());
        }
    }
    let mut line = Line::new(format, "compared");
    line.number("cells", file.cells.len() as u64)
        .number("differing", differing)
        .number("not-measured", not_compared)
        .text("file-kernel", file.kernel.as_bytes())
        .text("kernel", now.kernel.as_bytes());
    lines.push(line.finish());
    (lines.join("\n") + "\n", differing)
}

/// The sysctls that differ: a difference by itself is none of the cells', but may be the cause of one.
fn settings(file: &Matrix, now: &Matrix, format: Format) -> Vec<String> {
    let keys: BTreeSet<&String> = file.sysctls.keys().chain(now.sysctls.keys()).collect();
    let differ = keys.into_iter().filter(|key| file.sysctls.get(*key) != now.sysctls.get(*key));
    let value = |matrix: &Matrix, key: &str| matrix.sysctls.get(key).map_or(String::new(), String::clone);
    differ
        .map(|key| {
            let mut line = Line::new(format, "sysctl-differs");
            line.text("key", key.as_bytes())
                .text("file", value(file, key).as_bytes())
                .text("now", value(now, key).as_bytes());
            line.finish()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use crate::lab::matrix::{Cell, Failing, Missing, Outcome, Pair, State, User};
    use nix::errno::Errno;

    use super::*;

    fn matrix(outcome: Outcome) -> Matrix {
        let cell = Cell::all(&[State::Listen], &[Pair::Same], &[User::Same])[0];
        Matrix { kernel: "6.1".to_owned(), sysctls: BTreeMap::new(), cells: vec![(cell, outcome)] }
    }

    #[test]
    fn what_was_not_measured_on_both_sides_is_no_difference() {
        let refused = Outcome::Failed(Failing::Bind, Errno::EADDRINUSE);
        let missing = Outcome::NotMeasured(Missing::OtherUser);
        for (file, now, differing, counts) in [
            (refused, refused, 0, "differing=0 not-measured=0"),
            (refused, Outcome::Ok, 1, "differing=1 not-measured=0"),
            (refused, missing, 0, "differing=0 not-measured=1"),
            (missing, refused, 0, "differing=0 not-measured=1"),
            (missing, missing, 0, "differing=0 not-measured=1"),
        ] {
            let (text, found) = compare(&matrix(file), &matrix(now), Format::Text);
            assert_eq!(found, differing, "{text}");
            assert!(text.contains(counts), "{text}");
        }
    }
}
