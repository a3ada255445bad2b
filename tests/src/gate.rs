//! A gate between an origin and its edge: a TCP proxy that lets the link through always, and
//! deliveries only while it is open.

use std::{net::SocketAddr, sync::Arc};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy, copy_bidirectional},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};

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
    mode: watch::Sender<Mode>,
    tried: Arc<watch::Sender<u32>>,
    server: JoinHandle<()>,
}

impl Gate {
    /// A gate in front of `target`.
    pub async fn before(target: SocketAddr, mode: Mode) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it listens");
        let (mode, watch) = watch::channel(mode);
        let tried = Arc::new(watch::Sender::new(0));
        let server = tokio::spawn(serve(listener, target, watch, Arc::clone(&tried)));
        Self {
            address,
            mode,
            tried,
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

    /// Waits until `times` deliveries in all have been tried.
    pub async fn tried(&self, times: u32) {
        let mut tried = self.tried.subscribe();
        let what = format!("{times} tries of delivery");
        let seen = crate::wait::within(&what, tried.wait_for(|count| *count >= times));
        seen.await.expect("the gate stands");
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn serve(
    listener: TcpListener,
    target: SocketAddr,
    mode: watch::Receiver<Mode>,
    tried: Arc<watch::Sender<u32>>,
) {
    // Dropping the set with this task ends every connection.
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        connections.spawn(pass(client, target, mode.clone(), Arc::clone(&tried)));
    }
}

async fn pass(
    mut client: TcpStream,
    target: SocketAddr,
    mut mode: watch::Receiver<Mode>,
    tried: Arc<watch::Sender<u32>>,
) {
    let mut head = vec![0; 8192];
    let Ok(read @ 1..) = client.read(&mut head).await else {
        return;
    };
    head.truncate(read);
    let link = head.starts_with(b"GET /origin/link");
    let now = *mode.borrow_and_update();
    if !link {
        tried.send_modify(|count| *count += 1);
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
    if link {
        // Ends when either side does; who they are to each other is not the gate's business.
        let _ = copy_bidirectional(&mut client, &mut edge).await;
        return;
    }
    let (mut from_client, mut to_client) = client.split();
    let (mut from_edge, mut to_edge) = edge.split();
    let there = copy(&mut from_client, &mut to_edge);
    let back = async {
        if now == Mode::Deaf {
            copy(&mut from_edge, &mut tokio::io::sink()).await
        } else {
            copy(&mut from_edge, &mut to_client).await
        }
    };
    tokio::select! {
        _ = async { tokio::join!(there, back) } => {}
        _ = mode.changed() => {}
    }
}
