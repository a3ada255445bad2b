//! A lean HTTP/1.1 client of one server: a connection is used again once its answer was read, and there
//! are as many as are needed at once.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use anyhow::Context;
use http::{HeaderMap, HeaderValue, Request, StatusCode, header::HOST, response::Parts};
use http_body_util::{BodyExt, Full};
use hyper::{
    body::{Bytes, Incoming},
    client::conn::http1,
};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use url::Url;

/// After how long without use a connection is not used again: below the five seconds after which workerd
/// closes it, so that no request is sent into a connection that closes.
const IDLE: Duration = Duration::from_secs(2);

type Sender = http1::SendRequest<Full<Bytes>>;

/// Connections to one server.
#[derive(Debug)]
pub struct HttpPool {
    /// `host:port`.
    address: String,
    host: HeaderValue,
    /// Since when each is idle; the one that was used last is used next.
    idle: Mutex<Vec<(Instant, Sender)>>,
}

impl HttpPool {
    pub fn new(server: &Url) -> anyhow::Result<Self> {
        let address = server[url::Position::BeforeHost..url::Position::AfterPort].to_owned();
        Ok(Self {
            host: HeaderValue::from_str(&address)?,
            address,
            idle: Mutex::default(),
        })
    }

    /// Sends a request, whose URI is a path, and reads the head of its answer.
    pub async fn send(&self, mut request: Request<Full<Bytes>>) -> anyhow::Result<Answer<'_>> {
        request.headers_mut().insert(HOST, self.host.clone());
        let mut sender = match self.idle_connection() {
            Some(sender) => sender,
            None => self.connect().await?,
        };
        let (head, body) = sender.send_request(request).await?.into_parts();
        Ok(Answer {
            pool: self,
            sender,
            head,
            body,
        })
    }

    /// Closes what is not in use.
    pub fn close(&self) {
        self.lock().clear();
    }

    fn idle_connection(&self) -> Option<Sender> {
        let mut idle = self.lock();
        while let Some((since, sender)) = idle.pop() {
            if since.elapsed() > IDLE {
                // All others have been idle for longer.
                idle.clear();
            } else if sender.is_ready() {
                return Some(sender);
            }
        }
        None
    }

    async fn connect(&self) -> anyhow::Result<Sender> {
        let tcp = TcpStream::connect(&self.address)
            .await
            .context("no connection")?;
        tcp.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(tcp)).await?;
        // How it ends shows in the answers.
        tokio::spawn(async { drop(connection.await) });
        Ok(sender)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(Instant, Sender)>> {
        // Nothing under this lock can leave the list half changed.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An answer: its head, and its body as it comes. Dropped before its end it closes its connection.
#[derive(Debug)]
pub struct Answer<'a> {
    pool: &'a HttpPool,
    sender: Sender,
    head: Parts,
    body: Incoming,
}

impl Answer<'_> {
    pub fn status(&self) -> StatusCode {
        self.head.status
    }

    pub fn headers(&self) -> &HeaderMap {
        &self.head.headers
    }

    /// The next bytes of the body; `None` at its end.
    pub async fn next(&mut self) -> anyhow::Result<Option<Bytes>> {
        while let Some(frame) = self.body.frame().await {
            if let Ok(bytes) = frame?.into_data() {
                return Ok(Some(bytes));
            }
        }
        Ok(None)
    }

    /// The rest of the body. The connection can be used again then.
    pub async fn rest(mut self) -> anyhow::Result<Bytes> {
        let bytes = self.body.collect().await?.to_bytes();
        // The connection itself learns of the end a moment later.
        if self.sender.ready().await.is_ok() {
            self.pool.lock().push((Instant::now(), self.sender));
        }
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;

    /// A server that answers every request with the number of its connection.
    async fn counting() -> Url {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move {
            for number in 0.. {
                let (mut tcp, _) = listener.accept().await.unwrap();
                tokio::spawn(async move {
                    let mut request = [0; 1024];
                    while tcp.read(&mut request).await.is_ok_and(|read| read > 0) {
                        let answer =
                            format!("HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n{number}");
                        tcp.write_all(answer.as_bytes()).await.unwrap();
                    }
                });
            }
        });
        url.parse().unwrap()
    }

    fn get() -> Request<Full<Bytes>> {
        Request::get("/").body(Full::default()).unwrap()
    }

    #[tokio::test]
    async fn a_connection_is_used_again_once_its_answer_was_read() {
        let pool = HttpPool::new(&counting().await).unwrap();
        for _ in 0..3 {
            let answer = pool.send(get()).await.unwrap();
            assert_eq!(answer.rest().await.unwrap(), "0");
        }
        let (first, second) = (
            pool.send(get()).await.unwrap(),
            pool.send(get()).await.unwrap(),
        );
        assert_eq!(first.rest().await.unwrap(), "0");
        assert_eq!(second.rest().await.unwrap(), "1");
        pool.close();
        assert_eq!(pool.send(get()).await.unwrap().rest().await.unwrap(), "2");
    }
}
