//! The three sides of the matrix of stream ends, played on the core and through real sockets.
//!
//! Owns the names; what each means at its level is for the test that plays it.

/// How a stream ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// The client resets it.
    Reset,
    /// The client ends its side, then closes the connection.
    EndThenClose,
    /// The client says GOAWAY.
    GoAway,
    /// TLS is closed in order.
    TlsClose,
    /// The TCP connection is reset.
    TcpReset,
    /// The connection idles too long.
    IdleTimeout,
    /// The server drains.
    Drain,
}

/// When it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Part of the query has come.
    BeforeTheQueryIsWhole,
    /// It waits, and nothing was asked upstream yet.
    BeforeTheFirstFetch,
    /// An upstream server was asked.
    AwaitingFetch,
    /// The key of the zone was asked for.
    AwaitingDnskey,
    /// The answer is being made.
    InTheTurnThatAnswers,
    /// The answer waits to be written.
    AnswerQueued,
    /// Its state yields to another.
    WhileJostled,
    /// A stale answer is due.
    StaleFires,
    /// Settings are being replaced.
    DuringReplace,
}

/// Who else waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// Nobody.
    Nobody,
    /// A stream of this connection, with the same question.
    SameQuestionSameConnection,
    /// A stream of another connection, with the same question.
    SameQuestionOtherConnection,
    /// A stream of this connection, with another question.
    OtherQuestionSameConnection,
}
