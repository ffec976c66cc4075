//! The `Resolver` custom resource.
