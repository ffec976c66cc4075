//! The operator of Weir: turns `Resolver` objects into pods that serve, and keeps them so.
//!
//! One reconciliation is a pipeline: *dereference* what the object names, *validate* it into a
//! value that cannot be wrong, *certify*, *build* every child, *apply* them, *push* document and
//! certificate to the pods, *update the status*. The middle is pure. The pods serve without the
//! operator: they start from mounted files, and a push only makes a change immediate.

pub mod authority;
pub mod bootstrap;
pub mod certificate;
pub mod clock;
pub mod context;
pub mod http;
pub mod lease;
pub mod memory;
pub mod metrics;
pub mod naming;
pub mod pod_client;
pub mod render;
pub mod resolver_controller;
pub mod secret;
pub mod telemetry;
