//! What must hold of foreign bytes on a line, whatever they are.

use fourtuple::text::{Escaped, Format, Line};

/// Panics where the bytes reach the reader raw, cannot be read back, or make up a field.
pub fn check(bytes: &[u8]) {
    let shown = Escaped(bytes).to_string();
    assert!(!shown.chars().any(is_obeyed), "raw: {shown:?}");
    assert_eq!(read_back(&shown).as_deref(), Some(bytes), "shown as {shown:?}");
    let text = line(Format::Text, bytes);
    let end = if bytes.len() > 256 { "…" } else { "" };
    let cut = format!("{}{end}", Escaped(&bytes[..bytes.len().min(256)]));
    let quoted = format!("\"{cut}\"");
    let fields = [("received", ""), ("local", "127.0.0.1:1"), ("text", &quoted), ("bytes", "7")];
    assert_eq!(split(&text), fields, "{text}");
    let mut json: serde_json::Value = serde_json::from_str(&line(Format::Json, bytes)).expect("JSON");
    assert!(json.as_object_mut().and_then(|object| object.remove("time_us")).is_some());
    let expected = serde_json::json!({
        "schema": 1, "event": "received", "local": "127.0.0.1:1", "text": cut, "bytes": 7,
    });
    assert_eq!(json, expected);
}

fn line(format: Format, bytes: &[u8]) -> String {
    let mut line = Line::new(format, "received");
    line.field("local", "127.0.0.1:1").text("text", bytes).number("bytes", 7);
    let line = line.finish();
    assert!(!line.chars().any(is_obeyed), "raw: {line:?}");
    line
}

/// What a terminal obeys instead of showing it: C0, DEL, C1, line separators, bidirectional controls.
fn is_obeyed(character: char) -> bool {
    matches!(character, '\0'..='\x1f' | '\x7f'..='\u{9f}' | '\u{61c}' | '\u{200e}' | '\u{200f}'
        | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The bytes that `shown` stands for.
fn read_back(shown: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut rest = shown;
    while let Some(character) = rest.chars().next() {
        rest = &rest[character.len_utf8()..];
        if character == '"' {
            return None;
        }
        if character != '\\' {
            bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            continue;
        }
        let (kind, after) = rest.split_at_checked(1)?;
        rest = after;
        match kind {
            "\\" | "\"" => bytes.extend_from_slice(kind.as_bytes()),
            "n" => bytes.push(b'\n'),
            "r" => bytes.push(b'\r'),
            "t" => bytes.push(b'\t'),
            "x" => {
                let (digits, after) = rest.split_at_checked(2)?;
                bytes.push(u8::from_str_radix(digits, 16).ok()?);
                rest = after;
            }
            "u" => {
                let (digits, after) = rest.strip_prefix('{')?.split_once('}')?;
                let character = char::from_u32(u32::from_str_radix(digits, 16).ok()?)?;
                bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                rest = after;
            }
            _ => return None,
        }
    }
    Some(bytes)
}

/// A line's word and fields, read as a script would: a space ends a field, but not within quotes.
fn split(line: &str) -> Vec<(&str, &str)> {
    let (mut quoted, mut escaped) = (false, false);
    let ends = |character: char| {
        quoted ^= character == '"' && !escaped;
        escaped = character == '\\' && !escaped;
        character == ' ' && !quoted
    };
    line.split(ends).map(|field| field.split_once('=').unwrap_or((field, ""))).collect()
}
