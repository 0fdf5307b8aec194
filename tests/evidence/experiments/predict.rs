//! Predict first: the reader commits an answer, the kernel grades it.

use std::fs;

use serde_json::Value;

use super::lab::{CONNECTED, Lab, Verdict, each_is_told};

const TWIN: &str = "\
ask 'Which call fails?' bind connect neither
start_connector twin $FIRST:3001 $FIRST:3000
expect_connect_error twin EADDRNOTAVAIL
answer connect";

/// What becomes of a prediction of `question`, a step and its answer.
fn predicted(lab: &Lab, question: &str, answers: &str) -> Verdict {
    let body = format!("{CONNECTED}\n{question}\nconclude");
    let path = lab.directory.path().join("answers");
    fs::write(&path, answers).unwrap();
    let mut command = lab.bash(&lab.script(&body));
    Verdict::of(command.env("PREDICT", "1").env("ANSWERS", path).env("PATIENCE", "2").output().unwrap())
}

fn predictions(lab: &Lab) -> Value {
    let verdict = fs::read_to_string(lab.directory.path().join("test/verdict.json")).unwrap();
    serde_json::from_str::<Value>(&verdict).unwrap()["predictions"].take()
}

#[test]
fn nobody_is_asked_unless_predict_is_set() {
    let Some(lab) = Lab::isolated() else { return };
    let verdict = lab.conclude(CONNECTED, TWIN);
    verdict.passes();
    assert!(!verdict.text.contains("Which call fails?"), "{}", verdict.text);
    let asked = &predictions(&lab)[0];
    assert_eq!((&asked["predicted"], &asked["answer"]), (&Value::Null, &"connect".into()));
}

#[test]
fn a_reader_commits_before_the_step_and_the_kernel_grades() {
    let Some(lab) = Lab::isolated() else { return };
    // A reply that is no choice is asked for again; a choice counts by its number and by its word,
    // with blanks around it or not.
    for (answers, told, score) in [
        ("maybe\n1\n", "you said bind: the kernel says connect", 0),
        ("connect\n", "you said connect: right", 1),
        ("\t2 \n", "you said connect: right", 1),
    ] {
        let verdict = predicted(&lab, TWIN, answers);
        verdict.passes();
        let place =
            |text: &str| verdict.text.find(text).unwrap_or_else(|| panic!("{text}: {}", verdict.text));
        assert!(place("predict: Which call fails?") < place("ok 1 - twin: connect EADDRNOTAVAIL"));
        assert!(place(told) < place(&format!("predictions: {score} of 1 right")));
        assert_eq!(predictions(&lab)[0]["right"], score == 1);
    }
}

#[test]
fn a_kernel_that_answers_differently_grades_nobody() {
    let Some(lab) = Lab::isolated() else { return };
    let verdict = predicted(&lab, &TWIN.replace("EADDRNOTAVAIL", "EADDRINUSE"), "connect\n");
    verdict.fails_with("grades nobody");
    assert!(!verdict.text.contains("predictions:"), "{}", verdict.text);
    assert_eq!(predictions(&lab)[0]["answer"], Value::Null);
}

#[test]
fn the_end_of_the_answers_ends_the_experiment() {
    let Some(lab) = Lab::isolated() else { return };
    predicted(&lab, TWIN, "").fails_with("PREDICT=1: end of input");
}

#[test]
fn a_question_needs_its_answer_among_its_choices_and_a_check_that_shows_it() {
    each_is_told(&[
        ("ask 'Which?' one", "test.sh:5: ask needs QUESTION CHOICE CHOICE…"),
        ("answer one", "test.sh:5: answer: no question waits for it"),
        ("ask 'Which?' one two", "no answer follows on \"Which?\""),
        ("ask 'Which?' one two\nask 'And?' a b", "test.sh:6: no answer follows on \"Which?\""),
        ("ask 'Which?' one two\nanswer one", "test.sh:6: answer: nothing was checked since \"Which?\""),
        (
            "ask 'Which?' one two\nexpect_echo red hello\nanswer three",
            "answer: 'three' is none of the choices",
        ),
    ]);
}
