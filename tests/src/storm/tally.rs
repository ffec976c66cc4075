//! What the clients of a storm saw: each stream ends in exactly one of these ways, and the sums are compared with
//! what the server counted.

/// Counts of streams and connections, from the clients' side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Streams opened.
    pub opened: u64,
    /// Streams with a whole DNS answer to their own question.
    pub answered: u64,
    /// Of these: SERVFAIL, for a name that nobody answered or that yielded to another.
    pub failed: u64,
    /// Streams with a whole answer of another status: 429 and 503.
    pub refused: u64,
    /// Streams that the client reset before their answer was whole.
    pub reset: u64,
    /// Streams that the server reset.
    pub reset_by_server: u64,
    /// Of these: REFUSED_STREAM, which the server never took.
    pub not_taken: u64,
    /// Streams whose connection the client aborted.
    pub aborted: u64,
    /// Streams whose connection the server ended.
    pub lost: u64,
    /// Streams that had no end when they were overdue: a defect.
    pub stuck: u64,
    /// Answers to another question, or in another spelling, or with another identifier: a defect.
    pub crossed: u64,
    /// Frames that no stream was owed any more: a defect.
    pub surplus: u64,
    /// RST_STREAM frames that were sent, also for streams that were answered already.
    pub resets_sent: u64,
    /// Connections opened.
    pub connections: u64,
    /// Connections that the client aborted.
    pub connections_aborted: u64,
    /// Connections that the server ended with an error.
    pub connections_lost: u64,
    /// Connections that could not be opened.
    pub connections_failed: u64,
    /// Streams that began on connections whose window was zero.
    pub windowless: u64,
    /// Streams that asked the name of the stream before.
    pub pairs: u64,
}

impl Tally {
    /// Adds what another connection saw.
    pub const fn add(&mut self, other: &Self) {
        self.opened += other.opened;
        self.answered += other.answered;
        self.failed += other.failed;
        self.refused += other.refused;
        self.reset += other.reset;
        self.reset_by_server += other.reset_by_server;
        self.not_taken += other.not_taken;
        self.aborted += other.aborted;
        self.lost += other.lost;
        self.stuck += other.stuck;
        self.crossed += other.crossed;
        self.surplus += other.surplus;
        self.resets_sent += other.resets_sent;
        self.connections += other.connections;
        self.connections_aborted += other.connections_aborted;
        self.connections_lost += other.connections_lost;
        self.connections_failed += other.connections_failed;
        self.windowless += other.windowless;
        self.pairs += other.pairs;
    }

    /// Streams that have ended in one of the ways that are in order.
    #[must_use]
    pub const fn ended(&self) -> u64 {
        self.answered + self.refused + self.reset + self.reset_by_server + self.aborted + self.lost
    }

    /// Ends whose outcome at the server the client cannot know, because the two crossed on the way.
    #[must_use]
    pub const fn undecided(&self) -> u64 {
        self.reset + self.aborted + self.lost + self.reset_by_server - self.not_taken
    }
}
