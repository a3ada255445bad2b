//! What is measured, and how long.

use std::{fmt, time::Duration};

use headstart_client::{
    load::{
        Round,
        schedule::{Pace, Schedule},
    },
    subscribe::transport::Transport,
};

/// Updates that are published together in a burst.
pub const BURST: u64 = 20;

/// Bytes of an update's data as it is published at our edge.
pub const DATA_BYTES: usize = 200;

/// How long nothing may arrive until what is missing counts as lost.
const PATIENCE: Duration = Duration::from_secs(20);

/// How updates are published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pattern {
    /// One at a time, the next when everyone has it.
    Single,
    /// [`BURST`] together, the next when everyone has them.
    Burst,
}

impl Pattern {
    pub const ALL: [Self; 2] = [Self::Single, Self::Burst];

    /// About so many deliveries, at `subscribers`.
    pub fn round(self, deliveries: u64, subscribers: usize, bytes: usize) -> Round {
        let burst = match self {
            Self::Single => 1,
            Self::Burst => BURST,
        };
        // A slow group must not decide alone; with few subscribers, groups take longer than their
        // deliveries.
        let (least, most) = match self {
            Self::Single => (5, 250),
            Self::Burst => (1, 50),
        };
        let groups = (deliveries / (burst * subscribers as u64)).clamp(least, most);
        Round {
            schedule: Schedule {
                total: groups * burst,
                burst,
                pace: Pace::Delivered,
            },
            bytes,
            patience: PATIENCE,
        }
    }

    /// How many deliveries make a round: enough for a second or two at the speed that is expected.
    pub fn deliveries(self, effort: &Effort) -> u64 {
        match self {
            Self::Single => effort.deliveries,
            Self::Burst => 3 * effort.deliveries,
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Single => "single",
            Self::Burst => "burst",
        })
    }
}

/// How much is measured.
#[derive(Debug, Clone)]
pub struct Effort {
    pub transports: Vec<Transport>,
    /// How many subscribers there are, one after the other.
    pub subscribers: Vec<usize>,
    /// How many subscribers there are when relays are compared.
    pub at_relays: usize,
    /// How often each is measured; medians are of these.
    pub rounds: usize,
    /// Deliveries of a round with single updates.
    pub deliveries: u64,
}

impl Effort {
    /// At most a quarter of an hour.
    pub fn full() -> Self {
        Self {
            transports: vec![Transport::Sse, Transport::Ws],
            subscribers: vec![100, 1_000, 5_000],
            at_relays: 2_000,
            rounds: 5,
            deliveries: 20_000,
        }
    }

    /// About two minutes.
    pub fn quick() -> Self {
        Self {
            subscribers: vec![100, 1_000],
            at_relays: 1_000,
            rounds: 3,
            deliveries: 10_000,
            ..Self::full()
        }
    }
}
