//! Decides which streams are traced, before anything is spent on them: one addition for each
//! stream when traces are on, nothing when they are off.

use std::net::IpAddr;
use std::time::Duration;

use weir_config::telemetry::{Rcode, Traces};
use weir_config::unit::cidr::Cidr;
use weir_resolver::answer::ResponseCode;

const MILLION: u32 = 1_000_000;

/// A trace that a request says it belongs to (W3C Trace Context, 3.2).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct TraceParent {
    /// The trace.
    pub trace: u128,
    /// The span of the caller.
    pub span: u64,
    /// Whether the caller records it.
    pub sampled: bool,
    /// Whether the caller is trusted, so that its trace is continued; else it becomes a link.
    pub trusted: bool,
}

/// What is decided when a stream opens.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Decision {
    /// The stream is traced whatever comes of it.
    pub sampled: bool,
    /// What came with the request.
    pub parent: Option<TraceParent>,
}

/// Decides which streams are traced.
#[derive(Debug, Default)]
pub struct Sampler {
    per_million: u32,
    accumulated: u32,
    /// Streams are traced when they end in one of these ways.
    rules: Option<Rules>,
    trusted: Vec<Cidr>,
}

/// Streams that are traced whatever the share.
#[derive(Clone, Debug)]
struct Rules {
    codes: Vec<ResponseCode>,
    slower_than: Duration,
    stream_resets: bool,
}

impl Sampler {
    /// A sampler for these settings; none when traces are off.
    #[must_use]
    pub fn new(traces: Option<&Traces>) -> Self {
        let Some(traces) = traces else {
            return Self::default();
        };
        let share = (traces.sample_ratio.as_f64() * f64::from(MILLION)).round();
        let rules = Rules {
            codes: traces.always.rcodes.iter().copied().map(code).collect(),
            slower_than: traces.always.slower_than,
            stream_resets: traces.always.stream_resets,
        };
        Self {
            per_million: share as u32,
            accumulated: 0,
            rules: Some(rules),
            trusted: traces.trust_incoming_from.clone(),
        }
    }

    /// Whether traces are on at all.
    #[must_use]
    pub const fn is_on(&self) -> bool {
        self.rules.is_some()
    }

    /// Whether a `traceparent` of this peer is continued.
    #[must_use]
    pub fn trusts(&self, peer: IpAddr) -> bool {
        self.trusted.iter().any(|network| network.contains(peer))
    }

    /// Decides for one stream; `parent` is what it brought.
    pub fn decide(&mut self, parent: Option<TraceParent>) -> Decision {
        self.accumulated += self.per_million;
        let due = self.accumulated >= MILLION;
        if due {
            self.accumulated -= MILLION;
        }
        let asked = parent.is_some_and(|parent| parent.trusted && parent.sampled);
        Decision {
            sampled: due || asked,
            parent,
        }
    }

    /// Whether a stream that was not sampled is kept for the way it ended.
    #[must_use]
    pub fn keeps(&self, code: Option<ResponseCode>, took: Duration, reset: bool) -> bool {
        self.rules.as_ref().is_some_and(|rules| {
            code.is_some_and(|code| rules.codes.contains(&code))
                || took >= rules.slower_than
                || (reset && rules.stream_resets)
        })
    }
}

const fn code(rcode: Rcode) -> ResponseCode {
    match rcode {
        Rcode::Formerr => ResponseCode::FORMERR,
        Rcode::Servfail => ResponseCode::SERVFAIL,
        Rcode::Nxdomain => ResponseCode::NXDOMAIN,
        Rcode::Notimp => ResponseCode::NOTIMP,
        Rcode::Refused => ResponseCode::REFUSED,
    }
}

/// Reads a `traceparent` header: `00-TRACE-SPAN-FLAGS` in lower-case hexadecimal.
#[must_use]
pub fn trace_parent(header: &[u8], trusted: bool) -> Option<TraceParent> {
    let text = std::str::from_utf8(header).ok()?;
    let mut parts = text.split('-');
    let (version, trace, span, flags) =
        (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let sizes = (version.len(), trace.len(), span.len(), flags.len());
    let lower = text
        .bytes()
        .all(|octet| matches!(octet, b'0'..=b'9' | b'a'..=b'f' | b'-'));
    // Version 255 is not allowed; version 0 has exactly four parts, a later one may have more.
    if sizes != (2, 32, 16, 2) || !lower || version == "ff" {
        return None;
    }
    if version == "00" && parts.next().is_some() {
        return None;
    }
    let trace = u128::from_str_radix(trace, 16)
        .ok()
        .filter(|trace| *trace != 0)?;
    let span = u64::from_str_radix(span, 16)
        .ok()
        .filter(|span| *span != 0)?;
    let flags = u8::from_str_radix(flags, 16).ok()?;
    Some(TraceParent {
        trace,
        span,
        sampled: flags & 1 == 1,
        trusted,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sampler(text: &str) -> Sampler {
        let config = weir_config::DataplaneConfig::read(text).unwrap();
        Sampler::new(config.telemetry.traces.as_ref())
    }

    #[test]
    fn the_share_is_exact() {
        for (ratio, expected) in [("0", 0), ("0.01", 100), ("0.3", 3000), ("1", 10_000)] {
            let text = format!(
                "telemetry: {{traces: {{endpoint: 'http://c:4317', sampleRatio: '{ratio}'}}}}"
            );
            let mut sampler = sampler(&text);
            let sampled = (0..10_000).filter(|_| sampler.decide(None).sampled).count();
            assert_eq!(sampled, expected, "{ratio}");
        }
    }

    #[test]
    fn rules_keep_what_is_not_sampled() {
        let mut sampler = sampler(
            "telemetry: {traces: {endpoint: 'http://c:4317', sampleRatio: '0', \
             always: {rcodes: [SERVFAIL], slowerThan: 500ms, streamResets: false}, \
             trustIncomingFrom: [10.0.0.0/8]}}",
        );
        let quick = Duration::from_millis(1);
        assert!(sampler.is_on());
        assert!(!sampler.keeps(Some(ResponseCode::NOERROR), quick, true));
        assert!(sampler.keeps(Some(ResponseCode::SERVFAIL), quick, false));
        assert!(sampler.keeps(None, Duration::from_millis(500), false));
        assert!(sampler.trusts("10.1.1.1".parse().unwrap()));
        let header = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        assert!(sampler.decide(trace_parent(header, true)).sampled);
        assert!(!sampler.decide(trace_parent(header, false)).sampled);
        assert!(!Sampler::default().is_on());
    }

    #[test]
    fn trace_parents_that_are_none() {
        for header in [
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "",
        ] {
            assert_eq!(trace_parent(header.as_bytes(), true), None, "{header}");
        }
    }
}
