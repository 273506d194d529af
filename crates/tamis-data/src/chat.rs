//! Conversations as text.

use serde_json::{Map, Value};

/// Keys that hold what was said, in `OpenAI`'s and `ShareGPT`'s form.
const CONTENT_KEYS: [&str; 3] = ["content", "value", "text"];

/// Keys that say who spoke; a list of objects without one is no conversation.
const ROLE_KEYS: [&str; 4] = ["role", "from", "speaker", "author"];

/// What was said in a conversation, turns joined by blank lines; `None` where the value is no conversation.
///
/// A turn without content, e.g. the call of a tool, is passed over. Contents in parts (`[{"type": "text", "text": ...}]`)
/// give their texts. A struct of lists, as `datasets` stores a sequence of objects, is read like a list of structs.
pub(crate) fn text(value: &Value) -> Option<String> {
    let mut turns = Vec::new();
    match value {
        Value::Array(items) => {
            for item in items {
                turns.extend(turn(item.as_object()?)?);
            }
        }
        Value::Object(map) => {
            find(map, &ROLE_KEYS)?.as_array()?;
            let contents = find(map, &CONTENT_KEYS)?.as_array()?;
            turns.extend(contents.iter().filter_map(content));
        }
        _ => return None,
    }
    Some(turns.join("\n\n"))
}

/// The content of one turn, if it has one; `None` where the object is no turn.
fn turn(map: &Map<String, Value>) -> Option<Option<String>> {
    find(map, &ROLE_KEYS)?;
    Some(find(map, &CONTENT_KEYS).and_then(content))
}

fn content(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Array(parts) => {
            let texts: Vec<&str> = parts.iter().filter_map(|part| part.get("text")?.as_str()).collect();
            (!texts.is_empty()).then(|| texts.join("\n"))
        }
        _ => None,
    }
}

fn find<'a>(map: &'a Map<String, Value>, keys: &[&str]) -> Option<&'a Value> {
    keys.iter().find_map(|key| map.get(*key))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(json: &str) -> Option<String> {
        text(&serde_json::from_str(json).unwrap())
    }

    #[test]
    fn turns_are_joined_by_blank_lines() {
        let expected = Some("hi\n\nhello".to_owned());
        assert_eq!(of(r#"[{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]"#), expected);
        assert_eq!(of(r#"[{"from": "human", "value": "hi"}, {"from": "gpt", "value": "hello"}]"#), expected);
        assert_eq!(of(r#"{"role": ["user", "assistant"], "content": ["hi", "hello"]}"#), expected);
        assert_eq!(
            of(r#"[{"role": "user", "content": [{"type": "text", "text": "hi"}, {"type": "image"}]},
            {"role": "assistant", "content": null}, {"role": "assistant", "content": "hello"}]"#),
            expected
        );
    }

    #[test]
    fn other_lists_are_no_conversations() {
        for json in ["[1]", r#"[{"name": "a"}]"#, r#"["a", "b"]"#, r#"{"content": "a"}"#, "3"] {
            assert_eq!(of(json), None, "{json}");
        }
        assert_eq!(of("[]"), Some(String::new()));
    }
}
