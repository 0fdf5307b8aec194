//! The matrix as a table that teaches its rule.

use std::fmt::Write;

use crate::lab::matrix::{Failing, Matrix, Missing, Options, Outcome, Pair, expected};
use crate::report::coloured;
use anstyle::{AnsiColor, Style};

use super::fold::{Fold, fold};
use super::wrap::{WIDTH, wrapped};

/// The widths of the columns: where a grid holds, the first one's options, each of the second one's.
const PLACE: usize = 26;
const FIRST: usize = 7;
const CELL: usize = 12;
/// How many cells that do not follow the rule are told one by one.
const SHOWN: usize = 20;

const RULE: &str = "\
The rule, with RA for SO_REUSEADDR and RP for SO_REUSEPORT: sockets whose
addresses overlap (a wildcard overlaps all) share a port only if
  both have RA, and the other one does not listen; or
  both have RP, and belong to one user (in TIME-WAIT the user does not matter).
bind asks for that, and listen asks once more.
";

const MORE: &str = "
One cell, call by call: fourtuple matrix --explain LISTEN,RA,RA,same
Every state, all addresses, another user: fourtuple matrix --full
";

/// The folded grids, what their words mean, the rule, and what does not follow it.
pub(super) fn table(matrix: &Matrix) -> String {
    let folds = fold(matrix);
    let grids: Vec<String> = folds.iter().map(grid).collect();
    [
        format!("Linux {}: may a second socket have the port of a first one?\n", matrix.kernel),
        legend(&folds),
        "\n".to_owned(),
        line(["the first is", "with", "the second with"].into_iter(), None),
        line(["", ""].into_iter().chain(Options::ALL.map(Options::name)), None),
        grids.join("\n"),
        "\n".to_owned(),
        addresses(matrix),
        RULE.to_owned(),
        obedience(matrix),
        MORE.to_owned(),
    ]
    .concat()
}

/// Four rows, or more where the words beside them need it.
fn grid(fold: &Fold) -> String {
    let places = fold.holds.iter().flat_map(|words| wrapped(words, PLACE - 1)).collect::<Vec<_>>();
    let rows: Vec<Vec<Outcome>> = fold.grid.chunks(Options::ALL.len()).map(<[_]>::to_vec).collect();
    let mut text = String::new();
    for index in 0..places.len().max(rows.len()) {
        let place = places.get(index).map_or("", String::as_str);
        let (options, outcomes) = match (Options::ALL.get(index), rows.get(index)) {
            (Some(options), Some(row)) => (options.name(), row.as_slice()),
            _ => ("", &[][..]),
        };
        let words: Vec<String> = outcomes.iter().map(|&outcome| shown(outcome)).collect();
        let cells = [place, options].into_iter().chain(words.iter().map(String::as_str));
        text += &line(cells, Some(outcomes));
    }
    text
}

/// An outcome in a cell; EADDRINUSE goes without saying.
fn shown(outcome: Outcome) -> String {
    match outcome {
        Outcome::Failed(_, nix::errno::Errno::EADDRINUSE) => outcome.name().to_owned(),
        _ => outcome.to_string(),
    }
}

/// A line of the table; `outcomes` colour the cells after the first two.
fn line<'a>(cells: impl Iterator<Item = &'a str>, outcomes: Option<&[Outcome]>) -> String {
    let widths = [PLACE, FIRST].into_iter().chain(std::iter::repeat(CELL));
    let mut text = String::new();
    for (index, (cell, width)) in cells.zip(widths).enumerate() {
        let outcome = index.checked_sub(2).and_then(|column| outcomes?.get(column));
        let style = outcome.map_or(Style::new(), |&outcome| style(outcome));
        // Writing to a String cannot fail.
        let _ = write!(text, "{style}{cell}{style:#}{:1$}", "", width.saturating_sub(cell.len()));
    }
    text.truncate(text.trim_end().len());
    text + "\n"
}

fn style(outcome: Outcome) -> Style {
    match outcome {
        _ if !coloured(&std::io::stdout()) => Style::new(),
        Outcome::Ok => Style::new().bold().fg_color(Some(AnsiColor::Green.into())),
        Outcome::Failed(Failing::Bind, _) => Style::new().fg_color(Some(AnsiColor::Red.into())),
        _ => Style::new().fg_color(Some(AnsiColor::Yellow.into())),
    }
}

/// What the words in the cells mean, those that stand there.
fn legend(folds: &[Fold]) -> String {
    let stands = |failing: Failing| {
        let is = |outcome: &Outcome| matches!(outcome, Outcome::Failed(call, _) if *call == failing);
        folds.iter().any(|fold| fold.grid.iter().any(is))
    };
    let words = [
        (Failing::Bind, "bind"),
        (Failing::Listen, "listen"),
        (Failing::FirstListen, "1st-listen (the first one's)"),
    ];
    let words: Vec<&str> =
        words.into_iter().filter(|(call, _)| stands(*call)).map(|(_, word)| word).collect();
    let words = format!("ok, or the call that fails with EADDRINUSE: {}", words.join(", "));
    wrapped(&words, WIDTH).join("\n") + "\n"
}

/// Which pairs of addresses the table is about.
fn addresses(matrix: &Matrix) -> String {
    let has = |pair: &Pair| matrix.cells.iter().any(|(cell, _)| cell.pair == *pair);
    let named = |overlap: bool, kind: &str| {
        let pairs = Pair::ALL.into_iter().filter(|pair| pair.overlaps() == overlap && has(pair));
        let names = pairs.map(Pair::name).collect::<Vec<_>>().join(", ");
        if names.is_empty() { names } else { wrapped(&format!("{kind}: {names}"), WIDTH).join("\n  ") + "\n" }
    };
    named(true, "overlapping addresses") + &named(false, "addresses apart") + "\n"
}

/// How many cells follow the rule, which do not, and how many could not be asked.
fn obedience(matrix: &Matrix) -> String {
    let measured: Vec<_> = matrix.cells.iter().filter(|(_, outcome)| outcome.is_measured()).collect();
    let odd: Vec<_> = measured.iter().filter(|(cell, outcome)| expected(*cell) != *outcome).collect();
    let mut text = match odd.len() {
        0 => format!("{} cells measured, all follow it.\n", measured.len()),
        odd => format!("{} cells measured, {odd} do not follow it:\n", measured.len()),
    };
    for (cell, outcome) in odd.iter().take(SHOWN) {
        let _ = writeln!(text, "  {cell}: {outcome}, and the rule has {}", expected(*cell));
    }
    if odd.len() > SHOWN {
        let _ = writeln!(text, "  and {} more", odd.len() - SHOWN);
    }
    for missing in [Missing::OtherUser, Missing::Ipv6] {
        let lacking = Outcome::NotMeasured(missing);
        match matrix.cells.iter().filter(|(_, outcome)| *outcome == lacking).count() {
            0 => {}
            count => _ = writeln!(text, "{count} more could not be measured: {missing}."),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use crate::lab::matrix::{Cell, State, User};

    use super::*;

    fn by_the_rule() -> Matrix {
        let cells = Cell::all(&[State::Listen, State::TimeWait], &[Pair::Same], &[User::Same]);
        let cells = cells.into_iter().map(|cell| (cell, expected(cell))).collect();
        Matrix { kernel: "6.1".to_owned(), sysctls: BTreeMap::new(), cells }
    }

    #[test]
    fn a_cell_that_does_not_follow_the_rule_is_told() {
        let mut matrix = by_the_rule();
        assert!(table(&matrix).contains("\n32 cells measured, all follow it.\n"));
        matrix.cells[5].1 = Outcome::Failed(Failing::Listen, nix::errno::Errno::EACCES);
        let text = table(&matrix);
        let told = "\n32 cells measured, 1 do not follow it:\n  \
                    LISTEN,RA,RA,same: listen/EACCES, and the rule has bind/EADDRINUSE\n";
        assert!(text.contains(told), "{text}");
        assert!(text.contains("EADDRINUSE: bind, listen\n"), "{text}");
        assert!(text.contains("RA     bind        listen/EACCES"), "{text}");
    }

    #[test]
    fn what_could_not_be_measured_is_counted_and_takes_no_part() {
        let mut matrix = by_the_rule();
        assert!(!table(&matrix).contains("could not be measured"));
        matrix.cells[5].1 = Outcome::NotMeasured(Missing::OtherUser);
        let text = table(&matrix);
        assert!(
            text.contains("\n31 cells measured, all follow it.\n1 more could not be measured: "),
            "{text}"
        );
    }

    #[test]
    fn of_many_such_cells_twenty_are_told_and_the_rest_counted() {
        let mut matrix = by_the_rule();
        matrix
            .cells
            .iter_mut()
            .for_each(|(_, outcome)| *outcome = Outcome::Failed(Failing::Listen, nix::errno::Errno::EIO));
        let text = table(&matrix);
        assert_eq!(text.matches(", and the rule has ").count(), 20, "{text}");
        assert!(text.contains("\n  and 12 more\n"), "{text}");
    }
}
