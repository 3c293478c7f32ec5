//! From an encoded prompt to an answer, by a search whose choices the grammar binds.

mod choice;
mod hooks;
mod search;
mod source;
mod writer;

use std::time::{Duration, Instant};

use crate::TokenId;
use crate::catalogue::{Catalogue, CompiledTool};
use crate::error::Result;
use crate::grammar::{Constraint, Finish};
use crate::nn::decoder::DecoderState;
use crate::nn::network::Network;
use crate::tokenizer::StreamDecoder;
use crate::trace::{Stop, Trace};

pub use hooks::{Event, Hooks};
use search::Draft;
pub(crate) use source::{Source, embed, nearest};
use writer::Writer;

/// Bounds of one decoding.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) max_calls: usize,
    pub(crate) max_tokens: usize,
    /// When the decision began.
    pub(crate) start: Instant,
    /// Time from then until it must be over.
    pub(crate) deadline: Option<Duration>,
}

/// What the decoder wrote.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Compact JSON with the prompt's names; whole only if the trace says [`Stop::Complete`].
    pub(crate) text: String,
    pub(crate) trace: Trace,
    /// The chosen tool whose schema is beyond the grammar, if that ended it.
    pub(crate) unsupported: Option<usize>,
}

/// Writes the answer to one encoded prompt: of those that [`search`] finds the most probable one.
///
/// # Errors
/// [`Cancelled`](crate::Error::Cancelled), [`DeadlineExceeded`](crate::Error::DeadlineExceeded), or the network's errors
/// for a damaged model.
pub(crate) fn decode(
    network: Network<'_>,
    catalogue: &Catalogue,
    state: &mut DecoderState,
    source: &Source,
    limits: Limits,
    hooks: &mut Hooks<'_>,
) -> Result<Answer> {
    let model = catalogue.model();
    let tools: Vec<&CompiledTool> =
        source.candidates.tools.iter().map(|&index| &catalogue.tools()[index]).collect();
    let grammars: Vec<_> = tools.iter().map(|tool| tool.grammar().clone()).collect();
    let constraint = || Constraint::new(model.vocabulary(), grammars.clone(), limits.max_calls);
    let mut writer = Writer::new(network, model, source, state, constraint());
    let mut progress =
        Progress { tools: &tools, decoder: StreamDecoder::new(model.tokenizer()), named: 0, finished: 0 };
    let most = model.config().max_alternatives;
    let draft = if most == 0 {
        search::write(&mut writer, f64::NEG_INFINITY, limits, hooks, Some(&mut progress))?
    } else {
        let draft = search::search(&mut writer, constraint, most, limits, hooks)?;
        if hooks.on_event.is_some() {
            progress.follow(constraint(), &draft, limits.start, hooks)?;
        }
        draft
    };
    hooks.emit(Event::Done);
    Ok(draft.into())
}

/// Tells the caller's listener what was written.
struct Progress<'a> {
    tools: &'a [&'a CompiledTool],
    decoder: StreamDecoder<'a>,
    /// Calls whose tool is reported.
    named: usize,
    /// Calls reported as finished.
    finished: usize,
}

impl Progress<'_> {
    /// Reports tokens of the answer and what they completed.
    fn report(&mut self, constraint: &Constraint, tokens: &[TokenId], hooks: &mut Hooks<'_>) {
        for &token in tokens {
            let text = self.decoder.push(token);
            if !text.is_empty() {
                hooks.emit(Event::Text(text));
            }
        }
        if let Some(tool) = constraint.tool()
            && self.named == constraint.call()
        {
            hooks.emit(Event::ToolName { call: self.named, name: &self.tools[tool].spec().name });
            self.named += 1;
        }
        for call in self.finished..constraint.calls_finished() {
            hooks.emit(Event::CallFinished { call });
            self.finished = call + 1;
        }
    }

    /// Reports an answer that is already written, whatever the deadline.
    fn follow(
        &mut self,
        mut constraint: Constraint,
        draft: &Draft,
        start: Instant,
        hooks: &mut Hooks<'_>,
    ) -> Result<()> {
        let mut left = draft.trace.tokens.as_slice();
        while !left.is_empty() {
            hooks.check(start, None)?;
            let (now, later) = left.split_at(constraint.follow(left)?);
            self.report(&constraint, now, hooks);
            left = later;
        }
        if draft.finish.is_some() {
            constraint.step()?;
            self.report(&constraint, &[], hooks);
        }
        Ok(())
    }
}

impl From<Draft> for Answer {
    fn from(Draft { mut trace, text, finish, .. }: Draft) -> Self {
        let mut unsupported = None;
        trace.stop = match finish {
            None => Stop::OutputLimit,
            Some(Finish::Complete) => Stop::Complete,
            Some(Finish::TooManyCalls) => Stop::TooManyCalls,
            Some(Finish::Stuck) => Stop::Stuck,
            Some(Finish::Unsupported { tool }) => {
                unsupported = Some(tool);
                Stop::Stuck
            }
        };
        Self { text, trace, unsupported }
    }
}
