//! Stored tensors: where their numbers lie and how they become f32.

use std::ops::Range;
use std::sync::Arc;

use half::{bf16, f16};

use super::quantize;
use crate::kernels::Bits;
use crate::nn::weights::QuantisedMatrix;

/// Storage type of one number; all little-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Element {
    F64,
    F32,
    F16,
    Bf16,
    /// Quantised values; `quantize` says how.
    I8,
    /// Two quantised values of four bits.
    U8,
}

impl Element {
    /// Bytes of one number.
    pub(super) fn size(self) -> usize {
        match self {
            Self::F64 => 8,
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
            Self::I8 | Self::U8 => 1,
        }
    }

    /// One number from exactly [`Element::size`] bytes; `None` from any other length.
    fn read(self, bytes: &[u8]) -> Option<f32> {
        Some(match self {
            #[allow(
                clippy::cast_possible_truncation,
                reason = "weights are f32; overflow becomes an infinity, which is refused"
            )]
            Self::F64 => f64::from_le_bytes(bytes.try_into().ok()?) as f32,
            Self::F32 => f32::from_le_bytes(bytes.try_into().ok()?),
            Self::F16 => f16::from_le_bytes(bytes.try_into().ok()?).to_f32(),
            Self::Bf16 => bf16::from_le_bytes(bytes.try_into().ok()?).to_f32(),
            Self::I8 => f32::from(i8::from_le_bytes(bytes.try_into().ok()?)),
            Self::U8 => f32::from(u8::from_le_bytes(bytes.try_into().ok()?)),
        })
    }
}

/// Raw bytes: a part of the file, or decoded from it (protocol 2 pickles hold bytes as text).
#[derive(Clone, Debug)]
pub(super) enum Bytes {
    File(Range<usize>),
    Decoded(Arc<[u8]>),
}

impl Bytes {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::File(range) => range.len(),
            Self::Decoded(bytes) => bytes.len(),
        }
    }

    fn resolve<'a>(&'a self, file: &'a [u8]) -> Option<&'a [u8]> {
        match self {
            Self::File(range) => file.get(range.clone()),
            Self::Decoded(bytes) => Some(bytes),
        }
    }
}

/// A vector or matrix of numbers inside some bytes; positions and strides count elements.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    pub(super) element: Element,
    pub(super) bytes: Bytes,
    /// Index of the first element.
    pub(super) offset: usize,
    /// Rows and columns of the matrix; a vector has one row.
    pub(super) size: [usize; 2],
    /// Distance of two rows and of two columns: transposing and unstacking only change these and the offset.
    pub(super) strides: [usize; 2],
}

impl Stored {
    /// A whole row-major array.
    pub(super) fn contiguous(element: Element, bytes: Bytes, shape: &[usize]) -> Self {
        let columns = shape.last().copied().unwrap_or(1);
        // A shape with a zero may overflow here; such an array has no bytes and no tensor has its shape.
        let rows = shape.iter().rev().skip(1).fold(1, |rows: usize, n| rows.saturating_mul(*n));
        Self { element, bytes, offset: 0, size: [rows, columns], strides: [columns, 1] }
    }

    /// The numbers row by row; `None` where they do not lie inside the bytes.
    fn read(&self, file: &[u8]) -> Option<Vec<f32>> {
        let data = self.bytes.resolve(file)?;
        let width = self.element.size();
        let [rows, columns] = self.size;
        let mut values = Vec::with_capacity(rows.checked_mul(columns)?.min(data.len()));
        for row in 0..rows {
            for column in 0..columns {
                let index = self.offset + row * self.strides[0] + column * self.strides[1];
                values.push(self.element.read(data.get(index * width..(index + 1) * width)?)?);
            }
        }
        Some(values)
    }
}

/// One tensor of the network as it is stored.
#[derive(Clone, Debug)]
pub(super) struct Tensor {
    /// Logical shape, (out, in) for matrices.
    pub(super) shape: Vec<usize>,
    pub(super) storage: Storage,
}

/// How a tensor's values are kept.
#[derive(Clone, Debug)]
pub(super) enum Storage {
    Plain(Stored),
    /// One byte per value and one scale per group of 32 inputs.
    Int8 {
        values: Stored,
        scale: Stored,
    },
    /// Two values per byte and one scale per group of 32 inputs.
    Int4 {
        values: Stored,
        scale: Stored,
    },
}

impl Tensor {
    /// The stored values and scales of a quantised matrix; `None` if it is not quantised.
    pub(super) fn quantised<'a>(&'a self, file: &'a [u8]) -> Result<Option<QuantisedMatrix<'a>>, String> {
        let (bits, values, scale) = match &self.storage {
            Storage::Plain(_) => return Ok(None),
            Storage::Int8 { values, scale } => (Bits::Eight, values, scale),
            Storage::Int4 { values, scale } => (Bits::Four, values, scale),
        };
        let outside = "its values lie outside the file";
        let values = values.bytes.resolve(file).ok_or(outside)?.into();
        let scales: Vec<f16> = scale.read(file).ok_or(outside)?.into_iter().map(f16::from_f32).collect();
        match scales.iter().position(|scale| !scale.is_finite()) {
            Some(index) => {
                Err(format!("has scale {} at index {index}; scales must be finite", scales[index]))
            }
            None => Ok(Some(QuantisedMatrix { bits, values, scales })),
        }
    }

    /// All values as f32, row-major.
    pub(super) fn read(&self, file: &[u8]) -> Result<Vec<f32>, String> {
        let values = match &self.storage {
            Storage::Plain(stored) => stored.read(file),
            Storage::Int8 { values, scale } => values
                .read(file)
                .zip(scale.read(file))
                .map(|(values, scale)| quantize::scaled(values, &scale)),
            Storage::Int4 { values, scale } => values
                .read(file)
                .zip(scale.read(file))
                .map(|(pairs, scale)| quantize::scaled(quantize::unpack_int4(&pairs), &scale)),
        };
        let values = values.ok_or("its values lie outside the file")?;
        match values.iter().position(|value| !value.is_finite()) {
            Some(index) => Err(format!(
                "holds {} at flat index {index}; weights must be finite numbers that fit f32",
                values[index]
            )),
            None => Ok(values),
        }
    }
}
