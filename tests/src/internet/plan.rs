//! Which zones there are, how each is signed, and on which servers it lies.
//!
//! Owns the text of every zone before it is signed. Everything follows from the number of zones alone.

use std::fmt::Write as _;

/// Servers of the root: NSD and BIND.
pub const ROOT: [&str; 2] = ["10.53.0.1", "10.53.0.2"];
/// Servers of the top-level zones: NSD, BIND, Knot DNS.
pub const TOP: [&str; 3] = ["10.53.1.1", "10.53.1.2", "10.53.1.3"];
/// Servers of the zones below: NSD, BIND, Knot DNS.
pub const LOW: [&str; 3] = ["10.53.2.1", "10.53.2.2", "10.53.2.3"];
/// Answers nothing.
pub const DEAD: &str = "10.53.3.1";
/// Answers after a while.
pub const SLOW: &str = "10.53.3.2";
/// Answers over UDP with nothing but TC.
pub const TRUNCATING: &str = "10.53.3.3";
/// Does not know EDNS.
pub const NO_EDNS: &str = "10.53.3.4";
/// Where the misbehaving servers ask from.
pub const OWN: &str = "10.53.3.9";
/// Refuses, for it does not have the zone (it is one of the top level).
pub const LAME: &str = TOP[2];

/// Every address that a server listens at, and that from which the misbehaving ones ask.
#[must_use]
pub fn addresses() -> Vec<&'static str> {
    let good = ROOT.into_iter().chain(TOP).chain(LOW);
    good.chain([DEAD, SLOW, TRUNCATING, NO_EDNS, OWN]).collect()
}

/// The top-level zones.
pub const TOP_ZONES: [&str; 5] = ["alfa", "bravo", "charlie", "delta", "echo"];

/// How a zone denies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denial {
    /// NSEC.
    Nsec,
    /// NSEC3 without iterations or salt (RFC 9276).
    Nsec3,
    /// The same with Opt-Out.
    OptOut,
}

/// How a zone is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signing {
    /// The algorithm's number: 8, 13 or 15.
    pub algorithm: u8,
    /// How it denies.
    pub denial: Denial,
    /// Whether its signatures are over.
    pub expired: bool,
    /// Whether the DS RRset above names another key.
    pub wrong_ds: bool,
}

/// A zone of the plan.
#[derive(Clone, Debug)]
pub struct Zone {
    /// Its name without the final dot; empty for the root.
    pub name: String,
    /// How it is signed; none when it is not.
    pub signing: Option<Signing>,
    /// Whether the zone above tells of its keys.
    pub secure_delegation: bool,
    /// The level of servers that hold it: 0 root, 1 top, 2 below.
    pub level: usize,
    /// The names and addresses of its servers.
    pub servers: Vec<(String, &'static str)>,
    /// Its text, without the keys and the DS records of zones below.
    pub text: String,
    /// The zone above it, by name; none for the root.
    pub parent: Option<String>,
}

const fn signed(algorithm: u8, denial: Denial) -> Option<Signing> {
    Some(Signing {
        algorithm,
        denial,
        expired: false,
        wrong_ds: false,
    })
}

/// The zones, parents before children: the root, the top level, `count` zones below it and their children.
#[must_use]
pub fn zones(count: usize) -> Vec<Zone> {
    let mut zones = vec![root(), top(0), top(1), top(2), top(3), top(4)];
    for index in 0..count {
        let zone = low(index, count);
        let children = children(index, &zone);
        zones.push(zone);
        zones.extend(children);
    }
    for index in 1..zones.len() {
        let text = delegation(&zones[index]);
        let parent = zones[index].parent.clone();
        if let Some(parent) = zones
            .iter_mut()
            .find(|zone| Some(&zone.name) == parent.as_ref())
        {
            parent.text.push_str(&text);
        }
    }
    zones
}

fn head(name: &str, servers: &[(String, &'static str)]) -> String {
    let mut text = format!("$ORIGIN {name}.\n$TTL 900\n@ SOA ns. host. 1 3600 600 86400 300\n");
    for (server, address) in servers {
        let _ = writeln!(text, "@ NS {server}.");
        if name.is_empty() || server.ends_with(&format!(".{name}")) {
            let _ = writeln!(text, "{server}. A {address}");
        }
    }
    text
}

fn delegation(zone: &Zone) -> String {
    let mut text = String::new();
    for (server, address) in &zone.servers {
        let _ = writeln!(text, "{}. NS {server}.", zone.name);
        if server.ends_with(&format!(".{}", zone.name)) {
            let _ = writeln!(text, "{server}. A {address}");
        }
    }
    text
}

fn named(name: &str, addresses: &[&'static str]) -> Vec<(String, &'static str)> {
    let names = addresses.iter().enumerate();
    names
        .map(|(index, &address)| {
            let dot = if name.is_empty() { "" } else { "." };
            (format!("ns{index}{dot}{name}"), address)
        })
        .collect()
}

fn root() -> Zone {
    let servers = named("", &ROOT);
    Zone {
        name: String::new(),
        signing: signed(8, Denial::Nsec),
        secure_delegation: false,
        level: 0,
        text: head("", &servers),
        servers,
        parent: None,
    }
}

fn top(index: usize) -> Zone {
    let name = TOP_ZONES[index];
    let servers = named(name, &TOP);
    let signing = [
        signed(13, Denial::Nsec),
        signed(8, Denial::Nsec3),
        signed(15, Denial::OptOut),
        None,
        signed(13, Denial::Nsec3),
    ][index];
    Zone {
        name: name.to_owned(),
        signing,
        secure_delegation: signing.is_some(),
        level: 1,
        text: head(name, &servers),
        servers,
        parent: Some(String::new()),
    }
}

/// The name of a zone below the top level.
#[must_use]
pub fn low_name(index: usize) -> String {
    format!("z{index}.{}", TOP_ZONES[index % TOP_ZONES.len()])
}

fn low(index: usize, count: usize) -> Zone {
    let name = low_name(index);
    // The style goes on by one with each round of the top level, so that every pair occurs.
    let style = index / TOP_ZONES.len() % 11;
    let mut signing = match style {
        0 | 7 => None,
        1 | 8 | 9 => signed(13, Denial::Nsec),
        2 => signed(8, Denial::Nsec),
        3 => signed(15, Denial::Nsec),
        4 => signed(13, Denial::Nsec3),
        5 => signed(8, Denial::Nsec3),
        6 => signed(15, Denial::OptOut),
        _ => signed(13, Denial::OptOut),
    };
    if let Some(signing) = &mut signing {
        signing.expired = style == 8 && index.is_multiple_of(2);
        signing.wrong_ds = style == 9 && index.is_multiple_of(2);
    }
    let addresses: Vec<&'static str> = match index % 13 {
        0 => vec![LOW[0], LOW[2]],
        1 => vec![LOW[1], LOW[2]],
        2 => vec![LOW[0], LOW[1], LOW[2]],
        3 => vec![LOW[0], DEAD],
        4 => vec![LOW[2], SLOW],
        5 => vec![LOW[1], LAME],
        6 => vec![TRUNCATING],
        7 => vec![LOW[0]],
        8 if signing.is_none() => vec![NO_EDNS],
        9 => vec![LOW[2]],
        10 => vec![DEAD, LAME, LOW[1]],
        11 => vec![TRUNCATING, LOW[0]],
        _ => vec![LOW[1]],
    };
    let servers = if index % 7 == 3 && count > 1 {
        // Out of the zone's own bailiwick, so without glue.
        let host = low_name(0);
        let names = addresses.iter().map(|address| {
            let label = address.replace('.', "-");
            (format!("s{label}.{host}"), *address)
        });
        names.collect()
    } else {
        named(&name, &addresses)
    };
    let text = format!("{}{}", head(&name, &servers), content(index, count));
    Zone {
        secure_delegation: signing.is_some() && index % 17 != 5,
        signing,
        level: 2,
        parent: Some(TOP_ZONES[index % TOP_ZONES.len()].to_owned()),
        name,
        servers,
        text,
    }
}

fn content(index: usize, count: usize) -> String {
    let next = low_name((index + 1) % count);
    let after = low_name((index + 7) % count);
    let (a, b) = (index / 256, index % 256);
    let mut text = format!(
        "@ A 192.0.{a}.{b}\n@ MX 10 mail\n@ TXT \"zone {index}\"\n@ CAA 0 issue \"ca.example\"\n\
         www A 192.0.2.1\nwww A 192.0.2.2\nwww AAAA 2001:db8::{index:x}\nmail A 192.0.2.3\n\
         big TXT \"{long}\" \"{long}\" \"{long}\" \"{long}\" \"{long}\" \"{long}\"\n\
         a.b.ent A 192.0.2.4\n*.wild A 192.0.2.5\n*.wild TXT \"wild\"\nhost.wild A 192.0.2.6\n\
         *.wc CNAME www\nalias CNAME www\nchain CNAME alias\nout CNAME www.{next}.\n\
         far CNAME out.{after}.\ndangling CNAME nope\nloop CNAME loop2\nloop2 CNAME loop\n\
         dn DNAME {next}.\ndwild CNAME x.wild.{after}.\nMiXed A 192.0.2.7\nsrv SRV 0 0 53 www\n\
         dsub DNAME ent\n",
        long = "x".repeat(240),
    );
    if index == 0 {
        for address in LOW.iter().chain(&[DEAD, SLOW, TRUNCATING, NO_EDNS, LAME]) {
            let _ = writeln!(text, "s{} A {address}", address.replace('.', "-"));
        }
    }
    text
}

/// A signed and an unsigned zone below some zones, on the same servers.
fn children(index: usize, zone: &Zone) -> Vec<Zone> {
    if !index.is_multiple_of(3) {
        return Vec::new();
    }
    let kinds = [("unsigned", None), ("child", signed(13, Denial::Nsec))];
    kinds
        .into_iter()
        .map(|(label, signing)| {
            let name = format!("{label}.{}", zone.name);
            let addresses: Vec<&'static str> =
                zone.servers.iter().map(|(_, address)| *address).collect();
            let servers = named(&name, &addresses);
            let text = format!(
                "{}www A 192.0.2.8\n*.w A 192.0.2.9\n",
                head(&name, &servers)
            );
            Zone {
                secure_delegation: signing.is_some() && zone.signing.is_some(),
                signing,
                level: 2,
                parent: Some(zone.name.clone()),
                name,
                servers,
                text,
            }
        })
        .collect()
}
