//! The grammar of one answer while it is being written.

use llguidance::Matcher;

use crate::TokenId;
use crate::error::{Error, Result};
use crate::trace::ChoiceKind;

use super::arguments::{FIRST_CALL, LAST_CALL, NEXT_CALL, ToolGrammar};
use super::braces::Braces;
use super::mask::TokenMask;
use super::names::{self, AFTER_NAME, Next, quoted};
use super::vocabulary::Vocabulary;

/// The empty answer.
const NO_CALL: &str = "[]";
/// Index of the opening that leads to a call.
const CALL_PATH: usize = 1;
/// Most tokens in one forced stretch; only a schema that no finite value satisfies forces more.
const MAX_FORCED: usize = 4096;

/// What comes next.
#[derive(Clone, Debug)]
pub enum Step {
    /// These tokens come next whatever the model thinks; the constraint has already taken them in.
    Forced(Vec<TokenId>),
    /// The model chooses one of two or more tokens; tell it with [`Constraint::advance`].
    Choose {
        /// What the choice decides.
        kind: ChoiceKind,
        /// The tokens to choose from.
        allowed: TokenMask,
    },
    /// The answer is over.
    Finished(Finish),
}

/// Why an answer is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// The text is a whole list of calls.
    Complete,
    /// One more call than allowed was begun.
    TooManyCalls,
    /// The grammar of the arguments allowed no further token, or gave up.
    Stuck,
    /// The model chose a tool whose schema was refused.
    Unsupported {
        /// The tool's index.
        tool: usize,
    },
}

/// The grammar of one answer: `[]`, or calls of the given tools.
///
/// Between the parts that are the model's own choice only the tokenisation that it is used to is taken.
pub struct Constraint {
    vocabulary: Vocabulary,
    tools: Vec<ToolGrammar>,
    opening: Vec<Vec<TokenId>>,
    max_calls: usize,
    state: State,
    /// What [`Self::step`] said last, until the model has chosen.
    pending: Option<Step>,
    text: Vec<u8>,
    braces: Braces,
    tool: Option<usize>,
    calls_finished: usize,
}

enum State {
    Opening { taken: Vec<TokenId> },
    Name { taken: Vec<TokenId> },
    Arguments { matcher: Box<Matcher> },
    Finished(Finish),
}

impl std::fmt::Debug for Constraint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Constraint")
            .field("text", &String::from_utf8_lossy(&self.text))
            .field("tool", &self.tool)
            .field("calls_finished", &self.calls_finished)
            .finish_non_exhaustive()
    }
}

impl Constraint {
    /// The grammar of an answer with at most `max_calls` calls of these tools; their names differ.
    pub fn new(vocabulary: &Vocabulary, tools: Vec<ToolGrammar>, max_calls: usize) -> Self {
        let mut opening = vec![vocabulary.encode_start(NO_CALL)];
        if !tools.is_empty() {
            opening.push(vocabulary.encode_start(FIRST_CALL));
        }
        Self {
            vocabulary: vocabulary.clone(),
            tools,
            opening,
            max_calls,
            state: State::Opening { taken: Vec::new() },
            pending: None,
            text: Vec::new(),
            braces: Braces::default(),
            tool: None,
            calls_finished: 0,
        }
    }

    /// What comes next. Asking again before [`Self::advance`] gives the same choice.
    ///
    /// # Errors
    /// [`Error::Internal`] for a broken invariant of the grammar.
    pub fn step(&mut self) -> Result<Step> {
        if let Some(step) = &self.pending {
            return Ok(step.clone());
        }
        let mut forced = Vec::new();
        let step = loop {
            if forced.len() > MAX_FORCED {
                self.state = State::Finished(Finish::Stuck);
            }
            if let Some(step) = self.next(&mut forced)? {
                break step;
            }
        };
        self.pending = Some(step.clone());
        Ok(if forced.is_empty() { step } else { Step::Forced(forced) })
    }

    /// Takes in the token that the model chose.
    ///
    /// # Errors
    /// [`Error::Internal`] if the last step was no choice or did not allow the token.
    pub fn advance(&mut self, token: TokenId) -> Result<()> {
        match self.pending.take() {
            Some(Step::Choose { allowed, .. }) if allowed.contains(token) => {
                self.take(token);
                Ok(())
            }
            other => {
                self.pending = other;
                Err(Error::Internal(format!("token {} was not among the choices", token.0)))
            }
        }
    }

    /// Takes one step as an earlier answer did that goes on with `tokens`, and says how many of them it took, at least one.
    ///
    /// # Errors
    /// [`Error::Internal`] if that answer had another grammar or is over.
    pub fn follow(&mut self, tokens: &[TokenId]) -> Result<usize> {
        match (self.step()?, tokens.first()) {
            (Step::Forced(forced), _) if tokens.starts_with(&forced) => Ok(forced.len()),
            (Step::Choose { .. }, Some(&token)) => self.advance(token).map(|()| 1),
            _ => Err(Error::Internal("an answer does not follow its grammar".into())),
        }
    }

    /// The answer so far; it may end inside a character.
    pub fn text(&self) -> &[u8] {
        &self.text
    }

    /// Index of the current call, from 0.
    pub fn call(&self) -> usize {
        self.calls_finished
    }

    /// The tool of the current call, from when its name is certain to the call's end.
    pub fn tool(&self) -> Option<usize> {
        self.tool
    }

    /// At the choice of a name, each tool that is left: the token that leads on to it, and its index. Elsewhere none.
    pub fn tools_left(&self) -> Vec<(TokenId, usize)> {
        match &self.state {
            State::Name { taken } => names::prospects(self.tools.iter().map(ToolGrammar::path), taken),
            _ => Vec::new(),
        }
    }

    /// At the opening, the token that leads to a call.
    pub fn token_of_calling(&self) -> Option<TokenId> {
        match &self.state {
            State::Opening { taken } => names::prospects(self.opening.iter().map(Vec::as_slice), taken)
                .into_iter()
                .find_map(|(token, path)| (path == CALL_PATH).then_some(token)),
            _ => None,
        }
    }

    /// How many calls are complete.
    pub fn calls_finished(&self) -> usize {
        self.calls_finished
    }

    /// One token further or one state further; the step, once no token is forced.
    fn next(&mut self, forced: &mut Vec<TokenId>) -> Result<Option<Step>> {
        if self.is_at_next_call() {
            self.end_call();
            return Ok(None);
        }
        match &mut self.state {
            State::Finished(finish) => Ok(Some(Step::Finished(*finish))),
            State::Arguments { matcher } => match arguments(matcher) {
                Move::Forced(tokens) => {
                    self.force(&tokens, forced);
                    Ok(None)
                }
                Move::Choose(allowed) => {
                    let kind =
                        if self.braces.closed() { ChoiceKind::Continuation } else { ChoiceKind::Arguments };
                    Ok(Some(Step::Choose { kind, allowed }))
                }
                Move::End => {
                    self.end_call();
                    Ok(None)
                }
                Move::Stuck => {
                    self.state = State::Finished(Finish::Stuck);
                    Ok(None)
                }
            },
            State::Opening { taken } => {
                let paths: Vec<&[TokenId]> = self.opening.iter().map(Vec::as_slice).collect();
                match names::next(&paths, taken) {
                    None => Err(Error::Internal("left the opening".into())),
                    Some(Next::Forced(tokens)) => {
                        self.force(&tokens, forced);
                        Ok(None)
                    }
                    Some(Next::Parting(tokens)) => Ok(Some(self.choose(ChoiceKind::Opening, tokens))),
                    Some(Next::Certain(path)) => {
                        let rest = paths[path][taken.len()..].to_vec();
                        self.force(&rest, forced);
                        if path == CALL_PATH {
                            self.begin_call();
                        } else {
                            self.state = State::Finished(Finish::Complete);
                        }
                        Ok(None)
                    }
                }
            }
            State::Name { taken } => {
                let paths: Vec<&[TokenId]> = self.tools.iter().map(ToolGrammar::path).collect();
                match names::next(&paths, taken) {
                    None => Err(Error::Internal("left the tools' names".into())),
                    Some(Next::Forced(tokens)) => {
                        self.force(&tokens, forced);
                        Ok(None)
                    }
                    Some(Next::Parting(tokens)) => Ok(Some(self.choose(ChoiceKind::Name, tokens))),
                    Some(Next::Certain(tool)) => {
                        let (path, taken) = (paths[tool].to_vec(), taken.len());
                        self.force(&path[taken..], forced);
                        self.begin_arguments(tool, &path);
                        Ok(None)
                    }
                }
            }
        }
    }

    fn choose(&self, kind: ChoiceKind, tokens: Vec<TokenId>) -> Step {
        Step::Choose { kind, allowed: TokenMask::of(self.vocabulary.len(), tokens) }
    }

    fn force(&mut self, tokens: &[TokenId], forced: &mut Vec<TokenId>) {
        for &token in tokens {
            self.take(token);
            forced.push(token);
            if self.is_at_next_call() {
                // The matcher does not know the names that may come.
                break;
            }
        }
    }

    fn is_at_next_call(&self) -> bool {
        matches!(self.state, State::Arguments { .. }) && self.braces.beyond() >= NEXT_CALL.len()
    }

    /// Adds an allowed token to the text and to the state.
    fn take(&mut self, token: TokenId) {
        let bytes = self.vocabulary.bytes(token);
        // Some tokenizers begin a text with a space of their own.
        let own = if self.text.is_empty() { bytes.strip_prefix(b" ").unwrap_or(bytes) } else { bytes };
        self.text.extend_from_slice(own);
        match &mut self.state {
            State::Opening { taken } | State::Name { taken } => taken.push(token),
            State::Arguments { matcher } => {
                self.braces.read(bytes);
                // A failure stays in the matcher, and the next step reports it.
                let _ = matcher.consume_token(token.0);
            }
            State::Finished(_) => {}
        }
    }

    fn begin_call(&mut self) {
        self.tool = None;
        self.state = if self.calls_finished >= self.max_calls {
            State::Finished(Finish::TooManyCalls)
        } else {
            State::Name { taken: Vec::new() }
        };
    }

    /// Hands over to the tool's own grammar, which reads the name again so that a token may reach beyond it.
    fn begin_arguments(&mut self, tool: usize, path: &[TokenId]) {
        self.tool = Some(tool);
        let Some(mut matcher) = self.tools[tool].matcher() else {
            self.state = State::Finished(Finish::Unsupported { tool });
            return;
        };
        // The arguments' braces begin after what is fixed; the name's path may reach into it.
        let name = self.tools[tool].name();
        self.braces = Braces::after(quoted(name).len() + AFTER_NAME.len());
        for &token in path {
            self.braces.read(self.vocabulary.bytes(token));
            // See `take`.
            let _ = matcher.consume_token(token.0);
        }
        self.state = State::Arguments { matcher: Box::new(matcher) };
    }

    fn end_call(&mut self) {
        self.calls_finished += 1;
        self.tool = None;
        if self.text.ends_with(NEXT_CALL.as_bytes()) {
            self.begin_call();
        } else if self.text.ends_with(LAST_CALL.as_bytes()) {
            self.state = State::Finished(Finish::Complete);
        } else {
            self.state = State::Finished(Finish::Stuck);
        }
    }
}

/// What the matcher of the arguments says.
enum Move {
    Forced(Vec<TokenId>),
    Choose(TokenMask),
    End,
    Stuck,
}

fn arguments(matcher: &mut Matcher) -> Move {
    if matcher.is_stopped() {
        return if !matcher.is_error() && matcher.stop_reason().is_ok() { Move::End } else { Move::Stuck };
    }
    let forced = matcher.compute_ff_tokens();
    if !forced.is_empty() {
        return Move::Forced(forced.into_iter().map(TokenId).collect());
    }
    match matcher.compute_mask().map(TokenMask::new) {
        Ok(allowed) if allowed.len() > 1 => Move::Choose(allowed),
        Ok(allowed) => allowed.iter().next().map_or(Move::Stuck, |token| Move::Forced(vec![token])),
        Err(_) => Move::Stuck,
    }
}
