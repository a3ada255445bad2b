//! A gate between an origin and its edge: a TCP proxy that lets the link through always, and
//! deliveries only while it is open. It counts both, so that a test knows when the origin is in the
//! middle of something.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy, sink},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::{JoinHandle, JoinSet},
};

use crate::wait::within;

/// How a lease begins on the link. What a server sends over a WebSocket is not masked.
const LEASE: &[u8] = br#"{"lease":{"#;

/// What happens to deliveries: to every connection but the link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// They pass.
    Open,
    /// They are cut off before the edge hears of them.
    Shut,
    /// The edge hears them, and its answers are lost.
    Deaf,
}

/// A running gate. Dropping it closes every connection.
#[derive(Debug)]
pub struct Gate {
    address: SocketAddr,
    counts: Counts,
    mode: watch::Sender<Mode>,
    server: JoinHandle<()>,
}

#[derive(Debug, Clone, Default)]
struct Counts {
    leases: watch::Sender<u32>,
    deliveries: watch::Sender<u32>,
}

impl Gate {
    /// A gate in front of `target`.
    pub async fn before(target: SocketAddr, mode: Mode) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it listens");
        let counts = Counts::default();
        let (mode, watch) = watch::channel(mode);
        let server = tokio::spawn(serve(listener, target, watch, counts.clone()));
        Self {
            address,
            counts,
            mode,
            server,
        }
    }

    /// Its URL, without a slash at the end.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Changes what happens to deliveries from now on; those under way are cut off.
    pub fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }

    /// Waits until that many logins have been leased through it in all.
    pub async fn leased(&self, count: u32) {
        reached("leases", &self.counts.leases, count).await;
    }

    /// How many connections for deliveries have been opened in all.
    #[must_use]
    pub fn tries(&self) -> u32 {
        *self.counts.deliveries.borrow()
    }

    /// Waits until that many connections for deliveries have been opened in all.
    pub async fn tried(&self, count: u32) {
        reached("tries of delivery", &self.counts.deliveries, count).await;
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn reached(what: &str, counter: &watch::Sender<u32>, count: u32) {
    let mut counter = counter.subscribe();
    let what = format!("{count} {what} at the gate");
    let reached = within(&what, counter.wait_for(|now| *now >= count)).await;
    reached.expect("the gate stands");
}

async fn serve(
    listener: TcpListener,
    target: SocketAddr,
    mode: watch::Receiver<Mode>,
    counts: Counts,
) {
    // Dropping the set with this task ends every connection.
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        connections.spawn(pass(client, target, mode.clone(), counts.clone()));
    }
}

/// Passes one connection on. Errors end it, which is all there is to do about them.
async fn pass(
    mut client: TcpStream,
    target: SocketAddr,
    mut mode: watch::Receiver<Mode>,
    counts: Counts,
) {
    let mut head = vec![0; 8192];
    let Ok(read @ 1..) = client.read(&mut head).await else {
        return;
    };
    head.truncate(read);
    let is_link = head.starts_with(b"GET /origin/link");
    let now = *mode.borrow_and_update();
    if !is_link {
        counts.deliveries.send_modify(|count| *count += 1);
        if now == Mode::Shut {
            return;
        }
    }
    let Ok(mut edge) = TcpStream::connect(target).await else {
        return;
    };
    if edge.write_all(&head).await.is_err() {
        return;
    }
    let (mut from_client, mut to_client) = client.split();
    let (mut from_edge, mut to_edge) = edge.split();
    let there = copy(&mut from_client, &mut to_edge);
    if is_link {
        tokio::select! {
            _ = there => {}
            () = watch_leases(&mut from_edge, &mut to_client, &counts.leases) => {}
        }
        return;
    }
    let back = async {
        if now == Mode::Deaf {
            copy(&mut from_edge, &mut sink()).await
        } else {
            copy(&mut from_edge, &mut to_client).await
        }
    };
    tokio::select! {
        _ = async { tokio::join!(there, back) } => {}
        _ = mode.changed() => {}
    }
}

/// Copies what the edge says on a link, and counts the leases in it once they have been passed on.
async fn watch_leases(
    from_edge: &mut (impl AsyncRead + Unpin),
    to_origin: &mut (impl AsyncWrite + Unpin),
    leases: &watch::Sender<u32>,
) {
    let mut seen = Vec::new();
    let mut chunk = vec![0; 8192];
    while let Ok(read @ 1..) = from_edge.read(&mut chunk).await {
        if to_origin.write_all(&chunk[..read]).await.is_err() {
            return;
        }
        seen.extend_from_slice(&chunk[..read]);
        let found = seen
            .windows(LEASE.len())
            .filter(|part| part == &LEASE)
            .count();
        if found > 0 {
            leases.send_modify(|count| *count += u32::try_from(found).unwrap_or(u32::MAX));
        }
        // The end may be the beginning of the next.
        seen.drain(..seen.len().saturating_sub(LEASE.len() - 1));
    }
}
