//! The results as a page of Markdown.

use std::fmt::{self, Display, Write};

use crate::claim::Verdict;
use crate::machine::Machine;
use crate::metric::Metric;
use crate::result::{Figure, Outcome, Series};
use crate::statistics::Spread;

/// The whole page.
pub fn page(machine: &Machine, outcomes: &[Outcome]) -> String {
    let mut page =
        format!("# The listener beside others\n\n{machine}\n\n{}\n{HOW_TO_READ}\n", Summary(outcomes));
    for outcome in outcomes {
        // Writing to a String cannot fail.
        let _ = write!(page, "\n{}", Section(outcome));
    }
    page
}

const HOW_TO_READ: &str = "\
Rounds are interleaved: every server once, then every server again. *ours ÷ this* is the ratio of the first server's value to
this one's, taken round by round: its median is what counts, for a virtual machine changes its speed from one second to the
next, for everybody. *others* is the share of all processors that went to other processes, to the kernel's own work and to
the host. A wall clock is read only where that was under 0.05.

All figures are this machine's, and so is each verdict: another processor, with another cache and another way to copy, has
other ratios. Each server has the buffer that its users would give it, wherever it begins.";

/// What the listener is held to, of all rows.
pub struct Summary<'a>(pub &'a [Outcome]);

impl Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| work | aim | measured here | |\n|---|---|---:|---|")?;
        for outcome in self.0 {
            for verdict in &outcome.verdicts {
                let Verdict { claim, measured, .. } = verdict;
                writeln!(
                    f,
                    "| {} | {claim} | {measured} | {} |",
                    outcome.title,
                    word(verdict, outcome.void)
                )?;
            }
        }
        Ok(())
    }
}

fn word(verdict: &Verdict, void: bool) -> &'static str {
    match verdict.value {
        None => "not measured",
        Some(_) if void => "void",
        Some(_) if verdict.reached => "reached here",
        Some(_) => "**not reached here**",
    }
}

/// One row with its verdicts, as a section. On a terminal it reads as well.
pub struct Section<'a>(pub &'a Outcome);

impl Display for Section<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Outcome {
            key,
            title,
            conditions,
            rounds,
            others,
            void,
            figures,
            verdicts,
            faults,
            aligned_reads,
            ..
        } = self.0;
        let others = others.map_or("unknown".to_owned(), |others| {
            format!("{:.3} ({:.3} to {:.3})", others.median, others.min, others.max)
        });
        writeln!(f, "## {key}: {title}\n\n{conditions}. {rounds} rounds, others {others}.")?;
        if *void {
            writeln!(f, "\n**Void**: too few rounds in which others had less than 0.05 of the processors.")?;
        }
        if !aligned_reads.is_empty() {
            let shares =
                aligned_reads.iter().map(|(server, share)| format!("{server} {:.0} %", share * 100.0));
            let shares = shares.collect::<Vec<_>>().join("; ");
            writeln!(f, "\nReads into a buffer at a multiple of 32 bytes, by strace: {shares}.")?;
        }
        figures.iter().try_for_each(|figure| table(f, figure))?;
        if !verdicts.is_empty() {
            writeln!(f, "\n| aim | measured here | |\n|---|---:|---|")?;
        }
        for verdict in verdicts {
            writeln!(f, "| {} | {} | {} |", verdict.claim, verdict.measured, word(verdict, *void))?;
        }
        for (server, fault, rounds) in faults {
            writeln!(f, "\n{server} failed in {rounds} of the rounds: {fault}.")?;
        }
        Ok(())
    }
}

fn table(f: &mut fmt::Formatter<'_>, figure: &Figure) -> fmt::Result {
    let name = figure.metric.name();
    writeln!(f, "\n| {name} | min | median | max | ours ÷ this |\n|---|---:|---:|---:|---:|")?;
    figure.series.iter().try_for_each(|series| line(f, figure.metric, series))
}

fn line(f: &mut fmt::Formatter<'_>, metric: Metric, series: &Series) -> fmt::Result {
    let Spread { min, median, max } = series.spread;
    let ratio = series.ratio.map_or("-".to_owned(), |ratio| format!("{:.3}", ratio.median));
    let [min, median, max] = [min, median, max].map(|value| metric.show(value));
    writeln!(f, "| {} | {min} | {median} | {max} | {ratio} |", series.server)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_measured_undisturbed_and_holds_is_reached() {
        let verdict = |value: Option<f64>, reached| Verdict {
            claim: String::new(),
            value,
            measured: String::new(),
            reached,
        };
        assert_eq!(word(&verdict(Some(1.0), true), false), "reached here");
        assert_eq!(word(&verdict(Some(1.0), false), false), "**not reached here**");
        assert_eq!(word(&verdict(Some(1.0), true), true), "void");
        assert_eq!(word(&verdict(None, false), false), "not measured");
    }
}
