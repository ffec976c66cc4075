//! The ledger of traces: matches streams with the mesh states that they waited for, and states with
//! the states that they needed, until all of a kept trace is known and its spans can be built.
//!
//! A stream says at its end whether it is kept; the states that it waited for, and what they
//! needed, are kept with it. Whatever never completes is let go after a while, so that a lost
//! record costs memory for seconds only.

use std::collections::HashMap;
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::trace::SpanKind;
use opentelemetry_sdk::trace::SpanData;
use weir_resolver::event::CloseCause;
use weir_resolver::key::{FetchId, StateId, StreamKey};
use weir_resolver::question::{Question, StateKind};
use weir_resolver::random::Random;
use weir_resolver::time::Instant;
use weir_resolver::trace::{Change, StateChange};

use super::record::{ApplyRecord, Record, StreamRecord};
use super::span::{Anchor, Draft, Identity, cause_text};
use super::state_trace::{FetchTrace, StateTrace};

/// States remembered at once.
const STATES_MAX: usize = 65_536;
/// Streams and attachments remembered at once.
const STREAMS_MAX: usize = 131_072;
/// How long a stream waits for what a mesh says of it.
const STREAM_PATIENCE: Duration = Duration::from_secs(2);
/// How long a state that ended waits for its streams, and for the states that needed it.
const STATE_PATIENCE: Duration = Duration::from_secs(15);
/// No state lives longer; one that seems to has lost its end.
const STATE_LIFE_MAX: Duration = Duration::from_secs(180);

/// A state of one worker's mesh.
pub type StateKey = (u16, StateId);

/// How a stream and a state met.
#[derive(Clone, Copy, Debug)]
struct Attachment {
    state: StateKey,
    at: Instant,
    joined: bool,
    detached: Option<(Instant, Option<&'static str>)>,
}

/// The ledger.
pub struct Ledger {
    states: HashMap<StateKey, StateTrace>,
    attachments: HashMap<StreamKey, Attachment>,
    /// Streams that ended before the mesh told of it.
    waiting: HashMap<StreamKey, StreamRecord>,
    random: Random,
    include_names: bool,
    spans: Vec<SpanData>,
}

impl Ledger {
    /// An empty ledger; identifiers are drawn from `random`.
    #[must_use]
    pub fn new(random: Random) -> Self {
        Self {
            states: HashMap::new(),
            attachments: HashMap::new(),
            waiting: HashMap::new(),
            random,
            include_names: true,
            spans: Vec::new(),
        }
    }

    /// Whether spans carry names.
    pub fn include_names(&mut self, include: bool) {
        self.include_names = include;
    }

    /// Takes the spans that are complete.
    pub fn take_spans(&mut self) -> Vec<SpanData> {
        std::mem::take(&mut self.spans)
    }

    /// How many spans are complete.
    #[must_use]
    pub fn complete(&self) -> usize {
        self.spans.len()
    }

    /// Takes one record into account.
    pub fn take(&mut self, record: Record, anchor: Anchor) {
        match record {
            Record::Apply(apply) => self.apply(*apply, anchor),
            Record::Stream(stream) => self.stream(*stream, anchor),
            Record::State { worker, change } => self.change(worker, change, anchor),
        }
    }

    /// The span `config.apply`, which continues the operator's trace.
    fn apply(&mut self, apply: ApplyRecord, anchor: Anchor) {
        let identity = Identity {
            trace: apply.parent.trace,
            span: self.random.next_u64() | 1,
        };
        let mut draft = Draft::new("config.apply", SpanKind::Server, identity);
        draft.parent(apply.parent.span, true);
        draft.set("weir.revision", apply.revision);
        if let Some((field, message)) = apply.refused {
            draft.set("weir.config.field", field);
            draft.fail(message);
        }
        let (started, ended) = (anchor.at(apply.started), anchor.at(apply.ended));
        self.spans.push(draft.finish(started, ended));
    }

    fn stream(&mut self, stream: StreamRecord, anchor: Anchor) {
        let known = self.attachments.get(&stream.stream).copied();
        // The mesh tells of an answer before it is given, but of a reset after it came.
        let told = match known {
            Some(attachment) => attachment.detached.is_some(),
            None => !stream.resolved || stream.status.is_some(),
        };
        if told || self.waiting.len() >= STREAMS_MAX {
            self.end_stream(&stream, anchor);
        } else {
            self.waiting.insert(stream.stream, stream);
        }
    }

    fn change(&mut self, worker: u16, change: StateChange, anchor: Anchor) {
        let StateChange { state, at, what } = change;
        let key = (worker, state);
        match what {
            Change::Created {
                question,
                kind,
                parent,
            } => {
                let parent = parent.map(|parent| (worker, parent));
                self.create(key, at, question, kind, parent);
            }
            Change::Needs { sub } => self.needs(key, (worker, sub)),
            Change::Attached { stream, joined } => self.attach(key, stream, at, joined),
            Change::Detached { stream, cause } => self.detach(key, stream, at, cause, anchor),
            Change::FetchSent {
                fetch,
                server,
                transport,
                zone,
                question,
                attempt,
            } => {
                let span = self.random.next_u64() | 1;
                let sent = FetchTrace {
                    span,
                    server,
                    transport,
                    zone,
                    question,
                    attempt,
                    sent: at,
                    ended: None,
                };
                self.with(key, |trace| trace.fetches.push((fetch, sent)));
            }
            Change::FetchEnded { fetch, end, .. } => {
                self.with(key, |trace| end_fetch(trace, fetch, at, end));
            }
            Change::Stage(stage) => {
                let stage = KeyValue::new("weir.mesh.stage", stage);
                self.note(key, at, "stage", vec![stage]);
            }
            Change::Validated(validation) => {
                let span = self.random.next_u64() | 1;
                self.with(key, |trace| {
                    trace.validation = Some((span, at, *validation))
                });
            }
            Change::StaleServed => self.note(key, at, "stale.served", Vec::new()),
            Change::Orphaned => self.note(key, at, "orphaned", Vec::new()),
            Change::LimitReached(limit) => {
                let limit = KeyValue::new("weir.limit", limit);
                self.note(key, at, "limit.reached", vec![limit]);
            }
            Change::Ended {
                end,
                rcode,
                waiters_most,
                fetches,
            } => {
                self.with(key, |trace| {
                    trace.ended = Some((at, end, rcode, waiters_most, fetches));
                });
                self.settle(key, anchor);
            }
        }
    }

    fn create(
        &mut self,
        key: StateKey,
        at: Instant,
        question: Question,
        kind: StateKind,
        parent: Option<StateKey>,
    ) {
        if self.states.len() < STATES_MAX {
            let span = self.random.next_u64() | 1;
            let trace = StateTrace::new(span, at, question, kind, parent);
            self.states.insert(key, trace);
        }
        if let Some(parent) = parent {
            self.needs(parent, key);
        }
    }

    fn detach(
        &mut self,
        key: StateKey,
        stream: StreamKey,
        at: Instant,
        cause: Option<CloseCause>,
        anchor: Anchor,
    ) {
        let cause = cause.map(cause_text);
        if let Some(attachment) = self.attachments.get_mut(&stream) {
            attachment.detached = Some((at, cause));
        }
        self.note(key, at, "waiter.detached", detached(stream, cause));
        if let Some(stream) = self.waiting.remove(&stream) {
            self.end_stream(&stream, anchor);
        }
    }

    fn with(&mut self, key: StateKey, change: impl FnOnce(&mut StateTrace)) {
        if let Some(trace) = self.states.get_mut(&key) {
            change(trace);
        }
    }

    fn note(&mut self, key: StateKey, at: Instant, name: &'static str, what: Vec<KeyValue>) {
        self.with(key, |trace| trace.note(at, name, what));
    }

    fn needs(&mut self, state: StateKey, sub: StateKey) {
        let known = self.states.contains_key(&state);
        self.with(state, |trace| {
            if !trace.needs.contains(&sub) {
                trace.needs.push(sub);
            }
        });
        if known {
            self.with(sub, |trace| trace.needed_by(state));
        }
    }

    fn attach(&mut self, key: StateKey, stream: StreamKey, at: Instant, joined: bool) {
        if self.attachments.len() >= STREAMS_MAX {
            return;
        }
        self.attachments.insert(
            stream,
            Attachment {
                state: key,
                at,
                joined,
                detached: None,
            },
        );
        self.with(key, |trace| trace.streams_open += 1);
        let what = vec![
            KeyValue::new("weir.connection.id", number(stream.connection.0)),
            KeyValue::new("weir.stream.id", i64::from(stream.stream)),
            KeyValue::new("weir.mesh.joined", joined),
        ];
        self.note(key, at, "waiter.attached", what);
    }

    /// All that will be known of a stream is known.
    fn end_stream(&mut self, stream: &StreamRecord, anchor: Anchor) {
        let attachment = self.attachments.remove(&stream.stream);
        if stream.keep {
            self.build_stream(stream, attachment, anchor);
        }
        if let Some(attachment) = attachment {
            self.with(attachment.state, |trace| {
                trace.streams_open = trace.streams_open.saturating_sub(1);
            });
            self.settle(attachment.state, anchor);
        }
    }

    fn build_stream(
        &mut self,
        stream: &StreamRecord,
        attachment: Option<Attachment>,
        anchor: Anchor,
    ) {
        let continued = stream.parent.filter(|parent| parent.trusted);
        let fresh = u128::from(self.random.next_u64()) << 64 | u128::from(self.random.next_u64());
        let identity = Identity {
            trace: continued.map_or(fresh | 1, |parent| parent.trace),
            span: self.random.next_u64() | 1,
        };
        let mut draft = Draft::new("doh.stream", SpanKind::Server, identity);
        match stream.parent {
            Some(parent) if parent.trusted => draft.parent(parent.span, true),
            Some(parent) => draft.link(
                Identity {
                    trace: parent.trace,
                    span: parent.span,
                },
                true,
            ),
            None => {}
        }
        stream.describe(&mut draft, self.include_names);
        if let Some(attachment) = attachment {
            let state = i64::try_from(attachment.state.1.number()).unwrap_or(i64::MAX);
            let id = || KeyValue::new("weir.mesh.state", state);
            let joined = KeyValue::new("weir.mesh.joined", attachment.joined);
            draft.event(
                "waiter.attached",
                anchor.at(attachment.at),
                vec![id(), joined],
            );
            if let Some((at, cause)) = attachment.detached {
                let mut what = vec![id()];
                what.extend(cause.map(|cause| KeyValue::new("weir.cause", cause)));
                draft.event("waiter.detached", anchor.at(at), what);
            }
            if let Some(trace) = self.states.get_mut(&attachment.state) {
                draft.link(trace.keep(identity), false);
            }
        }
        let (started, ended) = (anchor.at(stream.started), anchor.at(stream.ended));
        self.spans.push(draft.finish(started, ended));
    }

    /// Builds or forgets a state that has ended, when nothing more can be said of it. What it
    /// needed is settled with it.
    fn settle(&mut self, key: StateKey, anchor: Anchor) {
        let mut open = vec![key];
        while let Some(key) = open.pop() {
            let Some(trace) = self.states.get(&key) else {
                continue;
            };
            if trace.ended.is_none() || trace.streams_open > 0 {
                continue;
            }
            let wanted = trace.identity().is_some();
            // Whoever needed it may still be kept, and it with them.
            let undecided = trace
                .supers
                .iter()
                .any(|above| self.states.contains_key(above));
            if undecided && !wanted {
                continue;
            }
            let Some(mut trace) = self.states.remove(&key) else {
                continue;
            };
            for sub in &trace.needs {
                if let (Some(identity), Some(below)) = (trace.identity(), self.states.get_mut(sub))
                {
                    let known = below.keep(identity);
                    if below.parent != Some(key) {
                        trace.links.push(known);
                    }
                }
                open.push(*sub);
            }
            if wanted {
                trace.build(&mut self.spans, anchor, self.include_names);
            }
        }
    }

    /// Lets go of what never completed.
    pub fn sweep(&mut self, now: Instant, anchor: Anchor) {
        let old = |at: Instant, patience: Duration| now.since(at) >= patience;
        let streams: Vec<StreamKey> = self
            .waiting
            .iter()
            .filter(|(_, stream)| old(stream.ended, STREAM_PATIENCE))
            .map(|(key, _)| *key)
            .collect();
        for key in streams {
            if let Some(stream) = self.waiting.remove(&key) {
                self.end_stream(&stream, anchor);
            }
        }
        let states: Vec<StateKey> = self
            .states
            .iter()
            .filter(|(_, trace)| match trace.ended {
                Some((at, ..)) => old(at, STATE_PATIENCE),
                None => old(trace.started, STATE_LIFE_MAX),
            })
            .map(|(key, _)| *key)
            .collect();
        for key in states {
            if let Some(trace) = self.states.remove(&key)
                && trace.identity().is_some()
            {
                trace.build(&mut self.spans, anchor, self.include_names);
            }
        }
        self.attachments
            .retain(|_, attachment| !old(attachment.at, STATE_LIFE_MAX));
    }
}

fn end_fetch(
    trace: &mut StateTrace,
    fetch: FetchId,
    at: Instant,
    end: weir_resolver::trace::FetchEnd,
) {
    let open = trace
        .fetches
        .iter_mut()
        .find(|(id, sent)| *id == fetch && sent.ended.is_none());
    if let Some((_, sent)) = open {
        sent.ended = Some((at, end));
    }
}

fn detached(stream: StreamKey, cause: Option<&'static str>) -> Vec<KeyValue> {
    let mut what = vec![
        KeyValue::new("weir.connection.id", number(stream.connection.0)),
        KeyValue::new("weir.stream.id", i64::from(stream.stream)),
    ];
    what.extend(cause.map(|cause| KeyValue::new("weir.cause", cause)));
    what
}

fn number(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
