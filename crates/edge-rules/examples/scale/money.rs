//! What a month of it costs, by the provider's public prices.

use headstart_edge_rules::topic::follower::FOLLOW_EVERY_MS;

use super::{
    assumptions::{
        HOP_BETWEEN_REGIONS_US, MONTH_SECONDS, RELAY_ROWS_PER_PUSH, ROOT_ROWS_PER_UPDATE,
        SIGN_OF_LIFE_SECONDS, UPDATES_PER_SECOND, WORKER_MS_PER_CONNECTION, prices,
    },
    delivery::Delivery,
};

/// US dollars in a month, with all subscribers on hibernating WebSockets.
pub struct Month {
    /// Requests: publishing, pushes and handing on.
    pub pushes: f64,
    /// Requests and alarms by which relays tell that they are there.
    pub follows: f64,
    /// Rows in SQLite, and the newest value in KV.
    pub storage: f64,
    /// The time in which objects are active.
    pub active: f64,
    /// How many messages subscribers were handed.
    pub delivered: f64,
    /// What relays are active beside it where all subscribers are on Server-Sent Events, which keep a
    /// relay active.
    pub sse: f64,
    /// What is added where everyone wants to be listed.
    pub presence: f64,
    /// What is added where everyone acks every update.
    pub acks: f64,
    /// Seconds that all connections last, added up.
    connected_seconds: f64,
}

#[expect(
    clippy::cast_precision_loss,
    reason = "amounts far below 2^53, and rounded when shown"
)]
impl Month {
    /// A month of such deliveries.
    pub fn of(delivery: &Delivery) -> Self {
        let seconds = MONTH_SECONDS as f64;
        let updates = (UPDATES_PER_SECOND * MONTH_SECONDS) as f64;
        let relays = delivery.relays as f64;
        let subscribers = delivery.subscribers as f64;
        let follows = relays * seconds / (FOLLOW_EVERY_MS as f64 / 1_000.0);

        // A follow is woken by an alarm, which is a request and, to be set, a row.
        let follow_requests = 2.0 * follows;
        let rows =
            updates * (ROOT_ROWS_PER_UPDATE as f64 + relays * RELAY_ROWS_PER_PUSH as f64) + follows;
        let waiting_for_follows = follows * 2.0 * HOP_BETWEEN_REGIONS_US as f64 / 1e6;
        let relays_active = updates * delivery.active_us as f64 / 1e6 + waiting_for_follows;
        let always = relays * seconds;
        let requests = |n: f64| n / 1e6 * prices::OBJECT_REQUESTS;
        let messages = |n: f64| requests(n / prices::MESSAGES_PER_REQUEST);
        let active = |n: f64| n * prices::OBJECT_GB / 1e6 * prices::GB_SECONDS;
        Self {
            pushes: requests(updates * delivery.all_requests as f64),
            follows: requests(follow_requests),
            storage: rows / 1e6 * prices::ROWS_WRITTEN
                + updates.min(seconds) / 1e6 * prices::KV_WRITES,
            // The root is followed and published to so often that it never rests.
            active: active(relays_active.min(always) + seconds),
            delivered: updates * subscribers,
            sse: active((always - relays_active).max(0.0)),
            // Signs of life come all the time, and keep relays active as streams do.
            presence: messages(subscribers * seconds / SIGN_OF_LIFE_SECONDS as f64)
                + active((always - relays_active).max(0.0)),
            acks: messages(subscribers * updates),
            connected_seconds: subscribers * seconds,
        }
    }

    /// What connecting again and again costs, when a connection lives so long.
    pub fn connections(&self, life_seconds: u64) -> f64 {
        let millions = self.connected_seconds / life_seconds as f64 / 1e6;
        let cpu = WORKER_MS_PER_CONNECTION * prices::WORKER_CPU_MS;
        millions * (prices::WORKER_REQUESTS + cpu + prices::OBJECT_REQUESTS)
    }

    /// All of it, when a WebSocket lives so long.
    pub fn total(&self, life_seconds: u64) -> f64 {
        let rest = self.pushes + self.follows + self.storage + self.active;
        rest + self.connections(life_seconds)
    }

    /// All of it, when everyone is on a stream of Server-Sent Events that lives so long.
    pub fn total_sse(&self, life_seconds: u64) -> f64 {
        self.total(life_seconds) + self.sse
    }
}
