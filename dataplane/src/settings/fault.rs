//! What is wrong with a document, field by field.
//!
//! Owns the list; `settings` gives it back whole.

use weir_config::Problem;
use weir_resolver::name::Name;

/// What is wrong, field by field.
#[derive(Default)]
pub(crate) struct Faults(pub(crate) Vec<Problem>);

impl Faults {
    /// Notes what is wrong with a field.
    pub(crate) fn add(&mut self, field: String, message: String) {
        self.0.push(Problem { field, message });
    }

    /// Reads a name; the root in its place when it is none, which is noted.
    pub(crate) fn name(&mut self, field: impl Fn() -> String, text: &str) -> Name {
        Name::from_text(text).unwrap_or_else(|fault| {
            self.add(field(), format!("'{text}' is not a domain name: {fault}"));
            Name::root()
        })
    }
}
