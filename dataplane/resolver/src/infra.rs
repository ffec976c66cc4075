//! What is remembered of each server: round trip, EDNS, case, lameness. Shared by every worker.
//!
//! Owns facts by server address (lameness by zone besides), bounded in number: each shard holds two
//! generations, and the older one is dropped whole when the younger is full, so that what was used
//! lately stays. Never decides whom to ask: `iterate` does, from a `View`.

mod glue;
pub mod round_trip;
mod server;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use self::glue::Glue;
use self::round_trip::RoundTrip;
use self::server::Server;
use crate::cookie::Cookie;
use crate::name::Name;
use crate::rate::Rates;
use crate::settings::RateLimits;
use crate::time::Instant;

pub use self::server::Lame;

/// Shards, each with its own lock.
const SHARDS: usize = 16;
/// Servers of one generation of one shard: 16 × 2 × 2048 servers at most.
const GENERATION_MAX: usize = 2048;

/// Facts about servers.
#[derive(Debug)]
pub struct Infra {
    shards: Vec<Mutex<Shard>>,
    glue: Mutex<Glue>,
    zones: Mutex<Rates<Name>>,
    generation_max: usize,
}

#[derive(Debug, Default)]
struct Shard {
    young: BTreeMap<SocketAddr, Server>,
    old: BTreeMap<SocketAddr, Server>,
}

/// What is known of a server as an authority for one zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View {
    /// Its round trip.
    pub round_trip: RoundTrip,
    /// Whether it may be asked: it is not dead, or a probe is due.
    pub usable: bool,
    /// Whether it is sent an OPT record.
    pub edns: bool,
    /// Whether it is known to understand EDNS.
    pub edns_seen: bool,
    /// Whether it repeats the case of names, as far as is known.
    pub keeps_case: bool,
    /// The cookie that it gave last.
    pub cookie: Option<Cookie>,
    /// Whether it is sent cookies.
    pub cookies: bool,
    /// How it fails the zone, if it does.
    pub lame: Option<Lame>,
}

impl Default for View {
    fn default() -> Self {
        Self {
            round_trip: RoundTrip::default(),
            usable: true,
            edns: true,
            edns_seen: false,
            keeps_case: true,
            cookie: None,
            cookies: true,
            lame: None,
        }
    }
}

impl Default for Infra {
    fn default() -> Self {
        Self::bounded(SHARDS * 2 * GENERATION_MAX)
    }
}

impl Shard {
    /// The live facts about a server, made young again.
    fn get(&mut self, now: Instant, server: SocketAddr, max: usize) -> Option<&mut Server> {
        if let Some(found) = self.old.remove(&server) {
            self.insert(server, found, max);
        }
        if self.young.get(&server)?.is_expired(now) {
            self.young.remove(&server);
        }
        self.young.get_mut(&server)
    }

    fn insert(&mut self, server: SocketAddr, facts: Server, max: usize) {
        if self.young.len() >= max {
            self.old = core::mem::take(&mut self.young);
        }
        self.young.insert(server, facts);
    }
}

impl Infra {
    /// Room for about this many servers.
    #[must_use]
    pub fn bounded(servers_max: usize) -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            glue: Mutex::default(),
            zones: Mutex::new(Rates::bounded((servers_max / 8).max(1))),
            generation_max: (servers_max / (SHARDS * 2)).max(1),
        }
    }

    fn shard(&self, server: SocketAddr) -> Option<MutexGuard<'_, Shard>> {
        let folded = match server.ip() {
            IpAddr::V4(v4) => v4.octets().iter().fold(0, |sum, &octet| sum ^ octet),
            IpAddr::V6(v6) => v6.octets().iter().fold(0, |sum, &octet| sum ^ octet),
        };
        let index = usize::from(folded ^ (folded >> 4)) % SHARDS;
        let shard = self.shards.get(index)?;
        Some(shard.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What is known of `server` as an authority for `zone`.
    #[must_use]
    pub fn view(&self, now: Instant, server: SocketAddr, zone: &Name) -> View {
        let Some(mut shard) = self.shard(server) else {
            return View::default();
        };
        let Some(facts) = shard.get(now, server, self.generation_max) else {
            return View::default();
        };
        View {
            round_trip: facts.round_trip,
            usable: facts.may_be_asked(now),
            edns: !facts.no_edns,
            edns_seen: facts.edns_seen,
            keeps_case: !facts.case_lost,
            cookie: facts.cookie,
            cookies: !facts.no_cookies,
            lame: facts.lame(zone),
        }
    }

    /// Changes the facts about a server; new ones hold for `ttl`.
    fn note(
        &self,
        now: Instant,
        ttl: Duration,
        server: SocketAddr,
        change: impl FnOnce(&mut Server),
    ) {
        let Some(mut shard) = self.shard(server) else {
            return;
        };
        if let Some(facts) = shard.get(now, server, self.generation_max) {
            change(facts);
            return;
        }
        let mut facts = Server::new(now.after(ttl));
        change(&mut facts);
        shard.insert(server, facts, self.generation_max);
    }

    /// A query is being sent: takes the probe, if the server counts as dead.
    pub fn asked(&self, now: Instant, server: SocketAddr) {
        let Some(mut shard) = self.shard(server) else {
            return;
        };
        if let Some(facts) = shard.get(now, server, self.generation_max) {
            facts.claim(now);
        }
    }

    /// A reply came; `edns` says whether it carried an OPT record.
    pub fn replied(
        &self,
        now: Instant,
        ttl: Duration,
        server: SocketAddr,
        round_trip: Duration,
        edns: bool,
    ) {
        self.note(now, ttl, server, |facts| {
            facts.replied(now, round_trip);
            facts.edns_seen |= edns;
        });
    }

    /// No reply came while a query `waited`. Queries that were on their way together count as one: a burst of
    /// questions that a server does not answer says no more than a single one, and nothing against a server
    /// that has replied meanwhile.
    pub fn timed_out(&self, now: Instant, ttl: Duration, server: SocketAddr, waited: Duration) {
        self.note(now, ttl, server, |facts| {
            facts.timed_out(now, waited, false)
        });
    }

    /// The same, to a query of a type that some servers never answer, as AAAA.
    pub fn ignored(&self, now: Instant, ttl: Duration, server: SocketAddr, waited: Duration) {
        self.note(now, ttl, server, |facts| facts.timed_out(now, waited, true));
    }

    /// The server answers only without an OPT record (RFC 6891, 7).
    pub fn note_no_edns(&self, now: Instant, ttl: Duration, server: SocketAddr) {
        self.note(now, ttl, server, |facts| facts.no_edns = true);
    }

    /// The server does not repeat the case of names.
    pub fn note_case_lost(&self, now: Instant, ttl: Duration, server: SocketAddr) {
        self.note(now, ttl, server, |facts| facts.case_lost = true);
    }

    /// The server gave this cookie, which goes along with the next query to it.
    pub fn note_cookie(&self, now: Instant, ttl: Duration, server: SocketAddr, cookie: Cookie) {
        self.note(now, ttl, server, |facts| facts.cookie = Some(cookie));
    }

    /// The server does not bear cookies, or gives them at times only.
    pub fn note_no_cookies(&self, now: Instant, ttl: Duration, server: SocketAddr) {
        self.note(now, ttl, server, |facts| {
            facts.cookie = None;
            facts.no_cookies = true;
        });
    }

    /// The server fails this zone.
    pub fn note_lame(
        &self,
        now: Instant,
        ttl: Duration,
        server: SocketAddr,
        zone: &Name,
        lame: Lame,
    ) {
        self.note(now, ttl, server, |facts| facts.note_lame(zone, lame));
    }

    /// Whether one more query to the servers of `zone` is within its rate, and counts it if so.
    pub fn may_ask_zone(&self, now: Instant, zone: &Name, limits: &RateLimits) -> bool {
        let own = limits.zone_overrides.iter().find(|(name, _)| name == zone);
        let rate = own.map_or(limits.zone, |&(_, rate)| rate);
        if rate == 0 {
            return true;
        }
        let mut zones = self.zones.lock().unwrap_or_else(PoisonError::into_inner);
        zones.admit(now, zone, rate)
    }

    /// A parent gave these addresses of a name server; they hold for `ttl`.
    pub fn note_glue(
        &self,
        now: Instant,
        ttl: Duration,
        name: &Name,
        addresses: impl Iterator<Item = IpAddr>,
    ) {
        let mut glue = self.glue.lock().unwrap_or_else(PoisonError::into_inner);
        glue.note(now, now.after(ttl), name, addresses, self.generation_max);
    }

    /// The addresses of a name server that parents gave.
    #[must_use]
    pub fn glue(&self, now: Instant, name: &Name) -> Vec<IpAddr> {
        let glue = self.glue.lock().unwrap_or_else(PoisonError::into_inner);
        glue.get(now, name)
    }

    /// Takes a round trip for measured.
    pub fn set_round_trip(
        &self,
        now: Instant,
        ttl: Duration,
        server: SocketAddr,
        round_trip: Duration,
    ) {
        self.note(now, ttl, server, |facts| facts.round_trip.set(round_trip));
    }

    /// Servers that facts are held about, expired ones included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shards
            .iter()
            .map(|shard| {
                let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
                shard.young.len() + shard.old.len()
            })
            .sum()
    }

    /// Whether nothing is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TTL: Duration = Duration::from_secs(900);

    fn at(seconds: u64) -> Instant {
        Instant::ORIGIN.after(Duration::from_secs(seconds))
    }

    fn server(number: u32) -> SocketAddr {
        SocketAddr::from((number.to_be_bytes(), 53))
    }

    #[test]
    fn facts_are_per_server_and_expire() {
        let infra = Infra::default();
        let zone = Name::from_text("example").unwrap();
        let other = Name::from_text("other").unwrap();
        infra.note_lame(at(0), TTL, server(1), &zone, Lame::Recursive);
        infra.note_no_edns(at(0), TTL, server(1));
        let view = infra.view(at(899), server(1), &zone);
        assert_eq!((view.lame, view.edns), (Some(Lame::Recursive), false));
        assert_eq!(infra.view(at(899), server(1), &other).lame, None);
        assert_eq!(infra.view(at(899), server(2), &zone), View::default());
        assert_eq!(infra.view(at(900), server(1), &zone), View::default());
        assert!(infra.is_empty());
    }

    #[test]
    fn a_dead_server_is_probed_again_and_again() {
        let infra = Infra::default();
        let zone = Name::root();
        let usable = |seconds| infra.view(at(seconds), server(1), &zone).usable;
        let time_out = |seconds| infra.timed_out(at(seconds), TTL, server(1), Duration::ZERO);
        for _ in 0..5 {
            time_out(0);
        }
        // At once, then once in a twelfth of 12.032 s, doubled by each failure.
        assert!(usable(0));
        infra.asked(at(0), server(1));
        assert!(!usable(1) && usable(2));
        infra.asked(at(2), server(1));
        time_out(6);
        infra.asked(at(6), server(1));
        assert!(!usable(8) && usable(9));
        for _ in 0..20 {
            time_out(10);
        }
        infra.asked(at(10), server(1));
        assert!(!usable(19) && usable(20));
        infra.replied(at(20), TTL, server(1), Duration::from_millis(9), true);
        assert!(usable(20));
    }

    #[test]
    fn a_burst_of_timeouts_counts_once() {
        let infra = Infra::default();
        let zone = Name::root();
        let waited = Duration::from_secs(1);
        for _ in 0..100 {
            infra.timed_out(at(1), TTL, server(1), waited);
        }
        let once = infra.view(at(1), server(1), &zone).round_trip.estimate();
        assert_eq!(once, round_trip::UNKNOWN * 2);
        // One that was sent before the last reply says nothing against the server.
        let reply = Duration::from_millis(9);
        infra.replied(at(2), TTL, server(1), reply, true);
        let measured = infra.view(at(2), server(1), &zone).round_trip;
        infra.timed_out(at(2), TTL, server(1), waited);
        assert_eq!(infra.view(at(2), server(1), &zone).round_trip, measured);
        // Silence that goes on counts each time.
        for second in 3..13 {
            infra.timed_out(at(second), TTL, server(1), waited);
        }
        assert!(infra.view(at(13), server(1), &zone).round_trip.is_dead());
    }

    #[test]
    fn the_number_of_servers_is_bounded_and_the_used_stay() {
        let infra = Infra::bounded(320);
        let used = server(0x0a00_0001);
        infra.note_case_lost(at(0), TTL, used);
        for number in 0..10_000 {
            infra.timed_out(at(0), TTL, server(number), Duration::ZERO);
            assert!(infra.view(at(0), used, &Name::root()).usable);
        }
        assert!(infra.len() <= 320, "{}", infra.len());
        assert!(!infra.view(at(0), used, &Name::root()).keeps_case);
    }

    #[test]
    fn glue_expires_and_adds_up() {
        let infra = Infra::default();
        let name = Name::from_text("ns.example").unwrap();
        let give = |seconds, address: &str| {
            let addresses = [address.parse().unwrap()].into_iter();
            infra.note_glue(at(seconds), TTL, &name, addresses);
        };
        give(0, "192.0.2.1");
        give(1, "2001:db8::1");
        assert_eq!(infra.glue(at(900), &name).len(), 2);
        assert!(infra.glue(at(901), &name).is_empty());
        give(1000, "192.0.2.2");
        assert_eq!(infra.glue(at(1000), &name).len(), 1);
    }

    #[test]
    fn lame_zones_of_one_server_are_bounded() {
        let infra = Infra::default();
        let zone = |number: u32| Name::from_text(&format!("z{number}")).unwrap();
        for number in 0..20 {
            infra.note_lame(at(0), TTL, server(1), &zone(number), Lame::NotAuthoritative);
        }
        assert_eq!(infra.view(at(0), server(1), &zone(0)).lame, None);
        assert!(infra.view(at(0), server(1), &zone(19)).lame.is_some());
    }
}
