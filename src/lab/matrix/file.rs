//! A matrix as a file: JSON Lines, the stamp first, then a line a cell.

use std::collections::{BTreeMap, HashSet};

use serde::{Deserialize, Serialize};

use super::{Cell, Matrix, Outcome};

const SCHEMA: u32 = 1;
/// The values of `event`.
const STAMP: &str = "matrix";
const CELL: &str = "cell";

#[derive(Serialize, Deserialize)]
struct Stamp {
    schema: u32,
    event: String,
    kernel: String,
    sysctls: BTreeMap<String, String>,
    cells: usize,
}

#[derive(Serialize, Deserialize)]
struct CellLine {
    schema: u32,
    event: String,
    #[serde(flatten)]
    cell: Cell,
    #[serde(flatten)]
    outcome: Outcome,
}

impl Matrix {
    /// The file's text. No line has a time, so two files of equal outcomes on one kernel are equal.
    pub fn to_lines(&self) -> String {
        let stamp = Stamp {
            schema: SCHEMA,
            event: STAMP.to_owned(),
            kernel: self.kernel.clone(),
            sysctls: self.sysctls.clone(),
            cells: self.cells.len(),
        };
        let cells = self.cells.iter().map(|&(cell, outcome)| {
            line(&CellLine { schema: SCHEMA, event: CELL.to_owned(), cell, outcome })
        });
        std::iter::once(line(&stamp)).chain(cells).collect()
    }

    /// Reads such a text.
    ///
    /// # Errors
    ///
    /// The number of the first line that is wrong, and what is wrong with it; it may repeat what stands there.
    pub fn from_lines(text: &str) -> Result<Self, String> {
        let mut lines = (1..).zip(text.lines());
        let at = |number: usize| move |error| format!("line {number}: {error}");
        let first = lines.next().map(|(_, line)| line).unwrap_or_default();
        let stamp: Stamp = read(first, STAMP).map_err(at(1))?;
        let mut seen = HashSet::new();
        let mut cells = Vec::new();
        for (number, line) in lines {
            let CellLine { cell, outcome, .. } = read(line, CELL).map_err(at(number))?;
            if !seen.insert(cell) {
                return Err(format!("line {number}: {cell} is there twice"));
            }
            cells.push((cell, outcome));
        }
        match cells.len() == stamp.cells {
            true => Ok(Self { kernel: stamp.kernel, sysctls: stamp.sysctls, cells }),
            false => Err(format!("{} of {} cells: it was cut", cells.len(), stamp.cells)),
        }
    }
}

/// A value whose keys are all strings has a JSON text.
fn line(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default() + "\n"
}

fn read<'a, T: Deserialize<'a>>(line: &'a str, event: &str) -> Result<T, String> {
    #[derive(Deserialize)]
    struct Kind {
        schema: u32,
        event: String,
    }
    let kind: Kind = serde_json::from_str(line).map_err(without_place)?;
    if (kind.schema, kind.event.as_str()) != (SCHEMA, event) {
        return Err(format!("not `\"schema\":{SCHEMA},\"event\":\"{event}\"`"));
    }
    serde_json::from_str(line).map_err(without_place)
}

/// What is wrong, without the place, which is always in line 1: each line is read by itself.
fn without_place(error: serde_json::Error) -> String {
    let text = error.to_string();
    text.split(" at line 1 ").next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use nix::errno::Errno;

    use super::super::{Failing, Missing, Pair, State, User};
    use super::*;

    fn matrix() -> Matrix {
        let cells = Cell::all(&[State::Listen], &[Pair::Same], &[User::Same]);
        let outcomes = [
            Outcome::Ok,
            Outcome::Failed(Failing::Bind, Errno::EADDRINUSE),
            Outcome::NotMeasured(Missing::Ipv6),
        ];
        let sysctls = BTreeMap::from([("net.ipv4.tcp_timestamps".to_owned(), "1".to_owned())]);
        let cells = cells.into_iter().zip(outcomes.into_iter().cycle()).collect();
        Matrix { kernel: "6.1.0".to_owned(), sysctls, cells }
    }

    #[test]
    fn a_matrix_reads_as_it_is_written() {
        let text = matrix().to_lines();
        assert_eq!(Matrix::from_lines(&text), Ok(matrix()));
        assert_eq!(
            text.lines().nth(2).unwrap(),
            r#"{"schema":1,"event":"cell","state":"LISTEN","first":"none","second":"RA","pair":"same","user":"same-user","outcome":"bind","errno":"EADDRINUSE"}"#
        );
    }

    #[test]
    fn what_is_no_matrix_is_told_with_its_line() {
        let text = matrix().to_lines();
        for (wrong, said) in [
            (String::new(), "line 1: EOF while parsing a value"),
            ("hello\n".to_owned(), "line 1: expected value"),
            (text.replacen("matrix", "cell", 1), "line 1: not `"),
            (text.replacen("\"RA\"", "\"RAW\"", 1), "line 3: unknown variant"),
            (text.replacen("EADDRINUSE", "EWRONG", 1), "line 3: `EWRONG` is not an errno"),
            (
                text.replacen(
                    "LISTEN\",\"first\":\"none\",\"second\":\"RA\"",
                    "LISTEN\",\"first\":\"none\",\"second\":\"none\"",
                    1,
                ),
                "line 3: LISTEN,none,none,same is there twice",
            ),
            (text.lines().take(5).collect::<Vec<_>>().join("\n"), "4 of 16 cells: it was cut"),
        ] {
            let error = Matrix::from_lines(&wrong).unwrap_err();
            assert!(error.starts_with(said) && !error.contains(" at line "), "{error}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_file_makes_it_panic(cut in 0..3000_usize, text in "\\PC{0,80}") {
            let whole = matrix().to_lines();
            let _ = Matrix::from_lines(&(whole.chars().take(cut).collect::<String>() + &text));
        }
    }
}
