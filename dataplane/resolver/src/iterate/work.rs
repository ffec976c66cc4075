//! The memory of one iteration between two steps.
//!
//! Owns what was asked, what was gathered along aliases, and the answer made of it. Decides nothing.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use crate::answer::{Answer, ExtendedError, ResponseCode};
use crate::forward::UpstreamKind;
use crate::iterate::delegation::Delegation;
use crate::iterate::minimise::Minimiser;
use crate::iterate::phase::Phase;
use crate::name::Name;
use crate::question::{Question, StateKind};
use crate::rrset::Rrset;
use crate::settings::{QnameMinimisation, Settings};

/// What is to be done next.
#[derive(Clone, Debug)]
pub enum Next {
    /// Look the current name up in the cache, and find its closest delegation.
    Start,
    /// Choose a server.
    Choose,
    /// Wait for a fetch or a needed question.
    Wait,
    /// There is an answer.
    Finish(Answer),
}

/// The query that is out.
#[derive(Clone, Debug)]
pub struct Open {
    /// The place of its address in the delegation.
    pub index: usize,
    /// Whether it asks for less than the current question.
    pub minimised: bool,
}

/// The memory of one iteration.
#[derive(Clone, Debug)]
pub struct Work {
    /// What the state is for.
    pub question: Question,
    /// Why it exists.
    pub kind: StateKind,
    /// RD of the query.
    pub recursion_desired: bool,
    /// CD of the query.
    pub checking_disabled: bool,
    /// Where it stands.
    pub phase: Phase,
    /// What is looked for now, after aliases.
    pub current: Question,
    /// Names that aliases led over, the first included.
    pub visited: Vec<Name>,
    /// Answers gathered on the way to `current`.
    pub answer: Vec<Arc<Rrset>>,
    /// Denial proofs gathered on the way.
    pub authority: Vec<Arc<Rrset>>,
    /// The servers of the closest zone.
    pub delegation: Option<Delegation>,
    /// Whether eager lookups were made for `delegation`.
    pub looked_ahead: bool,
    /// A delegation all of whose servers failed, while its parent is asked again.
    pub set_aside: Option<Delegation>,
    /// How much of `current` servers were told.
    pub minimiser: Minimiser,
    /// The query that is out.
    pub open: Option<Open>,
    /// Queries sent.
    pub sent: u16,
    /// Referrals followed.
    pub referrals: u16,
    /// Servers that are not asked, for these zones, or for any.
    pub avoid: Vec<(Option<Name>, IpAddr)>,
    /// Whether cached answers are not used at all.
    pub skip_cache: bool,
    /// While a cached answer is renewed: the seconds that it has left.
    pub leeway: u32,
    /// Upstream zones that failed and are passed over.
    pub failed_upstreams: Vec<(Name, UpstreamKind)>,
    /// Zones that were primed, or could not be.
    pub primed: Vec<Name>,
    /// An answer that is given when no server has a better one.
    pub fallback: Option<Answer>,
    /// Answers set aside because they lack signatures.
    pub unsigned: u8,
    /// Servers whose replies the answer is made of, and the zones that they spoke for.
    pub servers: Vec<(Name, SocketAddr)>,
    /// The agent that the last server of this delegation named (RFC 9567).
    pub agent: Option<Name>,
    /// The most telling failure so far.
    pub failure: ExtendedError,
}

impl Work {
    /// Nothing done yet.
    #[must_use]
    pub fn new(
        question: Question,
        kind: StateKind,
        recursion_desired: bool,
        checking_disabled: bool,
    ) -> Self {
        Self {
            current: question.clone(),
            visited: vec![question.name.clone()],
            question,
            kind,
            recursion_desired,
            checking_disabled,
            phase: Phase::Start,
            answer: Vec::new(),
            authority: Vec::new(),
            delegation: None,
            looked_ahead: false,
            set_aside: None,
            minimiser: Minimiser::new(false),
            open: None,
            sent: 0,
            referrals: 0,
            avoid: Vec::new(),
            skip_cache: false,
            leeway: 0,
            failed_upstreams: Vec::new(),
            primed: Vec::new(),
            fallback: None,
            unsigned: 0,
            servers: Vec::new(),
            agent: None,
            failure: ExtendedError::NO_REACHABLE_AUTHORITY,
        }
    }

    /// Goes on; the transition must be legal.
    pub fn enter(&mut self, phase: Phase) {
        debug_assert!(
            self.phase.may_become(phase),
            "{:?} -> {phase:?}",
            self.phase
        );
        self.phase = phase;
    }

    /// Takes up another name; servers are told of it anew.
    pub fn take_up(&mut self, name: Name, settings: &Settings) {
        self.current.name = name;
        self.reset_delegation(settings);
    }

    /// Forgets whom to ask.
    pub fn reset_delegation(&mut self, settings: &Settings) {
        self.delegation = None;
        self.looked_ahead = false;
        self.set_aside = None;
        self.fallback = None;
        self.minimiser =
            Minimiser::new(settings.resolution.qname_minimisation != QnameMinimisation::Off);
    }

    /// Uses these servers from now on.
    pub fn use_delegation(&mut self, delegation: Delegation) {
        self.delegation = Some(delegation);
        self.looked_ahead = false;
        self.fallback = None;
        self.agent = None;
    }

    /// Remembers that the answer is made of a server's reply.
    pub fn note_source(&mut self, zone: &Name, server: SocketAddr) {
        let source = (zone.clone(), server);
        if !self.servers.contains(&source) {
            self.servers.push(source);
        }
    }

    /// Avoids a server from now on: for the zones that it gave part of the answer for, or for all.
    pub fn shun(&mut self, server: IpAddr) {
        let before = self.avoid.len();
        let spoke = self
            .servers
            .iter()
            .filter(|(_, source)| source.ip() == server);
        self.avoid
            .extend(spoke.map(|(zone, _)| (Some(zone.clone()), server)));
        if self.avoid.len() == before {
            self.avoid.push((None, server));
        }
    }

    /// Whether `current` is still the question of the state.
    #[must_use]
    pub fn is_at_start(&self) -> bool {
        self.visited.len() == 1
    }

    /// The answer: what was gathered, then this.
    #[must_use]
    pub fn finish(
        &self,
        rcode: ResponseCode,
        answer: Vec<Arc<Rrset>>,
        authority: Vec<Arc<Rrset>>,
    ) -> Answer {
        let mut whole = Answer::empty(rcode, None);
        whole.answer.clone_from(&self.answer);
        for rrset in answer {
            let known = whole
                .answer
                .iter()
                .any(|other| other.owner == rrset.owner && other.record_type == rrset.record_type);
            if !known {
                whole.answer.push(rrset);
            }
        }
        whole.sources.clone_from(&self.servers);
        whole.authority = authority;
        for rrset in &self.authority {
            let known = whole
                .authority
                .iter()
                .any(|other| other.owner == rrset.owner && other.record_type == rrset.record_type);
            if !known {
                whole.authority.push(Arc::clone(rrset));
            }
        }
        whole.ttl = whole
            .answer
            .iter()
            .chain(&whole.authority)
            .map(|rrset| rrset.ttl)
            .min()
            .unwrap_or(0);
        whole
    }

    /// The failure to answer.
    #[must_use]
    pub fn fail(&self, settings: &Settings) -> Answer {
        let mut answer = Answer::empty(ResponseCode::SERVFAIL, Some(self.failure));
        answer.ttl = settings.cache.failure_ttl;
        answer
    }
}
