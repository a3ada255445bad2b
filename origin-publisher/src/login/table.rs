//! The comparison of the ways, as a table of at most 100 columns.

use std::time::Duration;

use comfy_table::{
    Cell, CellAlignment, ColumnConstraint, Table, Width, presets::UTF8_HORIZONTAL_ONLY,
};
use headstart_protocol::stamps::Stamps;

use super::{
    Plan,
    attempt::{Attempt, Received},
    edge_client::Offer,
    report::received,
    spans::{PARTS, Part},
    statistics::{Spread, ms},
    way::Way,
};

const LEGEND: &str = "\
felt wait: from the moment the user asks until the offer is there. Who waits from the start asks by
logging in; for an offer that is already positioned the user asks after looking around.
at edge: how long the offer lay there until it was asked for, or handed to who waited.
~ between two clocks: it also tells how far they are apart. All times in ms.";

/// The table and its legend.
#[must_use]
pub fn render(plan: &Plan, attempts: &[Attempt]) -> String {
    let many = plan.repeat > 1;
    let mut table = Table::new();
    table.load_style(UTF8_HORIZONTAL_ONLY);
    table.set_header(header(many));
    for &way in &plan.ways {
        let all: Vec<&Received> = received(way, attempts).collect();
        if all.is_empty() {
            table.add_row([
                way.name().to_owned(),
                why_not(way, plan, attempts).to_owned(),
            ]);
            continue;
        }
        table.add_row(row(
            way.name().to_owned(),
            Spread::of(all.iter().map(|one| one.felt)),
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
                Spread::of(again.iter().map(|(felt, _)| *felt)),
                &[const { None }; PARTS.len()],
                "1",
                read_from(way, offer),
                many,
            ));
        }
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    if let Some(column) = table.column_mut(0) {
        column.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(24)));
    }
    format!("{table}\n{LEGEND}")
}

fn header(many: bool) -> Vec<Cell> {
    let felt: &[&str] = if many {
        &["felt p50", "p95", "min", "max"]
    } else {
        &["felt wait"]
    };
    // With the percentiles there is no room for them.
    let sources: &[&str] = if many {
        &[]
    } else {
        &["requests", "read from"]
    };
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
    felt: Option<Spread>,
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

/// Where the offer came from: a place at the edge, where the edge says so.
fn read_from(way: Way, offer: &Offer) -> &str {
    match (&offer.served_from, way) {
        (Some(place), _) => place,
        (None, Way::Origin) => "origin",
        (None, Way::Sse | Way::WebSocket) => "pushed",
        (None, _) => "",
    }
}

/// The middle of each part's lengths.
fn parts(stamps: &(impl Iterator<Item = Stamps> + Clone)) -> [Option<i64>; PARTS.len()] {
    PARTS.map(|part| middle(part, stamps.clone()))
}

fn middle(part: Part, stamps: impl Iterator<Item = Stamps>) -> Option<i64> {
    let mut lengths: Vec<i64> = stamps.filter_map(|stamps| part.ms(&stamps)).collect();
    lengths.sort_unstable();
    lengths.get(lengths.len() / 2).copied()
}

/// The most and the fewest requests, where they differ.
fn requests(all: &[&Received]) -> String {
    let fewest = all.iter().map(|one| one.requests).min().unwrap_or(0);
    let most = all.iter().map(|one| one.requests).max().unwrap_or(0);
    if fewest == most {
        most.to_string()
    } else {
        format!("{fewest}-{most}")
    }
}

fn why_not(way: Way, plan: &Plan, attempts: &[Attempt]) -> &'static str {
    if way == Way::Origin && plan.origin.is_none() {
        "not measured: no --origin"
    } else if attempts.iter().any(|attempt| attempt.way == way) {
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
