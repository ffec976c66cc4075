//! One case of the matrix: a stream, how it ends, and who waits beside it.
//!
//! Knows nothing of the other cases. When its moment has come is told by the world.

use std::fmt;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::time::sleep;
use weir_tests::bench::load::query;
use weir_tests::held_upstream::{HeldUpstream, ZONE};
use weir_tests::raw_h2::{
    END_HEADERS, END_STREAM, End, RawConnection, Response, frame, frame_type, get_headers,
    post_headers,
};
use weir_tests::stream_ends::{How, When, Who};

use crate::answer::{Code, PATIENCE, assert_answered, is_over};

/// The stream that ends, and the one beside it on the same connection.
const SUBJECT: u32 = 1;
const COMPANION: u32 = 3;
/// RFC 9113, 7.
const CANCEL: [u8; 4] = [0, 0, 0, 8];
/// SETTINGS_INITIAL_WINDOW_SIZE.
const INITIAL_WINDOW: u16 = 4;
/// More than `idleTimeout`, and the look at the clocks after it.
const IDLE: Duration = Duration::from_millis(2300);
/// When a stale answer is given.
pub(crate) const STALE: Duration = Duration::from_millis(600);

/// Where a case is played: at a moment, against a data plane.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) when: When,
    pub(crate) address: SocketAddr,
}

/// A stream that is to end, and whoever waits beside it.
pub(crate) struct Case {
    pub(crate) how: How,
    when: When,
    who: Who,
    name: String,
    other_name: String,
    /// Gone once its client has left.
    subject: Option<RawConnection>,
    other: Option<RawConnection>,
    pub(crate) asked: Instant,
}

impl fmt::Display for Case {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:?} {:?} {:?}", self.how, self.when, self.who)
    }
}

/// A question on a stream, in one frame.
pub(crate) fn get(stream: u32, name: &str) -> Vec<u8> {
    let flags = END_STREAM | END_HEADERS;
    frame(frame_type::HEADERS, flags, stream, &get_headers(name))
}

fn window_update(stream: u32) -> Vec<u8> {
    frame(frame_type::WINDOW_UPDATE, 0, stream, &[0, 0, 0xff, 0xff])
}

impl Case {
    pub(crate) async fn open(place: Place, number: usize, how: How, who: Who) -> Self {
        // A window of nothing: the head of an answer comes, its body stays in the server.
        let settings: &[(u16, u32)] = match place.when {
            When::AnswerQueued => &[(INITIAL_WINDOW, 0)],
            _ => &[],
        };
        let address = place.address;
        let name = format!("case{number}.{ZONE}");
        let other_name = match who {
            Who::OtherQuestionSameConnection => format!("other{number}.{ZONE}"),
            _ => name.clone(),
        };
        let other = match who {
            Who::SameQuestionOtherConnection => {
                Some(RawConnection::open(address, &[]).await.unwrap())
            }
            _ => None,
        };
        Self {
            how,
            when: place.when,
            who,
            name,
            other_name,
            subject: Some(RawConnection::open(address, settings).await.unwrap()),
            other,
            asked: Instant::now(),
        }
    }

    /// Asks, and waits for what shows that the moment has come, unless the upstream shows it.
    pub(crate) async fn ask(&mut self) {
        // There, question and end go out together.
        if self.when == When::BeforeTheFirstFetch {
            return;
        }
        self.asked = Instant::now();
        self.send_questions().await;
        if self.when == When::AnswerQueued {
            let subject = self.subject.as_mut().unwrap();
            let headed = |response: &Response| response.ok.is_some();
            subject.response(SUBJECT, PATIENCE, headed).await.unwrap();
        }
    }

    async fn send_questions(&mut self) {
        let mut first = if self.when == When::BeforeTheQueryIsWhole {
            let (half, _) = self.halves();
            let head = post_headers();
            let mut octets = frame(frame_type::HEADERS, END_HEADERS, SUBJECT, &head);
            octets.extend(frame(frame_type::DATA, 0, SUBJECT, &half));
            octets
        } else {
            get(SUBJECT, &self.name)
        };
        if self.companion_beside() {
            first.extend(get(COMPANION, &self.other_name));
            if self.when == When::AnswerQueued {
                first.extend(window_update(COMPANION));
            }
        }
        self.subject.as_mut().unwrap().send(&first).await.unwrap();
        if let Some(other) = &mut self.other {
            other.send(&get(1, &self.other_name)).await.unwrap();
        }
    }

    fn companion_beside(&self) -> bool {
        let who = self.who;
        who == Who::SameQuestionSameConnection || who == Who::OtherQuestionSameConnection
    }

    /// The query in two halves.
    fn halves(&self) -> (Vec<u8>, Vec<u8>) {
        let mut half = query(&self.name);
        let rest = half.split_off(half.len() / 2);
        (half, rest)
    }

    fn rest(&self) -> Vec<u8> {
        let (_, rest) = self.halves();
        frame(frame_type::DATA, END_STREAM, SUBJECT, &rest)
    }

    /// Whether all of this case that is whole waits for the upstream.
    pub(crate) fn is_held(&self, upstream: &HeldUpstream) -> bool {
        let subject = self.when == When::BeforeTheQueryIsWhole || upstream.held(&self.name) > 0;
        let companion = self.who == Who::Nobody || upstream.held(&self.other_name) > 0;
        subject && companion
    }

    /// Ends the stream, in its way, at its moment.
    pub(crate) async fn end(&mut self, upstream: &HeldUpstream) {
        match self.when {
            When::BeforeTheFirstFetch => self.send_questions().await,
            When::InTheTurnThatAnswers => upstream.release(&self.name).await,
            When::StaleFires => {
                sleep((self.asked + STALE).saturating_duration_since(Instant::now())).await
            }
            _ => {}
        }
        let mut subject = self.subject.take().unwrap();
        match self.how {
            How::Reset => {
                let reset = frame(frame_type::RST_STREAM, 0, SUBJECT, &CANCEL);
                subject.send(&reset).await.unwrap();
            }
            How::EndThenClose => {
                if self.when == When::BeforeTheQueryIsWhole {
                    subject.send(&self.rest()).await.unwrap();
                }
                return drop(subject);
            }
            How::GoAway => {
                let goaway = frame(frame_type::GOAWAY, 0, 0, &[0; 8]);
                subject.send(&goaway).await.unwrap();
            }
            How::TlsClose => return subject.close_notify().await.unwrap(),
            How::TcpReset => return subject.abort().unwrap(),
            How::IdleTimeout => sleep(IDLE).await,
            How::Drain => {}
        }
        self.subject = Some(subject);
    }

    /// Who still can be answered is.
    pub(crate) async fn settle(&mut self) {
        let text = self.to_string();
        // A mesh that drains takes no new question; whoever waits in a full one may have to yield.
        let drains = self.how == How::Drain;
        let late = drains && self.when == When::BeforeTheFirstFetch;
        let expected = match self.when {
            When::WhileJostled if drains => Code::Any,
            When::WhileJostled => Code::Servfail,
            _ if late => Code::Any,
            _ => Code::Noerror,
        };
        if let Some(other) = &mut self.other {
            let answer = other.response(1, PATIENCE, is_over).await;
            assert_answered(&answer.unwrap(), expected, &text);
        }
        let beside = self.companion_beside();
        let rest = self.rest();
        let Some(subject) = &mut self.subject else {
            return;
        };
        if beside {
            let answer = subject.response(COMPANION, PATIENCE, is_over).await;
            let answer = answer.unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_answered(&answer, expected, &text);
        }
        match (self.how, self.when) {
            (How::Reset, _) => return,
            (How::IdleTimeout, When::BeforeTheQueryIsWhole | When::AnswerQueued) => {
                let seen = subject.response(SUBJECT, PATIENCE, is_over).await.unwrap();
                let cut = seen.reset.is_some() || seen.ok == Some(false);
                assert!(cut, "{text}: {seen:?}");
            }
            (_, when) => {
                let mut expected = expected;
                match when {
                    When::BeforeTheQueryIsWhole => {
                        subject.send(&rest).await.unwrap();
                        if drains {
                            expected = Code::Any;
                        }
                    }
                    When::AnswerQueued => subject.send(&window_update(SUBJECT)).await.unwrap(),
                    _ => {}
                }
                let answer = subject.response(SUBJECT, PATIENCE, is_over).await;
                let answer = answer.unwrap_or_else(|error| panic!("{text}: {error}"));
                assert_answered(&answer, expected, &text);
            }
        }
        if self.how == How::IdleTimeout {
            let end = subject.end(PATIENCE).await;
            assert!(
                matches!(end, End::Goaway(0) | End::Closed),
                "{text}: {end:?}"
            );
        }
    }
}
