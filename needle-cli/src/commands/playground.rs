//! `needle playground`: a page on which to try tools and requests.

use std::net::{Ipv4Addr, SocketAddr};

use clap::Args;

use crate::commands::run::Runner;
use crate::model::ModelOption;
use crate::{Outcome, playground, tools};

/// Try tools and requests on a page in the browser; nothing leaves this machine.
///
/// The page decides while one types, shows calls, confidence and times, and collects answers that were judged as rows for
/// `needle eval` and `needle calibrate`.
#[derive(Args)]
#[command(after_help = "Example:
  needle playground --tools examples/tools.json     (then open http://127.0.0.1:8788)")]
pub(crate) struct Playground {
    /// File or JSON text of the tools that the page begins with; they can be changed there
    #[arg(long, value_name = "FILE|JSON")]
    tools: Option<String>,
    /// Port to listen on, on this machine only; 0 takes a free one
    #[arg(long, default_value_t = 8788)]
    port: u16,
    #[command(flatten)]
    model: ModelOption,
}

impl Playground {
    pub(crate) fn run(&self) -> Outcome {
        let model = self.model.load()?;
        let mut runner = Runner::new(&model, needle_core::Options::default())?;
        let tools = self.tools.as_deref().map(tools::text).transpose()?;
        if let Some(tools) = &tools {
            runner.catalogue(tools)?;
        }
        playground::run(SocketAddr::from((Ipv4Addr::LOCALHOST, self.port)), runner, tools)
    }
}
