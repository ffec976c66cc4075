//! Connections in numbers.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::net::TcpStream;
use weir_tests::edge::{GoodClient, connect_from};
use weir_tests::raw_h2::RawConnection;

use crate::{End, attack_on};

#[test]
fn connection_flood() {
    // From one address, some of them idle behind a handshake, most of them without one: three quarters of all
    // places at most, so that others are let in while it lasts.
    const PLACES: u32 = 64;
    let bounds = json!({ "maxConnections": PLACES });
    let end = attack_on(&bounds, 2, |scene| async move {
        let (address, attacker) = (scene.edge.address(), Ipv4Addr::new(127, 0, 0, 66));
        let mut shaken = Vec::new();
        for _ in 0..PLACES / 2 {
            shaken.push(
                RawConnection::open_from(attacker, address, &[])
                    .await
                    .unwrap(),
            );
        }
        let mut open: Vec<TcpStream> = Vec::new();
        let (start, mut made) = (Instant::now(), 0);
        let mut another = None;
        while start.elapsed() < Duration::from_secs(3) {
            for _ in 0..20 {
                open.push(connect_from(attacker, address).await.unwrap());
                made += 1;
            }
            open.drain(..open.len().saturating_sub(400));
            if start.elapsed() > Duration::from_secs(1) && another.is_none() {
                another = Some(GoodClient::start(address).unwrap());
            }
            let held = scene.edge.metric("weir_connections").await.unwrap();
            assert!(held <= f64::from(PLACES), "{held} connections");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        // Who came in the middle of it was let in, and answered.
        another.unwrap().p99().await.unwrap();
        let scrape = scene.edge.scrape().await.unwrap();
        let refused = scrape.count("weir_tls_handshake_faults_total", "reason=\"limit\"");
        println!("{made} connections, {refused} of them refused");
        assert!(
            made > 1000 && refused > 500,
            "{refused} of {made} were refused"
        );
        End::Open
    });
    assert_eq!(end, End::Open);
}
