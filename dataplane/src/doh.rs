//! DNS over HTTPS (RFC 8484) on `h2`: one task for each connection, a struct for each stream.
//!
//! `request` reads what was asked, `response` says it over, `frame_meter` watches the frames that
//! `h2` keeps to itself, and `connection` puts them together in turns: first everything that
//! arrived is collected, then everything is answered, so that the kernel is entered once for many
//! answers.

mod answer;
pub mod books;
pub mod connection;
pub mod frame_limits;
pub mod frame_meter;
pub mod lookup;
pub mod open_streams;
pub mod pace;
pub mod request;
pub mod response;
pub mod stream;
pub mod streams;
