//! One seed, from first connection to the last record gone: faults on for safety, then off for liveness.
//!
//! Owns the world of one run and the order of its steps. After every event all invariants are checked,
//! and the mesh is compared with the model. A run ends with every stream answered and nothing left.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use weir_resolver::action::Action;
use weir_resolver::cache::Cache;
use weir_resolver::event::{CloseCause, Event, Level};
use weir_resolver::fetch::FetchFailure;
use weir_resolver::infra::Infra;
use weir_resolver::key::{ConnectionId, FetchId, Identity, StreamKey};
use weir_resolver::mesh::{Mesh, Mutant};
use weir_resolver::question::{ClientEdns, Query};
use weir_resolver::random::Random;
use weir_resolver::rules::Rules;
use weir_resolver::time::{Instant, Now, UnixTime};

use crate::simulate::model::{Asked, Fault, Model, Peer};
use crate::simulate::network::{Faults, Network};
use crate::simulate::plot::{self, Plot};
use crate::simulate::report::{self, Report};
use crate::simulate::seed::{Draw, TraceHash};
use crate::simulate::swarm::{self, Step, Swarm};

/// How late a deadline may be met when deadlines jitter.
const LATE: Duration = Duration::from_millis(5);

struct World {
    draw: Draw,
    swarm: Swarm,
    mesh: Mesh<Plot>,
    model: Model,
    network: Network,
    settings: Arc<Rules>,
    now: Instant,
    events: u64,
    hash: TraceHash,
    next_connection: u64,
    last_number: u8,
    yielded: bool,
    old_fetches: Vec<FetchId>,
    what: &'static str,
}

/// Runs one seed for so many events, and then to its end.
#[must_use]
pub fn run(seed: u64, events: u64, mutant: Option<Mutant>) -> Report {
    let mut world = World::new(seed, mutant);
    let fault = world.live(events).err();
    let violation = fault.map(|fault| (world.events, fault, world.what));
    let (mesh, model) = (&world.mesh, &mut world.model);
    let broken = fault.map(|fault| report::broken(fault, mesh, model, &world.settings));
    Report {
        seed,
        events: world.events,
        simulated: world.now.since(Instant::ORIGIN),
        trace_hash: world.hash.value(),
        violation,
        broken: broken.unwrap_or_default(),
        answers: world.model.answers,
        refusals: world.model.refusals,
    }
}

impl World {
    fn new(seed: u64, mutant: Option<Mutant>) -> Self {
        let mut draw = Draw::new(seed);
        let swarm = Swarm::draw(&mut draw);
        let settings = swarm::draw_settings(&mut draw, 0);
        let mut mesh = Mesh::with_program(
            Arc::clone(&settings),
            Arc::new(Cache::new(1 << 16, [seed, 1])),
            Arc::new(Infra::default()),
            Random::from_seed([seed, 2]),
        );
        if let Some(mutant) = mutant {
            mesh.mutate(mutant);
        }
        let mut network = Network::default();
        network.faults = swarm::draw_faults(&mut draw);
        Self {
            draw,
            swarm,
            mesh,
            model: Model::default(),
            network,
            settings,
            now: Instant::ORIGIN,
            events: 0,
            hash: TraceHash::default(),
            next_connection: 0,
            last_number: 0,
            yielded: false,
            old_fetches: Vec::new(),
            what: "start",
        }
    }

    fn live(&mut self, events: u64) -> Result<(), Fault> {
        let drains_at = if self.swarm.drains {
            events / 2
        } else {
            u64::MAX
        };
        let mut drained = false;
        while self.events < events {
            if self.events >= drains_at && !drained {
                drained = true;
                let by = self.now.after(Duration::from_millis(self.draw.below(3000)));
                self.what = "drain";
                self.handle(Event::Drain { by })?;
                self.model.probes.clear();
            }
            if self.yielded && !self.draw.chance(self.swarm.yields_lost) {
                self.what = "resume";
                self.handle(Event::Resume)?;
            }
            self.yielded = false;
            self.step()?;
        }
        self.end()
    }

    fn step(&mut self) -> Result<(), Fault> {
        match self.swarm.next(&mut self.draw) {
            Step::Ask => self.ask(),
            Step::Reset => self.reset(),
            Step::Written => self.written(),
            Step::Pass => self.pass(),
            Step::Open => self.open(),
            Step::Close => self.close(),
            Step::Replace => self.replace(),
            Step::Pressure => {
                self.what = "pressure";
                let levels = [Level::Normal, Level::Normal, Level::High, Level::Critical];
                let level = *self.draw.pick(&levels).unwrap_or(&Level::Normal);
                self.handle(Event::Pressure(level))
            }
            Step::Prefetch => {
                self.what = "prefetch";
                let number = self.number();
                let query = self.query(0, number, false, None);
                self.handle(Event::Prefetch { query })
            }
            Step::Probe => {
                self.what = "probe";
                let zone = plot::question(self.number()).name;
                self.handle(Event::Probe { zone })
            }
            Step::Nonsense => self.nonsense(),
        }
    }

    /// Gives the mesh one event, and judges all that comes of it.
    fn handle(&mut self, event: Event) -> Result<(), Fault> {
        self.events += 1;
        let timed_out = matches!(event, Event::Timeout);
        let probed = if let Event::Probe { zone } = &event {
            Some((zone.clone(), self.mesh.counters().probes))
        } else {
            None
        };
        let before = self.mesh.gauges();
        let now = Now {
            instant: self.now,
            unix: UnixTime(1_800_000_000 + self.now.seconds()),
        };
        self.hash.add(self.now.nanoseconds());
        let mut late = self.mesh.counters().late_fetches;
        if let Event::Reply { fetch, .. } | Event::FetchFailed { fetch, .. } = &event {
            late += u64::from(!self.model.fetches.remove(fetch));
        }
        self.model.answers_in_step = 0;
        self.mesh.handle(now, event);
        if self.mesh.counters().late_fetches != late {
            return Err("B7: a fetch that was over was not only counted as late");
        }
        if let Some((zone, begun)) = probed
            && self.mesh.counters().probes > begun
        {
            self.model.probes.push(zone);
        }
        while let Some(action) = self.mesh.poll_action() {
            self.hash.note(&action);
            self.model.see(&action, &self.settings, &before)?;
            match action {
                Action::Fetch(fetch) => {
                    self.network.send(self.now, &mut self.draw, &fetch);
                    if self.old_fetches.len() < 64 {
                        self.old_fetches.push(fetch.fetch);
                    }
                }
                Action::Cancel(fetch) => self.network.cancel(&mut self.draw, fetch),
                Action::Yield => self.yielded = true,
                _ => {}
            }
        }
        if !timed_out
            && self.what != "replace"
            && self.model.answers_in_step > self.settings.limits.settle_per_step + 1
        {
            return Err("D1: one step answered more than it may");
        }
        self.mesh.check().map_err(|violation| violation.what)?;
        self.model.compare(&self.settings, &self.mesh.gauges())
    }

    fn number(&mut self) -> u8 {
        if !self.draw.chance(self.swarm.same_name) {
            self.last_number = self.draw.below(self.swarm.names) as u8;
        }
        self.last_number
    }

    fn query(&self, id: u16, number: u8, upper: bool, client: Option<IpAddr>) -> Query {
        Query {
            spelling: plot::spelling(number, upper),
            edns: (id & 1 == 1).then_some(ClientEdns {
                version: 0,
                udp_payload_size: 1232,
                dnssec_ok: id & 2 == 2,
                padding: id & 4 == 4,
            }),
            client,
            ..Query::plain(id, plot::question(number))
        }
    }

    fn pick_connection(&mut self) -> Option<(ConnectionId, Peer)> {
        let at = self.draw.below(self.model.connections.len() as u64) as usize;
        let (&id, &peer) = self.model.connections.iter().nth(at)?;
        Some((id, peer))
    }

    fn pick_waiting(&mut self) -> Option<StreamKey> {
        let at = self.draw.below(self.model.waiting.len() as u64) as usize;
        self.model.waiting.keys().nth(at).copied()
    }

    fn pick_answering(&mut self) -> Option<StreamKey> {
        let at = self.draw.below(self.model.answering.len() as u64) as usize;
        self.model.answering.iter().nth(at).copied()
    }

    fn open(&mut self) -> Result<(), Fault> {
        if self.model.connections.len() >= self.swarm.connections {
            return self.pass();
        }
        self.next_connection += 1;
        let connection = ConnectionId(self.next_connection);
        let identity = Identity(u128::from(self.draw.below(self.swarm.identities)));
        let peer = Peer {
            identity,
            next_stream: 1,
        };
        self.model.connections.insert(connection, peer);
        self.what = "open";
        self.handle(Event::ConnectionOpened {
            connection,
            identity,
        })
    }

    fn ask(&mut self) -> Result<(), Fault> {
        let Some((connection, peer)) = self.pick_connection() else {
            return self.open();
        };
        let number = self.number();
        let stream = StreamKey {
            connection,
            stream: peer.next_stream,
        };
        if let Some(peer) = self.model.connections.get_mut(&connection) {
            peer.next_stream += 2;
        }
        let asked = Asked {
            number,
            upper: self.draw.chance(50),
            id: self.draw.next() as u16,
            epoch: self.settings.epoch,
            deadline: self.now.after(self.settings.mesh.total_time).after(LATE),
            identity: peer.identity,
            refused_by_policy: peer.identity.0 >= 3,
        };
        self.model.asking = Some((stream, asked));
        let last = peer.identity.0 as u8;
        let client = IpAddr::V4(Ipv4Addr::new(10, 0, 0, last));
        let query = self.query(asked.id, number, asked.upper, Some(client));
        let traced = self.draw.chance(self.swarm.traced);
        self.what = "ask";
        self.handle(Event::Query {
            stream,
            query,
            traced,
        })
    }

    fn reset(&mut self) -> Result<(), Fault> {
        let stream = if self.draw.chance(20) {
            self.pick_answering().or_else(|| self.pick_waiting())
        } else {
            self.pick_waiting()
        };
        let Some(stream) = stream else {
            return self.pass();
        };
        let causes = [
            CloseCause::Reset(8),
            CloseCause::Reset(0),
            CloseCause::LocalReset(11),
        ];
        let cause = *self.draw.pick(&causes).unwrap_or(&CloseCause::Reset(8));
        self.model.close_stream(stream);
        self.what = "reset";
        self.handle(Event::StreamClosed { stream, cause })
    }

    fn written(&mut self) -> Result<(), Fault> {
        let Some(stream) = self.pick_answering() else {
            return self.pass();
        };
        self.model.answering.remove(&stream);
        self.what = "written";
        let event = if self.draw.chance(85) {
            Event::AnswerWritten { stream }
        } else {
            let cause = CloseCause::WriteFailed;
            Event::StreamClosed { stream, cause }
        };
        self.handle(event)
    }

    fn close(&mut self) -> Result<(), Fault> {
        let Some((connection, _)) = self.pick_connection() else {
            return self.pass();
        };
        self.model.close_connection(connection);
        self.what = "close";
        self.handle(Event::ConnectionClosed { connection })
    }

    fn replace(&mut self) -> Result<(), Fault> {
        let epoch = self.settings.epoch + 1;
        self.settings = swarm::draw_settings(&mut self.draw, epoch);
        self.what = "replace";
        self.handle(Event::Replace(Arc::clone(&self.settings)))
    }

    /// Events that a driver should not send, or sends too late: each must be harmless.
    fn nonsense(&mut self) -> Result<(), Fault> {
        self.what = "nonsense";
        let stream = StreamKey {
            connection: ConnectionId(self.draw.below(self.next_connection + 2)),
            stream: 1_000_001,
        };
        let event = match self.draw.below(7) {
            0 => {
                let open = &self.model.fetches;
                let mut old = self
                    .old_fetches
                    .iter()
                    .filter(|fetch| !open.contains(fetch));
                let Some(&fetch) = old.next_back() else {
                    return Ok(());
                };
                let failure = FetchFailure::Timeout;
                Event::FetchFailed { fetch, failure }
            }
            1 => Event::AnswerWritten { stream },
            2 => {
                let cause = CloseCause::Reset(8);
                Event::StreamClosed { stream, cause }
            }
            3 => Event::Resume,
            4 => Event::Timeout,
            5 => {
                let Some((&connection, &Peer { identity, .. })) =
                    self.model.connections.first_key_value()
                else {
                    return Ok(());
                };
                Event::ConnectionOpened {
                    connection,
                    identity,
                }
            }
            _ => {
                // The same stream asks again.
                let Some(stream) = self.pick_waiting() else {
                    return Ok(());
                };
                let query = self.query(0, 0, false, None);
                let traced = true;
                Event::Query {
                    stream,
                    query,
                    traced,
                }
            }
        };
        self.handle(event)
    }

    /// Lets time pass to the next thing that is due, and does it.
    fn pass(&mut self) -> Result<(), Fault> {
        let timeout = self.mesh.poll_timeout().map(|(at, _)| at);
        let report = self.network.next();
        let due = match (timeout, report) {
            (None, None) => {
                self.now = self.now.after(Duration::from_millis(self.draw.below(100)));
                return Ok(());
            }
            (Some(timeout), None) => timeout,
            (None, Some(report)) => report,
            (Some(timeout), Some(report)) => timeout.min(report),
        };
        if due > self.now && self.draw.chance(30) {
            // Some time passes, and nothing is due yet.
            let left = due.since(self.now).as_nanos() as u64;
            let some = Duration::from_nanos(self.draw.below(left));
            self.now = self.now.after(some);
            return Ok(());
        }
        self.now = self.now.max(due);
        if self.swarm.jitter && self.draw.chance(10) {
            self.now = self.now.after(Duration::from_micros(self.draw.below(4000)));
        }
        let report_first = report.is_some_and(|at| at <= self.now)
            && (timeout.is_none_or(|at| at > self.now) || self.draw.chance(50));
        if report_first && let Some(event) = self.network.take(self.now) {
            self.what = "report";
            self.handle(event)?;
        } else {
            self.what = "timeout";
            self.handle(Event::Timeout)?;
        }
        let waits_on = self
            .mesh
            .poll_timeout()
            .is_some_and(|(at, _)| at <= self.now);
        if !waits_on && self.model.is_overdue(self.now) {
            return Err("B5: a stream was not answered by its deadline");
        }
        Ok(())
    }

    /// Faults off: every live stream is answered, every connection closes, and nothing is left.
    fn end(&mut self) -> Result<(), Fault> {
        self.network.faults = Faults {
            delay: 5,
            ..Faults::default()
        };
        for _ in 0..100_000 {
            if self.model.waiting.is_empty() {
                break;
            }
            self.pass()?;
        }
        if !self.model.waiting.is_empty() {
            return Err("B5: a stream was never answered");
        }
        while let Some((connection, _)) = self.pick_connection() {
            self.model.close_connection(connection);
            self.what = "close at the end";
            self.handle(Event::ConnectionClosed { connection })?;
        }
        for _ in 0..100_000 {
            if self.mesh.is_quiescent() {
                break;
            }
            self.pass()?;
        }
        if !self.mesh.is_quiescent() || !self.model.is_empty() {
            return Err("C1: something is left when all is over");
        }
        Ok(())
    }
}
