//! What the decoder was sure of while it wrote: everything the confidence may use.

use crate::TokenId;

/// What a choice decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChoiceKind {
    /// The first choice: a call or `[]`.
    Opening,
    /// Part of a tool's name.
    Name,
    /// Part of a call's arguments.
    Arguments,
    /// After a call: another one or the end.
    Continuation,
}

/// Probabilities over the whole vocabulary, before the grammar's mask.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Unmasked {
    /// Probability of the chosen token among all tokens.
    pub probability: f32,
    /// Probability of all allowed tokens together; one minus it is what the grammar removed.
    pub allowed_mass: f32,
}

/// One token that the model chose (forced tokens are no choices).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Choice {
    /// What it decided.
    pub kind: ChoiceKind,
    /// Which call it belongs to, from 0.
    pub call: usize,
    /// Position among the answer's tokens, from 0.
    pub position: usize,
    /// The chosen token.
    pub token: TokenId,
    /// How many tokens the grammar allowed.
    pub allowed: usize,
    /// Probability of the chosen token among the allowed ones, with the static embedding's odds.
    pub probability: f32,
    /// `probability` minus the second-best allowed token's, weighed alike; 1 if there is none. Where the second-best was
    /// taken, because a better answer began with it, `probability` minus the best one's.
    pub margin: f32,
    /// Figures over the whole vocabulary, where all of the output matrix was computed: always with a copy
    /// head, at the opening, at the first choice of a name, and where many tokens were allowed.
    pub unmasked: Option<Unmasked>,
    /// The source position (tools, then query) that the copy head looked at most; only with a copy head.
    pub evidence: Option<usize>,
}

/// Why decoding ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The answer is complete.
    Complete,
    /// One more call than [`crate::Options::max_calls`] was begun.
    TooManyCalls,
    /// `max_output_tokens` was reached.
    OutputLimit,
    /// The arguments' grammar allowed no further token, or gave up.
    Stuck,
}

/// The record of one decoding.
#[derive(Clone, Debug, PartialEq)]
pub struct Trace {
    /// All choices, in order.
    pub choices: Vec<Choice>,
    /// All answer tokens, chosen and forced, in order; without start, marker and end tokens.
    pub tokens: Vec<TokenId>,
    /// Why it ended.
    pub stop: Stop,
    /// Probability of `[]` among the allowed openings; `None` if the grammar left no choice there.
    pub empty_probability: Option<f32>,
}

impl Trace {
    /// The choices of one kind.
    pub fn of(&self, kind: ChoiceKind) -> impl Iterator<Item = &Choice> {
        self.choices.iter().filter(move |choice| choice.kind == kind)
    }
}
