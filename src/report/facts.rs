//! run.json as tables of terms and values. Nothing is left out: a key that this version does not know stands with the rest.

use crate::table::number::significant;
use maud::{Markup, html};
use serde_json::{Map, Value};

/// Sections of the page, and the keys of run.json that belong there. What is named nowhere goes into the last.
const SECTIONS: [(&str, &[&str]); 4] = [
    ("The plan", &["plan", "plan_hash"]),
    ("The machine", &["engine", "engine_choice", "paths"]),
    (MINIMUM, &["minimum", "parameters", "start_distance", "escape_radius"]),
    ("The run", &[]),
];
/// A section that only jobs around a minimum have.
const MINIMUM: &str = "The minimum";

/// The sections that have something to say.
pub fn sections(run: &Value) -> Markup {
    let empty = Map::new();
    let run = run.as_object().unwrap_or(&empty);
    // A training has no minimum: its number of parameters stands with the run.
    let has_minimum = run.contains_key("minimum");
    let is_shown = |title: &str| has_minimum || title != MINIMUM;
    let is_placed =
        |key: &str| key == "command" || SECTIONS.iter().any(|(title, keys)| is_shown(title) && keys.contains(&key));
    html! {
        @for (title, keys) in SECTIONS.into_iter().filter(|(title, _)| is_shown(title)) {
            @let entries: Vec<(&String, &Value)> = run
                .iter()
                .filter(|(key, _)| if keys.is_empty() { !is_placed(key) } else { keys.contains(&key.as_str()) })
                .collect();
            @if !entries.is_empty() {
                @let rows: Vec<Fact> = entries.iter().flat_map(|(key, value)| {
                    // A section's own object is not nested once more.
                    let is_own = value.is_object() && keys.first() == Some(&key.as_str());
                    let mut rows = vec![];
                    flatten(if is_own { "" } else { key.as_str() }, value, &mut rows);
                    rows
                }).collect();
                .facts {
                    table {
                        caption { (title) }
                        thead { tr { th scope="col" { "setting" } th scope="col" { "value" } } }
                        tbody { @for Fact { name, lines: told, exact } in &rows {
                            tr { th scope="row" { (name) } td title=[exact.as_ref()] { (lines(told)) } }
                        } }
                    }
                }
            }
        }
    }
}

/// A term with its value in lines, and that value with all of its digits where it was rounded.
struct Fact {
    name: String,
    lines: Vec<String>,
    exact: Option<String>,
}

/// One line alone, or a block for each of several.
fn lines(lines: &[String]) -> Markup {
    html! {
        @match lines {
            [line] => (line),
            _ => @for line in lines { div { (line) } },
        }
    }
}

/// A row for each value that is no object, named by the keys that lead to it. A list of objects is a row with a line for each, or, where
/// these hold lists of their own, rows for each.
fn flatten(name: &str, value: &Value, rows: &mut Vec<Fact>) {
    let below = |key: &str| {
        let key = key.replace('_', " ");
        if name.is_empty() { key } else { format!("{name} · {key}") }
    };
    let name_here = name.replace('_', " ");
    match value {
        Value::Object(inner) if !inner.is_empty() => {
            inner.iter().for_each(|(key, value)| flatten(&below(key), value, rows));
        }
        Value::Array(items) if items.iter().any(Value::is_object) => {
            let holds_lists = |item: &Value| {
                item.as_object().is_some_and(|inner| {
                    inner.values().any(|value| value.as_array().is_some_and(|list| !list.is_empty()))
                })
            };
            if !items.iter().any(holds_lists) {
                let lines = items.iter().map(inline).collect();
                return rows.push(Fact { name: name_here, lines, exact: None });
            }
            for (place, item) in items.iter().enumerate() {
                let name = if items.len() == 1 { name_here.clone() } else { format!("{name_here} {}", place + 1) };
                flatten(&name, item, rows);
            }
        }
        _ => {
            let told = inline(value);
            let exact = value.as_f64().map(|_| value.to_string()).filter(|exact| *exact != told);
            rows.push(Fact { name: name_here, lines: vec![told], exact });
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

/// A value on one line.
fn inline(value: &Value) -> String {
    let joined = |parts: Vec<String>| if parts.is_empty() { "none".into() } else { parts.join(", ") };
    match value {
        Value::Null => "none".into(),
        Value::Bool(true) => "yes".into(),
        Value::Bool(false) => "no".into(),
        Value::Number(number) => match (number.as_f64(), number.to_string()) {
            // Of a fraction with many digits, those that can be read.
            (Some(value), text) if number.is_f64() && text.len() > 8 => significant(value, 4),
            (_, text) => text,
        },
        Value::String(text) if text.is_empty() => "none".into(),
        Value::String(text) => text.clone(),
        Value::Array(items) => joined(items.iter().map(inline).collect()),
        Value::Object(inner) => {
            // What a thing is comes first, without saying so; what it has not is not told, nor anything twice.
            let is_kind = |key: &str| key == "kind" || key == "name";
            let mut parts: Vec<String> =
                inner.iter().filter(|(key, _)| is_kind(key)).map(|(_, value)| inline(value)).collect();
            for (key, value) in inner.iter().filter(|(key, value)| !is_kind(key) && !value.is_null()) {
                let part = format!("{} {}", key.replace('_', " "), inline(value));
                if parts.iter().all(|other| !other.ends_with(&format!(", {part}"))) {
                    parts.push(part);
                }
            }
            joined(parts)
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
            "version": "0.1.0", "new_key": [1, 2], "seconds": null, "share": 0.00006671674888238773, "steps": 1234567890,
            "plan": {
                "problem": {"model": "</script><b>"}, "rules": [{"kind": "sgd", "momentum": 0.5}],
                "grids": [{
                    "rules": [{"kind": "sgd", "number": null}, {"kind": "clipped", "number": 1.0}],
                    "settings": [{"schedule": {"name": "random", "delay": 4}, "delay": 4}],
                }],
            },
            "engine": {"adapter": "a & b"},
        });
        let page = sections(&run).into_string();
        for part in [
            "<th scope=\"row\">version</th><td>0.1.0</td>",
            "<th scope=\"row\">new key</th><td>1, 2</td>",
            "<th scope=\"row\">seconds</th><td>none</td>",
            "<th scope=\"row\">problem · model</th>",
            "&lt;/script&gt;&lt;b&gt;",
            "<th scope=\"row\">rules</th><td>sgd, momentum 0.5</td>",
            "<th scope=\"row\">grids · rules</th><td><div>sgd</div><div>clipped, number 1.0</div></td>",
            "<th scope=\"row\">grids · settings</th><td>schedule random, delay 4</td>",
            "a &amp; b",
            "<td title=\"0.00006671674888238773\">6.672e-5</td>",
            "<td>1234567890</td>",
        ] {
            assert!(page.contains(part), "{part} in {page}");
        }
        assert!(!page.contains("<b>"));
    }

    #[test]
    fn only_a_job_around_a_minimum_has_a_section_of_it() {
        let training = sections(&json!({"parameters": 1210})).into_string();
        assert!(!training.contains(MINIMUM) && training.contains("<td>1210</td>"), "{training}");
        let sweep = sections(&json!({"parameters": 1210, "minimum": {"loss": 0.5}})).into_string();
        assert!(sweep.contains(MINIMUM) && sweep.matches("<td>1210</td>").count() == 1, "{sweep}");
    }

    #[test]
    fn a_command_is_quoted_where_a_shell_would_split_it() {
        let run = json!({"command": ["tauscope", "sweep", "--out", "a b", "it's", ""]});
        assert_eq!(command(&run).unwrap(), r"tauscope sweep --out 'a b' 'it'\''s' ''");
    }
}
