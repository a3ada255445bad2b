//! What it takes to bring an update to many subscribers: objects, requests, time and money. The way of
//! the update is decided by the edge's own rules; how long a step takes is in `assumptions.rs`.
//!
//! ```sh
//! cargo run --release -p headstart-edge-rules --example scale
//! ```
//!
//! `docs/scale.md` says what the tables mean.

mod assumptions;
mod delivery;
mod money;

use assumptions::{SOCKET_LIVES_SECONDS, STREAM_LIVES_SECONDS, SUBSCRIBERS};
use comfy_table::{CellAlignment, LineStyle, Table, presets::UTF8_HORIZONTAL_ONLY};
use delivery::Delivery;
use money::Month;

fn main() {
    let deliveries = SUBSCRIBERS.map(delivery::deliver);
    let months = deliveries.each_ref().map(Month::of);
    let [short, long] = SOCKET_LIVES_SECONDS;

    println!("One update");
    let head = [
        "subscribers",
        "objects",
        "requests:\nroot",
        "requests:\na lead",
        "requests:\nall",
        "messages:\na relay",
        "ms until\nfirst",
        "ms until\nhalf",
        "ms until\nlast",
    ];
    print(&head, deliveries.iter().map(one_update));

    println!("\nA month of one update a second, on WebSockets, in US dollars");
    let head = [
        "subscribers",
        "pushes",
        "follows",
        "storage",
        "active",
        &format!("connecting\n{short} s"),
        &format!("connecting\n{long} s"),
        &format!("total\n{short} s"),
        &format!("total\n{long} s"),
        "per million\ndelivered",
    ];
    let rows = deliveries.iter().zip(&months).map(|(delivery, month)| {
        vec![
            count(delivery.subscribers),
            dollars(month.pushes),
            dollars(month.follows),
            dollars(month.storage),
            dollars(month.active),
            dollars(month.connections(short)),
            dollars(month.connections(long)),
            dollars(month.total(short)),
            dollars(month.total(long)),
            format!("{:.4}", month.total(long) / (month.delivered / 1e6)),
        ]
    });
    print(&head, rows);

    println!("\nThe same month on Server-Sent Events");
    let [short, long] = STREAM_LIVES_SECONDS;
    let head = [
        "subscribers",
        "active",
        &format!("connecting\n{short} s"),
        &format!("connecting\n{long} s"),
        &format!("total\n{short} s"),
        &format!("total\n{long} s"),
    ];
    let rows = deliveries.iter().zip(&months).map(|(delivery, month)| {
        vec![
            count(delivery.subscribers),
            dollars(month.active + month.sse),
            dollars(month.connections(short)),
            dollars(month.connections(long)),
            dollars(month.total_sse(short)),
            dollars(month.total_sse(long)),
        ]
    });
    print(&head, rows);

    println!("\nWhat is added to WebSockets");
    let head = ["subscribers", "everyone listed", "every update acked"];
    let rows = deliveries.iter().zip(&months).map(|(delivery, month)| {
        vec![
            count(delivery.subscribers),
            dollars(month.presence),
            dollars(month.acks),
        ]
    });
    print(&head, rows);
}

fn one_update(delivery: &Delivery) -> Vec<String> {
    let ms = |us: u64| count(us / 1_000);
    vec![
        count(delivery.subscribers),
        count(delivery.relays + 1),
        count(delivery.root_requests),
        count(delivery.lead_requests),
        count(delivery.all_requests),
        count(delivery.most_messages),
        ms(delivery.first_us),
        ms(delivery.half_us),
        ms(delivery.last_us),
    ]
}

fn print(head: &[&str], rows: impl Iterator<Item = Vec<String>>) {
    let mut table = Table::new();
    table.load_style(UTF8_HORIZONTAL_ONLY.row_separator(LineStyle::none()));
    table.set_header(head);
    for row in rows {
        table.add_row(row);
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 1));
        column.set_cell_alignment(CellAlignment::Right);
    }
    println!("{}", table.trim_fmt());
}

fn dollars(amount: f64) -> String {
    if amount < 10.0 {
        return format!("{amount:.2}");
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a sum of money that is not negative, and far below 2^53"
    )]
    let whole = amount.round() as u64;
    count(whole)
}

/// A number with commas between thousands.
fn count(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> = digits
        .as_bytes()
        .rchunks(3)
        .rev()
        .map(|group| std::str::from_utf8(group).unwrap_or_default())
        .collect();
    groups.join(",")
}
