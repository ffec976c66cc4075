//! The ports that are not for DNS clients: health and metrics over HTTP/1.1, pushes of the
//! operator over HTTP/2 with mutual TLS. They run on a runtime of their own, so that a slow scrape
//! delays no answer.

pub mod health;
pub mod push;
