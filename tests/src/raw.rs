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

/// The status of an answer that was read as text; 0 where there was none.
#[must_use]
pub fn status(answer: &str) -> u16 {
    let word = answer.split(' ').nth(1).unwrap_or_default();
    word.parse().unwrap_or(0)
}
