//! `verdict.json`: the question, each check, and whether all of them held.

use super::notes::{CheckNote, CheckOutcome, Notes, PredictionNote};
use crate::bundle::schema::{Check, ExperimentVerdict, Prediction, SCHEMA};

/// It holds when no check failed and at least one was made.
pub(super) fn verdict(notes: &Notes) -> ExperimentVerdict {
    let outcomes = || notes.checks.iter().map(|check| check.outcome);
    ExperimentVerdict {
        schema: SCHEMA,
        experiment: notes.experiment.clone(),
        question: notes.question.clone(),
        picture: notes.picture.clone(),
        answer: notes.answer.clone(),
        holds: outcomes().all(|outcome| outcome != CheckOutcome::Failed)
            && outcomes().any(|outcome| outcome == CheckOutcome::Held),
        finished_us: notes.finished_us,
        checks: (1..).zip(&notes.checks).map(check).collect(),
        predictions: notes.predictions.iter().map(prediction).collect(),
    }
}

fn check((number, check): (u64, &CheckNote)) -> Check {
    Check {
        number,
        text: check.text.clone(),
        expected: check.expected.clone(),
        seen: check.seen.clone(),
        ok: check.outcome != CheckOutcome::Failed,
        skipped: check.outcome == CheckOutcome::Skipped,
        time_us: check.time_us,
    }
}

fn prediction(prediction: &PredictionNote) -> Prediction {
    Prediction {
        question: prediction.question.clone(),
        choices: prediction.choices.clone(),
        predicted: prediction.predicted.clone(),
        answer: prediction.answer.clone(),
        right: prediction.predicted.is_some() && prediction.predicted == prediction.answer,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(outcomes: &[CheckOutcome]) -> Notes {
        let check = |&outcome| CheckNote {
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
        let holds = |outcomes: &[CheckOutcome]| verdict(&checked(outcomes)).holds;
        assert!(holds(&[CheckOutcome::Held, CheckOutcome::Skipped]));
        assert!(!holds(&[CheckOutcome::Held, CheckOutcome::Failed]));
        assert!(!holds(&[CheckOutcome::Skipped]));
        assert!(!holds(&[]));
    }

    #[test]
    fn a_prediction_is_right_when_the_kernel_did_the_same() {
        let right = |predicted: Option<&str>, answer: Option<&str>| {
            let prediction = PredictionNote {
                question: String::new(),
                choices: Vec::new(),
                predicted: predicted.map(str::to_owned),
                answer: answer.map(str::to_owned),
            };
            let notes = Notes { predictions: vec![prediction], ..Notes::default() };
            verdict(&notes).predictions[0].right
        };
        assert!(right(Some("bind"), Some("bind")));
        assert!(!right(Some("bind"), Some("connect")));
        assert!(!right(None, None));
    }
}
