//! A reader of pickles that hold nested dicts of numpy arrays, and nothing else.
//!
//! A pickle is a program. This machine knows the opcodes that `CPython` (protocols 2 to 5) writes for such data and
//! the few functions of numpy that rebuild an array; it calls nothing, imports nothing, and refuses every other
//! name by name. Source of the opcodes: `CPython`'s `pickletools`.

mod machine;
mod numpy;
mod object;

pub(super) use machine::read;
pub(super) use object::{Array, Heap, Id, Object};

/// First byte of every protocol from 2 on.
const PROTO: u8 = 0x80;

/// A name out of a file as messages show it: short, and without characters that a terminal would obey.
pub(super) fn shown(name: &str) -> String {
    const LONGEST: usize = 80;
    let mut shown: String = name.chars().take(LONGEST).flat_map(char::escape_debug).collect();
    if name.chars().nth(LONGEST).is_some() {
        shown.push('…');
    }
    shown
}

/// Whether a buffer starts like a pickle of a protocol that is understood.
pub(super) fn sniff(buffer: &[u8]) -> bool {
    matches!(buffer, [PROTO, 2..=5, ..])
}
