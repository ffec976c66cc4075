//! DNS messages on the wire (RFC 1035, 4): the border between octets and what the core reasons about.
//!
//! Owns reading of queries and replies, writing of queries and answers. Keeps no state, allocates
//! nothing for a query that is only looked at, and gives an error, never a panic, for any octets.

mod age;
mod compress;
mod edns;
mod encode;
mod flags;
mod match_reply;
mod query;
mod read;
mod refusal;
mod reply;

pub use age::age;
pub use edns::ReplyEdns;
pub use encode::encode_answer;
pub(crate) use encode::{Body, Head, RrsetView, encode};
pub use match_reply::{ReplyMatch, match_reply, reply_matches};
pub use query::{QueryError, QueryView, encode_query, parse_query};
pub use read::Malformed;
pub use refusal::encode_error;
pub use reply::{Reply, parse_reply};
