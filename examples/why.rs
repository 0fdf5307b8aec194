//! Why a server cannot have its address, and what helps: `cargo run --example why -- 127.0.0.1:3000`.
#![allow(clippy::print_stdout, reason = "an example says what it does")]

use std::env;
use std::net::SocketAddr;

use fourtuple::{Goal, PlannedCall, Result, SocketOptions, Verdict, why};

fn main() -> Result<()> {
    let local: SocketAddr =
        env::args().nth(1).and_then(|local| local.parse().ok()).unwrap_or(([0; 4], 3000).into());
    let question = PlannedCall { goal: Goal::Listen(local), options: SocketOptions::default() };
    let answer = why(&question)?;
    match &answer.verdict {
        Verdict::Works => println!("{local} can be had"),
        Verdict::MayFail { call, errno, doubt } => println!("{call} may fail with {errno:?}: {doubt}"),
        Verdict::Fails { call, errno, reason } => println!("{call} fails with {errno:?}: {reason}"),
    }
    for found in &answer.in_the_way {
        println!("in the way: {}", found.holder);
    }
    for advice in &answer.advice {
        println!("what helps: {}", advice.remedy);
    }
    Ok(())
}
