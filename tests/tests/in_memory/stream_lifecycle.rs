//! The lifecycle matrix on the core: how a stream ends x when x who else waits, 252 cases.
//!
//! Each case ends with all answered and nothing left, and every invariant is checked after every event.

use weir_resolver::event::{CloseCause, Event};
use weir_resolver::key::StreamKey;
use weir_tests::simulate::scope::Scope;
use weir_tests::stream_ends::{How, When, Who};

const HOW: [How; 7] = [
    How::Reset,
    How::EndThenClose,
    How::GoAway,
    How::TlsClose,
    How::TcpReset,
    How::IdleTimeout,
    How::Drain,
];
const WHEN: [When; 9] = [
    When::BeforeTheQueryIsWhole,
    When::BeforeTheFirstFetch,
    When::AwaitingFetch,
    When::AwaitingDnskey,
    When::InTheTurnThatAnswers,
    When::AnswerQueued,
    When::WhileJostled,
    When::StaleFires,
    When::DuringReplace,
];
const WHO: [Who; 4] = [
    Who::Nobody,
    Who::SameQuestionSameConnection,
    Who::SameQuestionOtherConnection,
    Who::OtherQuestionSameConnection,
];

/// Ends the stream as the shell would report it; a drain lets it live and gives it a deadline.
fn end_stream(scope: &mut Scope, stream: StreamKey, how: How) {
    match how {
        How::Reset => scope.close_stream(stream, CloseCause::Reset(8)),
        How::EndThenClose | How::GoAway | How::TlsClose | How::TcpReset => scope.close(0),
        How::IdleTimeout => scope
            .close_stream(stream, CloseCause::LocalReset(8))
            .and_then(|()| scope.close(0)),
        How::Drain => scope.drain(),
    }
    .unwrap();
}

fn case(how: How, when: When, who: Who) {
    let mut scope = Scope::new(None).unwrap();
    // Class 11 validates after its fetch; the others ask one server.
    let number = if when == When::AwaitingDnskey { 11 } else { 0 };
    let never_asked = StreamKey {
        connection: weir_resolver::key::ConnectionId(0),
        stream: 99,
    };
    if when == When::BeforeTheQueryIsWhole {
        end_stream(&mut scope, never_asked, how);
        if who != Who::Nobody {
            let _refused_or_waiting = scope.ask(1, 16).unwrap();
        }
        return scope.end().unwrap();
    }
    let stream = scope.ask(0, number).unwrap();
    let other = match who {
        Who::Nobody => None,
        Who::SameQuestionSameConnection => Some(scope.ask(0, number).unwrap()),
        Who::SameQuestionOtherConnection => Some(scope.ask(1, number).unwrap()),
        Who::OtherQuestionSameConnection => Some(scope.ask(0, 16).unwrap()),
    };
    match when {
        When::BeforeTheQueryIsWhole | When::AwaitingFetch => {}
        // The close comes in the same tick as the question.
        When::BeforeTheFirstFetch => scope.handle(Event::Resume).unwrap(),
        When::AwaitingDnskey | When::AnswerQueued => assert!(scope.reply(0).unwrap()),
        When::InTheTurnThatAnswers => {
            end_stream(&mut scope, stream, how);
            scope.reply(0).unwrap();
            scope.close_stream(stream, CloseCause::WriteFailed).unwrap();
        }
        When::WhileJostled => {
            scope.jostle().unwrap();
            scope.jostle().unwrap();
        }
        When::StaleFires => assert!(scope.pass().unwrap()),
        When::DuringReplace => scope.swap().unwrap(),
    }
    if when != When::InTheTurnThatAnswers {
        end_stream(&mut scope, stream, how);
    }
    if let Some(other) = other {
        let lives = how == How::Reset || how == How::Drain || other.connection.0 == 1;
        let open =
            scope.model.waiting.contains_key(&other) || scope.model.answering.contains(&other);
        assert_eq!(open, lives, "{how:?} {when:?} {who:?}: the other stream");
    }
    scope.end().unwrap();
}

#[test]
fn every_way_a_stream_can_end_at_every_moment_beside_anybody() {
    let mut cases = 0;
    for how in HOW {
        for when in WHEN {
            for who in WHO {
                case(how, when, who);
                cases += 1;
            }
        }
    }
    assert_eq!(cases, 252);
}
