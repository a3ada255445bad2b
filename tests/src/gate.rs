//! A gate before an edge: a TCP proxy that lets an origin's link through, unless that is stalled, and
//! everything else, deliveries or subscribers, only while it is open. It counts them, so that a test knows
//! when one is tried.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy, copy_bidirectional, sink},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::{JoinHandle, JoinSet},
};

use crate::wait::within;

/// What happens to deliveries: to every connection but the link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// They pass.
    Open,
    /// They are cut off before the edge hears of them.
    Shut,
    /// The edge hears them, and its answers are lost.
    Deaf,
    /// They are answered as a proxy answers whose server is away, and the edge does not hear of them.
    BadGateway,
}

/// The answer to a request in [`Mode::BadGateway`].
const BAD_GATEWAY: &[u8] =
    b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

/// A running gate. Dropping it closes every connection.
#[derive(Debug)]
pub struct Gate {
    address: SocketAddr,
    mode: watch::Sender<Mode>,
    deliveries: watch::Sender<u32>,
    stalls: watch::Sender<()>,
    server: JoinHandle<()>,
}

impl Gate {
    /// A gate in front of `target`.
    pub async fn before(target: SocketAddr, mode: Mode) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it listens");
        let deliveries = watch::Sender::new(0);
        let stalls = watch::Sender::new(());
        let (mode, watch) = watch::channel(mode);
        let shared = (watch, deliveries.clone(), stalls.subscribe());
        let server = tokio::spawn(serve(listener, target, shared));
        Self {
            address,
            mode,
            deliveries,
            stalls,
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

    /// Lets nothing more through over the links that are open: neither end hears that the other is gone.
    pub fn stall_links(&self) {
        self.stalls.send_replace(());
    }

    /// How many connections for deliveries have been opened in all.
    #[must_use]
    pub fn tries(&self) -> u32 {
        *self.deliveries.borrow()
    }

    /// Waits until that many connections for deliveries have been opened in all.
    pub async fn tried(&self, count: u32) {
        let mut deliveries = self.deliveries.subscribe();
        let what = format!("{count} tries of delivery");
        let reached = within(&what, deliveries.wait_for(|now| *now >= count)).await;
        reached.expect("the gate stands");
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// What a gate is told, and what it counts.
type Shared = (
    watch::Receiver<Mode>,
    watch::Sender<u32>,
    watch::Receiver<()>,
);

async fn serve(listener: TcpListener, target: SocketAddr, shared: Shared) {
    // Dropping the set with this task ends every connection.
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        connections.spawn(pass(client, target, shared.clone()));
    }
}

/// Passes one connection on. Errors end it, which is all there is to do about them.
async fn pass(mut client: TcpStream, target: SocketAddr, shared: Shared) {
    let (mut mode, deliveries, mut stalls) = shared;
    // Only what comes from now on stalls it.
    stalls.mark_unchanged();
    let mut head = vec![0; 8192];
    let Ok(read @ 1..) = client.read(&mut head).await else {
        return;
    };
    head.truncate(read);
    let is_link = head.starts_with(b"GET /origin/link");
    let now = *mode.borrow_and_update();
    if !is_link {
        deliveries.send_modify(|count| *count += 1);
        match now {
            Mode::Shut => return,
            Mode::BadGateway => {
                // The client may be gone already.
                let _ = client.write_all(BAD_GATEWAY).await;
                return;
            }
            Mode::Open | Mode::Deaf => {}
        }
    }
    let Ok(mut edge) = TcpStream::connect(target).await else {
        return;
    };
    if edge.write_all(&head).await.is_err() {
        return;
    }
    if is_link {
        tokio::select! {
            // Ends when both sides have; that is nothing the gate has to say anything about.
            _ = copy_bidirectional(&mut client, &mut edge) => return,
            _ = stalls.changed() => {}
        }
        // Both connections stay open.
        return std::future::pending().await;
    }
    let (mut from_client, mut to_client) = client.split();
    let (mut from_edge, mut to_edge) = edge.split();
    let there = copy(&mut from_client, &mut to_edge);
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
