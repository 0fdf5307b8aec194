//! Columns of text: for a reader at a terminal, and for a script.

use std::fmt::Write;
use std::io::{IsTerminal, stdout};

use comfy_table::{ContentArrangement, Table, presets};

const GAP: &str = "  ";

/// The lines as columns: fitted to the terminal where standard output is one, `break_cells` then making of a line that
/// is too long one whose cells go over several; else separated by blanks.
pub(super) fn shown<L: AsRef<[String]>>(lines: Vec<L>, break_cells: impl Fn(L) -> L) -> String {
    match terminal_width() {
        Some(width) => fitted(lines, break_cells, width),
        None => aligned(&lines),
    }
}

/// How many columns the terminal on standard output has, where it is one.
fn terminal_width() -> Option<u16> {
    let output = stdout();
    let size = || terminal_size::terminal_size_of(&output).map(|(width, _)| width.0);
    output.is_terminal().then(|| size().filter(|&width| width > 0).unwrap_or(80))
}

/// A table of this width.
pub(super) fn fitted<L: AsRef<[String]>>(lines: Vec<L>, break_cells: impl Fn(L) -> L, width: u16) -> String {
    if widths(&lines).iter().map(|width| width + GAP.len()).sum::<usize>() <= usize::from(width) + GAP.len() {
        return aligned(&lines);
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
    table.add_rows(lines.into_iter().map(|line| break_cells(line).as_ref().to_vec()));
    for column in table.column_iter_mut() {
        column.set_padding((0, 1));
    }
    table.trim_fmt() + "\n"
}

/// Columns separated by blanks.
pub(super) fn aligned<L: AsRef<[String]>>(lines: &[L]) -> String {
    let widths = widths(lines);
    let mut text = String::new();
    for line in lines {
        let Some((last, columns)) = line.as_ref().split_last() else { continue };
        for (cell, width) in columns.iter().zip(&widths) {
            // Writing to a String cannot fail.
            let _ = write!(text, "{cell:width$}{GAP}");
        }
        text.push_str(last);
        text.push('\n');
    }
    text
}

fn widths<L: AsRef<[String]>>(lines: &[L]) -> Vec<usize> {
    let mut widths = Vec::new();
    for line in lines {
        widths.resize(line.as_ref().len().max(widths.len()), 0);
        for (width, cell) in widths.iter_mut().zip(line.as_ref()) {
            *width = cell.chars().count().max(*width);
        }
    }
    widths
}
