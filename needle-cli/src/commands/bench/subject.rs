//! What is measured: the passes of a network, the compiling of tools, and whole calls.

use std::sync::Arc;
use std::time::Duration;

use needle_core::kernels::Pool;
use needle_core::nn::decoder::{self, CrossKv, CrossPiece, DecoderState};
use needle_core::nn::encoder;
use needle_core::nn::network::Network;
use needle_core::{Catalogue, Hooks, Model, Options, Session, TokenId, tool};
use serde_json::{Value, json};

use super::measure::{Times, time};
use crate::Outcome;

/// Source tokens of the decoder.
const SOURCE: usize = 256;

/// Tokens in the decoder's cache when a step is measured: the middle of an answer.
const CACHED: usize = 24;

/// A query of twelve tokens, the one that begins it included.
const QUERY: &str = "set the kitchen lights to forty";

pub(super) struct Subject {
    model: Arc<Model>,
    pool: Pool,
    threads: usize,
}

/// A decoder in the middle of an answer.
pub(super) struct Decoding {
    cross: CrossKv,
    state: DecoderState,
}

/// Decisions of the same request.
pub(super) struct Calls {
    pub(super) times: Times,
    /// What of it passed before the decoder began.
    pub(super) encode: Times,
    /// Tokens of the answer.
    pub(super) tokens: usize,
    /// Those that were chosen; each takes a pass of the decoder, and the forced ones before it are read in the same.
    pub(super) choices: usize,
}

impl Subject {
    pub(super) fn new(model: &Arc<Model>, threads: usize) -> Outcome<Self> {
        Ok(Self { model: Arc::clone(model), pool: Pool::new(threads)?, threads })
    }

    fn network(&self) -> Network<'_> {
        Network::new(self.model.weights(), &self.pool)
    }

    /// Tokens that look like text: none twice in a row.
    fn tokens(&self, count: usize) -> Vec<TokenId> {
        let rows = self.model.config().vocab_size as u64;
        (0..count as u64).map(|i| TokenId(u32::try_from(i * 7919 % rows).unwrap_or_default())).collect()
    }

    pub(super) fn prefill(&self, tokens: usize) -> Outcome<CrossPiece> {
        let output = encoder::encode(self.network(), &self.tokens(tokens))?;
        Ok(CrossPiece::new(self.network(), &output))
    }

    pub(super) fn decoding(&self) -> Outcome<Decoding> {
        let cross = CrossKv::new(vec![self.prefill(SOURCE)?.into()]);
        let mut state = DecoderState::new(self.model.weights());
        decoder::forward(self.network(), &cross, &mut state, &self.tokens(CACHED))?;
        Ok(Decoding { cross, state })
    }

    pub(super) fn decode(&self, Decoding { cross, state }: &mut Decoding) -> Outcome<Vec<f32>> {
        state.truncate(CACHED);
        let hidden = decoder::forward(self.network(), cross, state, &[TokenId(7)])?;
        Ok(decoder::logits(self.network(), &hidden.row(0)))
    }

    pub(super) fn compile(&self, count: usize) -> Outcome<Arc<Catalogue>> {
        let tools = tool::parse(&tools(count).to_string())?;
        Ok(Catalogue::compile_with_threads(&self.model, tools, self.threads)?)
    }

    /// Whole decisions among the nearest `candidates` of `tools`, after a tenth as many that do not count; none if these
    /// tools are handed off before the model is asked, being too long for it.
    pub(super) fn calls(&self, tools: usize, candidates: usize, count: usize) -> Outcome<Option<Calls>> {
        let catalogue = self.compile(tools)?;
        let mut session = Session::with_threads(&self.model, self.threads)?;
        // Random weights rarely end an answer by themselves.
        let options = Options { max_output_tokens: 25, max_candidates: candidates, ..Options::default() };
        let mut decide = || session.decide_with(&catalogue, QUERY, &options, Hooks::default());
        let Some(trace) = decide()?.trace else { return Ok(None) };
        for _ in 0..count / 10 {
            decide()?;
        }
        let mut encode = Vec::with_capacity(count);
        let mut call = || {
            let decided = decide()?;
            encode.push(Duration::from_secs_f64(decided.decision.timings().encode_ms / 1000.0));
            Ok(decided)
        };
        let times = (0..count).map(|_| time(&mut call)).collect::<Outcome<_>>()?;
        Ok(Some(Calls {
            times: Times::new(times),
            encode: Times::new(encode),
            tokens: trace.tokens.len(),
            choices: trace.choices.len(),
        }))
    }
}

/// Tools of the size that agents have: two or three parameters, each with a description.
fn tools(count: usize) -> Value {
    const ACTIONS: [&str; 5] = ["set", "get", "list", "add", "remove"];
    const THINGS: [&str; 20] = [
        "lights", "alarm", "timer", "song", "contact", "message", "route", "note", "event", "volume",
        "window", "order", "invoice", "ticket", "camera", "file", "door", "recipe", "flight", "battery",
    ];
    let tool = |index: usize| {
        let (action, thing) = (ACTIONS[index / THINGS.len() % ACTIONS.len()], THINGS[index % THINGS.len()]);
        json!({
            "name": format!("{action}_{thing}_{index}"),
            "description": format!("{action} the {thing} that the user names, at once or at a given time"),
            "parameters": {
                "type": "object",
                "properties": {
                    "name": {"type": "string", "description": format!("Which {thing}, as the user calls it")},
                    "level": {"type": "integer", "minimum": 0, "maximum": 100, "description": "Percent"},
                    "mode": {"type": "string", "enum": ["now", "later", "never"], "description": "When"},
                },
                "required": ["name"],
            },
        })
    };
    (0..count).map(tool).collect()
}
