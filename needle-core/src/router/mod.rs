//! From a query and a catalogue to a [`Decision`], and from a request to a large model to a [`Routed`] one: the only
//! place with thresholds.

mod decide;
mod decision;
mod nullable;
mod options;
mod policy;
mod request;
mod route;

pub use decide::Outcome;
pub use decision::{Decision, HandoffReason, Timings};
pub use options::{Grounding, Options};
pub use policy::{Policy, ProviderTools};
pub use request::{Api, Request};
pub use route::{Routed, Router, Seen};
