//! The document that operator and data plane share.
