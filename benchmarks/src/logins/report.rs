//! What is printed of logins.

use std::time::Duration;

use super::{Climb, LIMIT, open_loop::Step, site::Kind, tally::Tally};
use crate::{
    table::{self, count, ms},
    workerd::Workerd,
};

/// What a server holds.
#[derive(Debug, Clone, Copy)]
pub struct Resources {
    pub open_files: usize,
    /// In bytes.
    pub memory: u64,
    /// Durable Objects with a database of their own.
    pub objects: usize,
}

impl Resources {
    /// What it holds now; `None` where it has ended.
    pub fn of(worker: &Workerd) -> Option<Self> {
        Some(Self {
            open_files: worker.process().open_files().ok()?,
            memory: worker.process().resident().ok()?,
            objects: worker.all_objects(),
        })
    }
}

/// What a server held at some time.
#[derive(Debug, Clone, Copy)]
pub struct Taken {
    pub when: &'static str,
    /// Logins that it had been sent by then.
    pub logins: u64,
    pub resources: Option<Resources>,
}

/// A step in one line.
pub fn line(kind: Kind, step: &Step, passed: bool) -> String {
    format!(
        "{kind:10} {:>5} logins/s: {:>7.1} offers/s, p99 {} ms{}",
        step.rate,
        step.tally.offers_per_second,
        time(step.tally.offer_within(0.99)),
        if passed { "" } else { ", not kept" }
    )
}

pub fn print(climbs: &[Climb], overload: &Step, offer: &str) {
    print_steps(climbs);
    print_best(climbs);
    print_overload(&climbs[0], overload);
    print_resources(climbs);
    println!(
        "What is stored and sent for a ticket: {} bytes, the same at both.",
        offer.len()
    );
}

fn print_steps(climbs: &[Climb]) {
    let title = format!(
        "Logins: each timed from when it was to begin to the offer in hand, by SSE. A rate is kept where p99 of\n\
         all is under {} ms. Busy is which part of the time a process ran.",
        LIMIT.as_millis()
    );
    let head = [
        "server",
        "logins/s",
        "offers/s",
        "p50 ms",
        "p99 ms",
        "refused",
        "no offer",
        "kept",
        "busy\nworkerd",
        "\norigin",
        "\nthis",
    ];
    let mut rows = Vec::new();
    for climb in climbs {
        let mut steps: Vec<_> = climb.steps.iter().collect();
        steps.sort_by_key(|(step, _)| step.rate);
        for (step, passed) in steps {
            let tally = &step.tally;
            let row = [
                climb.site.kind.to_string(),
                count(step.rate.into()),
                format!("{:.0}", tally.offers_per_second),
                time(tally.offer_within(0.5)),
                time(tally.offer_within(0.99)),
                tally.refused().to_string(),
                without_offer(tally).to_string(),
                if *passed {
                    "yes"
                } else if step.broken_off {
                    "broken off"
                } else {
                    "no"
                }
                .to_owned(),
            ];
            let busy = step.busy.map(|part| format!("{:.0} %", part * 100.0));
            rows.push([&row[..], &busy].concat());
        }
    }
    table::print(&title, 1, &head, rows);
}

fn print_best(climbs: &[Climb]) {
    let best = climbs.iter().map(|climb| climb.ladder.best());
    let best: Vec<u32> = best.map(Option::unwrap_or_default).collect();
    println!("{}", compared(best[0], best[1]));
}

fn compared(ours: u32, other: u32) -> String {
    let (us, them) = (Kind::Headstart, Kind::JavaScript);
    let of_it = if other == 0 {
        String::new()
    } else {
        format!(": {:.2} of it", f64::from(ours) / f64::from(other))
    };
    let [ours, other] = [ours, other].map(|rate| count(rate.into()));
    format!("Logins a second that are kept: {us} {ours}, {them} {other}{of_it}.")
}

fn print_overload(climb: &Climb, step: &Step) {
    let tally = &step.tally;
    let kept = climb.steps.iter().filter(|(_, passed)| *passed);
    let best = kept
        .map(|(step, _)| step.tally.offers_per_second)
        .max_by(f64::total_cmp);
    let of_its_best = best.map(|best| format!("{:.2}", tally.offers_per_second / best));
    let title = format!(
        "Overload: {} logins a second at {}, which refuses what is too much (503 with Retry-After).",
        count(step.rate.into()),
        climb.site.kind
    );
    let head = ["what", ""];
    let of_all = |number: usize| format!("{number} of {}", tally.due);
    let row = |what: &str, value: String| vec![what.to_owned(), value];
    let mut rows = vec![
        row("offers/s", format!("{:.0}", tally.offers_per_second)),
        row("of its best", of_its_best.unwrap_or_else(none)),
        row("let in: p50 ms", time(tally.offer_within(0.5))),
        row("let in: p99 ms", time(tally.offer_within(0.99))),
        row("refused", of_all(tally.refused())),
        row("refused: p99 ms", time(tally.refusal_within(0.99))),
        row("accepted, and failed", of_all(tally.failed)),
        row("accepted, and lost", of_all(tally.lost)),
    ];
    for (what, number) in &tally.others {
        rows.push(row(what, of_all(*number)));
    }
    table::print(&title, 1, &head, rows);
}

fn print_resources(climbs: &[Climb]) {
    let title = "What workerd holds while nobody is connected.";
    let head = [
        "server",
        "when",
        "logins so far",
        "open files",
        "memory MiB",
        "databases",
    ];
    let rows = climbs.iter().flat_map(|climb| {
        climb.resources.iter().map(|taken| {
            let numbers = taken.resources.map_or_else(
                || std::array::from_fn(|_| "ended".to_owned()),
                |held| {
                    let memory = held.memory >> 20;
                    [
                        held.open_files.to_string(),
                        memory.to_string(),
                        held.objects.to_string(),
                    ]
                },
            );
            let case = [
                climb.site.kind.to_string(),
                taken.when.to_owned(),
                taken.logins.to_string(),
            ];
            [&case[..], &numbers].concat()
        })
    });
    table::print(title, 2, &head, rows);
}

fn without_offer(tally: &Tally) -> usize {
    tally.failed + tally.lost + tally.others.values().sum::<usize>()
}

fn time(time: Option<Duration>) -> String {
    time.map_or_else(none, ms)
}

fn none() -> String {
    "-".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ours_is_compared_with_the_other_where_that_kept_any_rate() {
        assert_eq!(
            compared(600, 1_000),
            "Logins a second that are kept: Headstart 600, JavaScript 1,000: 0.60 of it."
        );
        assert_eq!(
            compared(50, 0),
            "Logins a second that are kept: Headstart 50, JavaScript 0."
        );
    }
}
