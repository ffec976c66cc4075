//! The shell around `weir-resolver`.
