//! Answers that begin like others but take the second-best token somewhere: greedy choices need not lead to the most
//! probable answer.
//!
//! A branch whose own beginning is less probable than the best whole answer is not worth finishing, so an answer that the
//! model is sure of costs nothing (branch and bound).

use crate::error::{Error, Result};
use crate::grammar::{Constraint, Finish};
use crate::trace::Trace;

use super::writer::{Branch, Writer};
use super::{Hooks, Limits, Progress};

/// An answer with how it ended, if it was not cut off.
#[derive(Clone, Debug)]
pub(super) struct Draft {
    pub(super) trace: Trace,
    pub(super) text: String,
    pub(super) finish: Option<Finish>,
    score: f64,
}

/// The most probable of the greedy answer and up to `most` others.
///
/// # Errors
/// As [`super::decode`]'s; a deadline that passes after a whole answer was found ends the search instead.
pub(super) fn search(
    writer: &mut Writer<'_>,
    fresh: impl Fn() -> Constraint,
    most: usize,
    limits: Limits,
    hooks: &mut Hooks<'_>,
) -> Result<Draft> {
    let mut drafts = vec![write(writer, f64::NEG_INFINITY, limits, hooks, None)?];
    let mut branches: Vec<(usize, Branch)> = writer.branches.drain(..).map(|branch| (0, branch)).collect();
    let (mut best, mut tokens) = (0, 0);
    while drafts.len() <= most && tokens < limits.max_tokens {
        let likeliest =
            (0..branches.len()).max_by(|&a, &b| branches[a].1.score.total_cmp(&branches[b].1.score));
        let Some((parent, branch)) = likeliest.map(|index| branches.swap_remove(index)) else { break };
        if branch.score <= drafts[best].score {
            break;
        }
        writer.begin_again(fresh(), &drafts[parent].trace, branch)?;
        let draft = match write(writer, drafts[best].score, limits, hooks, None) {
            Err(Error::DeadlineExceeded) if drafts[best].finish == Some(Finish::Complete) => break,
            draft => draft?,
        };
        tokens += draft.trace.tokens.len() - branch.choice.position;
        branches.extend(writer.branches.drain(..).map(|branch| (drafts.len(), branch)));
        if draft.finish.is_some() && draft.score > drafts[best].score {
            best = drafts.len();
        }
        drafts.push(draft);
    }
    Ok(drafts.swap_remove(best))
}

/// Writes to the end, or as long as the answer is more probable than `floor` says.
pub(super) fn write(
    writer: &mut Writer<'_>,
    floor: f64,
    limits: Limits,
    hooks: &mut Hooks<'_>,
    mut progress: Option<&mut Progress<'_>>,
) -> Result<Draft> {
    let finish = loop {
        hooks.check(limits.start, limits.deadline)?;
        let written = writer.trace.tokens.len();
        if written > limits.max_tokens || writer.score <= floor {
            break None;
        }
        let finish = writer.step()?;
        if let Some(progress) = &mut progress {
            progress.report(&writer.constraint, &writer.trace.tokens[written..], hooks);
        }
        if finish.is_some() {
            break finish;
        }
    };
    let text = String::from_utf8_lossy(writer.constraint.text()).into_owned();
    Ok(Draft { trace: writer.trace.clone(), text, finish, score: writer.score })
}
