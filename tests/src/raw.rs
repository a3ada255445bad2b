//! Requests that no client library would send.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::wait::within;

/// Sends these very bytes and reads until the other side closes or, where it keeps the connection,
/// until the head of the answer is there. Gives what was read, which may be nothing.
pub async fn send(address: SocketAddr, bytes: &[u8]) -> String {
    within("the answer to a raw request", async {
        let mut stream = TcpStream::connect(address).await.expect("it listens");
        // A server that closes early makes the rest of a write fail; its answer still counts.
        let _ = stream.write_all(bytes).await;
        let mut answer = Vec::new();
        while !answer.windows(4).any(|window| window == b"\r\n\r\n") {
            match stream.read_buf(&mut answer).await {
                Ok(1..) => {}
                Ok(0) | Err(_) => break,
            }
        }
        String::from_utf8_lossy(&answer).into_owned()
    })
    .await
}

/// The status of an answer that was read as text; 0 where there was none.
#[must_use]
pub fn status(answer: &str) -> u16 {
    let word = answer.split(' ').nth(1).unwrap_or_default();
    word.parse().unwrap_or(0)
}
