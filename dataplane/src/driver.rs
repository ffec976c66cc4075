//! `Driver`: the one task of a worker that touches its mesh. Feeds it events from connections,
//! upstream exchanges, other workers and the clock, performs its actions, and sleeps until the
//! deadline that the mesh names.
//!
//! A panic inside the mesh is contained here: whoever waits is answered SERVFAIL, the panic is
//! counted, and a fresh mesh goes on.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::time::Sleep;
use weir_config::telemetry::Traces;
use weir_resolver::action::Action;
use weir_resolver::answer::Answer;
use weir_resolver::event::Event;
use weir_resolver::infra::Infra;
use weir_resolver::key::{ConnectionId, Identity, StreamKey};
use weir_resolver::mesh::Mesh;
use weir_resolver::name::Name;
use weir_resolver::random::Random;
use weir_resolver::resolution::Resolution;
use weir_resolver::rules::Rules;

use crate::context::{WorkerContext, worker_of};
use crate::entropy;
use crate::mailbox::{Completion, Ending, Note, Outbox};
use crate::route::RouteMessage;
use crate::telemetry::record::Record;
use crate::telemetry::sample::Sampler;
use crate::turn::{Intake, Taken, again_after_others};
use crate::upstream::Upstream;

/// Where a panic was contained, in the metrics.
const IN_MESH: usize = 1;
const LATE_CONNECTION: usize = 1;
const LATE_REPLY: usize = 2;

/// The way of looked-at keys back to who tracks them.
pub type ProbeSender = tokio::sync::mpsc::UnboundedSender<(Name, Arc<Answer>)>;

/// What the worker asks of its driver from outside the thread.
#[derive(Debug)]
pub enum Command {
    /// Go by these settings, and trace these streams.
    Replace(Arc<Rules>, Option<Traces>),
    /// Ask every connection to end; what still waits at `by` is answered SERVFAIL.
    Drain {
        /// When everything has ended.
        by: std::time::Instant,
    },
    /// Look at the keys of a tracked trust anchor's zone, and tell of them there.
    Probe(Name, ProbeSender),
    /// End every connection now.
    Abort,
    /// End the worker.
    Stop,
}

/// A connection of this worker.
struct Known {
    identity: Identity,
    outbox: Rc<Outbox>,
}

/// The driver of one mesh.
pub struct Driver {
    mesh: Mesh<Resolution>,
    infra: Arc<Infra>,
    worker: Rc<WorkerContext>,
    upstream: Upstream,
    connections: HashMap<ConnectionId, Known>,
    /// Connections of other workers whose streams asked here.
    guests: HashMap<ConnectionId, Identity>,
    commands: tokio::sync::mpsc::UnboundedReceiver<Command>,
    intake: Intake<Note, RouteMessage>,
    sleep: Pin<Box<Sleep>>,
    /// The mesh asked for a turn of input and output.
    yielded: bool,
    ending: Ending,
    probes: Option<ProbeSender>,
    drain: Option<std::time::Instant>,
}

impl Driver {
    /// A driver with an empty mesh.
    #[must_use]
    pub fn new(
        worker: Rc<WorkerContext>,
        infra: Arc<Infra>,
        upstream: Upstream,
        commands: tokio::sync::mpsc::UnboundedReceiver<Command>,
    ) -> Self {
        Self {
            mesh: mesh(&worker, &infra),
            infra,
            worker,
            upstream,
            connections: HashMap::new(),
            guests: HashMap::new(),
            commands,
            intake: Intake::default(),
            sleep: Box::pin(tokio::time::sleep(std::time::Duration::ZERO)),
            yielded: false,
            ending: Ending::None,
            probes: None,
            drain: None,
        }
    }

    /// Drives until the process has no more commands for it.
    pub async fn run(mut self) {
        std::future::poll_fn(|context| self.turn(context)).await;
    }

    fn turn(&mut self, context: &mut Context<'_>) -> Poll<()> {
        loop {
            match self.commands.poll_recv(context) {
                Poll::Ready(Some(Command::Stop) | None) => return Poll::Ready(()),
                Poll::Ready(Some(command)) => self.obey(command),
                Poll::Pending => break,
            }
        }
        let more = self.take_events(context);
        let busy = self.keep_time(context);
        self.upstream.poll(context);
        self.measure();
        let yielded = std::mem::take(&mut self.yielded);
        if yielded {
            self.worker.inbox.put(Note::Event(Event::Resume));
        }
        if more || busy || yielded {
            again_after_others(context);
        }
        Poll::Pending
    }

    /// Takes what came, in order, up to a turn's worth; whether there is more.
    fn take_events(&mut self, context: &Context<'_>) -> bool {
        let worker = Rc::clone(&self.worker);
        let mut intake = std::mem::take(&mut self.intake);
        let more = intake.take_turn(
            |notes, messages| {
                worker.inbox.take(context, notes);
                worker.routes.take(worker.index, context, messages);
            },
            |taken| match taken {
                Taken::Note(note) => self.note(note),
                Taken::Message(message) => self.message(message),
            },
        );
        self.intake = intake;
        more
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Replace(settings, traces) => {
                self.worker.replace_settings(Arc::clone(&settings));
                *self.worker.sampler.borrow_mut() = Sampler::new(traces.as_ref());
                self.handle(Event::Replace(settings));
            }
            Command::Drain { by } => {
                self.ending = Ending::Graceful;
                self.drain = Some(by);
                self.handle(Event::Drain {
                    by: self.worker.clock.instant(by),
                });
                self.end_connections();
            }
            Command::Probe(zone, sender) => {
                self.probes = Some(sender);
                self.handle(Event::Probe { zone });
            }
            // Seen before it comes here.
            Command::Stop => {}
            Command::Abort => {
                self.ending = Ending::Abrupt;
                self.end_connections();
            }
        }
    }

    fn end_connections(&self) {
        for known in self.connections.values() {
            known.outbox.end(self.ending);
        }
    }

    fn note(&mut self, note: Note) {
        match note {
            Note::Opened {
                connection,
                identity,
                outbox,
            } => {
                outbox.end(self.ending);
                self.connections
                    .insert(connection, Known { identity, outbox });
                self.handle(Event::ConnectionOpened {
                    connection,
                    identity,
                });
            }
            Note::Closed { connection } => {
                self.connections.remove(&connection);
                self.handle(Event::ConnectionClosed { connection });
            }
            Note::Ask {
                stream,
                identity: _,
                query,
                traced,
            } => {
                self.handle(Event::Query {
                    stream,
                    query: *query,
                    traced,
                });
            }
            Note::StreamClosed { stream, cause } => {
                self.handle(Event::StreamClosed { stream, cause });
            }
            Note::Written { stream } => self.handle(Event::AnswerWritten { stream }),
            Note::Event(event) => {
                let (Event::Reply { fetch, .. } | Event::FetchFailed { fetch, .. }) = event else {
                    return self.handle(event);
                };
                if self.upstream.finish(fetch) {
                    self.handle(event);
                } else {
                    self.worker.metrics.late.count(LATE_REPLY);
                }
            }
        }
    }

    fn message(&mut self, message: RouteMessage) {
        match message {
            RouteMessage::Ask {
                stream,
                identity,
                query,
                traced,
            } => {
                let connection = stream.connection;
                if self.guests.insert(connection, identity).is_none() {
                    self.handle(Event::ConnectionOpened {
                        connection,
                        identity,
                    });
                }
                self.handle(Event::Query {
                    stream,
                    query: *query,
                    traced,
                });
            }
            RouteMessage::StreamClosed { stream, cause } => {
                self.handle(Event::StreamClosed { stream, cause });
            }
            RouteMessage::Written { stream } => self.handle(Event::AnswerWritten { stream }),
            RouteMessage::Closed { connection } => {
                self.guests.remove(&connection);
                self.handle(Event::ConnectionClosed { connection });
            }
            RouteMessage::Answer {
                stream,
                answer,
                owner,
            } => {
                self.complete(
                    stream,
                    Completion::Answer {
                        stream: stream.stream,
                        answer,
                        owner,
                    },
                );
            }
            RouteMessage::Refuse { stream, refusal } => {
                self.complete(
                    stream,
                    Completion::Refuse {
                        stream: stream.stream,
                        refusal,
                    },
                );
            }
            RouteMessage::Lost { owner } => self.tell_lost(owner),
        }
    }

    /// Hands one event to the mesh and performs what it asks for.
    fn handle(&mut self, event: Event) {
        #[cfg(feature = "injection")]
        let struck = injected(&event);
        let now = self.worker.clock.now();
        let handled = catch_unwind(AssertUnwindSafe(|| self.mesh.handle(now, event)));
        if handled.is_err() {
            return self.begin_afresh();
        }
        while let Some(action) = self.mesh.poll_action() {
            self.perform(action);
        }
        #[cfg(feature = "injection")]
        if struck.is_some_and(|name| self.mesh.inject_violation(&name)) {
            self.handle(Event::Resume);
        }
    }

    fn perform(&mut self, action: Action) {
        let own = self.worker.index;
        match action {
            Action::Answer { stream, answer } => match worker_of(stream.connection) {
                worker if worker == own => {
                    let completion = Completion::Answer {
                        stream: stream.stream,
                        answer,
                        owner: own,
                    };
                    self.complete(stream, completion);
                }
                worker => {
                    let message = RouteMessage::Answer {
                        stream,
                        answer,
                        owner: own,
                    };
                    self.worker.routes.send(worker, message);
                }
            },
            Action::Refuse { stream, refusal } => match worker_of(stream.connection) {
                worker if worker == own => {
                    self.complete(
                        stream,
                        Completion::Refuse {
                            stream: stream.stream,
                            refusal,
                        },
                    );
                }
                worker => {
                    self.worker
                        .routes
                        .send(worker, RouteMessage::Refuse { stream, refusal });
                }
            },
            Action::Fetch(fetch) => self.upstream.send(fetch),
            Action::Cancel(fetch) => self.upstream.cancel(fetch),
            Action::Probed { zone, answer } => {
                // Who tracks anchors ends with the process.
                let _ = self
                    .probes
                    .as_ref()
                    .map(|probes| probes.send((zone, answer)));
            }
            Action::Trace(change) => {
                self.worker.recorder.record(Record::State {
                    worker: own,
                    change,
                });
            }
            Action::Yield => self.yielded = true,
        }
    }

    fn complete(&self, stream: StreamKey, completion: Completion) {
        match self.connections.get(&stream.connection) {
            Some(known) => known.outbox.put(completion),
            None => self.worker.metrics.late.count(LATE_CONNECTION),
        }
    }

    /// The mesh is in an unknown state: it is thrown away, and who waited is told.
    fn begin_afresh(&mut self) {
        tracing::error!(
            worker = self.worker.index,
            "a panic in the mesh was contained"
        );
        self.worker.metrics.panics.count(IN_MESH);
        self.upstream.cancel_all();
        self.mesh = mesh(&self.worker, &self.infra);
        self.yielded = false;
        let own = self.worker.index;
        self.tell_lost(own);
        for worker in (0..self.worker.routes.workers()).filter(|worker| *worker != own) {
            self.worker
                .routes
                .send(worker, RouteMessage::Lost { owner: own });
        }
        let known = self
            .connections
            .iter()
            .map(|(connection, known)| (*connection, known.identity));
        let guests = self
            .guests
            .iter()
            .map(|(connection, identity)| (*connection, *identity));
        let opened: Vec<_> = known.chain(guests).collect();
        for (connection, identity) in opened {
            // Events of a fresh mesh that is empty: what panicked is not among them.
            self.handle(Event::ConnectionOpened {
                connection,
                identity,
            });
        }
        if let Some(by) = self.drain {
            self.handle(Event::Drain {
                by: self.worker.clock.instant(by),
            });
        }
    }

    fn tell_lost(&self, owner: u16) {
        for known in self.connections.values() {
            known.outbox.put(Completion::Lost { owner });
        }
    }

    /// Sends what is due and arms the timer; whether more is due at once.
    fn keep_time(&mut self, context: &mut Context<'_>) -> bool {
        // Bounded, so that a deadline that does not go away cannot hold the thread.
        for _ in 0..64 {
            let Some((at, _)) = self.mesh.poll_timeout() else {
                return false;
            };
            let at = self.worker.clock.system(at);
            if at <= std::time::Instant::now() {
                self.handle(Event::Timeout);
                continue;
            }
            // Deadlines move with every event; a timer that is early costs less than one that follows them.
            if self.sleep.is_elapsed() || self.sleep.deadline().into_std() > at {
                self.sleep.as_mut().reset(at.into());
            }
            // Ready here means that the timer is coarser than the clock: look again.
            return self.sleep.as_mut().poll(context).is_ready();
        }
        true
    }

    fn measure(&mut self) {
        if let Some(violation) = self.mesh.look_over() {
            // The state concerned is fenced off already; whoever waited for it has SERVFAIL.
            tracing::error!(worker = self.worker.index, %violation, "please report this");
        }
        let metrics = &self.worker.metrics;
        let gauges = self.mesh.gauges();
        metrics.mesh_states.set(gauges.states as u64);
        metrics.mesh_waiters.set(gauges.waiters as u64);
        metrics.mesh_fetches.set(self.upstream.open() as u64);
        metrics
            .invariant_violations
            .set(self.mesh.counters().invariant_violations);
    }
}

/// Tests only: the name of a query that is to strike the state that it joins, because it spells VIOLATE.
#[cfg(feature = "injection")]
fn injected(event: &Event) -> Option<Name> {
    let Event::Query { query, .. } = event else {
        return None;
    };
    let strikes = query.spelling.windows(7).any(|octets| octets == b"VIOLATE");
    strikes.then(|| query.question.name.clone())
}

fn mesh(worker: &WorkerContext, infra: &Arc<Infra>) -> Mesh<Resolution> {
    let settings = Arc::clone(&worker.settings.borrow());
    let random = Random::from_seed(entropy::seed());
    Mesh::with_program(
        settings,
        Arc::clone(&worker.cache),
        Arc::clone(infra),
        random,
    )
}
