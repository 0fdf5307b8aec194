//! Every line that a script may read, as JSON Schema: `lines.txt` lists them.

use serde_json::{Map, Value, json};

const LINES: &str = include_str!("lines.txt");

/// A schema for each word, in the order of the list; where a word has several forms, each of them will do.
pub(crate) fn schemas() -> Map<String, Value> {
    let mut schemas: Map<String, Value> = Map::new();
    for line in LINES.lines().filter(|line| !line.starts_with('#')) {
        let mut fields = line.split_whitespace();
        let Some(word) = fields.next() else { continue };
        let form = form(word, fields);
        match schemas.get_mut(word) {
            None => drop(schemas.insert(word.to_owned(), form)),
            Some(known) => match known.get_mut("anyOf").and_then(Value::as_array_mut) {
                Some(forms) => forms.push(form),
                None => *known = json!({ "anyOf": [known.take(), form] }),
            },
        }
    }
    schemas
}

/// One form of a line.
fn form<'a>(word: &str, fields: impl Iterator<Item = &'a str>) -> Value {
    let (untimed, fields): (Vec<&str>, Vec<&str>) = fields.partition(|field| *field == "!time_us");
    let time: &[&str] = if untimed.is_empty() { &["time_us:number"] } else { &[] };
    let mut form = object(&[&["schema:1", "event:string"], time, &fields, &["program?:string"]].concat());
    if let Some(event) = form.pointer_mut("/properties/event") {
        *event = json!({ "const": word });
    }
    form
}

/// An object of these fields, each `KEY:TYPE` or `KEY?:TYPE`, and of no other.
fn object(fields: &[&str]) -> Value {
    let fields = fields.iter().map(|field| field.split_once(':').unwrap_or((field, "")));
    let name = |key: &str| key.trim_end_matches('?').to_owned();
    let properties: Map<String, Value> =
        fields.clone().map(|(key, words)| (name(key), kind(words))).collect();
    let required: Vec<&str> = fields.map(|(key, _)| key).filter(|key| !key.ends_with('?')).collect();
    json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false })
}

/// The schema of a type of the list.
fn kind(words: &str) -> Value {
    if let Some(words) = words.strip_suffix("|null") {
        return json!({ "anyOf": [kind(words), { "type": "null" }] });
    }
    if let Some(words) = words.strip_suffix("[]") {
        return json!({ "type": "array", "items": kind(words) });
    }
    match words {
        "1" => json!({ "const": 1 }),
        "number" => json!({ "type": "integer", "minimum": 0 }),
        "integer" => json!({ "type": "integer" }),
        "bool" => json!({ "type": "boolean" }),
        "address" => json!({ "type": "string", "pattern": r"^([0-9.]+|\[[0-9a-f:.]+(%[^\]]+)?\]):[0-9]+$" }),
        "settings" => json!({ "type": "object", "additionalProperties": kind("string") }),
        "cell" => object(&["state:string", "first:string", "second:string", "pair:string", "user:string"]),
        "process" => object(&["pid:number", "name:string", "unit?:string", "container?:string"]),
        "outcome" => object(&["outcome:string", "errno:string|null"]),
        "call" => object(&["call:string", "errno:string|null"]),
        _ => json!({ "type": "string" }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is(word: &str, line: Value) -> bool {
        jsonschema::is_valid(&schemas()[word], &line)
    }

    #[test]
    fn a_line_has_its_keys_and_no_other() {
        let whole = json!({"schema": 1, "event": "bound", "time_us": 5, "local": "[::1]:3000"});
        assert!(is("bound", whole.clone()));
        for (key, wrong) in [
            ("schema", json!(2)),
            ("event", json!("listening")),
            ("time_us", json!(-1)),
            ("local", json!("::1")),
            ("locals", json!("[::1]:3000")),
        ] {
            let mut line = whole.clone();
            line[key] = wrong;
            assert!(!is("bound", line), "{key}");
        }
        for key in ["schema", "event", "time_us", "local"] {
            let mut line = whole.clone();
            line.as_object_mut().unwrap().remove(key);
            assert!(!is("bound", line), "without {key}");
        }
    }

    #[test]
    fn each_form_of_a_word_will_do_and_no_mixture() {
        let head = |more: Value| {
            let mut line = json!({"schema": 1, "event": "range", "time_us": 5, "ports": "1-2", "count": 2});
            line.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            line
        };
        assert!(is("range", head(json!({"reserved": 0, "listening": 0, "bound": 0, "incomplete": false}))));
        assert!(is("range", head(json!({"reserved": 0, "descriptors": 9, "incomplete": true}))));
        assert!(is("range", head(json!({"destinations": 1}))));
        assert!(!is("range", head(json!({"destinations": 1, "reserved": 0}))));
    }

    #[test]
    fn a_type_may_be_null_or_an_array_where_the_list_says_so() {
        let line = |errno: Value| json!({"schema": 1, "event": "cell", "state": "LISTEN", "first": "RA", "second": "RA", "pair": "same", "user": "same-user", "outcome": "bind", "errno": errno});
        assert!(is("cell", line(json!("EADDRINUSE"))) && is("cell", line(Value::Null)));
        assert!(!is("cell", line(json!(98))));
    }
}
