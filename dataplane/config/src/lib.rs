//! `DataplaneConfig`, the document that operator and data plane share.
//!
//! The operator renders it from a `Resolver`, mounts it and pushes it; a data plane that runs
//! alone reads it from a file, as JSON or YAML. Every field has a default, so that `{}` is a
//! complete document; a field that is not known is refused, never ignored. This crate owns the
//! form, the bounds and the revision of the document and of the [`push`] exchange. It never opens
//! a file or a socket, and knows neither Kubernetes nor the resolver core.
//!
//! ```
//! use weir_config::DataplaneConfig;
//!
//! let config = DataplaneConfig::read("cache: {size: 64Mi}").unwrap();
//! assert_eq!(config.cache.size, 64 << 20);
//!
//! let problems = DataplaneConfig::read("cache: {ttl: {max: 0s}}").unwrap_err();
//! assert_eq!(problems[0].to_string(), "cache.ttl.max: 0s is out of range: use 1s to 168h");
//! ```

pub mod access;
pub mod cache;
pub mod digest;
pub mod dnssec;
mod document;
pub mod drain;
pub mod flush;
pub mod listener;
pub mod mesh;
pub mod name;
mod problem;
pub mod push;
pub mod rate_limit;
pub mod rendered;
pub mod resolution;
pub mod telemetry;
pub mod unit;
mod url_path;
pub mod zone;

pub use document::{Admin, DataplaneConfig, FORMAT_VERSION};
pub use problem::Problem;
