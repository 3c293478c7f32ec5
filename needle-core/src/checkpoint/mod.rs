//! Model files: reading, writing and quantising.

pub mod config;
