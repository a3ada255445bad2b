//! Our edge with its subscribers at the root, at one relay, and at four.

use anyhow::ensure;
use headstart_client::{load::files, subscribe::transport::Transport};

use crate::{
    server::Kind,
    subject::{Measurement, Subject},
    table::{self, count, median, median_time, micros, ms, spread},
    workload::{Effort, Pattern},
};

/// How many relays are compared; 0 is the root alone.
const RELAYS: [usize; 3] = [0, 1, 4];

/// One of each number of relays.
type Each<T> = [T; RELAYS.len()];

/// Measures everything, and prints it.
pub async fn run(effort: &Effort) -> anyhow::Result<()> {
    let mut rows = Vec::new();
    for transport in &effort.transports {
        let subscribers = effort.at_relays;
        eprintln!(
            "{subscribers} subscribers by {} at relays",
            table::transport(*transport)
        );
        rows.extend(measure(*transport, subscribers, effort).await?);
    }
    let title = format!(
        "Relays: {} subscribers of our edge; deliveries a second, medians of {} rounds, and ratios to the\n\
         root alone: the median, the least and the most.",
        effort.at_relays, effort.rounds
    );
    let head = [
        "transport",
        "updates",
        "at",
        "deliveries/s",
        "to the root",
        "p50 ms",
        "p99 ms",
        "µs each",
    ];
    table::print(&title, 3, &head, rows);
    Ok(())
}

/// Settings with which so many subscribers come to be at so many relays. Their number doubles when one is
/// 80 % full and all together are half full.
fn settings(relays: usize, subscribers: usize) -> [(&'static str, String); 2] {
    let (threshold, capacity) = match relays {
        // More than there are, and those of the warm-up, who may not be known to be gone.
        0 => (2 * subscribers, 2 * subscribers),
        1 => (1, 2 * subscribers),
        // Two relays are half full together when a bit more than half of them have come, and one is four
        // fifths full by then. Four of them never are half full together.
        _ => (1, subscribers * 55 / 100),
    };
    [
        ("RELAY_THRESHOLD", threshold.to_string()),
        ("RELAY_CAPACITY", capacity.to_string()),
    ]
}

async fn measure(
    transport: Transport,
    subscribers: usize,
    effort: &Effort,
) -> anyhow::Result<Vec<Vec<String>>> {
    files::make_room(RELAYS.len() * subscribers)?;
    let mut subjects = Vec::new();
    for relays in RELAYS {
        let settings = settings(relays, subscribers);
        let mut subject = Subject::start(Kind::Headstart, transport, &settings).await?;
        subject.warm_up().await?;
        subject.connect(subscribers).await?;
        subjects.push(subject);
    }
    let mut rows = Vec::new();
    for pattern in Pattern::ALL {
        let mut rounds: Vec<Each<Measurement>> = Vec::new();
        for round in 0..effort.rounds {
            let mut each = Each::default();
            for turn in 0..subjects.len() {
                // Nobody is always the first.
                let at = (round + turn) % subjects.len();
                let measurement = subjects[at].measure(pattern, effort).await?;
                eprintln!(
                    "  {pattern:6} {} relays {:>8} deliveries/s",
                    RELAYS[at],
                    count(measurement.deliveries_per_second)
                );
                each[at] = measurement;
            }
            rounds.push(each);
        }
        for (at, (relays, subject)) in RELAYS.iter().zip(&subjects).enumerate() {
            let objects = subject.server().objects("RelayDo");
            ensure!(
                objects == *relays,
                "{objects} relays were used, not {relays}"
            );
            let speed = |each: &Each<Measurement>| each[at].deliveries_per_second;
            let speeds: Vec<f64> = rounds.iter().map(speed).collect();
            let root = |each: &Each<Measurement>| speed(each) / each[0].deliveries_per_second;
            let ratios: Vec<f64> = rounds.iter().map(root).collect();
            let time = |what: fn(&Measurement) -> std::time::Duration| {
                median_time(rounds.iter().map(|each| what(&each[at])))
            };
            rows.push(vec![
                table::transport(transport),
                pattern.to_string(),
                match relays {
                    0 => "the root".to_owned(),
                    1 => "1 relay".to_owned(),
                    more => format!("{more} relays"),
                },
                count(median(&speeds)),
                spread(&ratios),
                ms(time(|one| one.p50)),
                ms(time(|one| one.p99)),
                micros(time(|one| one.busy_each)),
            ]);
        }
    }
    Ok(rows)
}
