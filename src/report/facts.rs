//! run.json as lists of terms and values. Nothing is left out: a key that this version does not know stands with the rest.

use maud::{Markup, html};
use serde_json::{Map, Value};

/// Sections of the page, and the keys of run.json that belong there. What is named nowhere goes into the last.
const SECTIONS: [(&str, &[&str]); 4] = [
    ("The plan", &["plan", "plan_hash"]),
    ("The machine", &["engine", "engine_choice", "paths"]),
    ("The minimum", &["minimum", "parameters", "start_distance", "escape_radius"]),
    ("The run", &[]),
];

/// The sections that have something to say.
pub fn sections(run: &Value) -> Markup {
    let empty = Map::new();
    let run = run.as_object().unwrap_or(&empty);
    let is_placed = |key: &str| key == "command" || SECTIONS.iter().any(|(_, keys)| keys.contains(&key));
    html! {
        @for (title, keys) in SECTIONS {
            @let entries: Vec<(&String, &Value)> = run
                .iter()
                .filter(|(key, _)| if keys.is_empty() { !is_placed(key) } else { keys.contains(&key.as_str()) })
                .collect();
            @if !entries.is_empty() {
                section.facts {
                    h3 { (title) }
                    dl {
                        @for (key, value) in entries {
                            // A section's own object is not nested once more.
                            @if let (Value::Object(inner), true) = (value, keys.first() == Some(&key.as_str())) {
                                (terms(inner))
                            } @else {
                                (term(key, value))
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The command line that made the folder, as it would be typed; `None` where run.json has none.
pub fn command(run: &Value) -> Option<String> {
    let words = run.get("command")?.as_array()?.iter().filter_map(Value::as_str);
    let plain =
        |word: &str| !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || "-_=.,:/@%+".contains(c));
    let quoted = |word: &str| if plain(word) { word.to_owned() } else { format!("'{}'", word.replace('\'', r"'\''")) };
    Some(words.map(quoted).collect::<Vec<_>>().join(" "))
}

fn terms(object: &Map<String, Value>) -> Markup {
    html! { @for (key, value) in object { (term(key, value)) } }
}

fn term(key: &str, value: &Value) -> Markup {
    html! {
        dt { (key.replace('_', " ")) }
        dd {
            @match value {
                Value::Object(inner) => dl { (terms(inner)) },
                Value::Array(items) if items.iter().any(Value::is_object) => {
                    ul { @for item in items { li { (inline(item)) } } }
                }
                _ => (inline(value)),
            }
        }
    }
}

/// A value on one line.
fn inline(value: &Value) -> String {
    let joined = |parts: Vec<String>| if parts.is_empty() { "none".into() } else { parts.join(", ") };
    match value {
        Value::Null => "none".into(),
        Value::Bool(true) => "yes".into(),
        Value::Bool(false) => "no".into(),
        Value::Number(number) => number.to_string(),
        Value::String(text) if text.is_empty() => "none".into(),
        Value::String(text) => text.clone(),
        Value::Array(items) => joined(items.iter().map(inline).collect()),
        Value::Object(inner) => {
            // What a thing is comes first, without saying so.
            let kind = inner.get("kind").map(inline);
            let others = inner.iter().filter(|(key, _)| *key != "kind");
            joined(kind.into_iter().chain(others.map(|(key, value)| format!("{key} {}", inline(value)))).collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_value_is_told_and_markup_in_it_is_text() {
        let run = json!({
            "version": "0.1.0", "new_key": [1, 2], "seconds": null,
            "plan": {"problem": {"model": "</script><b>"}, "rules": [{"kind": "sgd", "momentum": 0.5}]},
            "engine": {"adapter": "a & b"},
        });
        let page = sections(&run).into_string();
        for part in [
            "<dt>version</dt><dd>0.1.0</dd>",
            "<dt>new key</dt><dd>1, 2</dd>",
            "<dt>seconds</dt><dd>none</dd>",
            "&lt;/script&gt;&lt;b&gt;",
            "<li>sgd, momentum 0.5</li>",
            "a &amp; b",
        ] {
            assert!(page.contains(part), "{part} in {page}");
        }
        assert!(!page.contains("<b>"));
    }

    #[test]
    fn a_command_is_quoted_where_a_shell_would_split_it() {
        let run = json!({"command": ["tauscope", "sweep", "--out", "a b", "it's", ""]});
        assert_eq!(command(&run).unwrap(), r"tauscope sweep --out 'a b' 'it'\''s' ''");
    }
}
