//! Asks the three resolvers and holds their answers against each other.
//!
//! Owns the clients and what counts as the same: response code, AD, and the answer section without RRSIG and
//! TTLs. Where Unbound and BIND agree, Weir should.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use weir_resolver::rrset::RecordType;

use crate::bench::load;
use crate::internet::misbehave::{read, write};
use crate::internet::questions::Question;
use crate::internet::resolvers::{BIND, UNBOUND, WEIR};
use crate::replay::message::Message;

/// How long a client waits.
const PATIENCE: Duration = Duration::from_secs(20);
/// From the last question to the second round: longer than Weir remembers a failure, and a server that timed out.
const AFTER_FAILURES: Duration = Duration::from_secs(35);
/// Clients that ask at the same time.
const CLIENTS: usize = 64;

/// What counts of one answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gist {
    rcode: u16,
    authentic: bool,
    records: BTreeSet<(Vec<u8>, u16, Vec<u8>)>,
    errors: Vec<u16>,
}

impl Gist {
    fn of(message: &Message) -> Self {
        let records = message.answer.iter().map(|record| {
            let record = record.canonical();
            (record.owner, record.record_type.0, record.data)
        });
        let data = message.opt.as_ref().map_or(&[][..], |opt| &opt.data);
        Self {
            rcode: message.rcode,
            authentic: message.flags & 0x20 != 0,
            records: records
                .filter(|(_, record_type, _)| *record_type != RecordType::RRSIG.0)
                .collect(),
            errors: errors(data),
        }
    }

    fn same(&self, other: &Self) -> bool {
        self.rcode == other.rcode
            && self.authentic == other.authentic
            && self.records == other.records
    }
}

/// The codes of extended errors among EDNS options (RFC 8914).
fn errors(mut data: &[u8]) -> Vec<u16> {
    let mut codes = Vec::new();
    while let [code_high, code_low, high, low, rest @ ..] = data {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        let Some((value, after)) = rest.split_at_checked(length) else {
            break;
        };
        if let ([0, 15], [first, second, ..]) = ([*code_high, *code_low], value) {
            codes.push(u16::from_be_bytes([*first, *second]));
        }
        data = after;
    }
    codes
}

impl fmt::Display for Gist {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rcode {}", self.rcode)?;
        if self.authentic {
            f.write_str(" AD")?;
        }
        for (owner, record_type, data) in &self.records {
            let owner = String::from_utf8_lossy(owner);
            let owner: String = owner
                .chars()
                .map(|c| if c.is_ascii_graphic() { c } else { '.' })
                .collect();
            let kind = RecordType(*record_type);
            write!(f, " [{owner} {kind} {} octets]", data.len())?;
        }
        if !self.errors.is_empty() {
            write!(f, " errors {:?}", self.errors)?;
        }
        Ok(())
    }
}

/// A question on which the resolvers differ.
#[derive(Clone, Debug)]
pub struct Difference {
    /// The question.
    pub question: Question,
    /// What Weir, Unbound and BIND said; none for no answer.
    pub said: [Option<Gist>; 3],
    /// Whether Weir still differs when all are asked again at the end, past the time of remembered failures.
    pub lasting: bool,
}

/// What a run came to.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Questions asked.
    pub asked: usize,
    /// Questions on which Unbound and BIND agree.
    pub agreed: usize,
    /// Of these, those on which Weir differs.
    pub differences: Vec<Difference>,
    /// Questions on which Unbound and BIND differ, with whom Weir is: nobody, Unbound, BIND.
    pub sides: [usize; 3],
    /// How often which response code came from Weir; `None` is no answer.
    pub codes: BTreeMap<Option<u16>, usize>,
    /// Answers of Weir with AD.
    pub authentic: usize,
}

/// One client of all three.
struct Client {
    weir: load::Sender,
    streams: [Option<TcpStream>; 2],
}

impl Client {
    async fn open() -> io::Result<Self> {
        Ok(Self {
            weir: load::connect(WEIR, load::trusting_client(true)).await?,
            streams: [None, None],
        })
    }

    async fn ask(&mut self, question: &Question) -> [Option<Gist>; 3] {
        let query = question.query(0);
        let weir =
            tokio::time::timeout(PATIENCE, load::ask_message(&self.weir, WEIR, &query)).await;
        let weir = match weir {
            Ok(Ok((200, message))) => Message::parse(&message).as_ref().map(Gist::of),
            Ok(Err(_)) => {
                if let Ok(fresh) = load::connect(WEIR, load::trusting_client(true)).await {
                    self.weir = fresh;
                }
                None
            }
            _ => None,
        };
        let unbound = self.ask_over_tcp(0, &query).await;
        let bind = self.ask_over_tcp(1, &query).await;
        [weir, unbound, bind]
    }

    async fn ask_over_tcp(&mut self, which: usize, query: &[u8]) -> Option<Gist> {
        // A server may end a stream that rested; a new one is tried once.
        for _ in 0..2 {
            let asked = tokio::time::timeout(PATIENCE, self.exchange(which, query)).await;
            match asked {
                Ok(Ok(message)) => return Message::parse(&message).as_ref().map(Gist::of),
                Ok(Err(_)) => self.streams[which] = None,
                Err(_) => {
                    self.streams[which] = None;
                    return None;
                }
            }
        }
        None
    }

    async fn exchange(&mut self, which: usize, query: &[u8]) -> io::Result<Vec<u8>> {
        let mut stream = match self.streams[which].take() {
            Some(stream) => stream,
            None => TcpStream::connect([UNBOUND, BIND][which]).await?,
        };
        write(&mut stream, query).await?;
        let message = read(&mut stream).await?;
        self.streams[which] = Some(stream);
        Ok(message)
    }
}

fn agree(one: Option<&Gist>, other: Option<&Gist>) -> bool {
    matches!((one, other), (Some(one), Some(other)) if one.same(other))
}

/// Asks all questions; to be run on a local set.
///
/// # Errors
/// When Weir cannot be reached.
pub async fn run(questions: Vec<Question>) -> io::Result<Outcome> {
    let outcome = Rc::new(RefCell::new(Outcome::default()));
    let questions = Arc::new(questions);
    let mut clients = Vec::new();
    for first in 0..CLIENTS {
        let mut client = Client::open().await?;
        let (questions, outcome) = (Arc::clone(&questions), Rc::clone(&outcome));
        clients.push(tokio::task::spawn_local(async move {
            for question in questions.iter().skip(first).step_by(CLIENTS) {
                let said = client.ask(question).await;
                let [weir, unbound, bind] = said.each_ref().map(Option::as_ref);
                let (agreed, with) = (
                    agree(unbound, bind),
                    [agree(weir, unbound), agree(weir, bind)],
                );
                outcome.borrow_mut().count(question, said, agreed, with);
            }
        }));
    }
    for client in clients {
        client.await.map_err(io::Error::other)?;
    }
    let mut outcome = outcome.take();
    if !outcome.differences.is_empty() {
        tokio::time::sleep(AFTER_FAILURES).await;
    }
    let mut client = Client::open().await?;
    for difference in &mut outcome.differences {
        let [weir, unbound, bind] = client.ask(&difference.question).await;
        difference.lasting =
            agree(unbound.as_ref(), bind.as_ref()) && !agree(weir.as_ref(), unbound.as_ref());
    }
    Ok(outcome)
}

impl Outcome {
    fn count(
        &mut self,
        question: &Question,
        said: [Option<Gist>; 3],
        agreed: bool,
        with: [bool; 2],
    ) {
        self.asked += 1;
        let weir = said[0].as_ref();
        *self.codes.entry(weir.map(|gist| gist.rcode)).or_default() += 1;
        self.authentic += usize::from(weir.is_some_and(|gist| gist.authentic));
        if agreed {
            self.agreed += 1;
            if !with[0] {
                self.differences.push(Difference {
                    question: question.clone(),
                    said,
                    lasting: false,
                });
            }
        } else {
            let side = if with[0] { 1 } else { usize::from(with[1]) * 2 };
            self.sides[side] += 1;
        }
    }
}
