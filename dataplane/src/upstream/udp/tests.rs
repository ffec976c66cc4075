//! Ports toward a server on loopback that the test plays.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::future::poll_fn;

use tokio::net::UdpSocket;
use tokio::task::LocalSet;
use weir_resolver::fetch::Transport;

use super::*;

/// What was told.
#[derive(Default)]
struct Ends {
    ends: RefCell<BTreeMap<FetchId, Result<Bytes, FetchFailure>>>,
    strays: std::cell::Cell<u32>,
}

impl Told for Ends {
    fn replied(&self, fetch: FetchId, reply: Bytes, _: Duration) {
        assert!(self.ends.borrow_mut().insert(fetch, Ok(reply)).is_none());
    }

    fn failed(&self, fetch: FetchId, failure: FetchFailure) {
        let before = self.ends.borrow_mut().insert(fetch, Err(failure));
        assert!(before.is_none());
    }

    fn stray(&self) {
        self.strays.set(self.strays.get() + 1);
    }
}

struct World {
    ends: Rc<Ends>,
    ports: Ports,
    open: BTreeMap<FetchId, Exchange>,
}

impl World {
    fn new() -> Self {
        let ends = Rc::<Ends>::default();
        let told: Rc<dyn Told> = Rc::<Ends>::clone(&ends);
        let (ports, open) = (Ports::new(told), BTreeMap::new());
        Self { ends, ports, open }
    }

    /// Sends a query with this number as identifier and name.
    fn send(&mut self, number: u16, server: SocketAddr, timeout: Duration) {
        let fetch = Fetch {
            fetch: id(number),
            server,
            transport: Transport::Udp,
            message: query(number),
            timeout,
        };
        let exchange = self.ports.send(&fetch, Instant::now()).unwrap();
        self.open.insert(id(number), exchange);
    }

    /// Waits until so many ends were told, at most five seconds.
    async fn ends(&mut self, count: usize) {
        let ends = Rc::clone(&self.ends);
        let waiting = poll_fn(|context| {
            self.ports.poll(context);
            if ends.ends.borrow().len() >= count {
                return Poll::Ready(());
            }
            // The driver is woken by its inbox; a test looks again.
            context.waker().wake_by_ref();
            Poll::Pending
        });
        let in_time = tokio::time::timeout(Duration::from_secs(5), waiting).await;
        assert!(
            in_time.is_ok(),
            "{} of {count} ended",
            ends.ends.borrow().len()
        );
    }

    fn end(&self, number: u16) -> Option<Result<Bytes, FetchFailure>> {
        self.ends.ends.borrow().get(&id(number)).cloned()
    }
}

fn id(number: u16) -> FetchId {
    FetchId::from_number(1 << 32 | u64::from(number)).unwrap()
}

fn query(number: u16) -> Bytes {
    let mut query = b"\0\0\0\0\0\x01\0\0\0\0\0\0\x06n00000\0\0\x01\0\x01".to_vec();
    query[..2].copy_from_slice(&number.to_be_bytes());
    query[14..19].copy_from_slice(format!("{number:05}").as_bytes());
    query.into()
}

fn reply(query: &[u8]) -> Vec<u8> {
    let mut reply = query.to_vec();
    reply[2] |= 0x80;
    reply
}

const LONG: Duration = Duration::from_secs(5);

async fn server() -> (UdpSocket, SocketAddr) {
    let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = server.local_addr().unwrap();
    (server, address)
}

async fn receive(server: &UdpSocket) -> (Vec<u8>, SocketAddr) {
    let mut buffer = [0; 512];
    let (length, client) = server.recv_from(&mut buffer).await.unwrap();
    (buffer[..length].to_vec(), client)
}

#[tokio::test]
async fn strays_do_not_end_an_exchange() {
    let (server, address) = server().await;
    let play = async {
        let mut world = World::new();
        world.send(1, address, LONG);
        let (asked, client) = receive(&server).await;
        assert_eq!(asked, query(1));
        for stray in [&b"x"[..], &asked, &reply(&asked)[..12], &reply(&query(2))] {
            server.send_to(stray, client).await.unwrap();
        }
        let other = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        other.send_to(&reply(&asked), client).await.unwrap();
        server.send_to(&reply(&asked), client).await.unwrap();
        world.ends(1).await;
        assert_eq!(world.end(1).unwrap().unwrap(), reply(&asked));
        assert_eq!(world.ends.strays.get(), 4);
    };
    LocalSet::new().run_until(play).await;
}

#[tokio::test]
async fn ports_are_shared_and_retired_and_replies_find_their_queries() {
    let (server, address) = server().await;
    let play = async {
        let mut world = World::new();
        let count = u16::try_from(QUERIES_PER_PORT * 8).unwrap();
        let mut asked = Vec::new();
        for number in 0..count {
            world.send(number, address, LONG);
            asked.push(receive(&server).await);
        }
        let mut by_port = BTreeMap::<u16, u32>::new();
        for (_, client) in &asked {
            *by_port.entry(client.port()).or_default() += 1;
        }
        assert!(by_port.values().all(|&queries| queries <= QUERIES_PER_PORT));
        assert!(
            by_port.len() >= 8 && by_port.len() < 8 + PORTS_PER_SERVER,
            "{by_port:?}"
        );
        // The last asked is answered first.
        for (message, client) in asked.iter().rev() {
            server.send_to(&reply(message), client).await.unwrap();
        }
        world.ends(count.into()).await;
        for number in 0..count {
            assert_eq!(world.end(number).unwrap().unwrap(), reply(&query(number)));
        }
        for (fetch, exchange) in core::mem::take(&mut world.open) {
            world.ports.forget(fetch, &exchange);
        }
        assert!(world.ports.deadlines.is_empty());
        assert_eq!(world.ends.strays.get(), 0);
    };
    LocalSet::new().run_until(play).await;
}

#[tokio::test]
async fn an_old_port_takes_no_query() {
    let (server, address) = server().await;
    let play = async {
        let mut world = World::new();
        let mut ports = BTreeSet::new();
        for number in 0..8 {
            world.send(number, address, LONG);
            ports.insert(receive(&server).await.1.port());
        }
        let kept = world.ports.kept.len();
        assert!(kept <= PORTS_PER_SERVER && kept == ports.len());
        tokio::time::sleep(PORT_AGE_MAX).await;
        poll_fn(|context| {
            world.ports.poll(context);
            Poll::Ready(())
        })
        .await;
        assert!(world.ports.kept.is_empty() && world.ports.servers.is_empty());
        world.send(8, address, LONG);
        let (late, client) = receive(&server).await;
        assert!(!ports.contains(&client.port()));
        // An old port still hears what it asked for.
        server.send_to(&reply(&late), client).await.unwrap();
        world.ends(1).await;
        assert_eq!(world.end(8).unwrap().unwrap(), reply(&late));
    };
    LocalSet::new().run_until(play).await;
}

#[tokio::test]
async fn silence_is_a_timeout_and_a_closed_port_is_not() {
    let (server, address) = server().await;
    let play = async {
        let mut world = World::new();
        world.send(1, address, Duration::from_millis(20));
        world.ends(1).await;
        assert_eq!(world.end(1), Some(Err(FetchFailure::Timeout)));
        drop(server);
        world.send(2, address, LONG);
        world.ends(2).await;
        assert_eq!(world.end(2), Some(Err(FetchFailure::Unreachable)));
        // A port that heard so takes no other query.
        world.send(3, address, LONG);
        world.ends(3).await;
        assert_eq!(world.end(3), Some(Err(FetchFailure::Unreachable)));
    };
    LocalSet::new().run_until(play).await;
}

#[tokio::test]
async fn a_reply_spelled_otherwise_is_told_from_silence() {
    let (server, address) = server().await;
    let play = async {
        let mut world = World::new();
        world.send(1, address, Duration::from_millis(200));
        world.send(2, address, Duration::from_millis(200));
        for _ in 0..2 {
            let (asked, client) = receive(&server).await;
            if asked == query(1) {
                let mut other = reply(&asked);
                other[13].make_ascii_uppercase();
                server.send_to(&other, client).await.unwrap();
            }
        }
        world.ends(2).await;
        assert_eq!(world.end(1), Some(Err(FetchFailure::CaseLost)));
        assert_eq!(world.end(2), Some(Err(FetchFailure::Timeout)));
        assert_eq!(world.ends.strays.get(), 1);
    };
    LocalSet::new().run_until(play).await;
}

#[tokio::test]
async fn a_cancelled_exchange_is_not_told_and_spares_its_port() {
    let (server, address) = server().await;
    let play = async {
        let mut world = World::new();
        for number in 0..2 * u16::try_from(PORTS_PER_SERVER).unwrap() {
            world.send(number, address, Duration::from_millis(300));
        }
        let exchange = world.open.remove(&id(1)).unwrap();
        world.ports.cancel(id(1), &exchange);
        drop(exchange);
        let others = world.open.len();
        for _ in 0..=others {
            let (asked, client) = receive(&server).await;
            server.send_to(&reply(&asked), client).await.unwrap();
        }
        world.ends(others).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert_eq!(world.end(1), None);
        assert!(world.ends.strays.get() <= 1);
        assert!(world.ends.ends.borrow().values().all(Result::is_ok));
    };
    LocalSet::new().run_until(play).await;
}
