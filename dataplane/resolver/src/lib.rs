//! The resolver core, without I/O.
