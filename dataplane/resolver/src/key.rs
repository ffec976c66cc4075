//! Every identity of the crate.
//!
//! A `…Id` is a generational handle, a `…Key` identifies by meaning. Neither is ever reused for
//! another thing, so a stale one finds nothing: looking it up is a counted no-op, never an error.

use core::fmt;
use core::marker::PhantomData;
use core::num::NonZeroU32;
use std::net::IpAddr;

/// One connection of a client, numbered by the driver and never reused in the life of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

/// One stream of one connection.
///
/// RFC 9113, 5.1.1 forbids the reuse of a stream identifier within a connection, and a
/// [`ConnectionId`] is never reused, so a key names one request for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamKey {
    /// The connection that the stream belongs to.
    pub connection: ConnectionId,
    /// The HTTP/2 stream identifier (RFC 9113, 5.1.1).
    pub stream: u32,
}

/// Who a client is as far as limits go: a client address, or a prefix of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity(pub u128);

impl From<IpAddr> for Identity {
    /// An IPv4 address stands for itself; an IPv6 address for its /64, the least that one client gets.
    fn from(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(v4) => Self(v4.to_ipv6_mapped().to_bits()),
            IpAddr::V6(v6) => Self(v6.to_bits() & !u128::from(u64::MAX)),
        }
    }
}

/// A handle of something that an arena owns: its slot, and which tenant of the slot it means.
///
/// `T` is the kind of thing, so that handles of different kinds cannot be confused.
pub struct Id<T> {
    index: u32,
    generation: NonZeroU32,
    kind: PhantomData<fn() -> T>,
}

impl<T> Id<T> {
    /// The handle of a slot; its arena alone makes it.
    pub(crate) const fn new(index: u32, generation: NonZeroU32) -> Self {
        Self {
            index,
            generation,
            kind: PhantomData,
        }
    }

    /// Which slot it names.
    pub(crate) const fn index(self) -> u32 {
        self.index
    }

    /// How often the slot was in use when the handle was made.
    pub(crate) const fn generation(self) -> NonZeroU32 {
        self.generation
    }

    /// The handle as one number, for traces and logs; unique within one mesh.
    #[must_use]
    pub const fn number(self) -> u64 {
        ((self.generation.get() as u64) << 32) | self.index as u64
    }

    /// The handle of that number; one that was never given out finds nothing. None of 0 to 2^32 - 1.
    #[must_use]
    pub const fn from_number(number: u64) -> Option<Self> {
        match NonZeroU32::new((number >> 32) as u32) {
            Some(generation) => Some(Self::new(number as u32, generation)),
            None => None,
        }
    }
}

impl<T> Clone for Id<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Id<T> {}
impl<T> PartialEq for Id<T> {
    fn eq(&self, other: &Self) -> bool {
        self.number() == other.number()
    }
}
impl<T> Eq for Id<T> {}
impl<T> PartialOrd for Id<T> {
    fn partial_cmp(&self, other: &Self) -> Option<core::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl<T> Ord for Id<T> {
    fn cmp(&self, other: &Self) -> core::cmp::Ordering {
        self.number().cmp(&other.number())
    }
}
impl<T> core::hash::Hash for Id<T> {
    fn hash<H: core::hash::Hasher>(&self, state: &mut H) {
        self.number().hash(state);
    }
}
impl<T> fmt::Debug for Id<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.index, self.generation)
    }
}

/// Marks handles of mesh states.
#[derive(Debug)]
pub enum State {}
/// Marks handles of fetches.
#[derive(Debug)]
pub enum FetchKind {}

/// One question being resolved.
pub type StateId = Id<State>;
/// One query to one server.
pub type FetchId = Id<FetchKind>;
