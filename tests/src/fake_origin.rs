//! The origin's end of a link, played by a test where it must control every message.

use headstart_protocol::{
    event::Event,
    keys::Key,
    link::{FromEdge, FromOrigin, handshake_text},
    signature::SignedHeaders,
};
use uuid::Uuid;

use crate::{
    answer::Answer,
    client::Client,
    keys::{now_ms, origin_key},
    ws::{Heard, Ws},
};

/// An open link.
#[derive(Debug)]
pub struct Link(Ws);

/// A login that was leased.
#[derive(Debug, Clone, PartialEq)]
pub struct Lease {
    /// The lease's name.
    pub name: String,
    /// The login.
    pub login: Event,
}

impl Link {
    /// Opens a link and says hello, with room for `capacity` leases at once.
    pub async fn open(client: &Client, capacity: u32) -> Self {
        Self::open_as(client, "test", capacity).await
    }

    /// Opens one of the origin of this name.
    pub async fn open_as(client: &Client, origin: &str, capacity: u32) -> Self {
        let headers = handshake(&Uuid::now_v7().to_string(), now_ms(), &origin_key());
        let mut link = Self::try_open(client, 0, &headers)
            .await
            .unwrap_or_else(|answer| panic!("no link: {answer:?}"));
        let welcome = link.hear().await;
        assert!(
            matches!(welcome, FromEdge::Welcome { desk: 0, .. }),
            "{welcome:?}"
        );
        link.say(&FromOrigin::Hello {
            origin: origin.to_owned(),
            instance: String::new(),
            capacity,
            held: Vec::new(),
        })
        .await;
        link
    }

    /// Opens a link with these headers and says nothing.
    ///
    /// # Errors
    /// The edge's answer, where it refuses.
    pub async fn try_open(
        client: &Client,
        desk: u32,
        headers: &SignedHeaders,
    ) -> Result<Self, Answer> {
        let path = format!("/origin/link?desk={desk}");
        let call = headers
            .pairs()
            .into_iter()
            .fold(client.get(&path), |call, (name, value)| {
                call.header(name, value)
            });
        call.open_ws().await.map(Self)
    }

    /// The next message.
    pub async fn hear(&mut self) -> FromEdge {
        match self.0.hear().await {
            Heard::Text(text) => {
                serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
            }
            other => panic!("waited for a message on the link and got {other:?}"),
        }
    }

    /// The next lease.
    pub async fn lease(&mut self) -> Lease {
        match self.hear().await {
            FromEdge::Lease { lease, event, .. } => Lease {
                name: lease,
                login: *event,
            },
            other @ FromEdge::Welcome { .. } => panic!("waited for a lease and got {other:?}"),
        }
    }

    /// Says something.
    pub async fn say(&mut self, message: &FromOrigin) {
        let text = serde_json::to_string(message).expect("a message has a JSON form");
        self.0.say(text).await;
    }

    /// Says a lease is done.
    pub async fn ack(&mut self, lease: &Lease) {
        let leases = vec![lease.name.clone()];
        self.say(&FromOrigin::Ack { leases }).await;
    }

    /// Hands a lease back.
    pub async fn release(&mut self, lease: &Lease) {
        let lease = lease.name.clone();
        self.say(&FromOrigin::Release { lease }).await;
    }

    /// The WebSocket beneath.
    #[must_use]
    pub fn into_ws(self) -> Ws {
        self.0
    }
}

/// The headers that open the link to the first desk.
#[must_use]
pub fn handshake(id: &str, at_ms: u64, key: &Key) -> SignedHeaders {
    handshake_to(0, id, at_ms, key)
}

/// The headers that open the link to `desk`.
#[must_use]
pub fn handshake_to(desk: u32, id: &str, at_ms: u64, key: &Key) -> SignedHeaders {
    SignedHeaders::sign(id, at_ms, handshake_text(desk).as_bytes(), key)
}
