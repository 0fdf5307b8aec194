//! Lines and tables that the subcommands have in common.

use crate::kernel::port_range::PortRange;
use crate::text::{Format, Line};

use crate::commands::columns;

/// The line of the range, begun.
pub(super) fn range_line(format: Format, range: &PortRange) -> Line {
    let mut line = Line::new(format, "range");
    line.field("ports", range)
        .number("count", range.ports().count() as u64)
        .number("reserved", range.reserved() as u64);
    line
}

/// A table under its column names; none where it would be empty.
pub(super) fn table<const COLUMNS: usize>(header: [&str; COLUMNS], rows: Vec<[String; COLUMNS]>) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let header = header.map(str::to_owned);
    // The longest method goes over two lines before any column is cut.
    let break_cells =
        |line: [String; COLUMNS]| line.map(|cell| cell.replace("ADDRESS_NO_PORT", "ADDRESS_\nNO_PORT"));
    columns::shown([header].into_iter().chain(rows).collect(), break_cells)
}

/// Blocks of lines with a blank line between them; those that are empty are left out.
pub(super) fn blocks(blocks: &[String]) -> String {
    let blocks: Vec<&str> = blocks.iter().map(String::as_str).filter(|block| !block.is_empty()).collect();
    blocks.join("\n")
}
