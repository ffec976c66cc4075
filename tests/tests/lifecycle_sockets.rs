//! The lifecycle matrix through real TLS and HTTP/2 on loopback, against the real binary: how a stream ends (7) x
//! when (9) x who else waits (4), 252 cases. `in_memory/stream_lifecycle.rs` has the same on the core.
//!
//! One test for each moment, one data plane for its 24 cases and one for the four that end by its drain. All cases
//! are brought to the moment, then all end, then the upstream answers. Every companion whose connection lives gets
//! its answer, and at the end nobody streams, waits or is asked any more.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use weir_tests::local_task::block_on;
use weir_tests::stream_ends::{How, When, Who};

use crate::case::Case;
use crate::world::World;

#[path = "lifecycle_sockets/answer.rs"]
mod answer;
#[path = "lifecycle_sockets/case.rs"]
mod case;
#[path = "lifecycle_sockets/world.rs"]
mod world;

const HOW: [How; 6] = [
    How::Reset,
    How::EndThenClose,
    How::GoAway,
    How::TlsClose,
    How::TcpReset,
    How::IdleTimeout,
];
const WHO: [Who; 4] = [
    Who::Nobody,
    Who::SameQuestionSameConnection,
    Who::SameQuestionOtherConnection,
    Who::OtherQuestionSameConnection,
];

/// Cases of a moment beside those of the drain.
const CASES: usize = HOW.len() * WHO.len();

/// The 28 cases of a moment.
fn moment(when: When) {
    block_on(async {
        let world = World::start(when).await;
        world.grow_stale(CASES).await;
        let mut cases = Vec::new();
        for how in HOW {
            for who in WHO {
                cases.push(Case::open(world.place(), cases.len(), how, who).await);
            }
        }
        assert_eq!(cases.len(), CASES);
        world.play(cases).await;
        let world = World::start(when).await;
        world.grow_stale(CASES).await;
        let mut cases = Vec::new();
        for who in WHO {
            cases.push(Case::open(world.place(), cases.len(), How::Drain, who).await);
        }
        world.play(cases).await;
    })
    .unwrap();
}

#[test]
fn before_the_query_is_whole() {
    moment(When::BeforeTheQueryIsWhole);
}

#[test]
fn before_the_first_fetch() {
    moment(When::BeforeTheFirstFetch);
}

#[test]
fn awaiting_a_fetch() {
    moment(When::AwaitingFetch);
}

#[test]
fn awaiting_a_dnskey() {
    moment(When::AwaitingDnskey);
}

#[test]
fn in_the_turn_that_answers() {
    moment(When::InTheTurnThatAnswers);
}

#[test]
fn with_the_answer_queued() {
    moment(When::AnswerQueued);
}

#[test]
fn while_jostled() {
    moment(When::WhileJostled);
}

#[test]
fn as_a_stale_answer_is_given() {
    moment(When::StaleFires);
}

#[test]
fn during_a_replacement() {
    moment(When::DuringReplace);
}
