//! The published checkpoint: a pickle of `{"params": nested dicts of arrays, "config": dict}`.

use std::collections::{HashMap, HashSet};

use indexmap::IndexMap;
use serde_json::{Map, Value};

use super::config::ModelConfig;
use super::names::{self, Expected, Leaf};
use super::pickle::{self, Array, Heap, Id, Object, shown};
use super::refuse;
use super::tensor::{Storage, Stored, Tensor};
use crate::error::Result;

/// Values visited before a file counts as hostile: shared dicts can multiply without end.
const MAX_VISITS: usize = 100_000;
/// Dicts one inside the other.
const MAX_DEPTH: usize = 32;
/// Bytes of a parameter's path or a config's key.
const MAX_NAME: usize = 256;
/// The temperature of the contrastive training, which inference does not need.
const UNUSED: &str = "log_temp";

/// Reads config and tensors; the tensors get this project's names and (out, in) matrices without being moved.
pub(super) fn read(origin: &str, file: &[u8]) -> Result<(ModelConfig, IndexMap<String, Tensor>)> {
    let wrong = |problem: String| refuse(origin, problem);
    let (heap, root) = pickle::read(file).map_err(wrong)?;
    let entry = |key: &str| {
        entries(&heap, root)
            .into_iter()
            .rev()
            .find_map(|(found, value)| (found == key).then_some(value))
            .ok_or_else(|| {
                wrong(format!("is a pickle without {key:?}; a checkpoint holds \"params\" and \"config\""))
            })
    };
    let config = config(&heap, entry("config")?).map_err(wrong)?;
    config.validate()?;
    let mut leaves = Leaves { heap: &heap, arrays: HashMap::new(), used: HashSet::new(), visits: 0 };
    leaves.collect(entry("params")?, String::new(), 0).map_err(wrong)?;
    let mut tensors = IndexMap::new();
    for Expected { name, shape, published } in names::expected(&config) {
        let leaf =
            published.ok_or_else(|| wrong("has a copy head, which published checkpoints do not".into()))?;
        let tensor = tensor(&leaves.arrays, &leaf, shape).map_err(wrong)?;
        leaves.used.insert(leaf.path);
        tensors.insert(name, tensor);
    }
    let mut unknown: Vec<&str> = leaves.arrays.keys().map(String::as_str).collect();
    unknown.retain(|path| *path != UNUSED && !leaves.used.contains(*path));
    unknown.sort_unstable();
    if !unknown.is_empty() {
        let unknown = shown(&names::list("array", &unknown));
        return Err(wrong(format!("holds {unknown}, which this network does not have")));
    }
    Ok((config, tensors))
}

/// The pairs of a dict with text keys; none for anything else.
fn entries(heap: &Heap, id: Id) -> Vec<(&str, Id)> {
    let Object::Dict(pairs) = heap.get(id) else { return Vec::new() };
    let text = |id: Id| if let Object::Text(key) = heap.get(id) { Some(key.as_str()) } else { None };
    pairs.iter().filter_map(|&(key, value)| Some((text(key)?, value))).collect()
}

fn config(heap: &Heap, id: Id) -> std::result::Result<ModelConfig, String> {
    let mut json = Map::new();
    for (key, value) in entries(heap, id).into_iter().filter(|(key, _)| key.len() <= MAX_NAME) {
        let value = match heap.get(value) {
            Object::Bool(value) => Value::from(*value),
            Object::Int(value) => Value::from(*value),
            Object::Float(value) => Value::from(*value),
            // Anything else, text too, is a setting of the training that no network needs.
            _ => continue,
        };
        json.insert(key.to_owned(), value);
    }
    if json.get("no_feedforward") == Some(&Value::Bool(false)) {
        return Err(
            "is a checkpoint with feed-forward layers (no_feedforward = false), which are not supported"
                .into(),
        );
    }
    serde_json::from_value(Value::Object(json)).map_err(|error| format!("has a wrong config: {error}"))
}

/// Every array by the path of its keys, `a/b/c`.
struct Leaves<'a> {
    heap: &'a Heap,
    arrays: HashMap<String, &'a Array>,
    /// Paths that became tensors.
    used: HashSet<String>,
    visits: usize,
}

impl Leaves<'_> {
    fn collect(&mut self, id: Id, path: String, depth: usize) -> std::result::Result<(), String> {
        self.visits += 1;
        if depth > MAX_DEPTH || self.visits > MAX_VISITS {
            return Err(format!("nests or repeats its parameters without end at \"{}\"", shown(&path)));
        }
        match self.heap.get(id) {
            Object::Array(Some(array)) => {
                self.arrays.insert(path, array);
            }
            Object::Dict(pairs) => {
                for &(key, value) in pairs {
                    let key = match self.heap.get(key) {
                        Object::Text(key) => key,
                        other => {
                            return Err(format!("holds a key that is {} among its parameters", other.kind()));
                        }
                    };
                    if path.len() + key.len() >= MAX_NAME {
                        return Err(format!(
                            "names a parameter longer than {MAX_NAME} bytes: {}",
                            shown(key)
                        ));
                    }
                    let path = if path.is_empty() { key.clone() } else { format!("{path}/{key}") };
                    self.collect(value, path, depth + 1)?;
                }
            }
            other => {
                return Err(format!("holds {} at {}, where an array belongs", other.kind(), shown(&path)));
            }
        }
        Ok(())
    }
}

/// One tensor as a view of its leaf: one layer of a stack, transposed if it is a kernel.
fn tensor(
    leaves: &HashMap<String, &Array>,
    leaf: &Leaf,
    shape: Vec<usize>,
) -> std::result::Result<Tensor, String> {
    let array = leaves.get(&leaf.path).ok_or_else(|| format!("lacks {}", leaf.path))?;
    let mut wanted = shape.clone();
    if leaf.is_kernel() {
        wanted.reverse();
    }
    if let Some((_, layers)) = leaf.layer {
        // Gates are one number per layer, stacked without an axis of their own.
        wanted = if shape == [1] { vec![layers] } else { [vec![layers], wanted].concat() };
    }
    if array.shape != wanted {
        return Err(format!("has {} of shape {:?}, the config says {wanted:?}", leaf.path, array.shape));
    }
    let strides = strides(array);
    let (layer, own) = match leaf.layer {
        Some((layer, _)) => (layer * strides[0], &strides[1..]),
        None => (0, strides.as_slice()),
    };
    let (rows, columns) = if let [rows, columns] = shape[..] { (rows, columns) } else { (1, shape[0]) };
    let mut steps = match own {
        [row, column] => [*row, *column],
        [column] => [0, *column],
        _ => [0, 0],
    };
    if leaf.is_kernel() {
        steps.reverse();
    }
    let bytes = array.bytes.clone();
    let stored =
        Stored { element: array.element, bytes, offset: layer, size: [rows, columns], strides: steps };
    Ok(Tensor { shape, storage: Storage::Plain(stored) })
}

/// Distance in elements of two neighbours along each axis.
fn strides(array: &Array) -> Vec<usize> {
    let mut strides = vec![0; array.shape.len()];
    let mut step = 1;
    let mut set = |axis: usize| {
        strides[axis] = step;
        step *= array.shape[axis];
    };
    if array.fortran {
        (0..array.shape.len()).for_each(&mut set);
    } else {
        (0..array.shape.len()).rev().for_each(&mut set);
    }
    strides
}
