//! A DNS server on loopback that answers when it is told to, so that a test can stop a question at any moment.
//!
//! Owns which queries are held; answers A questions with 192.0.2.1, signed below [`ZONE`] when it has a key
//! (RFC 4034), and that zone's DNSKEY. Listens on several addresses, as a resolver that is asked twice in vain by each
//! would be given up soon; never on one that is not of the loopback.

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{SystemTime, UNIX_EPOCH};

use data_encoding::HEXUPPER;
use hickory_proto::dnssec::crypto::{Digest, Ed25519SigningKey};
use hickory_proto::dnssec::{DigestType, PublicKey as _, SigningKey as _, TBS};
use tokio::net::UdpSocket;

/// The zone that is signed.
pub const ZONE: &str = "harbour.example";
const A: u16 = 1;
const RRSIG: u16 = 46;
const DNSKEY: u16 = 48;
const DAY: u32 = 86_400;
/// 127.0.0.1 and its neighbours.
const ADDRESSES: u8 = 16;

/// Which queries are not answered yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// None: all are answered at once.
    Nothing,
    /// Those for a DNSKEY.
    Dnskeys,
    /// All.
    Everything,
}

/// The server, answering on the current local set.
#[derive(Clone, Debug)]
pub struct HeldUpstream {
    /// Where it listens: several addresses with one port.
    pub addresses: Vec<SocketAddr>,
    books: Rc<RefCell<Books>>,
    key: Option<Rc<SignedZone>>,
    ttl: u32,
}

#[derive(Debug)]
struct Books {
    hold: Hold,
    held: Vec<Held>,
}

/// A query that waits: its name and octets, who asked, and where.
#[derive(Debug)]
struct Held {
    name: String,
    query: Vec<u8>,
    client: SocketAddr,
    socket: Rc<UdpSocket>,
}

impl HeldUpstream {
    /// Starts it, holding nothing; what it answers lives for `ttl` seconds.
    ///
    /// # Errors
    /// When there is no port, or no key can be made.
    pub async fn start(ttl: u32, signed: bool) -> io::Result<Self> {
        let mut sockets = vec![Rc::new(UdpSocket::bind("127.0.0.1:0").await?)];
        let port = sockets[0].local_addr()?.port();
        for last in 2..=ADDRESSES {
            let address = SocketAddr::from(([127, 0, 0, last], port));
            sockets.push(Rc::new(UdpSocket::bind(address).await?));
        }
        let addresses: io::Result<_> = sockets.iter().map(|socket| socket.local_addr()).collect();
        let upstream = Self {
            addresses: addresses?,
            books: Rc::new(RefCell::new(Books {
                hold: Hold::Nothing,
                held: Vec::new(),
            })),
            key: signed.then(SignedZone::new).transpose()?.map(Rc::new),
            ttl,
        };
        for socket in sockets {
            let own = upstream.clone();
            tokio::task::spawn_local(async move {
                let mut buffer = [0; 1500];
                while let Ok((length, client)) = socket.recv_from(&mut buffer).await {
                    own.take(buffer.get(..length).unwrap_or_default(), client, &socket)
                        .await;
                }
            });
        }
        Ok(upstream)
    }

    /// From now on these queries wait.
    pub fn hold(&self, hold: Hold) {
        self.books.borrow_mut().hold = hold;
    }

    /// Queries for this name that wait.
    #[must_use]
    pub fn held(&self, name: &str) -> usize {
        let books = self.books.borrow();
        books.held.iter().filter(|held| held.name == name).count()
    }

    /// Answers what waits for this name.
    pub async fn release(&self, name: &str) {
        let held = std::mem::take(&mut self.books.borrow_mut().held);
        let (now, later) = held.into_iter().partition(|held| held.name == name);
        self.books.borrow_mut().held = later;
        self.answer(now).await;
    }

    /// Answers all that waits, and from now on at once.
    pub async fn release_all(&self) {
        self.hold(Hold::Nothing);
        let held = std::mem::take(&mut self.books.borrow_mut().held);
        self.answer(held).await;
    }

    /// The trust anchor of the signed zone as a DS record in text (RFC 4509); none when nothing is signed.
    #[must_use]
    pub fn trust_anchor(&self) -> Option<String> {
        let key = self.key.as_ref()?.dnskey();
        let digest = Digest::from_iter(
            [wire(ZONE), key.clone()].iter().map(Vec::as_slice),
            DigestType::SHA256,
        );
        let (tag, digest) = (weir_resolver::rdata::key_tag(&key), digest.ok()?);
        let digest = HEXUPPER.encode(digest.as_ref());
        Some(format!("{ZONE} DS {tag} 15 2 {digest}"))
    }

    async fn answer(&self, queries: Vec<Held>) {
        for held in queries {
            if let Some(reply) = self.reply(&held.query) {
                // Whoever asked may have given up.
                let _ = held.socket.send_to(&reply, held.client).await;
            }
        }
    }

    async fn take(&self, query: &[u8], client: SocketAddr, socket: &Rc<UdpSocket>) {
        let Some((name, _, record_type)) = question(query) else {
            return;
        };
        let hold = self.books.borrow().hold;
        let held = Held {
            name,
            query: query.to_vec(),
            client,
            socket: Rc::clone(socket),
        };
        if hold == Hold::Everything || hold == Hold::Dnskeys && record_type == DNSKEY {
            self.books.borrow_mut().held.push(held);
        } else {
            self.answer(vec![held]).await;
        }
    }

    fn reply(&self, query: &[u8]) -> Option<Vec<u8>> {
        let (name, end, record_type) = question(query)?;
        let records = match (&self.key, record_type) {
            (key, A) => {
                let rdata = [192, 0, 2, 1];
                let signature = key
                    .as_ref()
                    .and_then(|key| key.sign(&name, A, self.ttl, &rdata));
                vec![(A, rdata.to_vec())]
                    .into_iter()
                    .chain(signature.map(|rdata| (RRSIG, rdata)))
                    .collect()
            }
            (Some(key), DNSKEY) if name == ZONE => {
                let rdata = key.dnskey();
                let signature = key.sign(&name, DNSKEY, self.ttl, &rdata)?;
                vec![(DNSKEY, rdata), (RRSIG, signature)]
            }
            _ => Vec::new(),
        };
        let mut reply = query.get(..2)?.to_vec();
        let count = u8::try_from(records.len()).ok()?;
        reply.extend_from_slice(&[0x81, 0x80, 0, 1, 0, count, 0, 0, 0, 1]);
        reply.extend_from_slice(query.get(12..end)?);
        for (record_type, rdata) in records {
            reply.extend_from_slice(&[0xc0, 12]);
            reply.extend_from_slice(&head(record_type, self.ttl, &rdata)?);
            reply.extend_from_slice(&rdata);
        }
        // EDNS (RFC 6891, 6.1.2) with DO.
        reply.extend_from_slice(&[0, 0, 41, 0x04, 0xd0, 0, 0, 0x80, 0, 0, 0]);
        Some(reply)
    }
}

/// Type, class, TTL and length of a record.
fn head(record_type: u16, ttl: u32, rdata: &[u8]) -> Option<Vec<u8>> {
    let mut octets = record_type.to_be_bytes().to_vec();
    octets.extend_from_slice(&[0, 1]);
    octets.extend_from_slice(&ttl.to_be_bytes());
    octets.extend_from_slice(&u16::try_from(rdata.len()).ok()?.to_be_bytes());
    Some(octets)
}

/// The name in lower case, where the question ends, and the type.
fn question(query: &[u8]) -> Option<(String, usize, u16)> {
    let mut labels = Vec::new();
    let mut at = 12;
    while let Some(&length @ 1..) = query.get(at) {
        let label = query.get(at + 1..at + 1 + usize::from(length))?;
        labels.push(String::from_utf8_lossy(label).to_ascii_lowercase());
        at += usize::from(length) + 1;
    }
    let record_type = query.get(at + 1..at + 3)?.try_into().ok()?;
    Some((labels.join("."), at + 5, u16::from_be_bytes(record_type)))
}

fn wire(name: &str) -> Vec<u8> {
    let mut octets = Vec::new();
    for label in name.split('.') {
        octets.push(u8::try_from(label.len()).unwrap_or(63));
        octets.extend_from_slice(label.as_bytes());
    }
    octets.push(0);
    octets
}

/// A zone with one key that signs everything (RFC 8080).
struct SignedZone {
    key: Ed25519SigningKey,
    public: Vec<u8>,
}

impl std::fmt::Debug for SignedZone {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(ZONE)
    }
}

impl SignedZone {
    fn new() -> io::Result<Self> {
        let pair = Ed25519SigningKey::generate_pkcs8().map_err(io::Error::other)?;
        let key = Ed25519SigningKey::from_pkcs8(&pair).map_err(io::Error::other)?;
        let public = key.to_public_key().map_err(io::Error::other)?;
        Ok(Self {
            public: public.public_bytes().to_vec(),
            key,
        })
    }

    fn dnskey(&self) -> Vec<u8> {
        let mut rdata = vec![1, 1, 3, 15];
        rdata.extend_from_slice(&self.public);
        rdata
    }

    /// The RDATA of the signature over one record (RFC 4034, 3.1).
    fn sign(&self, name: &str, record_type: u16, ttl: u32, rdata: &[u8]) -> Option<Vec<u8>> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_secs();
        let now = u32::try_from(now).ok()?;
        let mut signature = record_type.to_be_bytes().to_vec();
        signature.extend_from_slice(&[15, u8::try_from(name.split('.').count()).ok()?]);
        signature.extend_from_slice(&ttl.to_be_bytes());
        signature.extend_from_slice(&(now + DAY).to_be_bytes());
        signature.extend_from_slice(&(now - DAY).to_be_bytes());
        let tag = weir_resolver::rdata::key_tag(&self.dnskey());
        signature.extend_from_slice(&tag.to_be_bytes());
        signature.extend_from_slice(&wire(ZONE));
        let mut octets = signature.clone();
        octets.extend_from_slice(&wire(name));
        octets.extend_from_slice(&head(record_type, ttl, rdata)?);
        octets.extend_from_slice(rdata);
        signature.extend_from_slice(&self.key.sign(&TBS::from(octets.as_slice())).ok()?);
        Some(signature)
    }
}
