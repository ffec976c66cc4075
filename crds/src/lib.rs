//! The API of Weir: the custom resource `Resolver` of group `weir.dev`, version `v1alpha1`.
//!
//! Owns the types, the schema that the API server checks, and the reference made from both. It
//! never talks to a cluster. `crds/resolver.yaml` and `docs/src/resolver-reference.md` are written
//! by the binary `crdgen` and compared by a test.

// `KubeSchema` repeats each type inside a function, where nothing can reach it.
#![allow(unreachable_pub)]
// Columns of the printer repeat the names of their attributes.
#![allow(clippy::duplicated_attributes)]

pub mod condition;
pub mod generate;
pub mod resolver;
mod rule;
pub mod unit;

pub use resolver::{Resolver, ResolverSpec};
