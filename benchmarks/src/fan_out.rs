//! Our edge, the Durable Object in JavaScript and nchan beside each other.

use anyhow::ensure;
use headstart_client::{load::files, subscribe::transport::Transport};

use crate::{
    server::Kind,
    subject::{Measurement, Subject},
    table::{self, count, median, median_time, micros, ms, spread},
    workload::{BURST, DATA_BYTES, Effort, Pattern},
};

/// One of each server's.
type Each<T> = [T; Kind::ALL.len()];

/// What was measured with one transport and number of subscribers.
#[derive(Debug)]
struct Case {
    transport: Transport,
    subscribers: usize,
    /// Bytes of an update on its way to a subscriber, the same from every server.
    wire_bytes: usize,
    /// How much more memory a server has for each subscriber, in bytes.
    memory: Each<f64>,
    rounds: Vec<(Pattern, Vec<Each<Measurement>>)>,
}

/// Measures everything, and prints it.
pub async fn run(effort: &Effort) -> anyhow::Result<()> {
    let mut cases = Vec::new();
    for transport in &effort.transports {
        for subscribers in &effort.subscribers {
            eprintln!(
                "{subscribers} subscribers by {}",
                table::transport(*transport)
            );
            cases.push(measure(*transport, *subscribers, effort).await?);
        }
    }
    print(&cases, effort);
    Ok(())
}

async fn measure(
    transport: Transport,
    subscribers: usize,
    effort: &Effort,
) -> anyhow::Result<Case> {
    // Before the servers start, which inherit the limit.
    files::make_room(Kind::ALL.len() * subscribers)?;
    let mut subjects = Vec::new();
    for kind in Kind::ALL {
        subjects.push(Subject::start(kind, transport, &[]).await?);
    }
    let wire_bytes = pad(&mut subjects).await?;
    let mut memory = [0.0; Kind::ALL.len()];
    for (subject, memory) in subjects.iter_mut().zip(&mut memory) {
        *memory = subject.connect(subscribers).await?;
    }
    let mut rounds = Pattern::ALL.map(|pattern| (pattern, Vec::new()));
    for round in 0..effort.rounds {
        for (pattern, measured) in &mut rounds {
            let mut each = Each::default();
            for turn in 0..subjects.len() {
                // Nobody is always the first.
                let at = (round + turn) % subjects.len();
                let measurement = subjects[at].measure(*pattern, effort).await?;
                eprintln!(
                    "  {pattern:6} {:10} {:>8} deliveries/s, p99 {} ms",
                    subjects[at].kind.to_string(),
                    count(measurement.deliveries_per_second),
                    ms(measurement.p99),
                );
                each[at] = measurement;
            }
            measured.push(each);
        }
    }
    Ok(Case {
        transport,
        subscribers,
        wire_bytes,
        memory,
        rounds: rounds.into(),
    })
}

/// Warms all up, and makes the others' updates as long as ours on their way to a subscriber: ours have an
/// envelope. Gives that length.
async fn pad(subjects: &mut [Subject]) -> anyhow::Result<usize> {
    let mut lengths = Vec::new();
    for subject in &*subjects {
        lengths.push(subject.warm_up().await?);
    }
    let longest = lengths.iter().copied().max().unwrap_or_default();
    for (subject, length) in subjects.iter_mut().zip(lengths) {
        subject.pad(longest - length);
    }
    for subject in &*subjects {
        let length = subject.warm_up().await?;
        // The numbers in it have grown by a digit or two.
        ensure!(
            length.abs_diff(longest) <= 4,
            "an update of {} has {length} bytes, not {longest}",
            subject.kind
        );
    }
    Ok(longest)
}

fn print(cases: &[Case], effort: &Effort) {
    print_speed(cases, effort);
    print_latency(cases);
    print_processor(cases);
    print_memory(cases);
    for case in cases
        .iter()
        .filter(|case| Some(&case.subscribers) == effort.subscribers.first())
    {
        println!(
            "{}: {DATA_BYTES} bytes of data are {} bytes on the wire; the others' updates are padded to that.",
            table::transport(case.transport),
            case.wire_bytes
        );
    }
}

fn print_speed(cases: &[Case], effort: &Effort) {
    let title = format!(
        "Deliveries a second: medians of {} rounds. Ratios are those of each round: the median, the least\n\
         and the most. A burst is {BURST} updates.",
        effort.rounds
    );
    let head = [
        "transport",
        "updates",
        "subscribers",
        "Headstart",
        "JavaScript",
        "nchan",
        "Headstart :\nJavaScript",
        "Headstart :\nnchan",
    ];
    table::print(
        &title,
        2,
        &head,
        rows(cases, |rounds| {
            let speed = |at: usize| move |each: &Each<Measurement>| each[at].deliveries_per_second;
            let speeds = [0, 1, 2].map(|at| count(median(&of(rounds, speed(at)))));
            let ratios =
                [1, 2].map(|other| spread(&of(rounds, |each| speed(0)(each) / speed(other)(each))));
            [&speeds[..], &ratios].concat()
        }),
    );
}

fn print_latency(cases: &[Case]) {
    let title = "Latency: ms from publishing to delivery.";
    let head = [
        "transport",
        "updates",
        "subscribers",
        "p50\nHeadstart",
        "\nJavaScript",
        "\nnchan",
        "p99\nHeadstart",
        "\nJavaScript",
        "\nnchan",
    ];
    table::print(
        title,
        2,
        &head,
        rows(cases, |rounds| {
            let p50 = [0, 1, 2].map(|at| ms(median_time(rounds.iter().map(|each| each[at].p50))));
            let p99 = [0, 1, 2].map(|at| ms(median_time(rounds.iter().map(|each| each[at].p99))));
            [p50, p99].concat()
        }),
    );
}

fn print_processor(cases: &[Case]) {
    let title = "Processor: µs that the server's process ran for each delivery, and which part of the time it\n\
                 ran. Beside it, in brackets, this program, which plays the subscribers.";
    let head = [
        "transport",
        "updates",
        "subscribers",
        "µs each\nHeadstart",
        "\nJavaScript",
        "\nnchan",
        "busy\nHeadstart",
        "\nJavaScript",
        "\nnchan",
    ];
    table::print(
        title,
        2,
        &head,
        rows(cases, |rounds| {
            let each = [0, 1, 2]
                .map(|at| micros(median_time(rounds.iter().map(|each| each[at].busy_each))));
            let busy = [0, 1, 2].map(|at| {
                let server = median(&of(rounds, |each| each[at].busy));
                let own = median(&of(rounds, |each| each[at].own_busy));
                format!("{:.0} % ({:.0} %)", server * 100.0, own * 100.0)
            });
            [each, busy].concat()
        }),
    );
}

fn print_memory(cases: &[Case]) {
    let title = "Memory: KiB that the server's process grew by for each subscriber that was connected and idle.";
    let head = [
        "transport",
        "subscribers",
        "Headstart",
        "JavaScript",
        "nchan",
    ];
    table::print(
        title,
        1,
        &head,
        cases.iter().map(|case| {
            let memory = case.memory.map(|bytes| format!("{:.1}", bytes / 1024.0));
            let case = [table::transport(case.transport), count_of(case.subscribers)];
            [&case[..], &memory].concat()
        }),
    );
}

/// A row for each transport, pattern and number of subscribers.
fn rows<'a>(
    cases: &'a [Case],
    cells: impl Fn(&'a [Each<Measurement>]) -> Vec<String>,
) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    for transport in [Transport::Sse, Transport::Ws] {
        for pattern in Pattern::ALL {
            for case in cases.iter().filter(|case| case.transport == transport) {
                let measured = case.rounds.iter().filter(|(of, _)| *of == pattern);
                for (_, rounds) in measured {
                    let case = [
                        table::transport(transport),
                        pattern.to_string(),
                        count_of(case.subscribers),
                    ];
                    rows.push([&case[..], &cells(rounds)].concat());
                }
            }
        }
    }
    rows
}

fn of<T>(rounds: &[T], what: impl Fn(&T) -> f64) -> Vec<f64> {
    rounds.iter().map(what).collect()
}

fn count_of(number: usize) -> String {
    #[expect(clippy::cast_precision_loss, reason = "there are not 2^52 subscribers")]
    let number = number as f64;
    count(number)
}
