//! `make bench`: the listener beside what people would use instead, measured in one run. `make compare-models`: its models
//! beside each other.

mod alignment;
mod claim;
mod clients;
mod cpus;
mod curves;
mod error;
mod load;
mod machine;
mod markdown;
mod metric;
mod models;
mod peers;
mod plot;
mod result;
mod rounds;
mod rows;
mod server;
mod statistics;
mod work;

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use clap::Parser;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use cpus::Cpus;
use error::Result;
use machine::Machine;
use markdown::{Section, Summary};
use result::Outcome;
use rows::ROWS;

/// Measure the listener beside other echo servers
///
/// Writes out/bench/results.md, results.json and a plot for each figure. It reports, whatever the figures are; it fails
/// where a server gives wrong bytes back. Run from the top of the repository, by `make bench`.
///
/// BEFORE in the environment names another listener, such as that of the commit before: rows of the listener measure it in
/// the same rounds. PYTHON names the interpreter of the Python servers.
#[derive(Parser)]
#[command(name = "bench")]
struct Args {
    /// Rows to measure [default: all]
    #[arg(value_parser = rows::keys(), value_name = "ROW")]
    rows: Vec<String>,
    /// Rounds of each row, in place of its own number
    #[arg(long, value_name = "N")]
    rounds: Option<usize>,
    /// Compare the listener's models instead, in out/bench/models.md, models.json and models.svg
    #[arg(long, conflicts_with = "rows")]
    models: bool,
}

/// Where the results are written.
const RESULTS: &str = "out/bench";

#[derive(serde::Serialize)]
struct Results<'a, R> {
    machine: &'a Machine,
    rows: &'a [R],
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(status) => status,
        Err(error) => {
            eprintln!("bench: {}", error.words());
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<ExitCode> {
    raise_descriptor_limit()?;
    let cpus = Cpus::given()?;
    let machine = Machine::this(&cpus)?;
    println!("{machine}\n");
    let wrong = if args.models {
        compare_models(&machine, &cpus, args.rounds)?
    } else {
        measure_rows(&machine, &cpus, args)?
    };
    Ok(if wrong { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Measures the rows that were asked for; whether a server gave wrong bytes back.
fn measure_rows(machine: &Machine, cpus: &Cpus, args: &Args) -> Result<bool> {
    let mut outcomes = Vec::new();
    for row in ROWS.iter().filter(|row| args.rows.is_empty() || args.rows.iter().any(|key| key == row.key)) {
        let outcome = row.measure(cpus, args.rounds)?;
        println!("{}", Section(&outcome));
        outcomes.push(outcome);
        // After each row: whoever stops it early keeps what there is.
        write(machine, &outcomes)?;
    }
    println!("{}", Summary(&outcomes));
    println!("{RESULTS}/results.md, {RESULTS}/results.json, {RESULTS}/*.svg");
    Ok(outcomes.iter().any(|outcome| outcome.wrong))
}

/// Compares the listener's models; whether one gave wrong bytes back or could not be measured.
fn compare_models(machine: &Machine, cpus: &Cpus, rounds: Option<usize>) -> Result<bool> {
    let directory = Path::new(RESULTS);
    fs::create_dir_all(directory)?;
    print!("{}", models::HEAD);
    let mut crowds = Vec::new();
    for crowd in models::crowds(cpus, rounds) {
        let crowd = crowd?;
        print!("{crowd}");
        eprint!("{}", models::faults(&crowd));
        crowds.push(crowd);
        fs::write(directory.join("models.md"), models::page(machine, &crowds))?;
        let results = Results { machine, rows: &crowds };
        fs::write(directory.join("models.json"), serde_json::to_string_pretty(&results)?)?;
        curves::draw(&crowds, &directory.join("models.svg"))?;
    }
    println!("\n{RESULTS}/models.md, {RESULTS}/models.json, {RESULTS}/models.svg");
    Ok(crowds.iter().any(models::Crowd::failed))
}

/// The servers inherit it: each must hold 10,000 connections.
fn raise_descriptor_limit() -> Result<()> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    Ok(setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?)
}

fn write(machine: &Machine, outcomes: &[Outcome]) -> Result<()> {
    let directory = Path::new(RESULTS);
    fs::create_dir_all(directory)?;
    fs::write(directory.join("results.md"), markdown::page(machine, outcomes))?;
    let results = Results { machine, rows: outcomes };
    fs::write(directory.join("results.json"), serde_json::to_string_pretty(&results)?)?;
    for outcome in outcomes {
        for figure in &outcome.figures {
            let file = format!("{}-{}.svg", outcome.key, figure.metric.key());
            plot::draw(figure, outcome.title, &directory.join(file))?;
        }
    }
    Ok(())
}
