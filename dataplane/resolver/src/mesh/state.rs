//! The records of work: states, fetches, dependencies, budgets.
//!
//! Plain data that the arenas of the table own; who may change what is in the verbs (`turn`, `finish`,
//! `dependency`, `overload`). Never names a socket, and names other records by handle only.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

use crate::answer::Answer;
use crate::budget::Budget;
use crate::fetch::{FetchFailure, FetchPlan};
use crate::key::{FetchKind, Id, Identity, State, StateId};
use crate::mesh::list::{Link, List};
use crate::mesh::stage::Stage;
use crate::mesh::validation::ValidationWork;
use crate::mesh::waiter::WaiterKind;
use crate::outcome::Input;
use crate::question::{Question, QuestionKey, StateKind};
use crate::rules::Rules;
use crate::time::Instant;

/// Marks handles of dependencies.
#[derive(Debug)]
pub(crate) enum EdgeKind {}
/// Marks handles of budgets.
#[derive(Debug)]
pub(crate) enum BudgetKind {}

/// Which half of the mesh a state takes room in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lane {
    /// None: it is there for other states only.
    None,
    /// The half that runs to its end.
    Forever,
    /// The half in which an old state makes room for a new one.
    Jostle,
}

/// Why a state lives although nothing waits for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Background {
    /// It renews a popular answer.
    Prefetch,
    /// It renews an answer that was served stale.
    Refresh,
    /// Its last consumer left, and the result is worth caching. It counts against whoever left.
    Orphan {
        /// Who is charged, if it was a client's doing.
        debtor: Option<Identity>,
        /// When it is given up, if nobody has come for it by then.
        until: Instant,
    },
}

/// One thing that a program is still to be told.
#[derive(Debug)]
pub(crate) enum Message {
    Start,
    Reply {
        plan: FetchPlan,
        message: Bytes,
        round_trip: core::time::Duration,
    },
    FetchFailed {
        plan: FetchPlan,
        failure: FetchFailure,
    },
    Answered {
        question: Question,
        answer: Arc<Answer>,
    },
    NeedRefused {
        question: Question,
    },
}

impl Message {
    /// The message as a program sees it.
    pub(crate) fn input(&self) -> Input<'_> {
        match self {
            Self::Start => Input::Start,
            Self::Reply {
                plan,
                message,
                round_trip,
            } => Input::Reply {
                plan,
                message,
                round_trip: *round_trip,
            },
            Self::FetchFailed { plan, failure } => Input::FetchFailed {
                plan,
                failure: *failure,
            },
            Self::Answered { question, answer } => Input::Answered { question, answer },
            Self::NeedRefused { question } => Input::NeedRefused { question },
        }
    }
}

/// One question being resolved.
#[derive(Debug)]
pub(crate) struct MeshState<P> {
    pub(crate) key: QuestionKey,
    pub(crate) kind: StateKind,
    /// Boxed, so that a slot stays small and a free one costs nothing more.
    pub(crate) program: Box<P>,
    pub(crate) stage: Stage,
    pub(crate) settings: Arc<Rules>,
    pub(crate) inbox: VecDeque<Message>,
    pub(crate) queued: bool,
    pub(crate) in_run: Link<State>,
    /// Its place in the order in which states came to be able to run.
    pub(crate) place: u64,
    pub(crate) lane: Lane,
    pub(crate) in_lane: Link<State>,
    pub(crate) background: Option<Background>,
    pub(crate) in_orphans: Link<State>,
    pub(crate) waiters: List<WaiterKind>,
    pub(crate) supers: List<EdgeKind>,
    pub(crate) subs: List<EdgeKind>,
    pub(crate) fetches: List<FetchKind>,
    pub(crate) budget: Id<BudgetKind>,
    /// How many states stand above it, at most, since it was made.
    pub(crate) depth: u32,
    /// When its first waiter came; never refreshed (CVE-2026-42534).
    pub(crate) first_wait: Option<Instant>,
    pub(crate) stale: Option<Instant>,
    /// The expired answer that there was when its first waiter came (RFC 8767).
    pub(crate) expired: Option<Box<Answer>>,
    pub(crate) expires: Instant,
    pub(crate) activations: u32,
    pub(crate) fetches_sent: u16,
    pub(crate) waiters_most: u32,
    pub(crate) validation: ValidationWork,
    pub(crate) traced: bool,
}

impl<P> MeshState<P> {
    /// Whether a stream or another state waits for it.
    pub(crate) const fn has_consumer(&self) -> bool {
        !self.waiters.is_empty() || !self.supers.is_empty()
    }

    /// Who is charged for it, if it was a client's doing, and when it is given up: of an orphan.
    pub(crate) const fn orphan(&self) -> Option<(Option<Identity>, Instant)> {
        match self.background {
            Some(Background::Orphan { debtor, until }) => Some((debtor, until)),
            _ => None,
        }
    }

    /// The next moment at which something must happen to it.
    pub(crate) fn deadline(&self) -> Instant {
        [self.stale, self.orphan().map(|(_, until)| until)]
            .into_iter()
            .flatten()
            .fold(self.expires, Instant::min)
    }
}

/// One open query to one server.
#[derive(Debug)]
pub(crate) struct FetchRecord {
    pub(crate) state: StateId,
    pub(crate) in_state: Link<FetchKind>,
    pub(crate) plan: FetchPlan,
    pub(crate) sent: Instant,
}

/// One state needs another.
#[derive(Debug)]
pub(crate) struct Edge {
    pub(crate) above: StateId,
    pub(crate) below: StateId,
    /// Its place among what `above` needs.
    pub(crate) in_subs: Link<EdgeKind>,
    /// Its place among what needs `below`.
    pub(crate) in_supers: Link<EdgeKind>,
}

/// The budget of one root question and how many states share it.
#[derive(Debug)]
pub(crate) struct BudgetRecord {
    pub(crate) budget: Budget,
    pub(crate) states: u32,
    pub(crate) started_with: u16,
}
