//! One run of `fourtuple load`, and what it told.

use std::net::SocketAddr;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::error::{Error, Result};
use crate::metric::{Metric, Sample};

/// Runs `fourtuple load` with `arguments` against `address`, the CPU time of process `pid` beside it.
pub fn run(arguments: &str, address: SocketAddr, pid: u32) -> Result<Sample> {
    let mut words = arguments.split(' ');
    let output = Command::new("out/fourtuple")
        .args(["load", words.next().unwrap_or_default(), &address.to_string()])
        .args(words)
        .args(["--format", "json", "--server-pid", &pid.to_string()])
        .stderr(Stdio::piped())
        .output()?;
    let told = Told::read(&String::from_utf8_lossy(&output.stdout))?;
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.stderr).lines().next().unwrap_or_default().to_owned();
        let wrong = told.number("failures", None, "wrong").is_ok_and(|wrong| wrong > 0.0);
        return Err(if wrong { Error::Content(words) } else { Error::Unable(words) });
    }
    told.sample()
}

/// The lines of a run.
struct Told(Vec<Value>);

impl Told {
    fn read(lines: &str) -> Result<Self> {
        Ok(Self(lines.lines().map(serde_json::from_str).collect::<std::result::Result<_, _>>()?))
    }

    /// The number at `key` of the event, of the process `of` where it is about one.
    fn number(&self, event: &str, of: Option<&str>, key: &str) -> Result<f64> {
        let is_it = |line: &&Value| {
            line.get("event").and_then(Value::as_str) == Some(event)
                && of.is_none_or(|of| line.get("of").and_then(Value::as_str) == Some(of))
        };
        let number = self.0.iter().find(is_it).and_then(|line| line.get(key)?.as_f64());
        number.ok_or_else(|| Error::unable(format!("fourtuple load did not tell {key} of {event}")))
    }

    fn sample(&self) -> Result<Sample> {
        if self.number("result", None, "requests")? == 0.0 {
            return Err(Error::unable("no request was answered in the measured time"));
        }
        let server = |key| self.number("cpu", Some("server"), key);
        let mut sample = Sample::from([
            (Metric::RequestsPerSecond, self.number("result", None, "requests_per_second")?),
            (Metric::LatencyMedian, self.number("latency", None, "p50_ns")?),
            (Metric::LatencyP99, self.number("latency", None, "p99_ns")?),
            (Metric::CpuPerRequest, server("per_request_ns")?),
            (Metric::RequestsPerCpuSecond, 1e9 / server("per_request_ns")?),
            (Metric::CpuPerKib, server("per_KiB_ns")?),
        ]);
        // Told where connections stay.
        if let Ok(served) = self.number("result", None, "served") {
            sample.insert(Metric::ServedClients, served);
        }
        Ok(sample)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINES: &str = r#"
{"event":"running","mode":"rr"}
{"event":"result","requests":10,"served":1,"requests_per_second":20}
{"event":"latency","p50_ns":5000,"p99_ns":9000}
{"event":"cpu","of":"self","per_request_ns":1,"per_KiB_ns":2}
{"event":"cpu","of":"server","per_request_ns":4,"per_KiB_ns":3}
{"event":"failures","wrong":0}
"#;

    #[test]
    fn a_sample_is_of_the_server_and_not_of_the_load() {
        let sample = Told::read(LINES.trim()).unwrap().sample().unwrap();
        assert_eq!(
            sample.into_values().collect::<Vec<_>>(),
            [4.0, 3.0, 20.0, 5000.0, 250_000_000.0, 9000.0, 1.0]
        );
    }

    #[test]
    fn a_run_without_an_answer_is_no_sample() {
        let error = Told::read(r#"{"event":"result","requests":0}"#).unwrap().sample().unwrap_err();
        assert_eq!(error.words(), "no request was answered in the measured time");
    }

    #[test]
    fn what_was_not_told_is_named() {
        let error = Told::read(r#"{"event":"result","requests":1}"#).unwrap().sample().unwrap_err();
        assert_eq!(error.words(), "fourtuple load did not tell requests_per_second of result");
    }
}
