//! What several tests of this crate need: keys, tickets, offers, updates, an outbox, a pipeline, an edge.

use std::{sync::Arc, time::Duration};

pub(crate) use headstart_client::testing::key;
use headstart_protocol::{
    keys::KeyRing,
    login::LoginData,
    settlement::{Attributes, Content, Outcome, Settlement},
    stamps::Stamps,
    ticket::{Ticket, TicketTimes},
};
use tempfile::TempDir;
use uuid::Uuid;

use crate::{
    generate::{
        self, Deadline, GenerateError, Generator,
        pool::{Pool, PoolSize},
    },
    outbox::{EdgeWays, Outbox, TicketSettlement, TopicUpdate, Way},
    pipeline::Pipeline,
};
use headstart_client::clock::now_ms;

/// The rule of tickets in tests.
pub(crate) const TIMES: TicketTimes = TicketTimes {
    ttl_ms: 3_600_000,
    young_ms: 0,
};

/// Returns the ring of the ticket key.
pub(crate) fn ticket_keys() -> KeyRing {
    key(1).into()
}

/// Returns a new ticket.
pub(crate) fn ticket() -> Ticket {
    let uuid = Uuid::now_v7();
    let random = uuid.as_bytes()[8..].try_into().unwrap();
    Ticket::mint(now_ms(), 0, random, &key(1))
}

/// Returns an offer for a new ticket, to be kept.
pub(crate) fn offer(content: &[u8]) -> TicketSettlement {
    entry(Outcome::Ready {
        media_type: "application/json".to_owned(),
        content: Content::Inline(content.to_vec()),
    })
}

/// Returns a settlement of a new ticket, to be kept.
pub(crate) fn entry(outcome: Outcome) -> TicketSettlement {
    let ticket = ticket();
    TicketSettlement {
        expires_at_ms: ticket.expires_at_ms(TIMES),
        settlement: Settlement {
            event_id: Uuid::now_v7().to_string(),
            source: "/origin/test".to_owned(),
            attributes: Attributes::default(),
            stamps: Stamps::default(),
            outcome,
        },
        ticket,
    }
}

/// Returns an update of `topic` with this id, to be kept.
pub(crate) fn update(topic: &str, id: &str) -> TopicUpdate {
    TopicUpdate::new(
        headstart_client::testing::update(topic, id),
        now_ms() + 3_600_000,
    )
    .unwrap()
}

/// Returns an outbox of its own for one edge, `edge`.
pub(crate) fn outbox(kv: bool) -> (Outbox, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let edges = vec![EdgeWays {
        name: "edge".to_owned(),
        kv,
    }];
    let outbox = Outbox::open(&folder.path().join("outbox.sqlite3"), edges).unwrap();
    (outbox, folder)
}

/// Waits until nothing is left to be delivered in one way.
pub(crate) async fn delivered(outbox: &Outbox, way: Way) {
    let wait = async {
        while outbox.pending("edge", way).await.unwrap() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), wait)
        .await
        .expect("everything is delivered in time");
}

/// Does what the user's name says: `fails`, `sleeps` for ever, answers `as ` a media type, or answers the
/// name.
#[derive(Debug)]
pub(crate) struct ByName;

impl Generator for ByName {
    fn generate(
        &self,
        login: &LoginData,
        deadline: &Deadline,
    ) -> Result<generate::Content, GenerateError> {
        match login.user.as_str() {
            "fails" => return Err(GenerateError::Failed("no luck".to_owned())),
            "sleeps" => {
                while !deadline.has_passed() {
                    std::thread::sleep(Duration::from_millis(1));
                }
                return Err(GenerateError::TimedOut);
            }
            _ => {}
        }
        let media_type = login.user.strip_prefix("as ").unwrap_or("text/plain");
        Ok(generate::Content {
            media_type: media_type.to_owned(),
            bytes: login.user.clone().into_bytes(),
        })
    }
}

/// Returns a pipeline into `outbox`, of one thread and `queue` places, with this longest time.
pub(crate) fn pipeline(outbox: &Outbox, queue: usize, timeout: Duration) -> Pipeline {
    let size = PoolSize { threads: 1, queue };
    let pool = Pool::start(Arc::new(ByName), size, Arc::new(now_ms)).unwrap();
    Pipeline::new(
        pool,
        outbox.clone(),
        "/origin/test".to_owned(),
        ticket_keys(),
        TIMES,
        timeout,
        crate::metrics::Metrics::default(),
    )
}

/// Returns a login of this user.
pub(crate) fn login(user: &str) -> LoginData {
    LoginData {
        user: user.to_owned(),
        ..LoginData::default()
    }
}
