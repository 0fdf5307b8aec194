//! `fourtuple bundle`: what the experiments call to put their evidence together.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use fourtuple::bundle::write::assemble;
use fourtuple::error::Result;

/// Make the JSON files of an experiment's evidence from the pieces that its script wrote
#[derive(Args)]
pub struct BundleArgs {
    /// The directory of the evidence; its subdirectory `pieces` is gone afterwards
    #[arg(value_name = "DIR")]
    directory: PathBuf,
}

/// Assembles it.
pub fn run(args: &BundleArgs) -> Result<ExitCode> {
    assemble(&args.directory)?;
    Ok(ExitCode::SUCCESS)
}
