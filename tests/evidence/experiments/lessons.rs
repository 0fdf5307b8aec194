//! What lessons are made of: questions that the run answers, in the reader's language, and the words they need.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::lab::{CONNECTED, Lab, ROOT, TALKING, Verdict, experiment};

/// The phrases of a lesson and their translations.
fn translations(name: &str) -> Vec<(String, String)> {
    let text = fs::read_to_string(Path::new(ROOT).join("experiments/fr").join(name)).unwrap();
    let pairs = text.split("\n\n").map(|pair| {
        let (english, french) = pair.trim_end().split_once('\n').unwrap_or_else(|| panic!("{name}: {pair}"));
        assert!(!french.contains('\n'), "{name}: {pair}");
        (english.to_owned(), french.to_owned())
    });
    pairs.collect()
}

fn lessons() -> Vec<String> {
    let files = fs::read_dir(Path::new(ROOT).join("experiments/fr")).unwrap();
    let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name != "vocabulary.txt").collect()
}

fn spoken(lab: &Lab, script: &Path, locale: &[(&str, &str)]) -> Verdict {
    Verdict::of(lab.bash(script).envs(locale.iter().copied()).output().unwrap())
}

#[test]
fn a_lesson_in_french_says_every_phrase_of_its_translation_and_none_in_english() {
    let Some(lab) = Lab::isolated() else { return };
    assert_eq!(lessons().len(), 3);
    for name in lessons() {
        let answers = lab.directory.path().join("answers");
        fs::write(&answers, "1\n".repeat(9)).unwrap();
        let mut command = lab.bash(&experiment(&name.replace(".txt", ".sh")));
        command.env("LANG", "fr_FR.UTF-8").env("PREDICT", "1").env("ANSWERS", answers);
        let verdict = Verdict::of(command.output().unwrap());
        verdict.passes();
        // The verdict is wrapped in the header only.
        let text = verdict.text.replace('\n', " ");
        for (english, french) in translations(&name) {
            assert!(text.contains(&french), "{name} does not say: {french}\n{}", verdict.text);
            assert!(french.contains(&english) || !text.contains(&english), "{name} says: {english}");
        }
        assert!(text.contains("verdict : "), "{}", verdict.text);
    }
}

#[test]
fn lang_chooses_the_language_unless_another_variable_of_the_locale_does() {
    let Some(lab) = Lab::isolated() else { return };
    let script = lab.script("set_sysctl net.ipv4.tcp_timestamps 1\nconclude");
    fs::create_dir(lab.directory.path().join("fr")).unwrap();
    fs::write(lab.directory.path().join("fr/test.txt"), "test\népreuve\n").unwrap();
    for (locale, title) in [
        (&[][..], "test\n"),
        (&[("LANG", "fr_CA.UTF-8")], "épreuve\n"),
        (&[("LANG", "en_US.UTF-8")], "test\n"),
        (&[("LANG", "fr"), ("LC_ALL", "C.UTF-8")], "épreuve\n"),
        (&[("LANG", "fr"), ("LC_ALL", "en_GB")], "test\n"),
        (&[("LANG", "fr"), ("LC_MESSAGES", "en_GB")], "test\n"),
    ] {
        let verdict = spoken(&lab, &script, locale);
        assert!(verdict.text.starts_with(title), "{locale:?}: {}", verdict.text);
    }
}

#[test]
fn a_translation_of_what_the_lesson_does_not_say_fails() {
    let Some(lab) = Lab::isolated() else { return };
    let script = lab.script(&format!("{CONNECTED}\nexpect_echo red hello\nconclude"));
    fs::create_dir(lab.directory.path().join("fr")).unwrap();
    fs::write(lab.directory.path().join("fr/test.txt"), "test\népreuve\n\nold words\nvieux mots\n").unwrap();
    spoken(&lab, &script, &[("LANG", "fr")]).fails_with("fr/test.txt: the lesson does not say: old words");
    spoken(&lab, &script, &[]).passes();
}

#[test]
fn a_lesson_explains_only_what_was_checked_and_held() {
    let Some(lab) = Lab::isolated() else { return };
    lab.conclude(CONNECTED, "explain 'Why?' 'So.'")
        .fails_with("test.sh:5: explain: nothing was checked for \"Why?\"");
    let explained = lab.conclude(CONNECTED, "expect_echo red hello\nexplain 'Why?' 'So.'");
    explained.passes();
    assert!(explained.text.contains("\nWhy?\n  So.\n"), "{}", explained.text);
    let wrong = format!("{CONNECTED}\nexpect_echo red bonjour\nexplain 'Why?' 'So.'\nconclude");
    lab.run_in_vain(&wrong).fails_with("\nWhy?\n  The kernel did something else than this lesson says.\n");
}

const UNREAD: &str = "\
start_perform both --until 'client: send' '
    listener: socket
    bind 127.0.0.1:3000
    listen 2
    client: socket
    bind 127.0.0.1:3001
    connect @listener
    send \"hello\"
    pause'";

#[test]
fn what_waits_in_the_kernel_is_counted() {
    let Some(lab) = Lab::isolated() else { return };
    let words = "expect_backlog $FIRST:3000 1\nexpect_unread $FIRST:3000 $FIRST:3001 5\nconclude";
    lab.run(&format!("{UNREAD}\n{words}")).passes();
    lab.conclude_in_vain(UNREAD, "expect_backlog $FIRST:3000 0").fails_with(
        "# expected  LISTEN 127.0.0.1:3000 RECV-Q 0\n# seen      LISTEN 127.0.0.1:3000 RECV-Q 1\n",
    );
    lab.conclude_in_vain(UNREAD, "expect_unread $FIRST:3000 $FIRST:3001 4").fails_with("RECV-Q 5\n");
    lab.conclude_in_vain(UNREAD, "expect_backlog $FIRST:3005 0").fails_with("no such socket");
}

#[test]
fn children_are_counted_and_shown() {
    let Some(lab) = Lab::isolated() else { return };
    let started = "start_program family -- bash -c 'sleep 60 & sleep 60 & wait'";
    let seen = lab.conclude(started, "expect_children family 2");
    seen.passes();
    let tree = Command::new("ps").args(["--forest", "-p", "1"]).output();
    if tree.is_ok_and(|tree| tree.status.success()) {
        assert!(seen.text.contains("# $ ps --forest "), "{}", seen.text);
        // One that has only just been forked is still called bash.
        assert_eq!(seen.text.matches(" \\_ ").count(), 2, "{}", seen.text);
    }
    // It has one for a moment: the second number is asked for when both are there.
    lab.conclude_in_vain(started, "expect_children family 2\nexpect_children family 1")
        .fails_with("not ok 2 - ");
}

#[test]
fn two_clients_of_one_port_are_told_apart_from_two_with_their_own() {
    let Some(lab) = Lab::isolated() else { return };
    let client = |name: &str, bind: &str| format!("perform {name} 'socket\n{bind}\ngetsockname'\n");
    let both = |first: &str, second: &str| {
        [client("a", first), client("b", second), "expect_own_ports a b\nconclude".to_owned()].concat()
    };
    lab.run(&both("bind 127.0.0.1:4001", "bind 127.0.0.1:4002")).passes();
    lab.run_in_vain(&both("bind 127.0.0.1:4001", "bind 127.0.0.1:4001")).fails_with("not ok 1 - ");
    lab.run_in_vain(&both("bind 127.0.0.1:4001", "close")).fails_with("not ok 1 - ");
    let with_a_later_call = client("a", "bind 127.0.0.1:4001")
        + "expect_call a getsockname 0\n"
        + &client("b", "bind 127.0.0.1:4002");
    lab.conclude(&with_a_later_call, "expect_own_ports a b").passes();
}

#[test]
fn what_is_typed_arrives_in_order_and_the_end_of_input_ends_a_talk() {
    let Some(lab) = Lab::isolated() else { return };
    let typed = format!(
        "{TALKING}\ntype_line calling 'one  *'\ntype_line calling two\nexpect_lines called 'one  *' two"
    );
    let ends = "end_input called\nend_input calling\nexpect_end calling 0\nexpect_end called 0";
    lab.conclude(&typed, ends).passes();
    lab.conclude_in_vain(&typed, "expect_lines called two 'one  *'")
        .fails_with("not ok 2 - called writes, in this order: two one  *\n");
    lab.conclude_in_vain(&typed, "expect_end calling 0").fails_with("# seen      calling: runs\n");
}

#[test]
fn only_a_program_with_a_keyboard_can_be_typed_to() {
    let Some(lab) = Lab::isolated() else { return };
    lab.conclude(CONNECTED, "type_line red hello")
        .fails_with("type_line: red has no keyboard, or its input has ended");
    lab.conclude(TALKING, "end_input called\nend_input called")
        .fails_with("end_input: called has no keyboard, or its input has ended");
}

#[test]
fn a_program_that_ends_with_another_status_fails() {
    let Some(lab) = Lab::isolated() else { return };
    lab.run("start_program three -- bash -c 'exit 3'\nexpect_end three 3\nconclude").passes();
    lab.run("start_program three -- bash -c 'exit 3'\nexpect_end three 0\nconclude")
        .fails_with("# expected  exit 0\n# seen      three: exit 3\n");
}
