//! The names that array pickles refer to, and what calling them yields. Source: numpy's `__reduce__` methods.

use std::sync::Arc;

use super::super::tensor::{Bytes, Element};
use super::object::{Array, Heap, Id, Object};
use super::shown;

/// Axes of an array; numpy's own limit.
const MAX_AXES: usize = 64;
/// Arguments of a call and fields of a state; numpy's largest has nine.
const MAX_VALUES: usize = 16;

/// A name that is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::checkpoint) enum Global {
    /// Makes an empty array whose state follows.
    Reconstruct,
    /// Makes an array from bytes, type, shape and order (protocol 5).
    FromBuffer,
    /// Makes one number from type and bytes.
    Scalar,
    NdArray,
    Dtype,
    Bfloat16,
    /// Makes bytes from text (protocol 2).
    Encode,
    /// Makes empty bytes (protocol 2).
    Bytes,
}

impl Global {
    pub(super) fn find(module: &str, name: &str) -> Result<Self, String> {
        Ok(match (module, name) {
            ("numpy.core.multiarray" | "numpy._core.multiarray", "_reconstruct") => Self::Reconstruct,
            ("numpy.core.multiarray" | "numpy._core.multiarray", "scalar") => Self::Scalar,
            ("numpy.core.numeric" | "numpy._core.numeric", "_frombuffer") => Self::FromBuffer,
            ("numpy", "ndarray") => Self::NdArray,
            ("numpy", "dtype") => Self::Dtype,
            ("ml_dtypes", "bfloat16") => Self::Bfloat16,
            ("_codecs", "encode") => Self::Encode,
            ("builtins" | "__builtin__", "bytes") => Self::Bytes,
            _ => {
                return Err(format!(
                    "is a pickle that asks for {}.{}; only arrays of numpy and ml_dtypes are read, so it was \
                     not loaded",
                    shown(module),
                    shown(name)
                ));
            }
        })
    }

    /// The result of calling this name.
    pub(super) fn call(self, heap: &Heap, arguments: &[Id]) -> Result<Object, String> {
        let objects = objects(heap, arguments)?;
        match (self, objects.as_slice()) {
            (Self::Reconstruct, [Object::Global(Self::NdArray), ..]) => Ok(Object::Array(None)),
            (Self::Scalar, [Object::Dtype(element), Object::Bytes(bytes)]) => {
                array(*element, Vec::new(), false, bytes.clone())
            }
            (Self::Dtype, [Object::Text(name), ..]) => dtype(name),
            (Self::Dtype, [Object::Global(Self::Bfloat16), ..]) => Ok(Object::Dtype(Element::Bf16)),
            (
                Self::FromBuffer,
                [Object::Bytes(bytes), Object::Dtype(element), shape, Object::Text(order)],
            ) => {
                let fortran = match order.as_str() {
                    "C" => false,
                    "F" => true,
                    _ => {
                        return Err(format!(
                            "holds an array of order \"{}\"; C and F are known",
                            shown(order)
                        ));
                    }
                };
                array(*element, sizes(heap, shape)?, fortran, bytes.clone())
            }
            (Self::Encode, [Object::Text(text), Object::Text(encoding)]) if encoding == "latin1" => {
                let bytes: Option<Vec<u8>> = text.chars().map(|char| u8::try_from(char).ok()).collect();
                let bytes = bytes.ok_or("holds bytes written as text that is not Latin-1")?;
                Ok(Object::Bytes(Bytes::Decoded(Arc::from(bytes))))
            }
            (Self::Bytes, []) => Ok(Object::Bytes(Bytes::Decoded(Arc::from([])))),
            _ => {
                let kinds: Vec<&str> = objects.iter().map(|object| object.kind()).collect();
                Err(format!("calls {self:?} with ({}), which no array needs", kinds.join(", ")))
            }
        }
    }
}

/// The objects behind a short list of references.
fn objects<'a>(heap: &'a Heap, ids: &[Id]) -> Result<Vec<&'a Object>, String> {
    if ids.len() > MAX_VALUES {
        return Err(format!("passes {} values, which no array needs", ids.len()));
    }
    Ok(ids.iter().map(|&id| heap.get(id)).collect())
}

/// Sets the state of an object that was called into being.
pub(super) fn build(heap: &Heap, object: &Object, state: &Object) -> Result<Object, String> {
    let Object::Tuple(fields) = state else {
        return Err(format!("sets the state of {} to {}", object.kind(), state.kind()));
    };
    let fields = objects(heap, fields)?;
    match (object, fields.as_slice()) {
        (Object::Dtype(element), [Object::Int(_), Object::Text(order), ..]) => match order.as_str() {
            "<" | "|" | "=" => Ok(Object::Dtype(*element)),
            _ => Err("holds big-endian numbers; save it on a little-endian machine".into()),
        },
        (
            Object::Array(None),
            [Object::Int(1), shape, Object::Dtype(element), order, Object::Bytes(bytes)],
        ) => {
            let fortran = match order {
                Object::Bool(fortran) => *fortran,
                Object::Int(fortran) => *fortran != 0,
                other => return Err(format!("holds an array whose order is {}", other.kind())),
            };
            array(*element, sizes(heap, shape)?, fortran, bytes.clone())
        }
        _ => Err(format!("sets a state of {} fields on {}, which no array has", fields.len(), object.kind())),
    }
}

fn dtype(name: &str) -> Result<Object, String> {
    Ok(Object::Dtype(match name {
        "f2" => Element::F16,
        "f4" => Element::F32,
        "f8" => Element::F64,
        _ => {
            return Err(format!(
                "holds an array of type \"{}\"; f2, f4, f8 and bfloat16 are understood",
                shown(name)
            ));
        }
    }))
}

/// Nothing is allocated for an array: its bytes are there already and must be as many as its shape says.
fn array(element: Element, shape: Vec<usize>, fortran: bool, bytes: Bytes) -> Result<Object, String> {
    let needed = shape.iter().try_fold(element.size(), |size, &n| size.checked_mul(n));
    if needed != Some(bytes.len()) {
        return Err(format!(
            "holds an array of shape {shape:?} with {} bytes, which do not fit",
            bytes.len()
        ));
    }
    Ok(Object::Array(Some(Array { element, shape, fortran, bytes })))
}

fn sizes(heap: &Heap, shape: &Object) -> Result<Vec<usize>, String> {
    let Object::Tuple(sizes) = shape else {
        return Err(format!("holds an array whose shape is {}", shape.kind()));
    };
    if sizes.len() > MAX_AXES {
        return Err(format!("holds an array of {} axes; {MAX_AXES} are the most", sizes.len()));
    }
    sizes
        .iter()
        .map(|&id| match heap.get(id) {
            Object::Int(size) => {
                usize::try_from(*size).map_err(|_| format!("holds an array with a size of {size}"))
            }
            other => Err(format!("holds an array with {} as a size", other.kind())),
        })
        .collect()
}
