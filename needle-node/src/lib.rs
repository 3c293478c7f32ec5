//! The engine for Node.
//!
//! Definitions, options and decisions cross the border as JSON text, which both sides read and write exactly;
//! `ts/` gives them their JavaScript form. What has a promise runs on Node's worker threads.

#![allow(clippy::needless_pass_by_value, reason = "napi hands over owned values")]

mod border;
mod model;
mod router;
mod toolset;

use napi_derive::napi;

/// The code of every error that the engine knows.
#[napi]
pub fn error_codes() -> Vec<&'static str> {
    needle_core::ErrorCode::ALL.map(needle_core::ErrorCode::name).to_vec()
}

/// Every reason of a hand-off.
#[napi]
pub fn reasons() -> Vec<&'static str> {
    needle_core::HandoffReason::ALL.map(needle_core::HandoffReason::name).to_vec()
}
