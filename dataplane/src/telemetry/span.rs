//! Builds spans from what the ledger knows: names, attributes, events and links, as data. Spans
//! are built after the fact, for what is kept alone, with the identifiers that links have used.

use std::borrow::Cow;
use std::time::SystemTime;

use opentelemetry::trace::{
    Event, Link, SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState,
};
use opentelemetry::{InstrumentationScope, KeyValue, Value};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};
use weir_resolver::answer::ResponseCode;
use weir_resolver::event::CloseCause;
use weir_resolver::fetch::Transport;
use weir_resolver::rrset::RecordType;
use weir_resolver::time::Instant;

use super::metric::RESPONSE_CODES;

/// A span's identity, known before the span is built.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Identity {
    /// Its trace.
    pub trace: u128,
    /// Itself.
    pub span: u64,
}

impl Identity {
    fn context(self, remote: bool) -> SpanContext {
        SpanContext::new(
            TraceId::from(self.trace),
            SpanId::from(self.span),
            TraceFlags::SAMPLED,
            remote,
            TraceState::default(),
        )
    }
}

/// Turns points of the core's clock into points of the calendar.
#[derive(Clone, Copy, Debug)]
pub struct Anchor {
    /// A point of the calendar.
    pub calendar: SystemTime,
    /// The same point of the core's clock.
    pub instant: Instant,
}

impl Anchor {
    /// The calendar's name for a point of the core's clock.
    #[must_use]
    pub fn at(self, at: Instant) -> SystemTime {
        if at >= self.instant {
            self.calendar + at.since(self.instant)
        } else {
            self.calendar - self.instant.since(at)
        }
    }
}

/// A span that is being built.
pub struct Draft {
    name: &'static str,
    kind: SpanKind,
    identity: Identity,
    parent: Option<(u64, bool)>,
    attributes: Vec<KeyValue>,
    events: Vec<Event>,
    links: Vec<Link>,
    status: Status,
}

impl Draft {
    /// A span of this name and identity.
    #[must_use]
    pub fn new(name: &'static str, kind: SpanKind, identity: Identity) -> Self {
        Self {
            name,
            kind,
            identity,
            parent: None,
            attributes: Vec::new(),
            events: Vec::new(),
            links: Vec::new(),
            status: Status::Unset,
        }
    }

    /// Below this span, of another process if `remote`.
    pub fn parent(&mut self, span: u64, remote: bool) {
        self.parent = Some((span, remote));
    }

    /// Adds an attribute.
    pub fn set(&mut self, key: &'static str, value: impl Into<Value>) {
        self.attributes.push(KeyValue::new(key, value));
    }

    /// Adds an attribute if there is something to say.
    pub fn set_some(&mut self, key: &'static str, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            self.set(key, value);
        }
    }

    /// Adds an event.
    pub fn event(&mut self, name: &'static str, at: SystemTime, attributes: Vec<KeyValue>) {
        self.events.push(Event::new(name, at, attributes, 0));
    }

    /// Links to another span, of another process if `remote`.
    pub fn link(&mut self, to: Identity, remote: bool) {
        let context = to.context(remote);
        if !self.links.iter().any(|link| link.span_context == context) {
            self.links.push(Link::new(context, Vec::new(), 0));
        }
    }

    /// Marks the span as failed.
    pub fn fail(&mut self, description: impl Into<Cow<'static, str>>) {
        self.status = Status::error(description);
    }

    /// The span, from `start` to `end`.
    #[must_use]
    pub fn finish(self, start: SystemTime, end: SystemTime) -> SpanData {
        let mut events = SpanEvents::default();
        events.events = self.events;
        let mut links = SpanLinks::default();
        links.links = self.links;
        let (parent, remote) = self.parent.unwrap_or((0, false));
        SpanData {
            span_context: self.identity.context(false),
            parent_span_id: SpanId::from(parent),
            parent_span_is_remote: remote,
            span_kind: self.kind,
            name: Cow::Borrowed(self.name),
            start_time: start,
            end_time: end.max(start),
            attributes: self.attributes,
            dropped_attributes_count: 0,
            events,
            links,
            status: self.status,
            instrumentation_scope: InstrumentationScope::builder("weir-dataplane")
                .with_version(env!("CARGO_PKG_VERSION"))
                .build(),
        }
    }
}

/// A response code as text: its name if it has one here, else its number.
#[must_use]
pub fn code_text(code: ResponseCode) -> Cow<'static, str> {
    let known = RESPONSE_CODES
        .get(usize::from(code.0))
        .filter(|name| **name != "other");
    known.map_or_else(
        || Cow::Owned(code.0.to_string()),
        |name| Cow::Borrowed(*name),
    )
}

/// A record type as text.
#[must_use]
pub fn type_text(record_type: u16) -> String {
    RecordType(record_type).to_string()
}

/// `network.transport` of an upstream query.
#[must_use]
pub const fn transport_text(transport: &Transport) -> &'static str {
    match transport {
        Transport::Udp => "udp",
        Transport::Tcp | Transport::Tls(_) | Transport::Https { .. } => "tcp",
    }
}

/// Why a stream left early, as text.
#[must_use]
pub const fn cause_text(cause: CloseCause) -> &'static str {
    match cause {
        CloseCause::Reset(_) => "reset",
        CloseCause::LocalReset(_) => "local_reset",
        CloseCause::ConnectionLost => "connection_lost",
        CloseCause::WriteFailed => "write_failed",
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn clocks_agree_on_both_sides_of_the_anchor() {
        let anchor = Anchor {
            calendar: SystemTime::UNIX_EPOCH + Duration::from_secs(100),
            instant: Instant::from_nanoseconds(10_000_000_000),
        };
        let at = |seconds: u64| anchor.at(Instant::from_nanoseconds(seconds * 1_000_000_000));
        assert_eq!(at(5), SystemTime::UNIX_EPOCH + Duration::from_secs(95));
        assert_eq!(at(15), SystemTime::UNIX_EPOCH + Duration::from_secs(105));
        assert_eq!(code_text(ResponseCode(3)), "NXDOMAIN");
        assert_eq!(code_text(ResponseCode(16)), "16");
        assert_eq!(type_text(28), "AAAA");
    }
}
