//! The bytes of a model file: mapped from disk, or handed over by the caller.

use std::borrow::Cow;
use std::fs::File;
use std::ops::Deref;
use std::path::Path;

use memmap2::Mmap;

use crate::error::{Error, Result};

/// Read-only bytes that live as long as the checkpoint.
#[derive(Debug)]
pub(super) enum Buffer {
    /// A file's pages; read from disk as they are touched.
    Mapped(Mmap),
    /// An embedded model or bytes read by the caller.
    Memory(Cow<'static, [u8]>),
}

impl Buffer {
    /// Maps a file. The file must not be changed in place while the checkpoint is open; replacing it by rename, as
    /// this library's writer does, is fine.
    pub(super) fn map(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(|source| Error::io(path, source))?;
        // SAFETY: the mapping is read-only and private to this type, and every access goes through a slice whose length
        // is the file's length at this moment. That nobody truncates or rewrites the file meanwhile cannot be proved by
        // any program; it is the documented condition above, and loading copies the values out and drops the mapping.
        #[allow(unsafe_code, reason = "memory mapping cannot be safe; this is its only place")]
        let mapped = unsafe { Mmap::map(&file) };
        mapped.map(Self::Mapped).map_err(|source| Error::io(path, source))
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Mapped(mapped) => mapped,
            Self::Memory(bytes) => bytes,
        }
    }
}
