//! The comparison of the ways, as a table of at most 100 columns.

use std::time::Duration;

use comfy_table::{
    Cell, CellAlignment, ColumnConstraint, LineStyle, Table, Width, presets::UTF8_HORIZONTAL_ONLY,
};
use headstart_protocol::stamps::Stamps;

use super::{
    Plan,
    attempt::{Attempt, Received},
    edge_client::Offer,
    gain::gain,
    report::received,
    spans::{PARTS, Part},
    statistics::{Percentiles, ms},
    way::Way,
};

const LEGEND: &str = "\
felt wait: from the moment the user asks until the offer is there. Who waits from the start asks by
logging in; for an offer that is already positioned the user asks after looking around.
at edge: how long the offer lay there until it was asked for, or handed to who waited.
~ between two clocks: it also tells how far they are apart. All times in ms.";

/// Returns the table, its legend, and what the head start was worth.
#[must_use]
pub fn render(plan: &Plan, attempts: &[Attempt]) -> String {
    let many = plan.repeat > 1;
    let mut table = Table::new();
    table.load_style(UTF8_HORIZONTAL_ONLY.row_separator(LineStyle::none()));
    table.set_header(header(many));
    for &way in &plan.ways {
        let all: Vec<&Received> = received(way, attempts).collect();
        if all.is_empty() {
            table.add_row([title(way, plan), why_not(way, attempts).to_owned()]);
            continue;
        }
        table.add_row(row(
            title(way, plan),
            Percentiles::of(all.iter().map(|one| one.felt)),
            &parts(&all.iter().map(|one| one.offer.stamps)),
            &requests(&all),
            read_from(way, &all[0].offer),
            many,
        ));
        let again: Vec<_> = all
            .iter()
            .filter_map(|one| one.felt_again.as_ref())
            .collect();
        if let Some((_, offer)) = again.first() {
            table.add_row(row(
                "  and read once more".to_owned(),
                Percentiles::of(again.iter().map(|(felt, _)| *felt)),
                &[const { None }; PARTS.len()],
                "1",
                read_from(way, offer),
                many,
            ));
        }
    }
    for column in table.column_iter_mut() {
        // With the space that the style puts between columns, two.
        column.set_padding((0, 1));
        column.set_cell_alignment(CellAlignment::Right);
    }
    if let Some(column) = table.column_mut(0) {
        column.set_cell_alignment(CellAlignment::Left);
        column.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(24)));
    }
    let failures: String = attempts.iter().filter_map(failure).collect();
    let gain = gain(attempts).map_or_else(String::new, |told| format!("\n\n{told}"));
    format!("{table}\n{failures}{LEGEND}{gain}")
}

/// Returns a line on why an attempt brought no offer.
fn failure(attempt: &Attempt) -> Option<String> {
    let error = attempt.result.as_ref().err()?;
    Some(format!("{} failed: {error}\n", attempt.way.name()))
}

fn header(many: bool) -> Vec<Cell> {
    let felt: &[&str] = if many {
        &["felt p50", "p95", "min", "max"]
    } else {
        &["felt wait"]
    };
    // With the percentiles there is no room for them.
    let sources: &[&str] = if many { &[] } else { &["requests", "from"] };
    let parts = PARTS.iter().map(|part| {
        let about = if part.crosses_clocks() { "~" } else { "" };
        format!("{about}{}", part.name)
    });
    ["way to receive the offer".to_owned()]
        .into_iter()
        .chain(felt.iter().map(|&name| name.to_owned()))
        .chain(parts)
        .chain(sources.iter().map(|&name| name.to_owned()))
        .map(Cell::new)
        .collect()
}

fn row(
    name: String,
    felt: Option<Percentiles>,
    parts: &[Option<i64>],
    requests: &str,
    read_from: &str,
    many: bool,
) -> Vec<String> {
    let mut cells = vec![name];
    if let Some(felt) = felt {
        cells.push(shown(felt.p50));
        if many {
            cells.extend([felt.p95, felt.min, felt.max].map(shown));
        }
    }
    cells.extend(
        parts
            .iter()
            .map(|part| part.map_or_else(String::new, |ms| ms.to_string())),
    );
    if !many {
        cells.extend([requests, read_from].map(str::to_owned));
    }
    cells
}

/// Returns where the offer came from: a place at the edge, where the edge says so.
fn read_from(way: Way, offer: &Offer) -> &str {
    match (&offer.served_from, way) {
        (Some(place), _) => place,
        (None, Way::Origin) => "origin",
        (None, Way::Sse | Way::WebSocket) => "pushed",
        (None, _) => "",
    }
}

/// Returns the middle of each part's lengths.
fn parts(stamps: &(impl Iterator<Item = Stamps> + Clone)) -> [Option<i64>; PARTS.len()] {
    PARTS.map(|part| middle(part, stamps.clone()))
}

fn middle(part: Part, stamps: impl Iterator<Item = Stamps>) -> Option<i64> {
    let mut lengths: Vec<i64> = stamps.filter_map(|stamps| part.ms(&stamps)).collect();
    lengths.sort_unstable();
    lengths.get(lengths.len() / 2).copied()
}

/// Returns the most and the fewest requests, where they differ.
fn requests(all: &[&Received]) -> String {
    let fewest = all.iter().map(|one| one.requests).min().unwrap_or(0);
    let most = all.iter().map(|one| one.requests).max().unwrap_or(0);
    if fewest == most {
        most.to_string()
    } else {
        format!("{fewest}-{most}")
    }
}

fn title(way: Way, plan: &Plan) -> String {
    match way {
        Way::Polling => format!("polling every {} ms", plan.poll_every.as_millis()),
        way => way.name().to_owned(),
    }
}

/// Returns why a way was not measured: without an origin, its own cannot be.
fn why_not(way: Way, attempts: &[Attempt]) -> &'static str {
    if attempts.iter().any(|attempt| attempt.way == way) {
        "failed"
    } else {
        "not measured"
    }
}

fn shown(duration: Duration) -> String {
    let ms = ms(duration);
    if ms < 10.0 {
        format!("{ms:.1}")
    } else {
        format!("{ms:.0}")
    }
}

#[cfg(test)]
mod tests {
    use headstart_protocol::{
        login::LoginRequest,
        stamps::{Point, Stamps},
    };
    use serde_json::Map;

    use super::*;
    use crate::race::edge_client::ClientError;

    fn plan(repeat: u32) -> Plan {
        Plan {
            login: LoginRequest {
                user: "17850".to_owned(),
                attributes: Map::new(),
            },
            edge: "http://127.0.0.1:8787".parse().unwrap(),
            origin: None,
            login_key: None,
            ways: Way::ALL.to_vec(),
            repeat,
            poll_every: Duration::from_millis(500),
            think: Duration::from_secs(3),
            give_up: Duration::from_mins(1),
        }
    }

    /// Returns every way but the origin's, which nobody asked.
    fn attempts() -> Vec<Attempt> {
        let ways = Way::ALL.iter().filter(|way| **way != Way::Origin);
        ways.map(|way| attempt(*way)).collect()
    }

    /// Returns a way with times as long as they get.
    fn attempt(way: Way) -> Attempt {
        let stamps = Point::ALL
            .into_iter()
            .zip(1_u64..)
            .map(|(point, step)| (point, step * 12_345))
            .collect::<Stamps>();
        let offer = Offer {
            body: vec![],
            stamps,
            served_from: Some("memory".to_owned()),
        };
        let received = Received {
            ticket_after: Duration::from_millis(5),
            felt: Duration::from_millis(12_345),
            felt_again: (way == Way::Positioned)
                .then(|| (Duration::from_micros(1_234), offer.clone())),
            requests: 120,
            offer,
        };
        Attempt {
            way,
            result: Ok(received),
        }
    }

    #[test]
    fn the_table_fits_100_columns_however_long_the_times() {
        let mut attempts = attempts();
        attempts.push(attempt(Way::Origin));
        for repeat in [1, 2] {
            let shown = render(&plan(repeat), &attempts);
            assert!(shown.contains("gained nothing"), "{shown}");
            for line in shown.lines() {
                assert!(line.chars().count() <= 100, "{line}");
            }
        }
    }

    #[test]
    fn every_way_has_its_row_measured_or_not() {
        let mut attempts = attempts();
        attempts[0].result = Err(ClientError::Ended);
        let shown = render(&plan(1), &attempts);
        let row = |name: &str| {
            let row = shown
                .lines()
                .find(|line| line.trim_start().starts_with(name));
            row.unwrap_or_else(|| panic!("{name} is not in:\n{shown}"))
        };
        assert!(row("straight from the origin").contains("not measured"));
        let why = ClientError::Ended.to_string();
        assert!(shown.contains(&format!("polling failed: {why}")), "{shown}");
        assert!(row("polling every 500 ms").contains("failed"));
        assert!(row("long-poll").contains("12345"));
        assert!(row("and read once more").contains("1.2"));
    }
}
