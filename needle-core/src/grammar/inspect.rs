//! What can be said of a schema before it is compiled: its size, where its references lead, and the keywords
//! that the grammar leaves to validation.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value};

use super::keywords::{Treatment, treatment};
use super::refs::{References, children, in_place};
use super::support::SchemaProblem;

/// JSON values in one schema.
const MAX_VALUES: usize = 50_000;
/// Levels of JSON in one schema.
const MAX_JSON_DEPTH: usize = 100;
/// Schemas inside one another, references followed; compiling recurses this deep.
const MAX_DEPTH: usize = 48;
/// Schemas looked at, those behind a reference again.
const MAX_VISITS: usize = 100_000;
/// Properties of one value, those of all schemas that apply to it together; compiling recurses this deep.
const MAX_PROPERTIES: usize = 512;

/// The keywords that the grammar leaves to validation.
///
/// # Errors
/// The problem for which the schema is refused: too large, or a reference that leads nowhere or in a circle.
pub(crate) fn inspect(root: &Value) -> Result<Vec<SchemaProblem>, SchemaProblem> {
    measure(root)?;
    let mut walk = Walk {
        references: References::new(root),
        followed: HashSet::new(),
        visits: 0,
        in_place: HashMap::new(),
        problems: Vec::new(),
    };
    walk.schema(root, "", 0)?;
    walk.circles()?;
    Ok(walk.problems)
}

/// Refuses a schema that is too large, without recursion.
fn measure(root: &Value) -> Result<(), SchemaProblem> {
    let mut open = vec![(root, 0)];
    let mut values = 0;
    while let Some((value, depth)) = open.pop() {
        values += 1;
        if values + open.len() > MAX_VALUES || depth > MAX_JSON_DEPTH {
            let why = format!(
                "the schema holds more than {MAX_VALUES} values or is nested more than {MAX_JSON_DEPTH} levels deep; make it smaller"
            );
            return Err(SchemaProblem::at("", why));
        }
        match value {
            Value::Object(map) => open.extend(map.values().map(|one| (one, depth + 1))),
            Value::Array(list) => open.extend(list.iter().map(|one| (one, depth + 1))),
            _ => {}
        }
    }
    Ok(())
}

/// What a schema says itself, and the schemas that apply to the same value, by address.
struct SameValue {
    pointer: String,
    properties: usize,
    /// These apply together with it.
    together: Vec<*const Value>,
    /// One of these applies with it.
    alternatives: Vec<*const Value>,
}

struct Walk<'a> {
    references: References<'a>,
    /// Pointers of the reference targets that were walked.
    followed: HashSet<String>,
    visits: usize,
    in_place: HashMap<*const Value, SameValue>,
    problems: Vec<SchemaProblem>,
}

impl<'a> Walk<'a> {
    fn schema(&mut self, schema: &'a Value, pointer: &str, depth: usize) -> Result<(), SchemaProblem> {
        let Value::Object(map) = schema else { return Ok(()) };
        self.visits += 1;
        if depth > MAX_DEPTH || self.visits > MAX_VISITS {
            let why = format!(
                "stands more than {MAX_DEPTH} schemas deep, or the references multiply the schema too often; make it flatter"
            );
            return Err(SchemaProblem::at(pointer, why));
        }
        let mut same_value = SameValue {
            pointer: pointer.into(),
            properties: own_properties(map),
            together: Vec::new(),
            alternatives: Vec::new(),
        };
        self.keywords(map, pointer)?;
        if let Some(reference) = map.get("$ref").and_then(Value::as_str) {
            let Some((target_pointer, target)) = self.references.resolve(reference) else {
                let why = format!(
                    "{reference:?} names nothing in this schema; put the definition under \"$defs\", nothing is fetched"
                );
                return Err(SchemaProblem::of(pointer, "$ref", why));
            };
            same_value.together.push(target);
            if self.followed.insert(target_pointer.clone()) {
                self.schema(target, &target_pointer, depth + 1)?;
            }
        }
        for (keyword, below, child) in children(map, pointer) {
            if matches!(keyword, "anyOf" | "oneOf") {
                same_value.alternatives.push(child);
            } else if in_place(keyword) {
                same_value.together.push(child);
            }
            self.schema(child, &below, depth + 1)?;
        }
        self.in_place.insert(schema, same_value);
        Ok(())
    }

    /// Notes what becomes of the keywords of one schema.
    fn keywords(&mut self, map: &Map<String, Value>, pointer: &str) -> Result<(), SchemaProblem> {
        if !pointer.is_empty() && map.get("$id").is_some_and(Value::is_string) {
            let why = "a schema inside a schema has its own address; remove it and point \"$ref\" at \"#/…\"";
            return Err(SchemaProblem::of(pointer, "$id", why));
        }
        for (keyword, value) in map {
            match treatment(keyword, value, |other| map.get(other)) {
                Treatment::Follow | Treatment::Annotation => {}
                Treatment::LeaveToValidation(why) => {
                    let problem = SchemaProblem::of(pointer, keyword, why);
                    if !self.problems.contains(&problem) {
                        self.problems.push(problem);
                    }
                }
                Treatment::Refuse(why) => return Err(SchemaProblem::of(pointer, keyword, why)),
            }
        }
        Ok(())
    }

    /// Refuses schemas that apply to a value only if they apply to it (neither validation nor grammar would
    /// end), and those that give one value too many properties.
    ///
    /// Schemas are settled when all others for the same value are; what is never settled stands in a circle.
    fn circles(&self) -> Result<(), SchemaProblem> {
        let mut waiting: HashMap<*const Value, Vec<*const Value>> = HashMap::new();
        let mut missing: HashMap<*const Value, usize> = HashMap::new();
        let mut ready = Vec::new();
        for (&schema, same_value) in &self.in_place {
            let inner = same_value.together.iter().chain(&same_value.alternatives);
            let inner: Vec<_> = inner.filter(|inner| self.in_place.contains_key(*inner)).collect();
            missing.insert(schema, inner.len());
            if inner.is_empty() {
                ready.push(schema);
            }
            for &inner in inner {
                waiting.entry(inner).or_default().push(schema);
            }
        }
        let mut settled: HashMap<*const Value, usize> = HashMap::new();
        while let Some(schema) = ready.pop() {
            let Some(same_value) = self.in_place.get(&schema) else { continue };
            let of = |inner: &*const Value| settled.get(inner).copied().unwrap_or(0);
            let together =
                same_value.together.iter().map(of).fold(same_value.properties, usize::saturating_add);
            let properties =
                together.saturating_add(same_value.alternatives.iter().map(of).max().unwrap_or(0));
            if properties > MAX_PROPERTIES {
                let why = format!("a value has more than {MAX_PROPERTIES} properties; split the tool");
                return Err(SchemaProblem::of(&same_value.pointer, "properties", why));
            }
            settled.insert(schema, properties);
            for outer in waiting.remove(&schema).unwrap_or_default() {
                if let Some(count) = missing.get_mut(&outer) {
                    *count -= 1;
                    if *count == 0 {
                        ready.push(outer);
                    }
                }
            }
        }
        let circle = self.in_place.iter().filter(|(schema, _)| !settled.contains_key(*schema));
        match circle.map(|(_, at)| at.pointer.as_str()).min() {
            None => Ok(()),
            Some(pointer) => {
                let why = "leads back to itself without going into a property or an item; remove the circle";
                Err(SchemaProblem::of(pointer, "$ref", why))
            }
        }
    }
}

/// Properties that one schema names, those of the objects among its values included.
fn own_properties(map: &Map<String, Value>) -> usize {
    let named = map.get("properties").and_then(Value::as_object).map_or(0, Map::len);
    let required = map.get("required").and_then(Value::as_array).map_or(0, Vec::len);
    let mut largest = 0;
    let listed = map.get("enum").and_then(Value::as_array).into_iter().flatten();
    let mut open: Vec<&Value> = listed.chain(map.get("const")).collect();
    while let Some(value) = open.pop() {
        match value {
            Value::Object(members) => {
                largest = largest.max(members.len());
                open.extend(members.values());
            }
            Value::Array(items) => open.extend(items),
            _ => {}
        }
    }
    named.max(required).saturating_add(largest)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn refused(schema: &Value) -> String {
        inspect(schema).unwrap_err().pointer
    }

    #[test]
    fn names_what_validation_must_check() {
        let schema =
            json!({"properties": {"a": {"uniqueItems": true, "items": {"format": "iri"}}, "not": {}}});
        let pointers: Vec<String> = inspect(&schema).unwrap().into_iter().map(|one| one.pointer).collect();
        assert_eq!(pointers, ["/properties/a/uniqueItems", "/properties/a/items/format"]);
    }

    #[test]
    fn recursion_into_values_is_fine_and_circles_are_refused() {
        let list = json!({"properties": {"next": {"$ref": "#"}}});
        assert_eq!(inspect(&list), Ok(Vec::new()));
        for schema in [
            json!({"$ref": "#"}),
            json!({"not": {"$ref": "#"}}),
            json!({"properties": {"a": {"$ref": "#/$defs/x"}}, "allOf": [{"$ref": "#/$defs/x"}],
                   "$defs": {"x": {"$ref": "#"}}}),
            json!({"properties": {"a": {"$ref": "#/$defs/x"}},
                   "$defs": {"x": {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/y"}]}, "y": {"$ref": "#/$defs/x"}}}),
        ] {
            assert!(refused(&schema).ends_with("/$ref"), "{schema}");
        }
        assert_eq!(refused(&json!({"items": {"$ref": "http://localhost/x"}})), "/items/$ref");
        assert_eq!(refused(&json!({"items": {"$dynamicRef": "#x"}})), "/items/$dynamicRef");
        assert_eq!(refused(&json!({"items": {"$id": "x"}})), "/items/$id");
    }

    #[test]
    fn size_is_bounded_before_anything_recurses() {
        let mut deep = json!({});
        for _ in 0..60 {
            deep = json!({"items": deep});
        }
        assert!(inspect(&deep).is_err());
        for _ in 0..5000 {
            deep = Value::Array(vec![deep]);
        }
        assert!(inspect(&deep).unwrap_err().why.contains("levels"));
        drop_flat(deep);
        let chain: Map<String, Value> =
            (0..100).map(|n| (n.to_string(), json!({"$ref": format!("#/$defs/{}", n + 1)}))).collect();
        assert!(inspect(&json!({"$ref": "#/$defs/0", "$defs": chain})).is_err());
        let wide: Map<String, Value> = (0..600).map(|n| (n.to_string(), json!(true))).collect();
        assert_eq!(refused(&json!({"properties": wide})), "/properties");
        assert_eq!(refused(&json!({"items": {"enum": [[wide]]}})), "/items/properties");
        let part = |from: usize| -> Value {
            let names = (from..from + 200).map(|n| (n.to_string(), json!(true)));
            json!({"properties": names.collect::<Map<_, _>>()})
        };
        assert_eq!(inspect(&json!({"anyOf": [part(0), part(200), part(400)]})), Ok(Vec::new()));
        assert_eq!(refused(&json!({"allOf": [part(0), part(200), part(400)]})), "/properties");
    }

    /// Dropping a deep value level by level would recurse as deep.
    fn drop_flat(mut value: Value) {
        while let Value::Array(mut list) = value {
            value = list.pop().unwrap_or_default();
        }
    }
}
