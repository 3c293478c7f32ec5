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
/// Properties of one object; compiling recurses this deep.
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

/// The schemas that apply to the same value as another one, by address, and where that one stands.
#[derive(Default)]
struct SameValue {
    pointer: String,
    schemas: Vec<*const Value>,
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
        let mut same_value = SameValue { pointer: pointer.into(), schemas: Vec::new() };
        self.keywords(map, pointer)?;
        if let Some(reference) = map.get("$ref").and_then(Value::as_str) {
            let Some((target_pointer, target)) = self.references.resolve(reference) else {
                let why = format!(
                    "{reference:?} names nothing in this schema; put the definition under \"$defs\", nothing is fetched"
                );
                return Err(SchemaProblem::of(pointer, "$ref", why));
            };
            same_value.schemas.push(target);
            if self.followed.insert(target_pointer.clone()) {
                self.schema(target, &target_pointer, depth + 1)?;
            }
        }
        for (keyword, below, child) in children(map, pointer) {
            if in_place(keyword) {
                same_value.schemas.push(child);
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
        if map.get("properties").and_then(Value::as_object).is_some_and(|all| all.len() > MAX_PROPERTIES) {
            let why = format!("lists more than {MAX_PROPERTIES} properties; split the tool");
            return Err(SchemaProblem::of(pointer, "properties", why));
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

    /// Refuses schemas that apply to a value only if they apply to it: neither validation nor grammar would end.
    ///
    /// Schemas without another one for the same value are taken away until none is left but circles.
    fn circles(&self) -> Result<(), SchemaProblem> {
        let mut waiting: HashMap<*const Value, Vec<*const Value>> = HashMap::new();
        let mut missing: HashMap<*const Value, usize> = HashMap::new();
        let mut settled = Vec::new();
        for (&schema, same_value) in &self.in_place {
            let inner = same_value.schemas.iter().filter(|inner| self.in_place.contains_key(*inner));
            let mut count = 0;
            for &inner in inner {
                waiting.entry(inner).or_default().push(schema);
                count += 1;
            }
            missing.insert(schema, count);
            if count == 0 {
                settled.push(schema);
            }
        }
        while let Some(schema) = settled.pop() {
            missing.remove(&schema);
            for outer in waiting.remove(&schema).unwrap_or_default() {
                if let Some(count) = missing.get_mut(&outer) {
                    *count -= 1;
                    if *count == 0 {
                        settled.push(outer);
                    }
                }
            }
        }
        let mut left: Vec<&str> = missing
            .keys()
            .filter_map(|schema| self.in_place.get(schema))
            .map(|at| at.pointer.as_str())
            .collect();
        left.sort_unstable();
        match left.first() {
            None => Ok(()),
            Some(pointer) => {
                let why = "leads back to itself without going into a property or an item; remove the circle";
                Err(SchemaProblem::of(pointer, "$ref", why))
            }
        }
    }
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
    }

    /// Dropping a deep value level by level would recurse as deep.
    fn drop_flat(mut value: Value) {
        while let Value::Array(mut list) = value {
            value = list.pop().unwrap_or_default();
        }
    }
}
