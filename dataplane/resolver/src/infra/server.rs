//! What is known of one server.
//!
//! Owns the facts and how long each holds. Never shared: `Infra` keeps it behind a lock.

use std::time::Duration;

use crate::cookie::Cookie;
use crate::name::Name;
use crate::time::Instant;

use crate::infra::round_trip::RoundTrip;

/// Zones for which lameness of one server is remembered; the oldest makes room.
const LAME_ZONES_MAX: usize = 16;
/// A dead server is sent a probe in this part of its estimate: one each second at first, in ten seconds at last.
const PROBES_PER_ESTIMATE: u32 = 12;

/// How a server fails a zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lame {
    /// It is no authority for the zone (RFC 9499, "lame delegation").
    NotAuthoritative,
    /// It answers by its own recursion.
    Recursive,
    /// It leaves out the signatures of a signed zone.
    Unsigned,
}

/// The facts about one server. Each is forgotten a while after it was learnt.
#[derive(Clone, Debug)]
pub(super) struct Server {
    pub(super) round_trip: RoundTrip,
    /// It answered FORMERR or the like to EDNS.
    pub(super) no_edns: bool,
    /// It answered a query with EDNS, so timeouts are no reason to leave EDNS out.
    pub(super) edns_seen: bool,
    /// It does not repeat the case of names.
    pub(super) case_lost: bool,
    /// The cookie that it gave last (RFC 7873).
    pub(super) cookie: Option<Cookie>,
    /// It does not bear cookies, or not always.
    pub(super) no_cookies: bool,
    /// Zones that it is lame for, oldest first.
    lame: Vec<(Name, Lame)>,
    /// When all of this is forgotten.
    expires: Instant,
    /// Until when no probe is sent while it counts as dead.
    probe_after: Instant,
    /// When it last replied, or was last found silent.
    judged: Option<Instant>,
}

impl Server {
    pub(super) fn new(expires: Instant) -> Self {
        Self {
            round_trip: RoundTrip::default(),
            no_edns: false,
            edns_seen: false,
            case_lost: false,
            cookie: None,
            no_cookies: false,
            lame: Vec::new(),
            expires,
            probe_after: Instant::ORIGIN,
            judged: None,
        }
    }

    pub(super) fn is_expired(&self, now: Instant) -> bool {
        self.expires <= now
    }

    pub(super) fn replied(&mut self, now: Instant, round_trip: Duration) {
        self.round_trip.replied(round_trip);
        self.judged = Some(now);
    }

    /// No reply to a query that waited so long; one sent before the last judgement adds nothing to it.
    pub(super) fn timed_out(&mut self, now: Instant, waited: Duration, ignored: bool) {
        if self.judged.is_some_and(|judged| now.since(judged) < waited) {
            return;
        }
        self.judged = Some(now);
        if ignored {
            self.round_trip.ignored();
        } else {
            self.round_trip.timed_out();
        }
    }

    pub(super) fn may_be_asked(&self, now: Instant) -> bool {
        !self.round_trip.is_dead() || self.probe_after <= now
    }

    /// Takes the one probe of this interval. The first may leave as soon as a server counts as dead: what went
    /// unanswered may have been the questions' fault.
    pub(super) fn claim(&mut self, now: Instant) {
        if self.round_trip.is_dead() {
            let interval = self.round_trip.estimate() / PROBES_PER_ESTIMATE;
            self.probe_after = now.after(interval);
        }
    }

    pub(super) fn lame(&self, zone: &Name) -> Option<Lame> {
        self.lame
            .iter()
            .find(|(name, _)| name == zone)
            .map(|&(_, lame)| lame)
    }

    pub(super) fn note_lame(&mut self, zone: &Name, lame: Lame) {
        self.lame.retain(|(name, _)| name != zone);
        if self.lame.len() >= LAME_ZONES_MAX {
            self.lame.remove(0);
        }
        self.lame.push((zone.clone(), lame));
    }
}
