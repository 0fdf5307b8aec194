//! Rows as text: columns for a reader at a terminal, columns for a script.

use std::fmt::Write;
use std::io::{IsTerminal, stdout};

use comfy_table::{ContentArrangement, Table, presets};
use fourtuple::report::Commas;

use super::Entry;

const COLUMNS: usize = 9;
const HEADER: [&str; COLUMNS] =
    ["STATE", "LOCAL", "REMOTE", "RECV-Q", "SEND-Q", "TIMER", "UID", "INODE", "PROCESSES"];

/// How many columns the terminal on standard output has, where it is one.
pub fn terminal_width() -> Option<u16> {
    let output = stdout();
    let size = || terminal_size::terminal_size_of(&output).map(|(width, _)| width.0);
    output.is_terminal().then(|| size().filter(|&width| width > 0).unwrap_or(80))
}

/// A table for a terminal; cells that do not fit its width are broken over several lines.
pub fn fitted(entries: &[Entry], header: bool, width: u16) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
    if header {
        table.set_header(HEADER);
    }
    for entry in entries {
        table.add_row(cells(entry).map(|cell| cell.replace("),", ") ")));
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    match table.is_empty() && !header {
        true => String::new(),
        false => table.trim_fmt() + "\n",
    }
}

/// Columns separated by blanks, none of them empty or with a blank in it.
pub fn plain(entries: &[Entry], header: bool) -> String {
    let header = header.then(|| HEADER.map(str::to_owned));
    let lines: Vec<[String; COLUMNS]> = header.into_iter().chain(entries.iter().map(cells)).collect();
    let mut widths = [0; COLUMNS];
    for line in &lines {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = cell.len().max(*width);
        }
    }
    let mut text = String::new();
    for [columns @ .., processes] in &lines {
        for (cell, width) in columns.iter().zip(widths) {
            // Writing to a String cannot fail.
            let _ = write!(text, "{cell:width$}  ");
        }
        text.push_str(processes);
        text.push('\n');
    }
    text
}

fn cells(Entry { row, processes }: &Entry) -> [String; COLUMNS] {
    [
        row.state.to_string(),
        row.local.to_string(),
        row.remote.to_string(),
        row.receive_queue.to_string(),
        row.send_queue.to_string(),
        row.timer.map_or_else(|| "-".to_owned(), |timer| timer.to_string()),
        row.uid.to_string(),
        row.inode.to_string(),
        Commas(processes).to_string(),
    ]
}
