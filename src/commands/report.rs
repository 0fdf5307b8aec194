//! `fourtuple report`: an experiment's evidence as a page.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::bundle::page::{Bundle, Trouble, index, page, text};
use crate::cli::print;
use crate::error::{Error, Result};
use crate::report::say;
use clap::Args;

const AFTER_HELP: &str = "\
A missing part of the bundle is named on the page. A damaged one, or one newer
than this program, is also reported on standard error; the rest is still shown,
and the status is 1.

Exit status: 0 done, 1 there is no bundle, or a part of it cannot be read,
2 wrong usage.

Examples:
  fourtuple report out/evidence/06-self-connect         writes report.html there
  fourtuple report --text out/evidence/06-self-connect  draws in the terminal
  fourtuple report --index out/evidence                 a list of all pages";

/// Show an experiment's evidence: one HTML page, or a diagram in the terminal
#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct ReportArgs {
    /// The bundle that an experiment left; with --index, a directory of bundles
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// Print the sequence diagrams instead of writing a page
    #[arg(long, conflicts_with = "index")]
    text: bool,
    /// Write index.html, a table of all bundles in DIR
    #[arg(long)]
    index: bool,
}

/// Writes or prints what was asked for.
pub(super) fn run(args: &ReportArgs) -> Result<ExitCode> {
    let directory = &args.directory;
    if args.index {
        write_page(&directory.join("index.html"), &index(directory)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let bundle = Bundle::read(directory)?;
    if args.text {
        print(&text(&bundle))?;
    } else {
        write_page(&directory.join("report.html"), &page(&bundle))?;
    }
    let damaged = bundle.troubles.iter().filter(|trouble| matches!(trouble, Trouble::Damaged(_)));
    let mut status = ExitCode::SUCCESS;
    for trouble in damaged {
        say(&format!("fourtuple: report {}: {trouble}", directory.display()));
        status = ExitCode::FAILURE;
    }
    Ok(status)
}

fn write_page(path: &Path, page: &str) -> Result<()> {
    fs::write(path, page).map_err(|error| Error::new("write", path.display(), error))?;
    print(&format!("written {}\n", path.display())).map(drop)
}
