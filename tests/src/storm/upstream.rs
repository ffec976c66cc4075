//! The forwarders behind a storm: slow, lossy, repeating themselves, and sometimes answering to nobody's question.
//!
//! Runs on a thread of its own, so that the clients' work does not delay it. Talks to loopback alone.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::net::UdpSocket;

use crate::edge::{name_begins, reply};
use crate::simulate::seed::Draw;

/// How names begin that are asked before a storm, until the cache is full.
pub const FILLING: &str = "fill";

/// Forwarders that run until they are dropped.
#[derive(Debug)]
pub struct Upstreams {
    /// Where they listen.
    pub addresses: Vec<SocketAddr>,
    queries: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Upstreams {
    /// Starts so many.
    ///
    /// # Errors
    /// When no port or thread is free.
    pub fn start(number: usize, seed: u64) -> io::Result<Self> {
        let mut sockets = Vec::new();
        let mut addresses = Vec::new();
        for _ in 0..number {
            let socket = std::net::UdpSocket::bind("127.0.0.1:0")?;
            socket.set_nonblocking(true)?;
            addresses.push(socket.local_addr()?);
            sockets.push(socket);
        }
        let (queries, stop) = (Arc::<AtomicU64>::default(), Arc::<AtomicBool>::default());
        let (counted, stopped) = (Arc::clone(&queries), Arc::clone(&stop));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let thread = std::thread::Builder::new()
            .name("upstreams".to_owned())
            .spawn(move || {
                tokio::task::LocalSet::new().block_on(&runtime, async move {
                    for (socket, seed) in sockets.into_iter().zip(seed..) {
                        let Ok(socket) = UdpSocket::from_std(socket) else {
                            return;
                        };
                        let serving = serve(Rc::new(socket), Draw::new(seed), Arc::clone(&counted));
                        tokio::task::spawn_local(serving);
                    }
                    while !stopped.load(Ordering::Relaxed) {
                        tokio::time::sleep(Duration::from_millis(50)).await;
                    }
                });
            })?;
        Ok(Self {
            addresses,
            queries,
            stop,
            thread: Some(thread),
        })
    }

    /// Queries that came so far.
    #[must_use]
    pub fn queries(&self) -> u64 {
        self.queries.load(Ordering::Relaxed)
    }
}

impl Drop for Upstreams {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn serve(socket: Rc<UdpSocket>, mut draw: Draw, queries: Arc<AtomicU64>) {
    let mut buffer = [0; 1500];
    loop {
        // An error here is that of an earlier answer whose socket is gone.
        let Ok((length, client)) = socket.recv_from(&mut buffer).await else {
            continue;
        };
        queries.fetch_add(1, Ordering::Relaxed);
        let Some(mut message) = buffer.get(..length).and_then(reply) else {
            continue;
        };
        if name_begins(&message, FILLING) {
            // It only fills the cache: nothing goes wrong.
            let _ = socket.send_to(&message, client).await;
            continue;
        }
        let fate = draw.below(100);
        let delay = if fate < 20 {
            draw.below(80)
        } else {
            draw.below(20)
        };
        if fate < 10 {
            continue;
        }
        if fate < 13
            && let Some(start) = message.first_mut()
        {
            // A forger that does not know the identifier.
            *start ^= 0x55;
        }
        let socket = Rc::clone(&socket);
        tokio::task::spawn_local(async move {
            tokio::time::sleep(Duration::from_millis(delay)).await;
            let _ = socket.send_to(&message, client).await;
            if fate >= 97 {
                let _ = socket.send_to(&message, client).await;
            }
        });
    }
}
