//! What resolves one question, step by step: the border at which the mesh calls out.
//!
//! Owns the trait `Program` alone. The product runs `Resolution`; tests of the mesh run scripts. A
//! program never sees who waits, and the mesh never sees what a message says.

use crate::context::Context;
use crate::mesh::stage::Stage;
use crate::outcome::{Input, Outcome};
use crate::question::{Question, StateKind};

/// The work of one mesh state.
pub trait Program: Sized {
    /// The work for a question, not started.
    fn begin(
        question: &Question,
        kind: StateKind,
        recursion_desired: bool,
        checking_disabled: bool,
    ) -> Self;

    /// Takes one thing that happened into account, and says whether the work is done.
    fn step(&mut self, context: &mut Context<'_>, input: Input<'_>) -> Outcome;

    /// Where the work stands.
    fn stage(&self) -> Stage;

    /// Whether the answer may be kept for others who ask the state's question.
    fn may_be_kept(&self) -> bool {
        true
    }
}
