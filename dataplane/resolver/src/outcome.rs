//! What a stage of resolution is told, and what it asks of the mesh.
//!
//! The border between the mesh (who waits, what runs) and the stages (`iterate`, `validate`): a stage is
//! given one `Input`, may look at its `Context`, puts `Request`s into it, and says whether it is done.

use std::sync::Arc;

use crate::answer::Answer;
use crate::fetch::{FetchFailure, FetchPlan};
use crate::question::{Question, StateKind};

/// Why a stage is run.
#[derive(Clone, Debug)]
pub enum Input<'a> {
    /// For the first time.
    Start,
    /// A server replied. The message is whole and its question matched; all else is to be checked.
    Reply {
        /// What was asked of whom.
        plan: &'a FetchPlan,
        /// The message.
        message: &'a [u8],
        /// How long it took.
        round_trip: core::time::Duration,
    },
    /// A fetch ended without a reply.
    FetchFailed {
        /// What was asked of whom.
        plan: &'a FetchPlan,
        /// Why.
        failure: FetchFailure,
    },
    /// A question that this stage needed came to an answer. Failures are answers too (SERVFAIL).
    Answered {
        /// The question.
        question: &'a Question,
        /// Its answer, unvalidated for `Sub` and `Validation`.
        answer: &'a Arc<Answer>,
    },
    /// The mesh could not make a state for a question that this stage needed: it would wait for itself,
    /// lies too deep, or the mesh is full. The stage treats that path as failed and goes on.
    NeedRefused {
        /// The question.
        question: &'a Question,
    },
}

/// One thing that a stage wants of the mesh.
#[derive(Clone, Debug)]
pub enum Request {
    /// Ask a server. The mesh spends the budget, makes the message and reports back.
    Fetch(FetchPlan),
    /// Answer another question first.
    Need {
        /// The question.
        question: Question,
        /// `Sub`, `Validation`, `Revalidation` or `Prime`.
        kind: StateKind,
    },
    /// Resolve a question behind, for the cache; nobody is told of the result.
    Background {
        /// The question.
        question: Question,
        /// `Prefetch`, `Refresh` or `Report`.
        kind: StateKind,
    },
}

/// Where a stage stands after a step.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// It waits for its open fetches or needed questions. With neither open the mesh ends the state
    /// with SERVFAIL, so no state can wait for nothing.
    Wait,
    /// It is done. A failure is an answer with SERVFAIL and an extended error.
    Finish(Answer),
}
