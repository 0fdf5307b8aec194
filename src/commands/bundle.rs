//! `fourtuple bundle`: what the experiments call to put their evidence together.

use std::path::PathBuf;
use std::process::ExitCode;

use crate::bundle::write::assemble;
use crate::error::Result;
use clap::Args;

/// Make the JSON files of an experiment's evidence from the pieces that its script wrote
#[derive(Args)]
pub(super) struct BundleArgs {
    /// The directory of the evidence; its subdirectory `pieces` is gone afterwards
    #[arg(value_name = "DIR")]
    directory: PathBuf,
}

/// Assembles it.
pub(super) fn run(args: &BundleArgs) -> Result<ExitCode> {
    assemble(&args.directory)?;
    Ok(ExitCode::SUCCESS)
}
