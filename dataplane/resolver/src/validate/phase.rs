//! Where the validation of one answer stands.
//!
//! Owns the phases and which may follow which. Does no work.

/// The phases.
///
/// ```text
/// start -> answer -> expansion -> absence -> done
///   |        |           |          ^         ^
///   |        |           +----------|---------+
///   |        +----------------------+---------+   (a broken part ends it at once)
///   +-----------------------------------------+   (nothing to validate)
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ValidatePhase {
    /// Nothing was looked at.
    #[default]
    Start,
    /// The RRsets of the answer section are held against the keys of their zones, one by one.
    Answer,
    /// RRsets that came from wildcards need proof that the names themselves do not exist.
    Expansion,
    /// What the answer does not give needs proof of its absence.
    Absence,
    /// There is a verdict.
    Done,
}

/// Every legal step.
pub const TRANSITIONS: [(ValidatePhase, ValidatePhase); 8] = [
    (ValidatePhase::Start, ValidatePhase::Answer),
    (ValidatePhase::Start, ValidatePhase::Done),
    (ValidatePhase::Answer, ValidatePhase::Expansion),
    (ValidatePhase::Answer, ValidatePhase::Absence),
    (ValidatePhase::Answer, ValidatePhase::Done),
    (ValidatePhase::Expansion, ValidatePhase::Absence),
    (ValidatePhase::Expansion, ValidatePhase::Done),
    (ValidatePhase::Absence, ValidatePhase::Done),
];

impl ValidatePhase {
    /// The phase after this one, when the table allows it; this one stays otherwise.
    #[must_use]
    pub fn to(self, next: Self) -> Self {
        let legal = TRANSITIONS.contains(&(self, next));
        debug_assert!(legal, "{self:?} -> {next:?}");
        if legal { next } else { self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_phase_ends() {
        let phases = [
            ValidatePhase::Start,
            ValidatePhase::Answer,
            ValidatePhase::Expansion,
            ValidatePhase::Absence,
        ];
        for phase in phases {
            assert!(
                TRANSITIONS.contains(&(phase, ValidatePhase::Done)),
                "{phase:?}"
            );
        }
        // Steps only go forward, so no validation runs for ever.
        assert!(TRANSITIONS.iter().all(|(from, to)| from < to));
    }
}
