//! `verdict.json`: the question, each check, and whether all of them held.

use serde::Serialize;

use super::notes::{CheckOutcome, Notes};
use super::schema::SCHEMA;

#[derive(Serialize)]
pub(super) struct WrittenVerdict<'a> {
    schema: u32,
    experiment: &'a str,
    question: &'a str,
    picture: &'a str,
    answer: &'a str,
    holds: bool,
    finished_us: u64,
    checks: Vec<WrittenCheck<'a>>,
    predictions: Vec<WrittenPrediction<'a>>,
}

#[derive(Serialize)]
struct WrittenCheck<'a> {
    number: usize,
    text: &'a str,
    expected: &'a str,
    seen: &'a str,
    ok: bool,
    skipped: bool,
    time_us: u64,
}

#[derive(Serialize)]
struct WrittenPrediction<'a> {
    question: &'a str,
    choices: &'a [String],
    predicted: Option<&'a str>,
    answer: Option<&'a str>,
    right: bool,
}

impl<'a> WrittenVerdict<'a> {
    /// It holds when no check failed and at least one was made.
    pub(super) fn of(notes: &'a Notes) -> Self {
        let outcomes = || notes.checks.iter().map(|check| check.outcome);
        Self {
            schema: SCHEMA,
            experiment: &notes.experiment,
            question: &notes.question,
            picture: &notes.picture,
            answer: &notes.answer,
            holds: outcomes().all(|outcome| outcome != CheckOutcome::Failed)
                && outcomes().any(|outcome| outcome == CheckOutcome::Held),
            finished_us: notes.finished_us,
            checks: checks(notes),
            predictions: predictions(notes),
        }
    }
}

fn checks(notes: &Notes) -> Vec<WrittenCheck<'_>> {
    (1..)
        .zip(&notes.checks)
        .map(|(number, check)| WrittenCheck {
            number,
            text: &check.text,
            expected: &check.expected,
            seen: &check.seen,
            ok: check.outcome != CheckOutcome::Failed,
            skipped: check.outcome == CheckOutcome::Skipped,
            time_us: check.time_us,
        })
        .collect()
}

fn predictions(notes: &Notes) -> Vec<WrittenPrediction<'_>> {
    notes
        .predictions
        .iter()
        .map(|prediction| WrittenPrediction {
            question: &prediction.question,
            choices: &prediction.choices,
            predicted: prediction.predicted.as_deref(),
            answer: prediction.answer.as_deref(),
            right: prediction.predicted.is_some() && prediction.predicted == prediction.answer,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(outcomes: &[CheckOutcome]) -> Notes {
        let check = |&outcome| super::super::notes::CheckNote {
            text: String::new(),
            expected: String::new(),
            seen: String::new(),
            outcome,
            time_us: 0,
        };
        Notes { checks: outcomes.iter().map(check).collect(), ..Notes::default() }
    }

    #[test]
    fn holds_when_something_was_checked_and_nothing_failed() {
        let holds = |outcomes: &[CheckOutcome]| WrittenVerdict::of(&checked(outcomes)).holds;
        assert!(holds(&[CheckOutcome::Held, CheckOutcome::Skipped]));
        assert!(!holds(&[CheckOutcome::Held, CheckOutcome::Failed]));
        assert!(!holds(&[CheckOutcome::Skipped]));
        assert!(!holds(&[]));
    }

    #[test]
    fn a_prediction_is_right_when_the_kernel_did_the_same() {
        let right = |predicted: Option<&str>, answer: Option<&str>| {
            let prediction = super::super::notes::PredictionNote {
                question: String::new(),
                choices: Vec::new(),
                predicted: predicted.map(str::to_owned),
                answer: answer.map(str::to_owned),
            };
            let notes = Notes { predictions: vec![prediction], ..Notes::default() };
            WrittenVerdict::of(&notes).predictions[0].right
        };
        assert!(right(Some("bind"), Some("bind")));
        assert!(!right(Some("bind"), Some("connect")));
        assert!(!right(None, None));
    }
}
