//! The query that most tests of the core ask: RD set, no EDNS, over a transport that carries every answer.

use weir_resolver::question::{Query, Question};

/// Such a query, in the spelling of its question.
#[must_use]
pub fn plain_query(id: u16, question: Question) -> Query {
    Query {
        id,
        spelling: question.name.as_wire().into(),
        question,
        recursion_desired: true,
        checking_disabled: false,
        authentic_data: false,
        edns: None,
        size_limit: u16::MAX,
        client: None,
    }
}
