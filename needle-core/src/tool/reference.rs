//! Local references (`"$ref": "#/$defs/name"`): resolving, and refusing those that lead nowhere.

use std::collections::{HashMap, HashSet};

use serde_json::Value;

use super::location::Location;
use super::schema::{FoundReference, LIST_KEYS, MAP_KEYS, SCHEMA_KEYS};
use crate::error::Result;

/// Keywords whose schemas judge the same value as the schema around them.
const IN_PLACE: [&str; 8] = ["allOf", "anyOf", "oneOf", "not", "if", "then", "else", "dependentSchemas"];

/// The schema that a local reference points to, `None` if there is none.
///
/// `root` is the schema of the parameters; `target` is a JSON pointer in a URI fragment (RFC 6901, section 6).
pub fn resolve<'a>(root: &'a Value, target: &str) -> Option<&'a Value> {
    let pointer = percent_decode(target.strip_prefix('#')?)?;
    is_schema_place(&pointer)
        .then(|| root.pointer(&pointer))
        .flatten()
        .filter(|found| found.is_object() || found.is_boolean())
}

/// Whether a pointer leads through keywords that hold schemas.
fn is_schema_place(pointer: &str) -> bool {
    let mut keys = pointer.split('/').skip(1);
    while let Some(key) = keys.next() {
        let named = MAP_KEYS.contains(&key) || LIST_KEYS.contains(&key);
        if !(SCHEMA_KEYS.contains(&key) || named && keys.next().is_some()) {
            return false;
        }
    }
    pointer.is_empty() || pointer.starts_with('/')
}

/// Undoes `%41`-escapes; `None` if they are not UTF-8.
fn percent_decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        let escaped = match tail {
            [high, low, ..] if *first == b'%' => {
                let digits = [*high, *low];
                std::str::from_utf8(&digits).ok().and_then(|digits| u8::from_str_radix(digits, 16).ok())
            }
            _ => None,
        };
        if escaped.is_some() {
            rest = rest.get(2..)?;
        }
        bytes.push(escaped.unwrap_or(*first));
    }
    String::from_utf8(bytes).ok()
}

/// Refuses references that are remote, that resolve to nothing, or that go round in a circle without content.
pub(super) fn check(root: &Value, references: &[FoundReference], location: &Location) -> Result<()> {
    for (place, target) in references {
        if resolve(root, target).is_some() {
            continue;
        }
        let problem = if !target.starts_with('#') {
            format!(
                "\"$ref\" {target:?} is remote and is not fetched; copy what it points to under \"$defs\""
            )
        } else if target.len() > 1 && !target.starts_with("#/") {
            format!("\"$ref\" {target:?} is an anchor; write a JSON pointer such as \"#/$defs/name\"")
        } else {
            format!(
                "\"$ref\" {target:?} does not point to a schema in the parameters; define it under \"$defs\""
            )
        };
        return Err(location.error_at(place.clone(), problem));
    }
    let on_circles = targets_on_circles(root, references);
    match references.iter().find(|(_, target)| on_circles.contains(target.as_str())) {
        None => Ok(()),
        Some((place, target)) => {
            let problem = format!(
                "\"$ref\" {target:?} leads back to itself without describing anything; describe the value there"
            );
            Err(location.error_at(place.clone(), problem))
        }
    }
}

/// The targets that refer to themselves for the same value (`{"$ref": "#/$defs/a"}` as definition of `a`).
///
/// Recursion through a property or an item is fine: it ends with the value.
fn targets_on_circles<'a>(root: &'a Value, references: &'a [FoundReference]) -> HashSet<&'a str> {
    let mut edges: HashMap<&str, Vec<&str>> = HashMap::new();
    for (_, target) in references {
        edges.entry(target).or_insert_with(|| {
            let mut found = Vec::new();
            if let Some(schema) = resolve(root, target) {
                collect_in_place(schema, &mut found);
            }
            found
        });
    }
    // Targets that refer to nothing more in place are not on a circle; take them away until none is left
    // (Kahn's algorithm, without recursion because chains may be long).
    let mut waiting: HashMap<&str, usize> =
        edges.iter().map(|(target, next)| (*target, next.len())).collect();
    let mut referrers: HashMap<&str, Vec<&str>> = HashMap::new();
    for (target, next) in &edges {
        for other in next {
            referrers.entry(other).or_default().push(target);
        }
    }
    let mut free: Vec<&str> =
        waiting.iter().filter(|(_, count)| **count == 0).map(|(target, _)| *target).collect();
    while let Some(target) = free.pop() {
        waiting.remove(target);
        for referrer in referrers.get(target).into_iter().flatten() {
            if let Some(count) = waiting.get_mut(referrer) {
                *count = count.saturating_sub(1);
                if *count == 0 {
                    free.push(referrer);
                }
            }
        }
    }
    waiting.into_keys().collect()
}

/// The references of a schema that judge the same value as it does.
fn collect_in_place<'a>(schema: &'a Value, found: &mut Vec<&'a str>) {
    found.extend(schema.get("$ref").and_then(Value::as_str));
    for key in IN_PLACE {
        let branches: Vec<&Value> = match schema.get(key) {
            None => continue,
            Some(Value::Array(branches)) => branches.iter().collect(),
            Some(Value::Object(branches)) if key == "dependentSchemas" => branches.values().collect(),
            Some(branch) => vec![branch],
        };
        for branch in branches {
            collect_in_place(branch, found);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn pointers_are_unescaped_and_lead_only_to_schemas() {
        let root = json!({"$defs": {"a/b": {"type": "string"}, "c d": true, "e": 5}, "required": ["x"]});
        assert_eq!(resolve(&root, "#/$defs/a~1b"), Some(&json!({"type": "string"})));
        assert_eq!(resolve(&root, "#/$defs/c%20d"), Some(&json!(true)));
        assert_eq!(resolve(&root, "#"), Some(&root));
        for nowhere in ["#/$defs", "#/$defs/e", "#/required/0", "#/$defs/f", "x#/$defs/e", "#$defs", "#/%ff"]
        {
            assert_eq!(resolve(&root, nowhere), None, "{nowhere}");
        }
    }
}
