//! The scenarios: which peers, which load, what it shows.

use super::peers::Peer;

/// One scenario.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it shows.
    pub what: &'static str,
    /// Who takes part; the first is what ratios are of.
    pub peers: &'static [Peer],
    /// Whether the internet is signed and everyone validates.
    pub signed: bool,
    /// The share of streams that Weir traces.
    pub traced: Option<f64>,
    /// The scenario that this one is a variant of: its cost is told as a ratio to that one's.
    pub variant_of: Option<&'static str>,
    /// What is done.
    pub kind: Kind,
}

/// What a scenario does.
#[allow(missing_docs, reason = "the scenario's own description says it")]
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    Cached(Cached),
    Unique,
    Waiting { streams: usize },
    Cold,
    Mixed,
    Handshake { resumed: bool },
    Idle,
    Reset { every: usize },
    Names,
}

/// A load of questions that the cache answers.
#[derive(Clone, Copy, Debug)]
pub struct Cached {
    /// Connections.
    pub connections: u32,
    /// Streams that wait at once on each.
    pub streams: u32,
    /// Whether by POST, for one name.
    pub post: bool,
    /// Whether the names do not exist.
    pub negative: bool,
    /// How many names.
    pub names: usize,
}

const ALL: &[Peer] = &[
    Peer::Weir,
    Peer::Constant,
    Peer::Dnsdist,
    Peer::Unbound,
    Peer::KnotResolver,
    Peer::Bind,
];
const RESOLVERS: &[Peer] = &[Peer::Weir, Peer::Unbound, Peer::KnotResolver, Peer::Bind];

const fn cached(connections: u32, streams: u32, post: bool, negative: bool, names: usize) -> Kind {
    Kind::Cached(Cached {
        connections,
        streams,
        post,
        negative,
        names,
    })
}

const fn scenario(
    name: &'static str,
    what: &'static str,
    peers: &'static [Peer],
    kind: Kind,
) -> Scenario {
    Scenario {
        name,
        what,
        peers,
        signed: false,
        traced: None,
        variant_of: None,
        kind,
    }
}

/// All of them, in the order in which they run.
pub const SCENARIOS: &[Scenario] = &[
    scenario(
        "cached-20x20",
        "cached, 20 connections x 20 streams, GET, 10 000 names by Zipf",
        ALL,
        cached(20, 20, false, false, 10_000),
    ),
    scenario(
        "cached-50x1",
        "cached, 50 connections x 1 stream, GET",
        ALL,
        cached(50, 1, false, false, 10_000),
    ),
    scenario(
        "cached-post",
        "cached, 20 x 20, POST, one name",
        ALL,
        cached(20, 20, true, false, 1),
    ),
    scenario(
        "cached-1000",
        "cached, 20 x 20, 1 000 names",
        &[Peer::Weir],
        cached(20, 20, false, false, 1000),
    ),
    Scenario {
        variant_of: Some("cached-1000"),
        ..scenario(
            "cached-100000",
            "cached, 20 x 20, 100 000 names",
            &[Peer::Weir],
            cached(20, 20, false, false, 100_000),
        )
    },
    Scenario {
        variant_of: Some("cached-1000"),
        ..scenario(
            "cached-1000000",
            "cached, 20 x 20, 1 000 000 names",
            &[Peer::Weir],
            cached(20, 20, false, false, 1_000_000),
        )
    },
    scenario(
        "negative",
        "cached NXDOMAIN, 20 x 20",
        ALL,
        cached(20, 20, false, true, 10_000),
    ),
    scenario(
        "unique",
        "uncached, unique names under one zone, 1 x 90",
        RESOLVERS,
        Kind::Unique,
    ),
    scenario(
        "waiting-10",
        "unique names, 1 x 90, while 10 other streams wait",
        &[Peer::Weir],
        Kind::Waiting { streams: 10 },
    ),
    Scenario {
        variant_of: Some("waiting-10"),
        ..scenario(
            "waiting-100",
            "unique names, 1 x 90, while 100 other streams wait",
            &[Peer::Weir],
            Kind::Waiting { streams: 100 },
        )
    },
    Scenario {
        variant_of: Some("waiting-10"),
        ..scenario(
            "waiting-1000",
            "unique names, 1 x 90, while 1 000 other streams wait",
            &[Peer::Weir],
            Kind::Waiting { streams: 1000 },
        )
    },
    Scenario {
        variant_of: Some("waiting-10"),
        ..scenario(
            "waiting-10000",
            "unique names, 1 x 90, while 10 000 other streams wait",
            &[Peer::Weir],
            Kind::Waiting { streams: 10_000 },
        )
    },
    scenario(
        "cold",
        "cold recursion over three levels, unsigned",
        RESOLVERS,
        Kind::Cold,
    ),
    Scenario {
        signed: true,
        ..scenario(
            "cold-validated",
            "cold recursion over three levels, validated",
            RESOLVERS,
            Kind::Cold,
        )
    },
    scenario(
        "mixed",
        "90 % cached, 10 % unique, 1 x 90",
        RESOLVERS,
        Kind::Mixed,
    ),
    scenario(
        "handshake",
        "a new TLS connection for each query",
        ALL,
        Kind::Handshake { resumed: false },
    ),
    scenario(
        "handshake-resumed",
        "the same, resumed",
        ALL,
        Kind::Handshake { resumed: true },
    ),
    scenario(
        "idle",
        "resident memory per idle connection",
        ALL,
        Kind::Idle,
    ),
    scenario(
        "reset-none",
        "own client, 20 x 20, no resets",
        &[Peer::Weir],
        Kind::Reset { every: 0 },
    ),
    Scenario {
        variant_of: Some("reset-none"),
        ..scenario(
            "reset-30",
            "the same, 30 % of streams reset",
            &[Peer::Weir],
            Kind::Reset { every: 3 },
        )
    },
    scenario(
        "names",
        "resident memory per cached name",
        RESOLVERS,
        Kind::Names,
    ),
    Scenario {
        traced: Some(0.0),
        variant_of: Some("cached-20x20"),
        ..scenario(
            "traced-0",
            "cached-20x20 with traces on and no stream sampled",
            &[Peer::Weir],
            cached(20, 20, false, false, 10_000),
        )
    },
    Scenario {
        traced: Some(0.01),
        variant_of: Some("cached-20x20"),
        ..scenario(
            "traced-1",
            "cached-20x20 with 1 % of streams traced",
            &[Peer::Weir],
            cached(20, 20, false, false, 10_000),
        )
    },
    Scenario {
        traced: Some(1.0),
        variant_of: Some("cached-20x20"),
        ..scenario(
            "traced-100",
            "cached-20x20 with every stream traced",
            &[Peer::Weir],
            cached(20, 20, false, false, 10_000),
        )
    },
    Scenario {
        variant_of: Some("cached-20x20"),
        ..scenario(
            "workers-2",
            "cached-20x20 with two workers on one core",
            &[Peer::WeirTwoWorkers],
            cached(20, 20, false, false, 10_000),
        )
    },
];
