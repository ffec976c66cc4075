//! What is known of one mesh state and of one stream, and how that becomes spans.

use std::net::SocketAddr;

use opentelemetry::KeyValue;
use opentelemetry::trace::SpanKind;
use opentelemetry_sdk::trace::SpanData;
use weir_resolver::answer::{Origin, ResponseCode, Security};
use weir_resolver::fetch::{FetchFailure, Transport};
use weir_resolver::key::{FetchId, StateId};
use weir_resolver::name::Name;
use weir_resolver::question::{Question, StateKind};
use weir_resolver::time::Instant;
use weir_resolver::trace::{FetchEnd, StateEnd, Validation};

use super::metric::METHODS;
use super::record::{Disposition, StreamRecord};
use super::span::{Anchor, Draft, Identity, code_text, transport_text, type_text};

/// Events of one state; more are dropped.
const EVENTS_MAX: usize = 128;

/// One query to one server.
pub struct FetchTrace {
    /// Its span.
    pub span: u64,
    /// To whom.
    pub server: SocketAddr,
    /// Over what.
    pub transport: Transport,
    /// As an authority for what.
    pub zone: Name,
    /// Asking what.
    pub question: Question,
    /// The how-many-th query of its state.
    pub attempt: u16,
    /// When it was sent.
    pub sent: Instant,
    /// When and how it ended.
    pub ended: Option<(Instant, FetchEnd)>,
}

/// One mesh state.
pub struct StateTrace {
    span: u64,
    /// The trace and the span that it is part of, once somebody keeps it.
    kept: Option<Identity>,
    /// When it was made.
    pub started: Instant,
    question: Question,
    kind: StateKind,
    /// The state that first needed it.
    pub parent: Option<(u16, StateId)>,
    /// States that need it.
    pub supers: Vec<(u16, StateId)>,
    /// States that it needs.
    pub needs: Vec<(u16, StateId)>,
    /// Streams that wait for it and have not told how they ended.
    pub streams_open: usize,
    /// Its queries.
    pub fetches: Vec<(FetchId, FetchTrace)>,
    /// Its validation: the span, when it ended, and what it came to.
    pub validation: Option<(u64, Instant, Validation)>,
    /// Other spans that it belongs with.
    pub links: Vec<Identity>,
    /// When and how it ended, with which code, the most waiters, and queries sent.
    pub ended: Option<(Instant, StateEnd, ResponseCode, u32, u16)>,
    events: Vec<(Instant, &'static str, Vec<KeyValue>)>,
}

impl StateTrace {
    /// A state that was just made.
    #[must_use]
    pub fn new(
        span: u64,
        started: Instant,
        question: Question,
        kind: StateKind,
        parent: Option<(u16, StateId)>,
    ) -> Self {
        Self {
            span,
            kept: None,
            started,
            question,
            kind,
            parent,
            supers: parent.into_iter().collect(),
            needs: Vec::new(),
            streams_open: 0,
            fetches: Vec::new(),
            validation: None,
            links: Vec::new(),
            ended: None,
            events: Vec::new(),
        }
    }

    /// Its identity, once somebody keeps it.
    #[must_use]
    pub fn identity(&self) -> Option<Identity> {
        self.kept.map(|above| Identity {
            trace: above.trace,
            span: self.span,
        })
    }

    /// Keeps it: below `by` if that is the first, else linked to it. Returns its identity.
    pub fn keep(&mut self, by: Identity) -> Identity {
        let above = *self.kept.get_or_insert(by);
        self.links.push(by);
        Identity {
            trace: above.trace,
            span: self.span,
        }
    }

    /// Notes who needs it.
    pub fn needed_by(&mut self, state: (u16, StateId)) {
        if !self.supers.contains(&state) {
            self.supers.push(state);
        }
    }

    /// Notes an event.
    pub fn note(&mut self, at: Instant, name: &'static str, what: Vec<KeyValue>) {
        if self.events.len() < EVENTS_MAX {
            self.events.push((at, name, what));
        }
    }

    /// Builds its span and those of its queries.
    pub fn build(self, spans: &mut Vec<SpanData>, anchor: Anchor, include_names: bool) {
        let (Some(above), Some(identity)) = (self.kept, self.identity()) else {
            return;
        };
        let mut draft = Draft::new("mesh.state", SpanKind::Internal, identity);
        draft.parent(above.span, false);
        if include_names {
            draft.set("dns.question.name", self.question.name.to_string());
        }
        draft.set(
            "weir.dns.question.type",
            type_text(self.question.record_type.0),
        );
        draft.set("weir.mesh.kind", kind_text(self.kind));
        let verdict = self.validation.as_ref().map(|(.., told)| told.security);
        draft.set_some("weir.dnssec.status", verdict.map(security_text));
        let last = self.fetches.iter().filter_map(|(_, fetch)| fetch.ended);
        let mut ended = last.map(|(at, _)| at).max().unwrap_or(self.started);
        if let Some((at, end, rcode, waiters_most, fetches)) = self.ended {
            ended = at;
            draft.set("weir.mesh.outcome", end_text(end));
            draft.set("weir.dns.response.code", code_text(rcode));
            draft.set("weir.mesh.waiters_most", i64::from(waiters_most));
            draft.set("weir.mesh.upstream_queries", i64::from(fetches));
            if end != StateEnd::Answered {
                draft.fail(end_text(end));
            }
        }
        for (at, name, what) in self.events {
            draft.event(name, anchor.at(at), what);
        }
        for link in self.links {
            draft.link(link, false);
        }
        if let Some((span, at, validation)) = self.validation {
            let own = Identity { span, ..identity };
            spans.push(validate(
                own,
                identity,
                at,
                validation,
                anchor,
                include_names,
            ));
        }
        for (_, fetch) in self.fetches {
            spans.push(fetch.build(identity, ended, anchor, include_names));
        }
        spans.push(draft.finish(anchor.at(self.started), anchor.at(ended)));
    }
}

/// The span `dnssec.validate`, below its state.
fn validate(
    own: Identity,
    state: Identity,
    ended: Instant,
    validation: Validation,
    anchor: Anchor,
    include_names: bool,
) -> SpanData {
    let mut draft = Draft::new("dnssec.validate", SpanKind::Internal, own);
    draft.parent(state.span, false);
    draft.set("weir.dnssec.status", security_text(validation.security));
    draft.set("weir.dnssec.signatures", i64::from(validation.signatures));
    draft.set("weir.dnssec.hashes", i64::from(validation.hashes));
    if let Some(signer) = validation.signer {
        if include_names {
            draft.set("weir.dns.zone", signer.zone.to_string());
        }
        draft.set("weir.dnssec.algorithm", i64::from(signer.algorithm));
        draft.set("weir.dnssec.key_tag", i64::from(signer.key_tag));
    }
    if validation.security == Security::Bogus {
        draft.fail("bogus");
    }
    draft.finish(anchor.at(validation.since), anchor.at(ended))
}

impl FetchTrace {
    fn build(
        self,
        state: Identity,
        state_ended: Instant,
        anchor: Anchor,
        include_names: bool,
    ) -> SpanData {
        let identity = Identity {
            trace: state.trace,
            span: self.span,
        };
        let mut draft = Draft::new("dns.upstream", SpanKind::Client, identity);
        draft.parent(state.span, false);
        draft.set("server.address", self.server.ip().to_string());
        draft.set("server.port", i64::from(self.server.port()));
        draft.set("network.transport", transport_text(&self.transport));
        if include_names {
            draft.set("dns.question.name", self.question.name.to_string());
            draft.set("weir.dns.zone", self.zone.to_string());
        }
        draft.set(
            "weir.dns.question.type",
            type_text(self.question.record_type.0),
        );
        draft.set("weir.upstream.attempt", i64::from(self.attempt));
        match self.ended.map(|(_, end)| end) {
            Some(FetchEnd::Replied { rcode, truncated }) => {
                draft.set("weir.dns.response.code", code_text(rcode));
                draft.set("weir.dns.truncated", truncated);
            }
            Some(FetchEnd::Failed(failure)) => {
                let text = failure_text(failure);
                draft.set("error.type", text);
                draft.fail(text);
            }
            Some(FetchEnd::Cancelled) | None => draft.set("error.type", "cancelled"),
        }
        let ended = self.ended.map_or(state_ended, |(at, _)| at);
        draft.finish(anchor.at(self.sent), anchor.at(ended))
    }
}

impl StreamRecord {
    /// Says what is known of a stream.
    pub fn describe(&self, draft: &mut Draft, include_names: bool) {
        let method = METHODS
            .get(self.method)
            .filter(|method| **method != "other");
        draft.set("http.request.method", *method.unwrap_or(&"_OTHER"));
        draft.set("http.route", self.path.to_string());
        draft.set("url.path", self.path.to_string());
        draft.set("url.scheme", "https");
        draft.set("network.protocol.version", "2");
        draft.set_some("http.response.status_code", self.status.map(i64::from));
        let connection = self.stream.connection.0;
        draft.set(
            "weir.connection.id",
            i64::try_from(connection).unwrap_or(i64::MAX),
        );
        draft.set("weir.stream.id", i64::from(self.stream.stream));
        if include_names {
            draft.set("client.address", self.peer.ip().to_string());
        }
        if let Some((name, record_type)) = &self.question {
            if include_names {
                draft.set("dns.question.name", name.to_string());
            }
            draft.set("weir.dns.question.type", type_text(*record_type));
        }
        draft.set_some("weir.dns.response.code", self.rcode.map(code_text));
        draft.set_some(
            "weir.dns.ede",
            self.extended_error.map(|code| i64::from(code.0)),
        );
        draft.set_some("weir.cache", self.origin.map(origin_text));
        let (disposition, code) = match self.disposition {
            Disposition::Answered => ("answered", None),
            Disposition::Reset(code) => ("reset", Some(code)),
            Disposition::PeerCancelled(code) => ("peer_cancelled", Some(code)),
            Disposition::ConnectionLost => ("connection_lost", None),
        };
        draft.set("weir.disposition", disposition);
        draft.set_some("weir.http2.error_code", code.map(i64::from));
        // An HTTP status of 200 says nothing of the DNS: a resolution that failed is an error.
        if self.rcode == Some(ResponseCode::SERVFAIL) {
            draft.fail("SERVFAIL");
        } else if self.status.is_some_and(|status| status >= 500) {
            draft.fail("HTTP status of a server error");
        }
    }
}

const fn origin_text(origin: Origin) -> &'static str {
    match origin {
        Origin::Cache => "hit",
        Origin::NegativeCache => "negative",
        Origin::Stale => "stale",
        Origin::Resolved => "miss",
        Origin::Joined => "joined",
        Origin::Local => "local",
        Origin::Refused => "refused",
    }
}

const fn kind_text(kind: StateKind) -> &'static str {
    match kind {
        StateKind::Client => "client",
        StateKind::Sub => "sub",
        StateKind::Validation => "validation",
        StateKind::Prime => "prime",
        StateKind::Revalidation => "revalidation",
        StateKind::Prefetch => "prefetch",
        StateKind::Refresh => "refresh",
        StateKind::Report => "report",
        StateKind::Probe => "probe",
    }
}

const fn end_text(end: StateEnd) -> &'static str {
    match end {
        StateEnd::Answered => "answered",
        StateEnd::Jostled => "jostled",
        StateEnd::Cancelled => "cancelled",
        StateEnd::Expired => "expired",
        StateEnd::Drained => "drained",
        StateEnd::Fenced => "fenced",
    }
}

const fn security_text(security: Security) -> &'static str {
    match security {
        Security::Unchecked => "unchecked",
        Security::Bogus => "bogus",
        Security::Indeterminate => "indeterminate",
        Security::Insecure => "insecure",
        Security::Secure => "secure",
    }
}

const fn failure_text(failure: FetchFailure) -> &'static str {
    match failure {
        FetchFailure::Timeout => "timeout",
        FetchFailure::CaseLost => "case_lost",
        FetchFailure::Unreachable => "unreachable",
        FetchFailure::TlsFailed => "tls_failed",
        FetchFailure::HttpFailed => "http_failed",
        FetchFailure::Exhausted => "exhausted",
    }
}
