//! Reading tensors and metadata out of a `.safetensors` buffer.

use std::collections::HashMap;

use indexmap::IndexMap;
use safetensors::Dtype;
use safetensors::tensor::Metadata;

use super::quantize::GROUP;
use super::tensor::{Bytes, Element, Storage, Stored, Tensor};

/// Bytes before the header: its length as u64.
const PREFIX: usize = 8;

/// The tensors and the metadata strings of a file.
pub(super) struct Contents {
    pub(super) tensors: IndexMap<String, Tensor>,
    pub(super) metadata: HashMap<String, String>,
}

/// Whether a buffer starts like a safetensors file: a length that fits, then a JSON object.
pub(super) fn sniff(buffer: &[u8]) -> bool {
    header(buffer).is_some_and(|header| header.first() == Some(&b'{'))
}

/// The header's JSON.
fn header(buffer: &[u8]) -> Option<&[u8]> {
    let (prefix, rest) = buffer.split_first_chunk::<PREFIX>()?;
    rest.get(..usize::try_from(u64::from_le_bytes(*prefix)).ok()?)
}

/// Parses the header and joins quantised values with their scales; reads no weights.
pub(super) fn read(buffer: &[u8]) -> Result<Contents, String> {
    let header = header(buffer).ok_or("is truncated: its header is longer than the file")?;
    // The crate's `SafeTensors::deserialize` adds offsets of the file to each other without a check, so only its parser
    // (which checks that tensors follow each other without gap, overlap or overflow) is used.
    let parsed: Metadata =
        serde_json::from_slice(header).map_err(|error| format!("has a damaged header: {error}"))?;
    let start = PREFIX + header.len();
    let present = buffer.len() - start;
    if parsed.data_len() != present {
        return Err(format!(
            "is truncated or damaged: its header promises {} bytes of tensors, {present} are there",
            parsed.data_len()
        ));
    }
    let mut raw = IndexMap::new();
    for name in parsed.offset_keys() {
        let Some(info) = parsed.info(&name) else { continue };
        let element = element(info.dtype).ok_or_else(|| {
            format!(
                "tensor {name} has type {:?}; F32, F16, BF16, I8 and packed U8 are understood",
                info.dtype
            )
        })?;
        let range = start + info.data_offsets.0..start + info.data_offsets.1;
        raw.insert(name, Raw { element, shape: info.shape.clone(), bytes: Bytes::File(range) });
    }
    Ok(Contents { tensors: join(raw)?, metadata: parsed.metadata().clone().unwrap_or_default() })
}

fn element(dtype: Dtype) -> Option<Element> {
    match dtype {
        Dtype::F64 => Some(Element::F64),
        Dtype::F32 => Some(Element::F32),
        Dtype::F16 => Some(Element::F16),
        Dtype::BF16 => Some(Element::Bf16),
        Dtype::I8 => Some(Element::I8),
        Dtype::U8 => Some(Element::U8),
        _ => None,
    }
}

/// One entry of the file.
struct Raw {
    element: Element,
    shape: Vec<usize>,
    bytes: Bytes,
}

impl Raw {
    fn stored(self) -> Stored {
        Stored::contiguous(self.element, self.bytes, &self.shape)
    }
}

/// Gives every quantised tensor its scales and its logical shape.
fn join(mut raw: IndexMap<String, Raw>) -> Result<IndexMap<String, Tensor>, String> {
    let mut tensors = IndexMap::new();
    let quantised: Vec<String> = raw
        .iter()
        .filter(|(_, entry)| matches!(entry.element, Element::I8 | Element::U8))
        .map(|(name, _)| name.clone())
        .collect();
    for stored_name in quantised {
        let Some(entry) = raw.swap_remove(&stored_name) else { continue };
        let (name, per_byte) = match entry.element {
            Element::I8 => (stored_name.as_str(), 1),
            _ => (
                stored_name.strip_suffix(".q4").ok_or_else(|| {
                    format!("tensor {stored_name} has type U8; packed int4 must be called NAME.q4")
                })?,
                2,
            ),
        };
        let [rows, bytes] = entry.shape[..] else {
            return Err(format!(
                "tensor {stored_name} has shape {:?}; only matrices are quantised",
                entry.shape
            ));
        };
        let columns =
            bytes.checked_mul(per_byte).ok_or_else(|| format!("tensor {stored_name} is too wide"))?;
        let scale_name = format!("{name}.scale");
        let scale = raw
            .swap_remove(&scale_name)
            .ok_or_else(|| format!("tensor {stored_name} has no scales; {scale_name} is missing"))?;
        if !matches!(scale.element, Element::F16 | Element::F32) {
            return Err(format!("tensor {scale_name} holds scales and must be F16"));
        }
        if !columns.is_multiple_of(GROUP) || scale.shape != [rows, columns / GROUP] {
            return Err(format!(
                "tensor {scale_name} has shape {:?}; {rows} rows of {columns} inputs need one scale per {GROUP}",
                scale.shape
            ));
        }
        let (values, scale) = (entry.stored(), scale.stored());
        let storage =
            if per_byte == 1 { Storage::Int8 { values, scale } } else { Storage::Int4 { values, scale } };
        tensors.insert(name.to_owned(), Tensor { shape: vec![rows, columns], storage });
    }
    for (name, entry) in raw {
        let tensor = Tensor { shape: entry.shape.clone(), storage: Storage::Plain(entry.stored()) };
        if tensors.insert(name.clone(), tensor).is_some() {
            return Err(format!("holds tensor {name} twice, plain and quantised"));
        }
    }
    Ok(tensors)
}
