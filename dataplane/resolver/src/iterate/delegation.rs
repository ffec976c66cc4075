//! The servers of one zone, as far as they are known to one iteration.
//!
//! Owns names, addresses and what was tried of them. Never chooses among them: `target` does.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use crate::context::Context;
use crate::fetch::Transport;
use crate::forward::UpstreamKind;
use crate::iterate::scrub;
use crate::name::Name;
use crate::question::Question;
use crate::rdata;
use crate::rrset::{Class, RecordType, Rrset};
use crate::settings::{Hint, Prefix, ResolutionSettings, UpstreamZone};

/// The port of DNS over UDP and TCP.
const PORT: u16 = 53;

/// How a delegation came to be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// From the hints for the root.
    Hints,
    /// From an NS RRset, cached or just received.
    NameServers,
    /// From the settings.
    Upstream(UpstreamKind),
}

/// How far the lookup of one address type of a name server is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lookup {
    /// Nothing is known, and nothing was asked.
    Missing,
    /// It is being looked up.
    Open,
    /// It is known, or known not to be there.
    Done,
    /// It could not be looked up.
    Failed,
}

/// One name server.
#[derive(Clone, Debug)]
pub struct Server {
    /// Its name.
    pub name: Name,
    /// Its A and AAAA lookups.
    pub lookups: [Lookup; 2],
}

/// One address of a name server.
#[derive(Clone, Debug)]
pub struct Address {
    /// Where it is.
    pub socket: SocketAddr,
    /// Over what it is asked first.
    pub transport: Transport,
    /// Queries that got no reply.
    pub failures: u8,
    /// Queries over a stream, after truncation, that got no reply.
    pub streams_failed: u8,
    /// Whether a reply showed that there is no use in asking again.
    pub retired: bool,
    /// Whether it answered by its own recursion; it is asked as a resolver when no authority is left.
    pub recursive: bool,
}

/// The servers of one zone.
#[derive(Clone, Debug)]
pub struct Delegation {
    /// The zone.
    pub zone: Name,
    /// How it is known.
    pub source: Source,
    /// Whether its answers are kept out of the cache.
    pub no_cache: bool,
    /// Whether iteration goes on elsewhere when all of it failed.
    pub fall_back: bool,
    /// Whether the parent's own view of it was added.
    pub parent_asked: bool,
    /// Whether its parent has just pointed to it.
    pub by_referral: bool,
    /// Its name servers.
    pub servers: Vec<Server>,
    /// Their addresses.
    pub addresses: Vec<Address>,
    /// Address lookups made for it.
    pub lookups_made: u16,
}

/// The two types of address records.
pub const FAMILIES: [RecordType; 2] = [RecordType::A, RecordType::AAAA];

impl Delegation {
    fn new(zone: Name, source: Source) -> Self {
        Self {
            zone,
            source,
            no_cache: false,
            fall_back: false,
            parent_asked: false,
            by_referral: false,
            servers: Vec::new(),
            addresses: Vec::new(),
            lookups_made: 0,
        }
    }

    /// From the hints for the root.
    #[must_use]
    pub fn from_hints(hints: &[Hint], context: &Context<'_>) -> Self {
        let mut own = Self::new(Name::root(), Source::Hints);
        own.parent_asked = true;
        for hint in hints {
            own.servers.push(Server {
                name: hint.name.clone(),
                lookups: [Lookup::Done; 2],
            });
            for &socket in &hint.addresses {
                own.add_socket(socket, Transport::Udp, context);
            }
        }
        own
    }

    /// From an NS RRset; addresses come from the cache.
    #[must_use]
    pub fn from_ns(ns: &Rrset, context: &Context<'_>) -> Self {
        let mut own = Self::new(ns.owner.clone(), Source::NameServers);
        own.add_ns(ns, context);
        own
    }

    /// From the referral of its parent, whose glue goes before what is cached.
    #[must_use]
    pub fn from_referral(ns: &Rrset, glue: &[Rrset], context: &Context<'_>) -> Self {
        let mut own = Self::new(ns.owner.clone(), Source::NameServers);
        own.by_referral = true;
        for name in names(ns, context) {
            own.push_server(name, context);
        }
        own.add_glue(glue, context);
        own.fill_from_cache(context);
        own
    }

    /// From a stub or forward zone of the settings.
    #[must_use]
    pub fn from_upstream(kind: UpstreamKind, zone: &UpstreamZone, context: &Context<'_>) -> Self {
        let mut own = Self::new(zone.name.clone(), Source::Upstream(kind));
        own.no_cache = zone.no_cache;
        own.fall_back = zone.fall_back;
        own.parent_asked = true;
        for upstream in &zone.upstreams {
            own.add_socket(upstream.address, upstream.transport.clone(), context);
        }
        for name in &zone.upstream_names {
            own.add_server(name.clone(), context);
        }
        own
    }

    /// Adds the servers of an NS RRset that are not known yet.
    pub fn add_ns(&mut self, ns: &Rrset, context: &Context<'_>) {
        for name in names(ns, context) {
            if self.servers.len() >= context.settings.limits.name_servers_max {
                break;
            }
            self.add_server(name, context);
        }
    }

    fn add_server(&mut self, name: Name, context: &Context<'_>) {
        self.push_server(name, context);
        self.fill_from_cache(context);
    }

    fn push_server(&mut self, name: Name, context: &Context<'_>) {
        if self.servers.iter().any(|server| server.name == name) {
            return;
        }
        let settings = &context.settings.resolution;
        let enabled = [settings.ipv4 || settings.nat64, settings.ipv6];
        let lookups = enabled.map(|on| if on { Lookup::Missing } else { Lookup::Done });
        self.servers.push(Server { name, lookups });
    }

    /// Takes what the cache knows of addresses that are missing.
    fn fill_from_cache(&mut self, context: &Context<'_>) {
        let mut found = Vec::new();
        for server in &mut self.servers {
            for (lookup, record_type) in server.lookups.iter_mut().zip(FAMILIES) {
                if *lookup != Lookup::Missing {
                    continue;
                }
                let cached = context
                    .cache
                    .rrset(context.now, &server.name, record_type, Class::IN);
                if let Some(cached) = cached {
                    *lookup = Lookup::Done;
                    found.push(cached.rrset);
                } else if is_denied(&server.name, record_type, context) {
                    *lookup = Lookup::Done;
                }
            }
        }
        for rrset in found {
            self.add_addresses(&rrset, context);
        }
    }

    /// Adds glue that came with a referral, whatever the cache made of it.
    pub fn add_glue(&mut self, glue: &[Rrset], context: &Context<'_>) {
        for rrset in glue {
            let server = self
                .servers
                .iter_mut()
                .find(|server| server.name == rrset.owner);
            let Some(server) = server else {
                continue;
            };
            for (lookup, record_type) in server.lookups.iter_mut().zip(FAMILIES) {
                if record_type == rrset.record_type {
                    *lookup = Lookup::Done;
                }
            }
            self.add_addresses(rrset, context);
        }
    }

    /// Adds the addresses that parents gave for its servers; says whether there was a new one.
    pub fn add_remembered_glue(&mut self, context: &Context<'_>) -> bool {
        let before = self.addresses.len();
        let names: Vec<Name> = self
            .servers
            .iter()
            .map(|server| server.name.clone())
            .collect();
        for name in names {
            for address in context.infra.glue(context.now.instant, &name) {
                self.add_socket(SocketAddr::new(address, PORT), Transport::Udp, context);
            }
        }
        self.addresses.len() > before
    }

    /// A lookup that this delegation waited for has ended.
    pub fn looked_up(&mut self, question: &Question, found: &[&Rrset], context: &Context<'_>) {
        let lookup = if found.is_empty() {
            Lookup::Failed
        } else {
            Lookup::Done
        };
        for server in &mut self.servers {
            if server.name != question.name {
                continue;
            }
            for (own, record_type) in server.lookups.iter_mut().zip(FAMILIES) {
                if record_type == question.record_type {
                    *own = lookup;
                }
            }
        }
        for rrset in found {
            self.add_addresses(rrset, context);
        }
    }

    /// Whether a lookup is open.
    #[must_use]
    pub fn has_open_lookups(&self) -> bool {
        self.servers
            .iter()
            .any(|server| server.lookups.contains(&Lookup::Open))
    }

    fn add_addresses(&mut self, rrset: &Rrset, context: &Context<'_>) {
        for address in rrset.rdata.iter().filter_map(scrub::address) {
            self.add_socket(SocketAddr::new(address, PORT), Transport::Udp, context);
        }
    }

    fn add_socket(&mut self, socket: SocketAddr, transport: Transport, context: &Context<'_>) {
        let settings = &context.settings.resolution;
        let Some(socket) = reachable(socket, settings) else {
            return;
        };
        let known = self
            .addresses
            .iter()
            .any(|address| address.socket == socket && address.transport == transport);
        if known || self.addresses.len() >= context.settings.limits.addresses_per_delegation_max {
            return;
        }
        self.addresses.push(Address {
            socket,
            transport,
            failures: 0,
            streams_failed: 0,
            retired: false,
            recursive: false,
        });
    }

    /// Whether nothing can come of it: no address, and no name that could be looked up without it.
    #[must_use]
    pub fn is_useless(&self) -> bool {
        let can_look_up = self.servers.iter().any(|server| {
            !server.name.is_within(&self.zone) && server.lookups.contains(&Lookup::Missing)
        });
        self.addresses.is_empty() && !can_look_up
    }

    /// Whether queries carry RD.
    #[must_use]
    pub fn recursion_desired(&self) -> bool {
        self.source == Source::Upstream(UpstreamKind::Forward)
    }
}

/// The names in an NS RRset, as many as are used.
fn names<'a>(ns: &'a Rrset, context: &Context<'_>) -> impl Iterator<Item = Name> + use<'a> {
    let max = context.settings.limits.name_servers_max;
    ns.rdata.iter().filter_map(rdata::target).take(max)
}

/// Whether the cache knows that there is no such RRset.
fn is_denied(name: &Name, record_type: RecordType, context: &Context<'_>) -> bool {
    let question = Question {
        name: name.clone(),
        record_type,
        class: Class::IN,
    };
    context
        .cache
        .answer(context.now, &question)
        .is_some_and(|answer| answer.answer.is_empty())
}

/// The address under which a server may be asked, if it may be asked at all.
fn reachable(socket: SocketAddr, settings: &ResolutionSettings) -> Option<SocketAddr> {
    let address = socket.ip().to_canonical();
    if address.is_multicast() {
        return None;
    }
    // The unspecified address leads to this very host, too.
    if settings.avoid_loopback && (address.is_loopback() || address.is_unspecified()) {
        return None;
    }
    match address {
        IpAddr::V4(v4) if v4.is_broadcast() => None,
        IpAddr::V4(v4) if settings.nat64 => {
            let prefix = settings.dns64_prefix?;
            let embedded = embed(&prefix, v4.octets())?;
            Some(SocketAddr::new(IpAddr::V6(embedded), socket.port()))
        }
        IpAddr::V4(_) => settings.ipv4.then_some(socket),
        IpAddr::V6(_) => settings.ipv6.then_some(socket),
    }
}

/// An IPv4 address within a prefix of 32, 40, 48, 56, 64 or 96 bits (RFC 6052, 2.2).
fn embed(prefix: &Prefix, address: [u8; 4]) -> Option<Ipv6Addr> {
    let IpAddr::V6(base) = prefix.address else {
        return None;
    };
    let keep = usize::from(prefix.length / 8);
    if ![4, 5, 6, 7, 8, 12].contains(&keep) {
        return None;
    }
    let mut octets = base.octets();
    octets.get_mut(keep..)?.fill(0);
    let mut position = keep;
    for octet in address {
        // RFC 6052, 2.2: bits 64 to 71 are zero.
        if position == 8 {
            position += 1;
        }
        *octets.get_mut(position)? = octet;
        position += 1;
    }
    Some(Ipv6Addr::from(octets))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Settings;

    #[test]
    fn addresses_that_are_never_asked() {
        let mut settings = Settings::default().resolution;
        let ask = |text: &str, settings: &ResolutionSettings| {
            reachable(format!("{text}:53").parse().unwrap(), settings).is_some()
        };
        for never in [
            "127.0.0.1",
            "0.0.0.0",
            "224.0.0.1",
            "255.255.255.255",
            "[::1]",
            "[::]",
        ] {
            assert!(!ask(never, &settings), "{never}");
        }
        assert!(ask("192.0.2.1", &settings) && ask("[2001:db8::1]", &settings));
        settings.ipv6 = false;
        assert!(!ask("[2001:db8::1]", &settings));
        settings.avoid_loopback = false;
        assert!(ask("127.0.0.1", &settings));
    }

    #[test]
    fn embedding_of_rfc_6052_2_4() {
        let embedded = |text: &str, length| {
            let prefix = Prefix {
                address: text.parse().unwrap(),
                length,
            };
            embed(&prefix, [192, 0, 2, 33]).unwrap().to_string()
        };
        assert_eq!(embedded("2001:db8::", 32), "2001:db8:c000:221::");
        assert_eq!(embedded("2001:db8:100::", 40), "2001:db8:1c0:2:21::");
        assert_eq!(embedded("2001:db8:122::", 48), "2001:db8:122:c000:2:2100::");
        assert_eq!(
            embedded("2001:db8:122:300::", 56),
            "2001:db8:122:3c0:0:221::"
        );
        assert_eq!(
            embedded("2001:db8:122:344::", 64),
            "2001:db8:122:344:c0:2:2100:0"
        );
        assert_eq!(embedded("64:ff9b::", 96), "64:ff9b::c000:221");
    }
}
