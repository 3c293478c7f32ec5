//! The decoding loop: forced tokens in one pass, choices bound by the grammar, and a trace of how sure they were.

mod choice;
mod hooks;
mod source;

use std::time::{Duration, Instant};

use ndarray::Array1;

use crate::TokenId;
use crate::catalogue::{Catalogue, CompiledTool};
use crate::error::{Error, Result};
use crate::grammar::{Constraint, Finish, Step, TokenMask};
use crate::model::Model;
use crate::nn::copy_head::copy_attention;
use crate::nn::decoder::{self, DecoderState};
use crate::nn::network::Network;
use crate::tokenizer::StreamDecoder;
use crate::trace::{Choice, ChoiceKind, Stop, Trace};

use choice::{Copy, Picked};
pub use hooks::{Event, Hooks};
pub(crate) use source::{Source, embed, nearest};

/// Up to this many allowed tokens, only their rows of the output matrix are computed.
const FEW_TOKENS: usize = 64;

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

/// Writes the answer to one encoded prompt, always taking the likeliest allowed token.
///
/// # Errors
/// [`Error::Cancelled`], [`Error::DeadlineExceeded`], or the network's errors for a damaged model.
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
    let grammars = tools.iter().map(|tool| tool.grammar().clone()).collect();
    let special = model.tokenizer().special();
    let mut writer = Writer {
        network,
        model,
        source,
        state,
        constraint: Constraint::new(model.vocabulary(), grammars, limits.max_calls),
        waiting: vec![special.eos, special.tool_call],
        trace: Trace { choices: Vec::new(), tokens: Vec::new(), stop: Stop::Stuck, empty_probability: None },
    };
    let mut progress =
        Progress { tools: &tools, decoder: StreamDecoder::new(model.tokenizer()), named: 0, finished: 0 };
    let finish = loop {
        hooks.check(limits.start, limits.deadline)?;
        let written = writer.trace.tokens.len();
        if written > limits.max_tokens {
            break None;
        }
        match writer.constraint.step()? {
            Step::Forced(tokens) => writer.write(&tokens),
            Step::Choose { kind, allowed } => writer.choose(kind, &allowed)?,
            Step::Finished(finish) => {
                progress.report(&writer, written, hooks);
                break Some(finish);
            }
        }
        progress.report(&writer, written, hooks);
    };
    hooks.emit(Event::Done);
    Ok(writer.finish(finish))
}

/// One decoding on its way.
struct Writer<'a> {
    network: Network<'a>,
    model: &'a Model,
    source: &'a Source,
    state: &'a mut DecoderState,
    constraint: Constraint,
    /// Tokens that the decoder has not read yet.
    waiting: Vec<TokenId>,
    trace: Trace,
}

impl Writer<'_> {
    /// Appends tokens to the answer; the decoder reads them with the next choice, all in one pass.
    fn write(&mut self, tokens: &[TokenId]) {
        self.trace.tokens.extend(tokens);
        self.waiting.extend(tokens);
    }

    fn choose(&mut self, kind: ChoiceKind, allowed: &TokenMask) -> Result<()> {
        let bytes = |token| self.model.tokenizer().token_bytes(token);
        if let Some(token) = choice::only_spelling(allowed, bytes) {
            self.constraint.advance(token)?;
            self.write(&[token]);
            return Ok(());
        }
        let hidden = decoder::forward(self.network, &self.source.cross, self.state, &self.waiting)?;
        self.waiting.clear();
        let last = hidden.row(hidden.nrows() - 1).to_owned();
        let call = self.constraint.call();
        let picked = self.pick(kind, allowed, &last)?;
        self.constraint.advance(picked.token)?;
        if kind == ChoiceKind::Opening {
            let is_empty = self.constraint.text().trim_ascii_start().starts_with(b"[]");
            self.trace.empty_probability =
                Some(if is_empty { picked.probability } else { 1.0 - picked.probability });
        }
        self.trace.choices.push(Choice {
            kind,
            call,
            position: self.trace.tokens.len(),
            token: picked.token,
            allowed: picked.allowed,
            probability: picked.probability,
            margin: picked.margin,
            unmasked: picked.unmasked,
            evidence: picked.evidence,
        });
        self.write(&[picked.token]);
        Ok(())
    }

    /// What the static embedding thinks of the choice between tools, or between a call and none.
    fn odds(&self, kind: ChoiceKind) -> Vec<(TokenId, f64)> {
        let Some(similarity) = &self.source.similarity else { return Vec::new() };
        match kind {
            ChoiceKind::Opening => {
                let calling = self.constraint.token_of_calling();
                calling.map(|token| (token, similarity.of_calling())).into_iter().collect()
            }
            ChoiceKind::Name => {
                let left = self.constraint.tools_left().into_iter();
                left.map(|(token, tool)| (token, similarity.of_tool(tool))).collect()
            }
            ChoiceKind::Arguments | ChoiceKind::Continuation => Vec::new(),
        }
    }

    /// The likeliest allowed token after the decoder's row `hidden`, (D).
    fn pick(&self, kind: ChoiceKind, allowed: &TokenMask, hidden: &Array1<f32>) -> Result<Picked> {
        let copy = copy_attention(self.network, &self.source.cross, hidden)?;
        let begins_name = kind == ChoiceKind::Name
            && !self.trace.of(ChoiceKind::Name).any(|choice| choice.call == self.constraint.call());
        let odds = self.odds(kind);
        let wants_all = kind == ChoiceKind::Opening || begins_name || allowed.len() > FEW_TOKENS;
        let picked = if copy.is_none() && !wants_all {
            let tokens: Vec<TokenId> = allowed.iter().collect();
            choice::among(&tokens, &decoder::logits_for(self.network.weights, hidden, &tokens)?, &odds)
        } else {
            let copy = copy.as_ref().map(|copy| Copy {
                gate: copy.gate,
                weights: &copy.weights,
                source: &self.source.tokens,
            });
            let tokens: Vec<TokenId> = allowed.iter().collect();
            choice::among_all(
                tokens.into_iter(),
                &decoder::logits(self.network, hidden),
                copy.as_ref(),
                &odds,
            )
        };
        picked.ok_or_else(|| Error::Internal("the grammar offered a choice of nothing".into()))
    }

    fn finish(mut self, finish: Option<Finish>) -> Answer {
        let mut unsupported = None;
        self.trace.stop = match finish {
            None => Stop::OutputLimit,
            Some(Finish::Complete) => Stop::Complete,
            Some(Finish::TooManyCalls) => Stop::TooManyCalls,
            Some(Finish::Stuck) => Stop::Stuck,
            Some(Finish::Unsupported { tool }) => {
                unsupported = Some(tool);
                Stop::Stuck
            }
        };
        let text = String::from_utf8_lossy(self.constraint.text()).into_owned();
        Answer { text, trace: self.trace, unsupported }
    }
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
    /// Reports the answer's tokens from index `from` on, and what they completed.
    fn report(&mut self, writer: &Writer<'_>, from: usize, hooks: &mut Hooks<'_>) {
        for &token in &writer.trace.tokens[from..] {
            let text = self.decoder.push(token);
            if !text.is_empty() {
                hooks.emit(Event::Text(text));
            }
        }
        if let Some(tool) = writer.constraint.tool()
            && self.named == writer.constraint.call()
        {
            hooks.emit(Event::ToolName { call: self.named, name: &self.tools[tool].spec().name });
            self.named += 1;
        }
        for call in self.finished..writer.constraint.calls_finished() {
            hooks.emit(Event::CallFinished { call });
            self.finished = call + 1;
        }
    }
}
