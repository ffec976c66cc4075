//! Servers that misbehave, in front of a good one: silent, slow, truncating, and ignorant of EDNS.
//!
//! Owns their sockets. What they do answer is the good server's.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};

use crate::internet::plan::{DEAD, LOW, NO_EDNS, OWN, SLOW, TRUNCATING};

/// What a server does to queries and answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    Silent,
    Slow,
    Truncating,
    NoEdns,
}

/// Starts all of them.
///
/// # Errors
/// When an address cannot be bound.
pub async fn start_all() -> io::Result<()> {
    for (address, manner) in [
        (DEAD, Manner::Silent),
        (SLOW, Manner::Slow),
        (TRUNCATING, Manner::Truncating),
        (NO_EDNS, Manner::NoEdns),
    ] {
        let socket = Arc::new(UdpSocket::bind((address, 53)).await?);
        tokio::spawn(serve_udp(Arc::clone(&socket), manner));
        if manner != Manner::Silent {
            let listener = TcpListener::bind((address, 53)).await?;
            tokio::spawn(serve_tcp(listener, manner));
        }
    }
    Ok(())
}

async fn serve_udp(socket: Arc<UdpSocket>, manner: Manner) {
    let mut buffer = vec![0; 4096];
    loop {
        let Ok((length, peer)) = socket.recv_from(&mut buffer).await else {
            continue;
        };
        let Some(query) = buffer.get(..length).map(<[u8]>::to_vec) else {
            continue;
        };
        if manner != Manner::Silent {
            tokio::spawn(answer(Arc::clone(&socket), peer, query, manner));
        }
    }
}

async fn answer(socket: Arc<UdpSocket>, peer: SocketAddr, query: Vec<u8>, manner: Manner) {
    let reply = match manner {
        Manner::Truncating => header(&query, 0x82, 0),
        Manner::NoEdns if has_opt(&query) => header(&query, 0x80, 1),
        _ => {
            if manner == Manner::Slow {
                tokio::time::sleep(Duration::from_millis(150)).await;
            }
            forward_udp(&query).await.ok()
        }
    };
    if let Some(reply) = reply {
        // A peer that has gone away needs no answer.
        let _ = socket.send_to(&reply, peer).await;
    }
}

async fn forward_udp(query: &[u8]) -> io::Result<Vec<u8>> {
    let socket = UdpSocket::bind((OWN, 0)).await?;
    socket.connect((LOW[1], 53)).await?;
    socket.send(query).await?;
    let mut reply = vec![0; 65_535];
    let length = tokio::time::timeout(Duration::from_secs(3), socket.recv(&mut reply)).await??;
    reply.truncate(length);
    Ok(reply)
}

/// The question alone under a header with these flags; none when the query has no whole question.
fn header(query: &[u8], flags: u8, rcode: u8) -> Option<Vec<u8>> {
    let mut end = 12;
    while let Some(&length) = query.get(end).filter(|&&length| length != 0) {
        end += usize::from(length) + 1;
    }
    let mut reply = query.get(..end + 5)?.to_vec();
    reply[2] = flags | query[2] & 1;
    reply[3] = rcode;
    reply[4..12].copy_from_slice(&[0, 1, 0, 0, 0, 0, 0, 0]);
    Some(reply)
}

fn has_opt(query: &[u8]) -> bool {
    query.get(10..12).is_some_and(|count| count != [0, 0])
}

async fn serve_tcp(listener: TcpListener, manner: Manner) {
    loop {
        if let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                // Either side may leave when it likes.
                let _ = serve_stream(stream, manner).await;
            });
        }
    }
}

async fn serve_stream(mut stream: TcpStream, manner: Manner) -> io::Result<()> {
    let mut upstream = TcpStream::connect((LOW[1], 53)).await?;
    loop {
        let query = read(&mut stream).await?;
        let reply = if manner == Manner::NoEdns && has_opt(&query) {
            header(&query, 0x80, 1).unwrap_or_default()
        } else {
            write(&mut upstream, &query).await?;
            read(&mut upstream).await?
        };
        write(&mut stream, &reply).await?;
    }
}

/// Reads one message with its length before it (RFC 1035, 4.2.2).
///
/// # Errors
/// When the stream ends.
pub async fn read(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let length = stream.read_u16().await?;
    let mut message = vec![0; usize::from(length)];
    stream.read_exact(&mut message).await?;
    Ok(message)
}

/// Writes one message with its length before it.
///
/// # Errors
/// When the stream has ended.
pub async fn write(stream: &mut TcpStream, message: &[u8]) -> io::Result<()> {
    let length = u16::try_from(message.len()).map_err(io::Error::other)?;
    let mut whole = length.to_be_bytes().to_vec();
    whole.extend_from_slice(message);
    stream.write_all(&whole).await
}
