//! The stack machine that runs a pickle's opcodes.

use std::collections::HashMap;
use std::ops::Range;

use super::super::tensor::Bytes;
use super::PROTO;
use super::numpy::{self, Global};
use super::object::{Heap, Id, Object};

/// Marks open at the same time; data nests this deep at most.
const MAX_MARKS: usize = 256;
/// Opcodes run; a checkpoint needs a few thousand. Together with the size of the file this bounds memory and time,
/// since an opcode makes one object and copies at most the bytes that follow it.
const MAX_OPCODES: usize = 1 << 20;

/// Runs a pickle and returns its objects and which of them is the result.
///
/// # Errors
/// What is wrong with it, as the end of a sentence that begins with the file's name.
pub(in crate::checkpoint) fn read(file: &[u8]) -> Result<(Heap, Id), String> {
    let mut machine = Machine {
        file,
        position: 0,
        heap: Heap::default(),
        stack: vec![],
        marks: vec![],
        memo: HashMap::new(),
        decoded: 0,
    };
    for _ in 0..MAX_OPCODES {
        if let Some(result) = machine.step()? {
            return Ok((machine.heap, result));
        }
    }
    Err(format!("is a pickle of more than {MAX_OPCODES} opcodes, far more than a checkpoint needs"))
}

struct Machine<'a> {
    file: &'a [u8],
    position: usize,
    heap: Heap,
    stack: Vec<Id>,
    /// Heights of the stack.
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
    /// Bytes decoded from text so far.
    decoded: usize,
}

impl Machine<'_> {
    /// Runs one opcode; the result if it was the last.
    fn step(&mut self) -> Result<Option<Id>, String> {
        let opcode = self.byte()?;
        match opcode {
            PROTO => {
                let version = self.byte()?;
                if !(2..=5).contains(&version) {
                    return Err(format!("is a pickle of protocol {version}; 2 to 5 are understood"));
                }
            }
            // FRAME: only a hint for readers of streams.
            0x95 => self.position = self.take(8)?.end,
            b'.' => return self.pop().map(Some),
            b'(' => {
                if self.marks.len() == MAX_MARKS {
                    return Err(format!("nests deeper than {MAX_MARKS} levels"));
                }
                self.marks.push(self.stack.len());
            }
            b'0' => {
                self.pop()?;
            }
            b'1' => {
                self.pop_mark()?;
            }
            b'2' => {
                let top = self.top()?;
                self.stack.push(top);
            }
            b'N' | 0x88 | 0x89 | b'K' | b'M' | b'J' | 0x8A | b'G' => self.scalar(opcode)?,
            b'X' | 0x8C | 0x8D => {
                let range = self.sized(opcode)?;
                let text =
                    std::str::from_utf8(&self.file[range]).map_err(|_| "holds text that is not UTF-8")?;
                self.push(Object::Text(text.to_owned()));
            }
            b'B' | b'C' | 0x8E | 0x96 => {
                let range = self.sized(opcode)?;
                self.push(Object::Bytes(Bytes::File(range)));
            }
            b')' | b't' | 0x85..=0x87 | b']' | b'l' | b'a' | b'e' | b'}' | b'd' | b's' | b'u' => {
                self.container(opcode)?;
            }
            b'q' | b'r' | 0x94 | b'h' | b'j' => self.memo(opcode)?,
            b'c' | 0x93 | b'R' | b'b' => self.call(opcode)?,
            _ => {
                return Err(format!(
                    "is a pickle with opcode {opcode:#04x} at byte {}, which no array needs; it was not loaded",
                    self.position - 1
                ));
            }
        }
        Ok(None)
    }

    fn scalar(&mut self, opcode: u8) -> Result<(), String> {
        let object = match opcode {
            b'N' => Object::None,
            0x88 => Object::Bool(true),
            0x89 => Object::Bool(false),
            b'K' => Object::Int(self.byte()?.into()),
            b'M' => Object::Int(self.number::<2, _>(u16::from_le_bytes)?.into()),
            b'J' => Object::Int(self.number::<4, _>(i32::from_le_bytes)?.into()),
            b'G' => Object::Float(self.number::<8, _>(f64::from_be_bytes)?),
            _ => {
                // LONG1: two's complement of the given length.
                let length = usize::from(self.byte()?);
                let bytes = &self.file[self.take(length)?];
                if bytes.len() > 8 {
                    return Err("holds an integer of more than 64 bits".into());
                }
                let fill = if bytes.last().is_some_and(|byte| *byte >= 0x80) { 0xFF } else { 0 };
                let mut word = [fill; 8];
                word[..bytes.len()].copy_from_slice(bytes);
                Object::Int(i64::from_le_bytes(word))
            }
        };
        self.push(object);
        Ok(())
    }

    fn container(&mut self, opcode: u8) -> Result<(), String> {
        match opcode {
            b')' => self.push(Object::Tuple(vec![])),
            b']' => self.push(Object::List(vec![])),
            b'}' => self.push(Object::Dict(vec![])),
            0x85..=0x87 => {
                let count = usize::from(opcode - 0x84);
                let start = self.stack.len().checked_sub(count).filter(|start| *start >= self.floor());
                let items = self.stack.split_off(start.ok_or_else(underflow)?);
                self.push(Object::Tuple(items));
            }
            b't' | b'l' => {
                let items = self.pop_mark()?;
                self.push(if opcode == b't' { Object::Tuple(items) } else { Object::List(items) });
            }
            b'd' => {
                let items = pairs(&self.pop_mark()?)?;
                self.push(Object::Dict(items));
            }
            b'a' | b'e' => {
                let items = if opcode == b'a' { vec![self.pop()?] } else { self.pop_mark()? };
                match self.top_mut()? {
                    Object::List(list) => list.extend(items),
                    other => return Err(format!("appends to {}", other.kind())),
                }
            }
            _ => {
                let items = if opcode == b's' {
                    let (value, key) = (self.pop()?, self.pop()?);
                    vec![(key, value)]
                } else {
                    pairs(&self.pop_mark()?)?
                };
                match self.top_mut()? {
                    Object::Dict(dict) => dict.extend(items),
                    other => return Err(format!("sets an item of {}", other.kind())),
                }
            }
        }
        Ok(())
    }

    fn memo(&mut self, opcode: u8) -> Result<(), String> {
        let index = match opcode {
            b'q' | b'h' => self.byte()?.into(),
            b'r' | b'j' => self.number::<4, _>(u32::from_le_bytes)?,
            _ => u32::try_from(self.memo.len()).map_err(|_| "memoises too much")?,
        };
        if matches!(opcode, b'h' | b'j') {
            let id =
                *self.memo.get(&index).ok_or_else(|| format!("refers to {index}, which it never stored"))?;
            self.stack.push(id);
        } else {
            let top = self.top()?;
            self.memo.insert(index, top);
        }
        Ok(())
    }

    fn call(&mut self, opcode: u8) -> Result<(), String> {
        match opcode {
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.push(Object::Global(Global::find(&module, &name)?));
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                let (Object::Text(module), Object::Text(name)) = (self.heap.get(module), self.heap.get(name))
                else {
                    return Err("asks for a name that is no text".into());
                };
                let global = Global::find(module, name)?;
                self.push(Object::Global(global));
            }
            b'R' => {
                let (arguments, function) = (self.pop()?, self.pop()?);
                let (Object::Global(global), Object::Tuple(arguments)) =
                    (self.heap.get(function), self.heap.get(arguments))
                else {
                    return Err("calls something that is no function".into());
                };
                let result = global.call(&self.heap, arguments)?;
                if let Object::Bytes(Bytes::Decoded(bytes)) = &result {
                    // An honest file holds every text that it decodes; only a shared one can decode to more.
                    self.decoded += bytes.len();
                    if self.decoded > self.file.len() {
                        return Err("decodes the same text more than once".into());
                    }
                }
                self.push(result);
            }
            _ => {
                let state = self.pop()?;
                let object = self.top()?;
                let built = numpy::build(&self.heap, self.heap.get(object), self.heap.get(state))?;
                *self.heap.get_mut(object) = built;
            }
        }
        Ok(())
    }

    fn push(&mut self, object: Object) {
        let id = self.heap.add(object);
        self.stack.push(id);
    }

    /// The height of the last mark; what lies below is out of reach until the mark is gone.
    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    fn pop(&mut self) -> Result<Id, String> {
        if self.stack.len() <= self.floor() {
            return Err(underflow());
        }
        self.stack.pop().ok_or_else(underflow)
    }

    fn pop_mark(&mut self) -> Result<Vec<Id>, String> {
        let mark = self.marks.pop().ok_or_else(underflow)?;
        Ok(self.stack.split_off(mark))
    }

    fn top(&self) -> Result<Id, String> {
        self.stack[self.floor()..].last().copied().ok_or_else(underflow)
    }

    fn top_mut(&mut self) -> Result<&mut Object, String> {
        let top = self.top()?;
        Ok(self.heap.get_mut(top))
    }

    fn byte(&mut self) -> Result<u8, String> {
        let range = self.take(1)?;
        Ok(self.file[range.start])
    }

    fn number<const N: usize, T>(&mut self, read: impl Fn([u8; N]) -> T) -> Result<T, String> {
        let range = self.take(N)?;
        let mut bytes = [0; N];
        bytes.copy_from_slice(&self.file[range]);
        Ok(read(bytes))
    }

    /// The bytes after a length, whose width the opcode says.
    fn sized(&mut self, opcode: u8) -> Result<Range<usize>, String> {
        let length = match opcode {
            0x8C | b'C' => u64::from(self.byte()?),
            b'X' | b'B' => u64::from(self.number::<4, _>(u32::from_le_bytes)?),
            _ => self.number::<8, _>(u64::from_le_bytes)?,
        };
        self.take(usize::try_from(length).unwrap_or(usize::MAX))
    }

    /// The next `length` bytes, if the file has them.
    fn take(&mut self, length: usize) -> Result<Range<usize>, String> {
        let end = self.position.checked_add(length).filter(|end| *end <= self.file.len());
        let end = end.ok_or("is truncated: the pickle ends in the middle of a value")?;
        let range = self.position..end;
        self.position = end;
        Ok(range)
    }

    /// The text up to the end of a line, which a global of protocol 2 and 3 has twice.
    fn line(&mut self) -> Result<String, String> {
        const LONGEST: usize = 256;
        let rest = &self.file[self.position..];
        let length =
            rest.iter().take(LONGEST).position(|byte| *byte == b'\n').ok_or("has a name without an end")?;
        self.position += length + 1;
        std::str::from_utf8(&rest[..length])
            .map(str::to_owned)
            .map_err(|_| "has a name that is not UTF-8".into())
    }
}

fn pairs(items: &[Id]) -> Result<Vec<(Id, Id)>, String> {
    let (pairs, rest) = items.as_chunks::<2>();
    if rest.is_empty() {
        Ok(pairs.iter().map(|[key, value]| (*key, *value)).collect())
    } else {
        Err(underflow())
    }
}

fn underflow() -> String {
    "is damaged: an opcode finds too few values".into()
}
