//! A scenario as types: simulated servers and the steps of the play.

use std::net::{IpAddr, SocketAddr};

use crate::replay::message::Draft;
use crate::replay::record::Record;

/// Which program a scenario was written for, which decides many details.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// Unbound's replay within the process.
    Testbound,
    /// Deckard's runs over sockets.
    Deckard,
}

/// One file.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// What it says it tests.
    pub title: String,
    /// Its dialect.
    pub dialect: Dialect,
    /// The lines before `CONFIG_END`, each with its number.
    pub config: Vec<(usize, String)>,
    /// The simulated servers, in file order.
    pub ranges: Vec<Range>,
    /// The steps, in file order.
    pub steps: Vec<Step>,
}

/// Replies that are valid while some steps run.
#[derive(Clone, Debug)]
pub struct Range {
    /// The first step.
    pub first: u32,
    /// The last step.
    pub last: u32,
    /// The servers; none at all means every server.
    pub addresses: Vec<SocketAddr>,
    /// The replies.
    pub entries: Vec<Entry>,
}

/// One condition on a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is the word of the format")]
pub enum Match {
    Opcode,
    Qtype,
    Qname,
    Qcase,
    Subdomain,
    Flags,
    Rcode,
    Question,
    Answer,
    Authority,
    Additional,
    All,
    AllNoEdns,
    Ttl,
    Serial(u32),
    Udp,
    Tcp,
    DnssecOk,
    CompactOk,
    NoEdns,
    EdnsData,
    Edns,
    ExtendedError(Option<u16>),
    ClientCookie,
    ServerCookie,
}

/// What is changed in a reply before it is sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Adjust {
    /// The identifier is the query's. In this runner every reply has that anyway.
    pub copy_id: bool,
    /// The question is the query's.
    pub copy_query: bool,
    /// The scope of the client subnet option is its source length.
    pub copy_subnet: bool,
    /// The scope is one more than that.
    pub increment_scope: bool,
    /// Nothing is sent.
    pub silent: bool,
}

/// One message and a test on messages.
#[derive(Clone, Debug, Default)]
pub struct Entry {
    /// The line where it begins.
    pub line: usize,
    /// The conditions.
    pub matches: Vec<Match>,
    /// The changes.
    pub adjust: Adjust,
    /// The message, and those that follow it over TCP.
    pub drafts: Vec<Draft>,
    /// Octets to send in place of the message.
    pub raw: Option<Vec<u8>>,
    /// Deckard: it must have been used by the end.
    pub mandatory: bool,
}

impl Entry {
    /// Its (first) message.
    #[must_use]
    pub fn draft(&self) -> Draft {
        self.drafts.first().cloned().unwrap_or_default()
    }
}

/// How a step lets time pass.
#[derive(Clone, Debug, PartialEq)]
pub enum Elapse {
    /// This many nanoseconds.
    Nanoseconds(u64),
    /// As many seconds as the expression says.
    Expression(String),
}

/// One step.
#[derive(Clone, Debug)]
pub struct Step {
    /// The line where it begins.
    pub line: usize,
    /// Its number.
    pub number: u32,
    /// What happens.
    pub kind: StepKind,
}

/// What happens in a step.
#[derive(Clone, Debug)]
pub enum StepKind {
    /// A client asks.
    Query {
        /// Its address.
        client: Option<IpAddr>,
        /// What it sends.
        entry: Entry,
    },
    /// An answer must have been given.
    CheckAnswer {
        /// To this client.
        client: Option<IpAddr>,
        /// What it must be.
        entry: Entry,
    },
    /// A query must be outstanding.
    CheckOutQuery {
        /// At this server.
        server: Option<SocketAddr>,
        /// What it must be.
        entry: Entry,
    },
    /// The newest outstanding query is answered so.
    Reply(Entry),
    /// The newest outstanding query times out.
    Timeout,
    /// The newest outstanding query ends with a connection error.
    Error,
    /// Time passes.
    TimePasses(Elapse),
    /// All possible traffic happens.
    Nothing,
    /// A macro variable is set.
    Assign {
        /// Its name.
        variable: String,
        /// Its value.
        expression: String,
    },
    /// The trust anchor state must be so.
    CheckAutotrust {
        /// Which file.
        id: String,
        /// Its lines.
        lines: Vec<String>,
    },
    /// A zone file must be so.
    CheckTempfile {
        /// Which file.
        id: String,
    },
    /// The round-trip time of a server is known.
    InfraRtt {
        /// The server.
        server: SocketAddr,
        /// The zone, as text.
        zone: String,
        /// Milliseconds.
        milliseconds: u32,
    },
    /// The cached answer of a question is forgotten, or expired three seconds ago.
    Uncache {
        /// The name as text, the type and the class.
        question: Record,
        /// Whether it stays as an expired one.
        expire: bool,
    },
}
