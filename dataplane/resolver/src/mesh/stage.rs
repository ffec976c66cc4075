//! Where the work of a state stands, and which moves are legal.
//!
//! ```text
//!   Iterating --> Validating --> Answered
//!       ^  |          |             ^
//!       |  '----------|-------------'
//!       '-------------'  (bogus data: ask other servers)
//! ```
//!
//! Never holds the work itself: programs do.

/// The stages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// Servers are being asked (RFC 1034, 5.3.3).
    Iterating,
    /// The answer is being validated (RFC 4035, 5).
    Validating,
    /// There is an answer.
    Answered,
}

/// Every legal move from one stage to another.
const MOVES: [(Stage, Stage); 4] = [
    (Stage::Iterating, Stage::Validating),
    (Stage::Iterating, Stage::Answered),
    (Stage::Validating, Stage::Iterating),
    (Stage::Validating, Stage::Answered),
];

impl Stage {
    /// Every stage.
    pub const ALL: [Self; 3] = [Self::Iterating, Self::Validating, Self::Answered];

    /// The name that traces and metrics carry.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Iterating => "iterating",
            Self::Validating => "validating",
            Self::Answered => "answered",
        }
    }

    /// Whether the work may go from this stage to that one.
    #[must_use]
    pub fn may_become(self, next: Self) -> bool {
        self == next || MOVES.contains(&(self, next))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_matrix_of_moves() {
        let matrix: Vec<String> = Stage::ALL
            .iter()
            .map(|from| {
                let row: String = Stage::ALL
                    .iter()
                    .map(|&to| if from.may_become(to) { 'x' } else { '.' })
                    .collect();
                format!("{:10} {row}", from.label())
            })
            .collect();
        assert_eq!(
            matrix,
            ["iterating  xxx", "validating xxx", "answered   ..x"]
        );
    }
}
