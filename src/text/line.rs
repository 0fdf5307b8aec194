//! One line of output: `word key=value …`, or the same as a JSON object.

use std::fmt::{self, Write};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;
use serde_json::{Map, Value};

use super::escape::Escaped;

/// How lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub enum Format {
    /// `word key=value …`
    #[default]
    Text,
    /// One JSON object a line, each with `"schema":1`, `"event":WORD` and `"time_us"`, microseconds of Unix time.
    Json,
}

/// The most bytes of foreign text that one line shows; `…` marks the rest.
const SHOWN_TEXT: usize = 256;

/// A line under construction, field by field in the order of the calls.
pub struct Line(Fields);

enum Fields {
    Text(String),
    Json(Map<String, Value>),
}

impl Line {
    /// A line that begins with `word`, of something that happens now.
    pub fn new(format: Format, word: &str) -> Self {
        Self::at(format, word, SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
    }

    /// A line of something that happened at `time`, since the Unix epoch.
    pub fn at(format: Format, word: &str, time: Duration) -> Self {
        Self(match format {
            Format::Text => Fields::Text(word.to_owned()),
            Format::Json => Fields::Json(Map::from_iter([
                ("schema".to_owned(), Value::from(1)),
                ("event".to_owned(), Value::from(word)),
                ("time_us".to_owned(), Value::from(microseconds(time))),
            ])),
        })
    }

    /// A line of something that happens now, and whose word is still to be said.
    pub(crate) fn unbegun(format: Format) -> Self {
        Self::new(format, "")
    }

    /// Says the word of such a line.
    pub(crate) fn begin(&mut self, word: &str) -> &mut Self {
        match &mut self.0 {
            Fields::Text(line) => line.insert_str(0, word),
            Fields::Json(object) => insert(object, "event", word),
        }
        self
    }

    /// A line of text in words of its own, to which nothing is added.
    pub(crate) fn words(words: String) -> Self {
        Self(Fields::Text(words))
    }

    /// Adds a value to a JSON object; null where there is none.
    pub(crate) fn value(&mut self, key: &str, value: Value) -> &mut Self {
        if let Fields::Json(object) = &mut self.0 {
            insert(object, key, value);
        }
        self
    }

    /// Adds a word, an address or anything else that has no space in it and did not come from outside.
    pub fn field(&mut self, key: &str, value: impl fmt::Display) -> &mut Self {
        match &mut self.0 {
            Fields::Text(line) => append(line, key, value),
            Fields::Json(object) => insert(object, key, value.to_string()),
        }
        self
    }

    /// Adds a whole number.
    pub fn number(&mut self, key: &str, value: u64) -> &mut Self {
        match &mut self.0 {
            Fields::Text(line) => append(line, key, value),
            Fields::Json(object) => insert(object, key, value),
        }
        self
    }

    /// Adds a field where there is a value, else nothing.
    pub(crate) fn field_if_any(&mut self, key: &str, value: Option<impl fmt::Display>) -> &mut Self {
        match value {
            Some(value) => self.field(key, value),
            None => self,
        }
    }

    /// Adds a whole number where there is one, else nothing.
    pub(crate) fn number_if_any(&mut self, key: &str, value: Option<u64>) -> &mut Self {
        match value {
            Some(value) => self.number(key, value),
            None => self,
        }
    }

    /// Adds a value, as [`field`](Self::field) does, or that there is none: `-` in text, `null` in JSON.
    pub fn optional(&mut self, key: &str, value: Option<impl fmt::Display + Into<Value>>) -> &mut Self {
        match (&mut self.0, value) {
            (Fields::Text(line), Some(value)) => append(line, key, value),
            (Fields::Text(line), None) => append(line, key, '-'),
            (Fields::Json(object), value) => insert(object, key, value.map_or(Value::Null, Into::into)),
        }
        self
    }

    /// Adds a fact: the bare word in text where it is one, and nothing where it is not; `true` or `false` in JSON.
    pub fn mark(&mut self, word: &str, holds: bool) -> &mut Self {
        match &mut self.0 {
            Fields::Text(line) if holds => {
                line.push(' ');
                line.push_str(word);
            }
            Fields::Text(_) => {}
            Fields::Json(object) => insert(object, word, holds),
        }
        self
    }

    /// Adds a duration: `rtt=85us` in text, microseconds as the number `rtt_us` in JSON.
    pub fn duration(&mut self, key: &str, value: Duration) -> &mut Self {
        match &mut self.0 {
            Fields::Text(line) => append(line, key, Short(value)),
            Fields::Json(object) => {
                insert(object, &format!("{key}_us"), microseconds(value));
            }
        }
        self
    }

    /// Adds a duration that may be a part of a microsecond: `per-request=5.31us` in text, nanoseconds as the number
    /// `per_request_ns` in JSON.
    pub fn nanoseconds(&mut self, key: &str, value: Duration) -> &mut Self {
        let nanoseconds = u64::try_from(value.as_nanos()).unwrap_or(u64::MAX);
        match &mut self.0 {
            Fields::Text(line) => append(line, key, Fine(value)),
            Fields::Json(object) => insert(object, &format!("{key}_ns"), nanoseconds),
        }
        self
    }

    /// Adds several values: separated by commas in text, so none may have a space in it; an array in JSON.
    pub fn list<T: fmt::Display + Serialize>(&mut self, key: &str, values: &[T]) -> &mut Self {
        match &mut self.0 {
            Fields::Text(line) => append(line, key, Commas(values)),
            // Only a map whose keys are no strings fails to become a value.
            Fields::Json(object) => insert(object, key, serde_json::to_value(values).unwrap_or_default()),
        }
        self
    }

    /// Adds foreign bytes, escaped, quoted and cut after 256 bytes.
    pub fn text(&mut self, key: &str, bytes: &[u8]) -> &mut Self {
        let shown = cut(bytes);
        match &mut self.0 {
            Fields::Text(line) => append(line, key, format_args!("\"{shown}\"")),
            Fields::Json(object) => insert(object, key, shown),
        }
        self
    }

    /// Adds foreign bytes, escaped and quoted, whatever their length.
    pub fn whole_text(&mut self, key: &str, bytes: &[u8]) -> &mut Self {
        let shown = Escaped(bytes);
        match &mut self.0 {
            Fields::Text(line) => append(line, key, format_args!("\"{shown}\"")),
            Fields::Json(object) => insert(object, key, shown.to_string()),
        }
        self
    }

    /// The finished line, without a newline.
    pub fn finish(self) -> String {
        match self.0 {
            Fields::Text(line) => line,
            Fields::Json(object) => Value::Object(object).to_string(),
        }
    }
}

fn microseconds(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// Foreign bytes escaped, and cut after 256 bytes.
pub(crate) fn cut(bytes: &[u8]) -> String {
    match bytes.split_at_checked(SHOWN_TEXT) {
        Some((shown, rest)) if !rest.is_empty() => format!("{}…", Escaped(shown)),
        _ => Escaped(bytes).to_string(),
    }
}

fn append(line: &mut String, key: &str, value: impl fmt::Display) {
    // Writing to a String cannot fail.
    let _ = write!(line, " {key}={value}");
}

fn insert(object: &mut Map<String, Value>, key: &str, value: impl Into<Value>) {
    object.insert(key.replace(['-', '.'], "_"), value.into());
}

/// Values as one word: `a,b`, or `-` where there is none.
pub(crate) struct Commas<'a, T>(pub &'a [T]);

impl<T: fmt::Display> fmt::Display for Commas<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((first, rest)) = self.0.split_first() else { return f.write_char('-') };
        write!(f, "{first}")?;
        rest.iter().try_for_each(|value| write!(f, ",{value}"))
    }
}

/// A duration in the largest unit that keeps it at or above one, to at most three decimals: `85us`, `1.204s`.
pub(crate) struct Short(pub Duration);

impl fmt::Display for Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let microseconds = self.0.as_micros();
        let (unit, size) = match microseconds {
            0..1_000 => return write!(f, "{microseconds}us"),
            1_000..1_000_000 => ("ms", 1_000),
            _ => ("s", 1_000_000),
        };
        let thousandths = microseconds * 1_000 / size;
        let (whole, rest) = (thousandths / 1_000, thousandths % 1_000);
        if rest == 0 {
            return write!(f, "{whole}{unit}");
        }
        let decimals = format!("{rest:03}");
        write!(f, "{whole}.{}{unit}", decimals.trim_end_matches('0'))
    }
}

/// A duration to three digits, in the largest unit that keeps it at or above one: `5.31us`, `85us`, `1.2s`.
struct Fine(Duration);

impl fmt::Display for Fine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanoseconds = self.0.as_nanos() as f64;
        let (unit, size) = match nanoseconds {
            ..1e3 => ("ns", 1.0),
            ..1e6 => ("us", 1e3),
            ..1e9 => ("ms", 1e6),
            _ => ("s", 1e9),
        };
        let value = nanoseconds / size;
        let decimals = match value {
            ..10.0 => 2,
            ..100.0 => 1,
            _ => 0,
        };
        let digits = format!("{value:.decimals$}");
        let digits = if decimals > 0 { digits.trim_end_matches('0').trim_end_matches('.') } else { &digits };
        write!(f, "{digits}{unit}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example(format: Format) -> String {
        let mut line = Line::new(format, "answer");
        line.number("sequence", 1).duration("rtt-min", Duration::from_micros(85)).text("text", b"a \"b\"\n");
        line.finish()
    }

    #[test]
    fn text_is_a_word_and_its_fields() {
        assert_eq!(example(Format::Text), r#"answer sequence=1 rtt-min=85us text="a \"b\"\n""#);
    }

    #[test]
    fn json_carries_schema_event_and_units() {
        let value: Value = serde_json::from_str(&example(Format::Json)).unwrap();
        assert_eq!(value["schema"], 1);
        assert_eq!(value["event"], "answer");
        assert!(value["time_us"].as_u64() > Some(1_700_000_000_000_000));
        assert_eq!(value["rtt_min_us"], 85);
        assert_eq!(value["text"], r#"a \"b\"\n"#);
    }

    #[test]
    fn a_list_is_one_word_in_text_and_an_array_in_json() {
        let shown = |format, values: &[u32]| {
            let mut line = Line::new(format, "shared");
            line.list("with", values);
            line.finish()
        };
        assert_eq!(shown(Format::Text, &[1, 2]), "shared with=1,2");
        assert_eq!(shown(Format::Text, &[]), "shared with=-");
        assert!(shown(Format::Json, &[1, 2]).ends_with(r#","with":[1,2]}"#));
    }

    #[test]
    fn a_fact_is_a_bare_word_or_nothing_in_text_and_a_truth_value_in_json() {
        let shown = |format, holds| {
            let mut line = Line::new(format, "segment");
            line.mark("again", holds);
            line.finish()
        };
        assert_eq!(shown(Format::Text, true), "segment again");
        assert_eq!(shown(Format::Text, false), "segment");
        assert!(shown(Format::Json, true).ends_with(r#","again":true}"#));
        assert!(shown(Format::Json, false).ends_with(r#","again":false}"#));
    }

    #[test]
    fn a_value_that_there_is_not_is_a_dash_in_text_and_null_in_json() {
        let shown = |format, value: Option<&str>| {
            let mut line = Line::new(format, "call");
            line.optional("errno", value);
            line.finish()
        };
        assert_eq!(shown(Format::Text, Some("EINVAL")), "call errno=EINVAL");
        assert_eq!(shown(Format::Text, None), "call errno=-");
        assert!(shown(Format::Json, Some("EINVAL")).ends_with(r#","errno":"EINVAL"}"#));
        assert!(shown(Format::Json, None).ends_with(r#","errno":null}"#));
    }

    #[test]
    fn long_text_is_cut_and_marked() {
        let mut line = Line::new(Format::Text, "received");
        line.text("text", &[b'x'; 300]);
        assert_eq!(line.finish(), format!("received text=\"{}…\"", "x".repeat(256)));
    }

    #[test]
    fn text_that_is_just_short_enough_is_not_marked() {
        assert_eq!(cut(&[b'x'; 256]), "x".repeat(256));
    }

    #[test]
    fn durations_are_short() {
        let shown = |microseconds| Short(Duration::from_micros(microseconds)).to_string();
        assert_eq!(shown(0), "0us");
        assert_eq!(shown(999), "999us");
        assert_eq!(shown(1_500), "1.5ms");
        assert_eq!(shown(2_000_000), "2s");
        assert_eq!(shown(61_020_300), "61.02s");
    }

    #[test]
    fn fine_durations_have_three_digits() {
        let shown = |nanoseconds| Fine(Duration::from_nanos(nanoseconds)).to_string();
        for (nanoseconds, text) in [
            (0, "0ns"),
            (700, "700ns"),
            (5_312, "5.31us"),
            (85_000, "85us"),
            (1_204_000, "1.2ms"),
            (345_600_000, "346ms"),
            (61_020_300_000, "61s"),
        ] {
            assert_eq!(shown(nanoseconds), text);
        }
    }
}
