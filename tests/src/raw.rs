//! Requests that no client library would send.

use std::net::SocketAddr;

use futures_util::StreamExt;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Message, handshake::client::generate_key, protocol::Role},
};

use crate::wait::within;

/// Sends these very bytes and reads until the other side closes or, where it keeps the connection,
/// until the head of the answer is there. Gives what was read, which may be nothing.
pub async fn send(address: SocketAddr, bytes: &[u8]) -> String {
    within("the answer to a raw request", async {
        let mut stream = TcpStream::connect(address).await.expect("it listens");
        let (mut from, mut to) = stream.split();
        let mut answer = Vec::new();
        let read = async {
            while !answer.windows(4).any(|window| window == b"\r\n\r\n") {
                match from.read_buf(&mut answer).await {
                    Ok(1..) => {}
                    Ok(0) | Err(_) => break,
                }
            }
        };
        let write = async {
            // A server that answers early and closes makes the rest of a write fail.
            let _ = to.write_all(bytes).await;
            // What ends this is the answer.
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = read => {}
            () = write => {}
        }
        String::from_utf8_lossy(&answer).into_owned()
    })
    .await
}

/// Sends these very bytes and reads until the other side closes, as they must ask it to.
pub async fn send_all(address: SocketAddr, bytes: &[u8]) -> String {
    within("the whole answer to a raw request", async {
        let mut stream = TcpStream::connect(address).await.expect("it listens");
        // A server that answers early and closes makes the rest of a write fail.
        let _ = stream.write_all(bytes).await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8_lossy(&answer).into_owned()
    })
    .await
}

/// Opens a WebSocket by hand, sends these very bytes over it, and waits until the other side closes it
/// or ends the connection. Gives the code, where there is one.
pub async fn end_of_ws(address: SocketAddr, path: &str, bytes: &[u8]) -> Option<u16> {
    let mut stream = TcpStream::connect(address).await.expect("it listens");
    let handshake = format!(
        "GET {path} HTTP/1.1\r\nhost: edge\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: {}\r\n\r\n",
        generate_key()
    );
    let opened = stream.write_all(handshake.as_bytes()).await;
    opened.expect("the handshake is sent");
    let mut read = Vec::new();
    within("the handshake's answer", async {
        while !read.windows(4).any(|window| window == b"\r\n\r\n") {
            let count = stream.read_buf(&mut read).await;
            assert!(matches!(count, Ok(1..)), "no answer to a handshake");
        }
    })
    .await;
    let answer = String::from_utf8_lossy(&read).into_owned();
    assert_eq!(status(&answer), 101, "{answer}");
    let begins = answer.find("\r\n\r\n").map_or(read.len(), |end| end + 4);
    let _ = stream.write_all(bytes).await;
    let rest = read.split_off(begins);
    let mut ws = WebSocketStream::from_partially_read(stream, rest, Role::Client, None).await;
    within("the end of a WebSocket", async {
        loop {
            match ws.next().await {
                Some(Ok(Message::Close(frame))) => return frame.map(|frame| frame.code.into()),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return None,
            }
        }
    })
    .await
}

/// The status of an answer that was read as text; 0 where there was none.
#[must_use]
pub fn status(answer: &str) -> u16 {
    let word = answer.split(' ').nth(1).unwrap_or_default();
    word.parse().unwrap_or(0)
}
