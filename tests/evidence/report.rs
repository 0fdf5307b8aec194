//! `fourtuple report`: pages of whole, wrong, hostile and damaged bundles.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::program::{End, Program, path, processor_time};
use tempfile::TempDir;

/// A copy of a bundle of tests/bundles, to be written in.
struct Copy {
    folder: TempDir,
}

impl Copy {
    fn of(name: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let bundle = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bundles").join(name);
        let copy = folder.path().join(name);
        fs::create_dir(&copy).unwrap();
        for entry in fs::read_dir(bundle).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), copy.join(entry.file_name())).unwrap();
        }
        Self { folder }
    }

    fn path(&self) -> PathBuf {
        fs::read_dir(self.folder.path()).unwrap().next().unwrap().unwrap().path()
    }

    fn replace(&self, file: &str, from: &str, to: &str) {
        let path = self.path().join(file);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{file} has no {from}");
        fs::write(path, text.replace(from, to)).unwrap();
    }

    fn remove(&self, file: &str) {
        fs::remove_file(self.path().join(file)).unwrap();
    }

    /// One whose file lacks its last bytes.
    fn cut(name: &str, file: &str, bytes: usize) -> Self {
        let copy = Self::of(name);
        let path = copy.path().join(file);
        let whole = fs::read(&path).unwrap();
        fs::write(path, &whole[..whole.len() - bytes]).unwrap();
        copy
    }

    fn report(&self, arguments: &[&str]) -> End {
        let path = self.path();
        Program::run("fourtuple", &[&["report", path.to_str().unwrap()], arguments].concat())
    }

    /// The page, made with this exit status.
    #[track_caller]
    fn page(&self, status: i32) -> (String, End) {
        let end = self.report(&[]).with_status(status);
        (fs::read_to_string(self.path().join("report.html")).unwrap(), end)
    }

    /// The page, and how much of the processor's time it takes to make it.
    #[track_caller]
    fn page_and_time(&self) -> (String, Duration) {
        let (end, time) = processor_time(Command::new(path("fourtuple")).arg("report").arg(self.path()));
        end.well();
        (fs::read_to_string(self.path().join("report.html")).unwrap(), time)
    }

    #[track_caller]
    fn text(&self) -> String {
        self.report(&["--text"]).well().stdout
    }
}

#[track_caller]
fn has(page: &str, words: &[&str]) {
    for word in words {
        assert!(page.contains(word), "no {word:?} in the page");
    }
}

#[track_caller]
fn has_not(page: &str, words: &[&str]) {
    for word in words {
        assert!(!page.contains(word), "{word:?} is in the page");
    }
}

#[test]
fn a_page_says_question_verdict_owners_states_calls_checks_and_environment() {
    let (page, end) = Copy::of("half-close").page(0);
    assert_eq!(end.stderr, "");
    has(&page, &["What can still be said after one side has said its last word?", "It holds", "10 checks"]);
    has(&page, &["<b>both client</b>, fourtuple (pid 20)", "<b>both server</b>", "TIME-WAIT | CLOSED"]);
    has(
        &page,
        &[">FIN-WAIT-1</text>", ">inferred</text>", ">CLOSE-WAIT</text>", "send: EPIPE", "later</text>"],
    );
    has(
        &page,
        &["FIN ACK</tspan>", "seq=9 ack=1", " · 8 bytes", "net.ipv4.tcp_timestamps", "6.18.44 x86_64"],
    );
    has_not(&page, &["class=\"verdict bad\"", "Incomplete evidence", "<script", "http://", "https://"]);
}

#[test]
fn the_text_draws_both_ends_states_and_fits_100_columns() {
    let text = Copy::of("half-close").text();
    assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
    let line = |words: &[&str]| text.lines().any(|line| words.iter().all(|word| line.contains(word)));
    assert!(line(&["FIN-WAIT-1 inferred ├", "FIN ACK seq=9 ack=1", "▶│ CLOSE-WAIT"]), "{text}");
    assert!(line(&["TIME-WAIT │◀", "┤ LAST-ACK inferred"]), "{text}");
    assert!(line(&["✗ send: EPIPE"]), "{text}");
}

#[test]
fn an_error_in_an_experiment_breaks_its_page_into_red() {
    let (page, _) = Copy::of("wrong-expectation").page(0);
    has(&page, &["class=\"verdict bad\"", "It does not hold", "2 of 6 checks failed"]);
    has(&page, &["<li class=\"bad\" id=\"check-5\" value=\"5\">", "exit 1 and: … connect …: EADDRINUSE"]);
    has(
        &page,
        &["twin: connect: EADDRNOTAVAIL", "no packet", "href=\"#check-5-here\"", "id=\"check-5-here\""],
    );
    has(&page, &["✗ check 5"]);
    has(&page, &["1 of 2 predictions right", "predicted <b>bind</b>, the kernel says <b>connect</b>"]);
}

#[test]
fn hostile_bytes_stay_text() {
    let (page, _) = Copy::of("hostile").page(0);
    has_not(&page, &["<script", "<img", "</text></title>", "\u{1b}", "\u{202e}", "onerror=alert(2)>"]);
    has(&page, &["&lt;script&gt;alert(1)&lt;/script&gt;", "\\x1b[2J\\u{202e}"]);
    let text = Copy::of("hostile").text();
    has_not(&text, &["\u{1b}", "\u{202e}"]);
    assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
}

#[test]
fn an_experiment_with_hundreds_of_connections_has_a_bounded_page_made_in_no_time() {
    let bundle = Copy::of("half-close");
    let line = |port: u32| {
        format!(
            "{{\"schema\":1,\"event\":\"socket\",\"time_us\":{},\"from\":null,\"to\":\"ESTABLISHED\",\
             \"local\":\"127.0.0.1:{port}\",\"remote\":\"127.0.0.1:80\",\"inode\":1,\"uid\":0,\
             \"processes\":[{{\"pid\":1,\"name\":\"x\"}}],\"source\":\"sampled\"}}\n",
            1_800_000_000_000_000_u64 + u64::from(port)
        )
    };
    fs::write(bundle.path().join("sockets.jsonl"), (10_000..20_000).map(line).collect::<String>()).unwrap();
    let (page, time) = bundle.page_and_time();
    assert!(time < Duration::from_secs(5), "{time:?}");
    assert!(page.len() < 200_000, "{} bytes", page.len());
    has(&page, &["9801 more connections left out.", "9977 more connections not drawn."]);
}

#[test]
fn without_packets_the_page_says_so_and_infers_nothing() {
    let bundle = Copy::of("half-close");
    bundle.remove("packets.pcapng");
    let (page, end) = bundle.page(0);
    assert_eq!(end.stderr, "");
    has(&page, &["packets.pcapng: missing from this bundle", "nothing is inferred", ">FIN-WAIT-2</text>"]);
    has_not(&page, &[">inferred</text>", "no packet<"]);
}

#[test]
fn one_part_alone_is_a_bundle() {
    for part in ["manifest.json", "verdict.json", "events.jsonl", "sockets.jsonl", "packets.pcapng"] {
        let bundle = Copy::of("half-close");
        for other in ["manifest.json", "verdict.json", "events.jsonl", "sockets.jsonl", "packets.pcapng"] {
            if other != part {
                bundle.remove(other);
            }
        }
        let (page, end) = bundle.page(0);
        assert_eq!(end.stderr, "");
        assert_eq!(page.matches("missing from this bundle").count(), 4, "{part}");
    }
}

/// Fails unless the page is made and the damage told, both in these words.
#[track_caller]
fn told(bundle: &Copy, words: &str) -> String {
    let (page, end) = bundle.page(1);
    assert_eq!(end.stderr.lines().count(), 1, "{}", end.stderr);
    assert!(end.stderr.starts_with("fourtuple: report ") && end.stderr.contains(words), "{}", end.stderr);
    has(&page, &["Incomplete evidence", words]);
    page
}

#[test]
fn a_cut_capture_is_told_and_what_came_before_is_shown() {
    let page =
        told(&Copy::cut("half-close", "packets.pcapng", 50), "packets.pcapng: cut short after 9 packets");
    has(&page, &["FIN ACK</tspan>", "Environment"]);
}

#[test]
fn a_manifest_from_a_newer_schema_is_told_and_shown_as_far_as_understood() {
    let bundle = Copy::of("half-close");
    bundle.replace("manifest.json", "\"schema\": 1", "\"schema\": 2");
    let page = told(&bundle, "manifest.json: its schema is 2, this program knows 1");
    has(&page, &["<h1>half-close</h1>", "6.18.44"]);
}

#[test]
fn a_verdict_that_is_cut_is_told_and_the_rest_is_shown() {
    let page = told(&Copy::cut("half-close", "verdict.json", 30), "verdict.json: cut short");
    has(&page, &["No verdict", "FIN ACK</tspan>"]);
}

#[test]
fn a_line_of_events_that_is_none_is_told_and_the_others_are_shown() {
    let bundle = Copy::of("half-close");
    let events = fs::read_to_string(bundle.path().join("events.jsonl")).unwrap();
    fs::write(bundle.path().join("events.jsonl"), format!("{{\"time_us\":\"soon\"}}\nx\n{events}")).unwrap();
    let page = told(&bundle, "events.jsonl: line 1: ");
    has(&page, &["(and 1 more)", "send: EPIPE"]);
}

#[track_caller]
fn refused(arguments: &[&str], words: &str) {
    let end = Program::run("fourtuple", &[&["report"], arguments].concat()).with_status(1);
    let first = end.stderr.lines().next().unwrap_or_default();
    assert!(first.contains(words), "{}", end.stderr);
    assert_eq!(end.stdout, "");
}

#[test]
fn a_directory_that_is_no_bundle_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    refused(&[path], "no bundle");
    refused(&["--text", path], "no bundle");
    refused(&["--index", path], "no bundle in it");
    refused(&["/nowhere"], "open /nowhere: ENOENT");
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    refused(&[file.to_str().unwrap()], "ENOTDIR");
    assert!(!folder.path().join("report.html").exists());
    Program::run("fourtuple", &["report"]).with_status(2);
    Program::run("fourtuple", &["report", "--text", "--index", path]).with_status(2);
}

#[test]
fn the_index_lists_all_bundles_and_links_their_pages_but_none_under_way() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["half-close", "wrong-expectation", ".half-close.123"] {
        let copy = Copy::of(name.trim_start_matches('.').trim_end_matches(".123"));
        copy.report(&[]).well();
        fs::rename(copy.path(), folder.path().join(name)).unwrap();
    }
    Program::run("fourtuple", &["report", "--index", folder.path().to_str().unwrap()]).well();
    let index = fs::read_to_string(folder.path().join("index.html")).unwrap();
    has(
        &index,
        &["1 of 2 experiments hold.", "href=\"half-close/report.html\"", "✓ holds", "✗ does not hold"],
    );
    has(&index, &["href=\"wrong-expectation/report.html\"", "4 of 6"]);
    has_not(&index, &["half-close.123", "<script"]);
}
