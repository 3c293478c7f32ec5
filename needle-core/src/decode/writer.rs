//! One answer on its way: forced tokens in one pass, choices bound by the grammar, and a trace of how sure they were.

use ndarray::Array1;

use crate::TokenId;
use crate::error::{Error, Result};
use crate::grammar::{Constraint, Finish, Step, TokenMask};
use crate::model::Model;
use crate::nn::copy_head::copy_attention;
use crate::nn::decoder::{self, DecoderState};
use crate::nn::network::Network;
use crate::trace::{Choice, ChoiceKind, Stop, Trace};

use super::choice::{self, Copy, Picked};
use super::source::Source;

/// Up to this many allowed tokens, only their rows of the output matrix are computed.
const FEW_TOKENS: usize = 64;

/// A choice that was nearly made instead of another.
#[derive(Clone, Copy, Debug)]
pub(super) struct Branch {
    /// Index of the other one among the trace's choices.
    pub(super) index: usize,
    pub(super) choice: Choice,
    /// Of the answer up to and with this choice.
    pub(super) score: f64,
}

/// One answer on its way.
pub(super) struct Writer<'a> {
    network: Network<'a>,
    model: &'a Model,
    source: &'a Source,
    state: &'a mut DecoderState,
    /// What the decoder has read.
    read: Vec<TokenId>,
    pub(super) constraint: Constraint,
    pub(super) trace: Trace,
    /// Logarithm of the answer's probability so far.
    pub(super) score: f64,
    pub(super) branches: Vec<Branch>,
}

impl<'a> Writer<'a> {
    pub(super) fn new(
        network: Network<'a>,
        model: &'a Model,
        source: &'a Source,
        state: &'a mut DecoderState,
        constraint: Constraint,
    ) -> Self {
        let trace =
            Trace { choices: Vec::new(), tokens: Vec::new(), stop: Stop::Stuck, empty_probability: None };
        Self {
            network,
            model,
            source,
            state,
            read: Vec::new(),
            constraint,
            trace,
            score: 0.0,
            branches: Vec::new(),
        }
    }

    /// Writes the next tokens, those that the grammar forces or the likeliest allowed one, unless the answer is over.
    pub(super) fn step(&mut self) -> Result<Option<Finish>> {
        match self.constraint.step()? {
            Step::Forced(tokens) => self.trace.tokens.extend(tokens),
            Step::Choose { kind, allowed } => self.choose(kind, &allowed)?,
            Step::Finished(finish) => return Ok(Some(finish)),
        }
        Ok(None)
    }

    /// Begins again, as `parent` did up to the choice where `branch` leaves it.
    ///
    /// # Errors
    /// [`Error::Internal`] if `parent` does not follow the fresh `constraint`.
    pub(super) fn begin_again(
        &mut self,
        constraint: Constraint,
        parent: &Trace,
        branch: Branch,
    ) -> Result<()> {
        self.constraint = constraint;
        self.trace.tokens.clear();
        let shared = &parent.tokens[..branch.choice.position];
        let mut followed = 0;
        while followed < shared.len() {
            followed += self.constraint.follow(&shared[followed..])?;
        }
        self.trace.tokens.extend(shared);
        self.constraint.step()?;
        self.trace.choices = parent.choices[..branch.index].to_vec();
        self.trace.empty_probability = parent.empty_probability;
        self.score = branch.score;
        self.take(branch.choice)
    }

    fn choose(&mut self, kind: ChoiceKind, allowed: &TokenMask) -> Result<()> {
        let bytes = |token| self.model.tokenizer().token_bytes(token);
        if let Some(token) = choice::only_spelling(allowed, bytes) {
            self.constraint.advance(token)?;
            self.trace.tokens.push(token);
            return Ok(());
        }
        let hidden = self.hidden()?;
        let picked = self.pick(kind, allowed, &hidden)?;
        let made = Choice {
            kind,
            call: self.constraint.call(),
            position: self.trace.tokens.len(),
            token: picked.token,
            allowed: picked.allowed,
            probability: picked.probability,
            margin: picked.margin,
            unmasked: picked.unmasked,
            evidence: picked.evidence,
        };
        if let Some(second) = picked.second {
            let choice = Choice {
                token: second.token,
                probability: second.probability,
                margin: -picked.margin,
                unmasked: second.unmasked,
                ..made
            };
            let score = self.score + log_probability(&choice);
            self.branches.push(Branch { index: self.trace.choices.len(), choice, score });
        }
        self.score += log_probability(&made);
        self.take(made)
    }

    fn take(&mut self, made: Choice) -> Result<()> {
        self.constraint.advance(made.token)?;
        if made.kind == ChoiceKind::Opening {
            let is_empty = self.constraint.text().trim_ascii_start().starts_with(b"[]");
            self.trace.empty_probability =
                Some(if is_empty { made.probability } else { 1.0 - made.probability });
        }
        self.trace.choices.push(made);
        self.trace.tokens.push(made.token);
        Ok(())
    }

    /// The decoder's row (D) after the answer so far; it reads what it has not read yet, all in one pass.
    fn hidden(&mut self) -> Result<Array1<f32>> {
        let special = self.model.tokenizer().special();
        let wanted = [special.eos, special.tool_call].into_iter().chain(self.trace.tokens.iter().copied());
        let common =
            self.read.iter().zip(wanted.clone()).take_while(|(read, wanted)| *read == wanted).count();
        self.state.truncate(common);
        self.read.truncate(common);
        self.read.extend(wanted.skip(common));
        let hidden = decoder::forward(self.network, &self.source.cross, self.state, &self.read[common..])?;
        Ok(hidden.row(hidden.nrows() - 1).to_owned())
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
        let tokens = allowed.to_vec();
        let picked = if copy.is_none() && !wants_all {
            choice::among(&tokens, &decoder::logits_for(self.network.weights, hidden, &tokens)?, &odds)
        } else {
            let copy = copy.as_ref().map(|copy| Copy {
                gate: copy.gate,
                weights: &copy.weights,
                source: &self.source.tokens,
            });
            choice::among_all(&tokens, &decoder::logits(self.network, hidden), copy.as_ref(), &odds)
        };
        picked.ok_or_else(|| Error::Internal("the grammar offered a choice of nothing".into()))
    }
}

/// What a choice adds to the score. Arguments count among all tokens: where the grammar forbids what the model wants to
/// write next, what led there was wrong.
fn log_probability(choice: &Choice) -> f64 {
    let probability = match (choice.kind, choice.unmasked) {
        (ChoiceKind::Arguments | ChoiceKind::Continuation, Some(all)) => all.probability,
        _ => choice.probability,
    };
    f64::from(probability.max(f32::MIN_POSITIVE)).ln()
}
