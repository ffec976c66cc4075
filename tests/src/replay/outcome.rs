//! How the run of a scenario ended.

/// How it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Every check held.
    Pass,
    /// The first difference.
    Fail(String),
    /// It was not run, for this reason.
    Skip(String),
}

/// The verdict and what is worth knowing besides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The verdict.
    pub verdict: Verdict,
    /// Queries that no simulated server answered, options that do not count, and the like.
    pub notes: Vec<String>,
    /// What went over the wire, step by step.
    pub log: Vec<String>,
}
