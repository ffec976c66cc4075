//! The locks of the code that crosses threads, named in one place, so that the tests can put loom's in theirs.

pub use std::sync::Mutex;
