//! A schema rewritten for the grammar's compiler: only keywords that it follows, every reference `#/$defs/N`.

use serde_json::{Map, Value, json};

use super::keywords::{Treatment, treatment};
use super::refs::{References, Shape, escaped, shape};
use super::support::SchemaProblem;

/// Schemas after rewriting; references to parts of one another multiply them.
const MAX_SCHEMAS: usize = 100_000;

/// A rewritten schema of an object.
#[derive(Clone, Debug)]
pub(super) struct Prepared {
    /// The schema.
    pub(super) schema: Value,
    /// Where each definition stood in the original.
    definitions: Vec<String>,
}

impl Prepared {
    /// The place in the original of a place in the rewritten schema.
    pub(super) fn original(&self, pointer: &str) -> String {
        let within = pointer.strip_prefix("/$defs/").and_then(|rest| {
            let (name, rest) =
                rest.split_once('/').map_or((rest, String::new()), |(n, r)| (n, format!("/{r}")));
            Some(format!("{}{rest}", self.definitions.get(name.parse::<usize>().ok()?)?))
        });
        within.unwrap_or_else(|| pointer.to_owned())
    }
}

/// Rewrites an inspected schema; the result takes objects only, as arguments are one.
///
/// # Errors
/// A problem if the schema takes no object, or if its references multiply it too often.
pub(super) fn prepare(root: &Value) -> Result<Prepared, SchemaProblem> {
    let mut copy = Copy {
        references: References::new(root),
        definitions: Vec::new(),
        schemas: 0,
        refs_stand_alone: refs_stand_alone(root),
    };
    let mut schema = match copy.schema(root)? {
        Value::Object(map) => map,
        Value::Bool(true) => Map::new(),
        _ => return Err(SchemaProblem::at("", "takes no value at all; arguments are an object")),
    };
    let takes_objects = match schema.get("type") {
        None => true,
        Some(Value::Array(types)) => types.iter().any(|one| one == "object"),
        Some(one) => one == "object",
    };
    if !takes_objects {
        return Err(SchemaProblem::of("", "type", "arguments are an object; set it to \"object\""));
    }
    if schema.get("type").is_none_or(|one| one != "object") {
        // Before all other keywords, so that alternatives are narrowed to objects, not the other way round.
        schema.shift_remove("type");
        schema.shift_insert(0, "type".into(), json!("object"));
    }
    let mut bodies = Map::new();
    let mut next = 0;
    while let Some(pointer) = copy.definitions.get(next).cloned() {
        let target = root.pointer(&pointer).unwrap_or(&Value::Bool(true));
        bodies.insert(next.to_string(), copy.schema(target)?);
        next += 1;
    }
    if !bodies.is_empty() {
        schema.insert("$defs".into(), Value::Object(bodies));
    }
    if let Some(draft) = root.get("$schema") {
        schema.insert("$schema".into(), draft.clone());
    }
    Ok(Prepared { schema: Value::Object(schema), definitions: copy.definitions })
}

/// Whether the schema's draft ignores what stands beside a reference (all drafts up to 7).
fn refs_stand_alone(root: &Value) -> bool {
    let draft = root.get("$schema").and_then(Value::as_str).unwrap_or_default();
    ["draft-04", "draft-06", "draft-07"].iter().any(|old| draft.contains(old))
}

struct Copy<'a> {
    references: References<'a>,
    /// Original pointers of the reference targets; the index is the definition's new name.
    definitions: Vec<String>,
    schemas: usize,
    refs_stand_alone: bool,
}

impl Copy<'_> {
    /// The recursion is bounded by `inspect`.
    fn schema(&mut self, schema: &Value) -> Result<Value, SchemaProblem> {
        self.schemas += 1;
        if self.schemas > MAX_SCHEMAS {
            return Err(SchemaProblem::at(
                "",
                "the references multiply the schema too often; make it smaller",
            ));
        }
        let Value::Object(map) = schema else { return Ok(schema.clone()) };
        let mut copy = Map::new();
        for (keyword, value) in map {
            // The order stays, as it is the order of the properties in the arguments.
            if let ("$ref", Value::String(reference)) = (keyword.as_str(), value) {
                let definition = self.definition(reference);
                if self.refs_stand_alone {
                    return Ok(json!({"$ref": definition}));
                }
                copy.insert("$ref".into(), definition);
                continue;
            }
            if treatment(keyword, value, |other| map.get(other)) != Treatment::Follow {
                continue;
            }
            let value = match (shape(keyword, value), value) {
                (Some(Shape::One), one) => self.schema(one)?,
                (Some(Shape::List), Value::Array(list)) => {
                    Value::Array(list.iter().map(|one| self.schema(one)).collect::<Result<_, _>>()?)
                }
                (Some(Shape::Map), Value::Object(map)) => {
                    let each = map.iter().map(|(name, one)| Ok((name.clone(), self.schema(one)?)));
                    Value::Object(each.collect::<Result<_, SchemaProblem>>()?)
                }
                (_, data) => data.clone(),
            };
            copy.insert(keyword.clone(), value);
        }
        Ok(Value::Object(copy))
    }

    fn definition(&mut self, reference: &str) -> Value {
        let Some((pointer, _)) = self.references.resolve(reference) else { return json!(reference) };
        let known = self.definitions.iter().position(|one| *one == pointer);
        let index = known.unwrap_or_else(|| {
            self.definitions.push(pointer);
            self.definitions.len() - 1
        });
        json!(format!("#/$defs/{index}"))
    }
}

/// Takes a keyword out of the schema at `pointer`, and what must go with it so that the rest only lets more
/// through; `false` if it is not there.
pub(super) fn leave_out(root: &mut Value, pointer: &str, keyword: &str) -> bool {
    let Some(schema) = root.pointer_mut(pointer).and_then(Value::as_object_mut) else { return false };
    let Some(place) = schema.keys().position(|one| one == keyword) else { return false };
    let Some(value) = schema.shift_remove(keyword) else { return false };
    match keyword {
        // The alternatives stay, only that they exclude one another is left to validation.
        "oneOf" => {
            if schema.contains_key("anyOf") {
                let all = schema.entry("allOf").or_insert_with(|| json!([]));
                if let Some(all) = all.as_array_mut() {
                    all.push(json!({"anyOf": value}));
                }
            } else {
                // At the same place: the order of keywords is the order of the properties they bring.
                schema.shift_insert(place, "anyOf".into(), value);
            }
        }
        // It would now hold for the properties with these names too.
        "patternProperties" => {
            schema.shift_remove("additionalProperties");
        }
        // The compiler takes either both or none.
        "minProperties" => {
            schema.shift_remove("maxProperties");
        }
        "maxProperties" => {
            schema.shift_remove("minProperties");
        }
        _ => {}
    }
    true
}

/// The pointer of `keyword` in the schema at `pointer`.
pub(super) fn joined(pointer: &str, keyword: &str) -> String {
    format!("{pointer}/{}", escaped(keyword))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_what_the_grammar_follows_and_renames_definitions() {
        let root = json!({"title": "T", "properties": {
                "title": {"description": "d", "$ref": "#/$defs/a~1b", "enum": [{"title": 1}]},
                "self": {"$ref": "#"}},
            "$defs": {"a/b": {"type": "string", "not": {}}}});
        let prepared = prepare(&root).unwrap();
        assert_eq!(
            prepared.schema,
            json!({"type": "object", "properties": {
                    "title": {"$ref": "#/$defs/0", "enum": [{"title": 1}]},
                    "self": {"$ref": "#/$defs/1"}},
                "$defs": {"0": {"type": "string"}, "1": {"properties": {
                    "title": {"$ref": "#/$defs/0", "enum": [{"title": 1}]},
                    "self": {"$ref": "#/$defs/1"}}}}})
        );
        assert_eq!(prepared.original("/$defs/0/type"), "/$defs/a~1b/type");
        assert_eq!(prepared.original("/$defs/1"), "");
        assert_eq!(prepared.original("/properties/self"), "/properties/self");
    }

    #[test]
    fn arguments_are_an_object() {
        assert_eq!(prepare(&json!(true)).unwrap().schema, json!({"type": "object"}));
        assert_eq!(prepare(&json!({"type": ["null", "object"]})).unwrap().schema, json!({"type": "object"}));
        for wrong in [json!(false), json!({"type": "string"}), json!(7)] {
            assert!(prepare(&wrong).is_err(), "{wrong}");
        }
        let old = json!({"$schema": "http://json-schema.org/draft-07/schema#", "items": {"$ref": "#", "type": "null"}});
        assert_eq!(prepare(&old).unwrap().schema["items"], json!({"$ref": "#/$defs/0"}));
    }

    #[test]
    fn one_of_becomes_any_of_beside_any_of() {
        let mut root = json!({"oneOf": [1], "anyOf": [2]});
        assert!(leave_out(&mut root, "", "oneOf"));
        assert_eq!(root, json!({"anyOf": [2], "allOf": [{"anyOf": [1]}]}));
        assert!(!leave_out(&mut root, "/nowhere", "pattern"));
        let mut root = json!({"oneOf": [1], "type": "object"});
        assert!(leave_out(&mut root, "", "oneOf"));
        assert_eq!(root.to_string(), r#"{"anyOf":[1],"type":"object"}"#);
        let mut root = json!({"items": {"patternProperties": {}, "additionalProperties": false}});
        assert!(leave_out(&mut root, "/items", "patternProperties"));
        assert_eq!(root, json!({"items": {}}));
    }
}
