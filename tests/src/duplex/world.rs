//! One seed over one connection: the real connection task on one side, a client on the other, and in the place of
//! the mesh a clerk that checks every note of the shell against what may come, and answers as the seed wants.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Waker};

use arc_swap::ArcSwap;
use bytes::Bytes;
use weir_config::DataplaneConfig;
use weir_dataplane::clock::Clock;
use weir_dataplane::context::WorkerContext;
use weir_dataplane::doh::books::Peer as Address;
use weir_dataplane::doh::connection::Connection;
use weir_dataplane::edge::Edge;
use weir_dataplane::mailbox::{Completion, Note, Outbox};
use weir_dataplane::route::Routes;
use weir_dataplane::telemetry::metric::Metrics;
use weir_dataplane::telemetry::record::Recorder;
use weir_dataplane::telemetry::sample::Sampler;
use weir_resolver::action::Refusal;
use weir_resolver::answer::{Origin, ResponseCode, Security, Shaped};
use weir_resolver::cache::Cache;
use weir_resolver::rules::Rules;

use crate::duplex::peer::{Peer, name};
use crate::duplex::wire::{Break, ServerEnd, Wire};
use crate::simulate::seed::{Draw, TraceHash};

/// How the shell was told, and told, of one stream that asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Waits {
    /// It asked.
    Asked,
    /// It was given its answer.
    Given,
    /// It was refused, or its mesh was lost: nothing more is said of it.
    Dismissed,
    /// The shell said that it ended.
    Ended,
}

/// What a run came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The hash of all notes in their order.
    pub trace: u64,
    /// Requests that reached the mesh.
    pub asked: u64,
    /// Answers that left whole.
    pub written: u64,
    /// Streams that ended before.
    pub closed: u64,
    /// Whether the connection was broken, aborted or panicked.
    pub torn: bool,
}

struct World {
    draw: Draw,
    wire: Rc<RefCell<Wire>>,
    peer: Peer,
    worker: Rc<WorkerContext>,
    outbox: Option<Rc<Outbox>>,
    waits: BTreeMap<u32, Waits>,
    opened: u32,
    closed: u32,
    report: Report,
    hash: TraceHash,
}

/// Runs one seed for so many steps.
///
/// # Errors
/// What did not hold.
pub fn run(seed: u64, steps: u32) -> Result<Report, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .map_err(|error| error.to_string())?;
    tokio::task::LocalSet::new().block_on(&runtime, live(seed, steps))
}

fn worker() -> (Rc<WorkerContext>, Arc<ArcSwap<Edge>>) {
    let metrics = Metrics::default().worker();
    let routes = Arc::new(Routes::new(1, [1, 2]));
    let cache = Arc::new(Cache::new(1 << 16, [3, 4]));
    let settings = Arc::<Rules>::default();
    let (sampler, recorder) = (Sampler::new(None), Recorder::default());
    let clock = Clock::start();
    let worker = WorkerContext::new(
        0, clock, routes, metrics, cache, settings, sampler, recorder,
    );
    let listeners = DataplaneConfig::default().listeners;
    let edge = listeners.first().map(Edge::from);
    let edge = edge.unwrap_or_else(|| unreachable!("a document has a listener by default"));
    (worker, Arc::new(ArcSwap::from_pointee(edge)))
}

async fn live(seed: u64, steps: u32) -> Result<Report, String> {
    let mut draw = Draw::new(seed);
    let wire = Wire::new(Draw::new(draw.next()));
    let (peer, octets) = Peer::new(&mut draw);
    let (worker, edge) = worker();
    wire.borrow_mut().inbound.extend(octets);
    let (end, served) = (ServerEnd(Rc::clone(&wire)), Rc::clone(&worker));
    let address = Address {
        address: ([127, 0, 0, 1], 9).into(),
        trusted: false,
    };
    let task = tokio::task::spawn_local(async move {
        if let Some(connection) = Connection::open(end, address, served, edge).await {
            connection.serve().await;
        }
    });
    let mut world = World {
        draw,
        wire,
        peer,
        worker,
        outbox: None,
        waits: BTreeMap::new(),
        opened: 0,
        closed: 0,
        report: Report::default(),
        hash: TraceHash::default(),
    };
    let tears_at = world
        .draw
        .chance(50)
        .then(|| world.draw.below(u64::from(steps)));
    for step in 0..u64::from(steps) {
        if tears_at == Some(step) {
            world.report.torn = true;
            match world.draw.below(4) {
                0 => task.abort(),
                1 => world.wire.borrow_mut().broken = Break::Panic,
                2 => world.wire.borrow_mut().broken = Break::Closed,
                _ => world.wire.borrow_mut().broken = Break::Reset,
            }
        }
        world.step();
        world.settle().await?;
    }
    world.end().await?;
    // Whatever is still there goes with the client.
    world.wire.borrow_mut().broken = Break::Reset;
    for _ in 0..200 {
        if task.is_finished() {
            break;
        }
        world.settle().await?;
    }
    task.abort();
    let _ = task.await;
    world.read_notes()?;
    world.judge()
}

impl World {
    /// Something happens on the client's side, or the mesh has an answer.
    fn step(&mut self) {
        let octets = match self.draw.below(100) {
            0..=29 if self.peer.open() < 90 && !self.peer.misbehaved => {
                self.peer.ask(&mut self.draw)
            }
            30..=44 => self.peer.send_body(&mut self.draw, false),
            45..=54 if !self.peer.streams.is_empty() => self.peer.reset(&mut self.draw),
            55..=56 => self.peer.open_windows(),
            57 if self.draw.chance(10) => self.peer.misbehave(&mut self.draw),
            58..=84 => {
                self.give();
                Vec::new()
            }
            _ => Vec::new(),
        };
        let room = self.draw.below(3000) as usize;
        let mut wire = self.wire.borrow_mut();
        wire.inbound.extend(octets);
        wire.room = (wire.room + room).min(16_384);
    }

    /// The mesh says something of one of the streams that wait, or of one that is gone.
    fn give(&mut self) {
        let Some(outbox) = self.outbox.clone() else {
            return;
        };
        if self.draw.chance(2) {
            for waits in self
                .waits
                .values_mut()
                .filter(|waits| **waits == Waits::Asked)
            {
                *waits = Waits::Dismissed;
            }
            return outbox.put(Completion::Lost { owner: 0 });
        }
        let at = self.draw.below(self.waits.len() as u64) as usize;
        let Some((&stream, waits)) = self.waits.iter_mut().nth(at) else {
            return;
        };
        match *waits {
            Waits::Asked => {}
            // It crossed the end of its stream on the way: that is in order, and counted as late.
            Waits::Ended if self.draw.chance(20) => {}
            Waits::Given | Waits::Dismissed | Waits::Ended => return,
        }
        if self.draw.chance(10) {
            if *waits == Waits::Asked {
                *waits = Waits::Dismissed;
            }
            let refusal = Refusal::Full;
            return outbox.put(Completion::Refuse { stream, refusal });
        }
        if *waits == Waits::Asked {
            *waits = Waits::Given;
        }
        let length = if self.draw.chance(80) { 60 } else { 12_000 };
        let answer = Shaped {
            message: Bytes::from(vec![7; length]),
            max_age: Some(60),
            rcode: ResponseCode::NOERROR,
            extended_error: None,
            origin: Origin::Resolved,
            security: Security::Unchecked,
        };
        let owner = 0;
        outbox.put(Completion::Answer {
            stream,
            answer,
            owner,
        });
    }

    /// Lets the connection do what it can, and reads what comes of it on both sides.
    async fn settle(&mut self) -> Result<(), String> {
        self.wire.borrow_mut().wake();
        for _ in 0..self.draw.between(1, 3) {
            tokio::task::yield_now().await;
        }
        let octets = std::mem::take(&mut self.wire.borrow_mut().outbound);
        let reply = self.peer.read(&octets)?;
        self.wire.borrow_mut().inbound.extend(reply);
        self.read_notes()
    }

    fn read_notes(&mut self) -> Result<(), String> {
        let mut notes = Vec::new();
        let context = Context::from_waker(Waker::noop());
        self.worker.inbox.take(&context, &mut notes);
        for note in notes {
            self.read_note(note)?;
        }
        Ok(())
    }

    fn read_note(&mut self, note: Note) -> Result<(), String> {
        if self.closed > 0 {
            return Err(format!("C3: {note:?} after the end of the connection"));
        }
        match note {
            Note::Opened { outbox, .. } => {
                self.opened += 1;
                self.outbox = Some(outbox);
                self.hash.add(1);
            }
            Note::Closed { .. } => {
                self.closed += 1;
                self.hash.add(2);
            }
            Note::Ask { stream, query, .. } => {
                let number = stream.stream;
                self.hash.add(u64::from(number) << 8 | 3);
                let sent = self.peer.streams.get(&number).copied();
                if !sent.is_some_and(|sent| sent.whole) {
                    return Err(format!(
                        "stream {number} asked before its request was whole"
                    ));
                }
                if query.question.name.to_string().trim_end_matches('.') != name(number) {
                    return Err(format!("B4: stream {number} asked {}", query.question.name));
                }
                if self.waits.insert(number, Waits::Asked).is_some() {
                    return Err(format!("B1: stream {number} asked twice"));
                }
                self.report.asked += 1;
            }
            Note::StreamClosed { stream, .. } => {
                self.hash.add(u64::from(stream.stream) << 8 | 4);
                self.report.closed += 1;
                self.leave(
                    stream.stream,
                    &[Waits::Asked, Waits::Given, Waits::Dismissed],
                )?;
            }
            Note::Written { stream } => {
                self.hash.add(u64::from(stream.stream) << 8 | 5);
                self.report.written += 1;
                self.leave(stream.stream, &[Waits::Given])?;
            }
            Note::Event(event) => return Err(format!("the shell made {event:?} of nothing")),
        }
        Ok(())
    }

    fn leave(&mut self, number: u32, from: &[Waits]) -> Result<(), String> {
        match self.waits.insert(number, Waits::Ended) {
            Some(waits) if from.contains(&waits) => Ok(()),
            waits => Err(format!("B1: stream {number} ended when it was {waits:?}")),
        }
    }

    /// Faults off: everything that was asked is answered, and the client reads all of it.
    async fn end(&mut self) -> Result<(), String> {
        for _ in 0..2000 {
            let mut octets = self.peer.open_windows();
            if self.peer.has_bodies() {
                octets.extend(self.peer.send_body(&mut self.draw, true));
            }
            if self.draw.chance(2) {
                octets.extend(self.peer.release());
            }
            for _ in 0..4 {
                self.give();
            }
            {
                let mut wire = self.wire.borrow_mut();
                wire.inbound.extend(octets);
                wire.room = 16_384;
            }
            self.settle().await?;
            let waiting = self.waits.values().any(|waits| *waits == Waits::Asked);
            let idle = self.wire.borrow().inbound.is_empty();
            if self.closed > 0 || (self.peer.open() == 0 && !waiting && idle) {
                break;
            }
        }
        Ok(())
    }

    /// What has to hold when all is over.
    fn judge(mut self) -> Result<Report, String> {
        if self.opened != self.closed || self.opened > 1 {
            return Err(format!(
                "C3: {} opened, {} closed",
                self.opened, self.closed
            ));
        }
        let metrics = &self.worker.metrics;
        if metrics.streams.get() != metrics.dispositions.sum() {
            return Err(format!(
                "B1: {} streams, {} dispositions",
                metrics.streams.get(),
                metrics.dispositions.sum()
            ));
        }
        if self.worker.query_bytes.get() != 0 || self.worker.response_bytes.get() != 0 {
            return Err("C1: octets are held for streams that are gone".to_owned());
        }
        let calm = !self.report.torn && !self.peer.misbehaved && !self.peer.goaway;
        if calm {
            for (number, sent) in &self.peer.streams {
                let asked = self.waits.contains_key(number);
                let ended = sent.ends == 1 || sent.resets == 1;
                if !(sent.reset || asked && ended) {
                    return Err(format!(
                        "B5: stream {number} was left: {sent:?}, asked: {asked}"
                    ));
                }
            }
        }
        self.report.trace = self.hash.value();
        Ok(self.report)
    }
}
