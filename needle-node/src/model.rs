//! Models: read once, shared by everything compiled for them.

use std::sync::Arc;

use napi::bindgen_prelude::AsyncTask;
use napi_derive::napi;
use needle_core::{Catalogue, tool};

use crate::border::{Thrown, Work, guarded, json, promise};
use crate::toolset::Toolset;

/// A network with its tokenizer and calibration.
#[napi]
pub struct Model(Arc<needle_core::Model>);

impl Model {
    pub(crate) fn core(&self) -> &Arc<needle_core::Model> {
        &self.0
    }
}

#[napi]
impl Model {
    /// The model that is compiled into the addon.
    #[napi(ts_return_type = "Promise<Model>")]
    pub fn embedded() -> AsyncTask<Work<Model>> {
        promise(|| Ok(Self(needle_core::Model::embedded()?)))
    }

    /// As `embedded`, at once.
    #[napi]
    pub fn embedded_sync() -> Result<Model, Thrown> {
        guarded(|| Ok(Self(needle_core::Model::embedded()?)))
    }

    /// A model from a bundle directory or file.
    #[napi(ts_return_type = "Promise<Model>")]
    pub fn open(path: String) -> AsyncTask<Work<Model>> {
        promise(|| Ok(Self(needle_core::Model::open(path)?)))
    }

    /// As `open`, at once.
    #[napi]
    pub fn open_sync(path: String) -> Result<Model, Thrown> {
        guarded(|| Ok(Self(needle_core::Model::open(path)?)))
    }

    /// Compiles a JSON list of tools; that and each decision over them share their work among so many threads.
    #[napi(ts_return_type = "Promise<Toolset>")]
    pub fn compile(&self, tools: String, threads: u32) -> AsyncTask<Work<Toolset>> {
        let model = Arc::clone(&self.0);
        promise(move || compile(&model, &tools, threads))
    }

    /// As `compile`, at once.
    #[napi]
    pub fn compile_sync(&self, tools: String, threads: u32) -> Result<Toolset, Thrown> {
        guarded(|| compile(&self.0, &tools, threads))
    }

    /// Sizes and options of the network as JSON.
    #[napi]
    pub fn config(&self) -> Result<String, Thrown> {
        guarded(|| json(serde_json::to_string(self.0.config())))
    }

    /// Whether decisions have a confidence.
    #[napi(getter)]
    pub fn is_calibrated(&self) -> bool {
        self.0.calibration().is_some()
    }
}

fn compile(model: &Arc<needle_core::Model>, tools: &str, threads: u32) -> needle_core::Result<Toolset> {
    let threads = threads as usize;
    Toolset::new(Catalogue::compile_with_threads(model, tool::parse(tools)?, threads)?, threads)
}
