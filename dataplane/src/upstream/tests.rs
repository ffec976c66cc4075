//! Queries are sent at the end of a turn, and only those that are still wanted.

use std::future::poll_fn;
use std::task::Poll;

use tokio::net::UdpSocket;
use tokio::task::LocalSet;

use super::*;

const LONG: Duration = Duration::from_secs(5);

fn id(number: u16) -> FetchId {
    FetchId::from_number(1 << 32 | u64::from(number)).unwrap()
}

/// A query with this number as identifier.
fn fetch(fetch: FetchId, number: u16, server: SocketAddr) -> Fetch {
    let mut message = b"\0\0\0\0\0\x01\0\0\0\0\0\0\x01n\0\0\x01\0\x01".to_vec();
    message[..2].copy_from_slice(&number.to_be_bytes());
    Fetch {
        fetch,
        server,
        transport: Transport::Udp,
        message: message.into(),
        timeout: LONG,
    }
}

async fn turn(upstream: &mut Upstream) {
    poll_fn(|context| {
        upstream.poll(context);
        Poll::Ready(())
    })
    .await;
}

/// The identifiers of all queries that arrive until a fifth of a second passes without one.
async fn arrivals(server: &UdpSocket) -> Vec<u16> {
    let (mut numbers, mut datagram) = (Vec::new(), [0; 512]);
    while let Ok(received) = tokio::time::timeout(LONG / 25, server.recv_from(&mut datagram)).await
    {
        received.unwrap();
        numbers.push(u16::from_be_bytes([datagram[0], datagram[1]]));
    }
    numbers.sort_unstable();
    numbers
}

async fn play(turns: impl AsyncFnOnce(&mut Upstream, SocketAddr)) -> (Vec<u16>, usize, u64) {
    let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = server.local_addr().unwrap();
    let metrics = Arc::<WorkerMetrics>::default();
    let tls = Arc::new(crate::tls::client(rustls::RootCertStore::empty()).unwrap());
    LocalSet::new()
        .run_until(async {
            let mut upstream = Upstream::new(Rc::default(), Arc::clone(&metrics), tls);
            turns(&mut upstream, address).await;
            let arrived = arrivals(&server).await;
            let cancelled = metrics.upstream_queries.get(0, CANCELLED);
            (arrived, upstream.open(), cancelled)
        })
        .await
}

#[tokio::test]
async fn queries_leave_at_the_end_of_the_turn() {
    let (arrived, open, cancelled) = play(async |upstream, server| {
        upstream.send(fetch(id(1), 1, server));
        upstream.send(fetch(id(2), 2, server));
        assert_eq!(upstream.open(), 2);
        turn(upstream).await;
        upstream.send(fetch(id(3), 3, server));
    })
    .await;
    assert_eq!((arrived, open, cancelled), (vec![1, 2], 3, 0));
}

#[tokio::test]
async fn what_is_cancelled_in_its_turn_never_leaves() {
    let (arrived, open, cancelled) = play(async |upstream, server| {
        upstream.send(fetch(id(1), 1, server));
        upstream.send(fetch(id(2), 2, server));
        upstream.cancel(id(1));
        turn(upstream).await;
    })
    .await;
    assert_eq!((arrived, open, cancelled), (vec![2], 1, 1));
}

#[tokio::test]
async fn a_lost_mesh_takes_its_queries_along() {
    let (arrived, open, cancelled) = play(async |upstream, server| {
        upstream.send(fetch(id(1), 1, server));
        upstream.cancel_all();
        // The mesh after it uses the same number.
        upstream.send(fetch(id(1), 2, server));
        turn(upstream).await;
    })
    .await;
    assert_eq!((arrived, open, cancelled), (vec![2], 1, 1));
}
