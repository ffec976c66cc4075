//! Zones that are asked elsewhere, or answered here.
//!
//! Owns them as data; `forward.rs` and `local.rs` of the crate go by them.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::fetch::Transport;
use crate::name::Name;
use crate::rrset::Rrset;

/// A name server of a hint, stub or forward zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    /// Its address and port.
    pub address: SocketAddr,
    /// Over what it is asked first; UDP falls back to TCP on truncation.
    pub transport: Transport,
}

impl Upstream {
    /// A server that is asked over UDP.
    #[must_use]
    pub const fn udp(address: SocketAddr) -> Self {
        Self {
            address,
            transport: Transport::Udp,
        }
    }
}

/// A named server with its addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hint {
    /// Its name.
    pub name: Name,
    /// Its addresses.
    pub addresses: Vec<SocketAddr>,
}

/// A zone that is asked at given servers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamZone {
    /// The zone; the most specific of all stub, forward and local zones decides.
    pub name: Name,
    /// Its servers by address.
    pub upstreams: Vec<Upstream>,
    /// Its servers by name, resolved like any other name.
    pub upstream_names: Vec<Name>,
    /// Whether answers are validated below a trust anchor.
    pub validate: bool,
    /// Whether iteration is tried when every server failed.
    pub fall_back: bool,
    /// Stub zones: whether its NS RRset is asked for first.
    pub prime: bool,
    /// Whether answers are kept out of the cache.
    pub no_cache: bool,
}

impl UpstreamZone {
    /// A zone that is asked at these servers and nowhere else.
    #[must_use]
    pub const fn new(name: Name, upstreams: Vec<Upstream>, validate: bool) -> Self {
        Self {
            name,
            upstreams,
            upstream_names: Vec::new(),
            validate,
            fall_back: false,
            prime: false,
            no_cache: false,
        }
    }
}

/// What a local zone says of a name for which it has no records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LocalZoneKind {
    /// Answered from the zone: NXDOMAIN or NODATA.
    Static,
    /// As the apex, whatever the name below it.
    Redirect,
    /// Names with records are answered, NODATA for their other types; the rest is resolved.
    Transparent,
    /// As `Transparent`, but other types of names with records are resolved too.
    TypeTransparent,
    /// REFUSED.
    Refuse,
    /// No DNS answer.
    Deny,
    /// NXDOMAIN for everything in it, records or not.
    AlwaysNxdomain,
    /// NODATA for everything in it.
    AlwaysNodata,
    /// The null address 0.0.0.0 or `::` for A and AAAA, NODATA else.
    AlwaysNull,
    /// REFUSED for everything in it.
    AlwaysRefuse,
    /// Resolved as if there were no local zone.
    AlwaysTransparent,
    /// Resolved, and counted.
    Inform,
    /// No DNS answer, and counted.
    InformDeny,
    /// A is answered NODATA, the rest resolved.
    BlockA,
    /// AAAA is answered NODATA, the rest resolved.
    BlockAaaa,
    /// Names with records are answered from them; A is answered NODATA for all others, the rest resolved.
    BlockAWithData,
    /// Names with records are answered from them; AAAA is answered NODATA for all others, the rest resolved.
    BlockAaaaWithData,
    /// As if the built-in zone of this name did not exist.
    NoDefault,
}

/// A zone answered by Weir itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalZone {
    /// The apex.
    pub name: Name,
    /// What it says of names without records.
    pub kind: LocalZoneKind,
    /// Its records.
    pub records: Vec<Arc<Rrset>>,
}
