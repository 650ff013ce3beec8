//! What must agree before an unfinished job may be continued, and the message where it does not.

use super::kind::JobName;
use crate::config::Shard;
use crate::engine::EngineInfo;
use serde::Serialize;
use serde_json::Value;

/// The identity of a job: the same identity gives the same bytes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Identity {
    pub job: JobName,
    pub version: String,
    pub plan: Value,
    /// Content hash of the samples and of the weights that a file brought, whatever the files are called; none where there are none.
    #[serde(rename = "content_of_data_and_weights")]
    pub data: Option<String>,
    pub engine: EngineInfo,
    /// The part of the plan's units that this folder is for; none for all of them.
    pub shard: Option<Shard>,
}

/// Every path at which two JSON values differ, with both values: `plan.tolerance is 0.01 there and 0.02 here`.
pub fn differences(there: &Value, here: &Value) -> Vec<String> {
    let mut found = Vec::new();
    collect("", there, here, &mut found);
    found
}

fn collect(path: &str, there: &Value, here: &Value, found: &mut Vec<String>) {
    match (there, here) {
        (Value::Object(a), Value::Object(b)) => {
            let mut keys: Vec<&String> = a.keys().chain(b.keys()).collect();
            keys.sort();
            keys.dedup();
            for key in keys {
                let deeper = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                collect(&deeper, a.get(key).unwrap_or(&Value::Null), b.get(key).unwrap_or(&Value::Null), found);
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (index, (a, b)) in a.iter().zip(b).enumerate() {
                collect(&format!("{path}[{index}]"), a, b, found);
            }
        }
        _ if there != here => found.push(format!("{path} is {} there and {} here", shown(there), shown(here))),
        _ => {}
    }
}

/// A value, cut to a length that can be read.
fn shown(value: &Value) -> String {
    const MOST: usize = 60;
    let text = value.to_string();
    let length = text.chars().count();
    if length <= MOST {
        text
    } else {
        format!("{}... ({length} characters)", text.chars().take(MOST).collect::<String>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn differences_name_the_path_and_both_values() {
        let there = json!({"plan": {"delays": [0, 1], "rules": [{"momentum": 0.9}], "data": "digits"}, "same": [1, 2]});
        let here = json!({"plan": {"delays": [0, 1, 2], "rules": [{"momentum": 0.5}]}, "same": [1, 2]});
        assert_eq!(
            differences(&there, &here),
            [
                "plan.data is \"digits\" there and null here",
                "plan.delays is [0,1] there and [0,1,2] here",
                "plan.rules[0].momentum is 0.9 there and 0.5 here",
            ]
        );
        assert!(differences(&there, &there).is_empty());
        let told = differences(&json!({"lr": vec![0.125; 1000]}), &json!({"lr": "é".repeat(100)}));
        assert!(
            told[0].len() < 300 && told[0].contains("...") && told[0].contains("(102 characters) here"),
            "{told:?}"
        );
    }
}
