//! What a pickle can hold.

use super::super::tensor::{Bytes, Element};
use super::numpy::Global;

/// Index into the [`Heap`]; pickles share objects, so they are referred to and never copied.
pub(in crate::checkpoint) type Id = usize;

/// All objects of one pickle; an opcode makes at most one, so the limit on opcodes bounds them.
#[derive(Debug, Default)]
pub(in crate::checkpoint) struct Heap(Vec<Object>);

impl Heap {
    pub(super) fn add(&mut self, object: Object) -> Id {
        self.0.push(object);
        self.0.len() - 1
    }

    pub(in crate::checkpoint) fn get(&self, id: Id) -> &Object {
        &self.0[id]
    }

    pub(super) fn get_mut(&mut self, id: Id) -> &mut Object {
        &mut self.0[id]
    }
}

#[derive(Clone, Debug)]
pub(in crate::checkpoint) enum Object {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    Bytes(Bytes),
    Tuple(Vec<Id>),
    List(Vec<Id>),
    /// Pairs in the order they were set; a later pair of the same key wins.
    Dict(Vec<(Id, Id)>),
    Global(Global),
    /// A numpy type.
    Dtype(Element),
    /// An array; `None` until its state is set.
    Array(Option<Array>),
}

impl Object {
    /// What to call it in a message.
    pub(in crate::checkpoint) fn kind(&self) -> &'static str {
        match self {
            Self::None => "None",
            Self::Bool(_) => "a bool",
            Self::Int(_) => "an int",
            Self::Float(_) => "a float",
            Self::Text(_) => "a str",
            Self::Bytes(_) => "bytes",
            Self::Tuple(_) => "a tuple",
            Self::List(_) => "a list",
            Self::Dict(_) => "a dict",
            Self::Global(_) => "a function",
            Self::Dtype(_) => "a dtype",
            Self::Array(None) => "an array without values",
            Self::Array(Some(_)) => "an array",
        }
    }
}

/// A numpy array: its numbers stay where they are in the file.
#[derive(Clone, Debug)]
pub(in crate::checkpoint) struct Array {
    pub(in crate::checkpoint) element: Element,
    pub(in crate::checkpoint) shape: Vec<usize>,
    /// Column-major instead of row-major.
    pub(in crate::checkpoint) fortran: bool,
    /// Exactly as many bytes as the shape needs.
    pub(in crate::checkpoint) bytes: Bytes,
}
