//! What is printed.

use std::time::Duration;

use comfy_table::{CellAlignment, LineStyle, Table, presets::UTF8_HORIZONTAL_ONLY};
use headstart_client::subscribe::transport::Transport;

/// Prints a table; its first `texts` columns are texts, the others numbers.
pub fn print(
    title: &str,
    texts: usize,
    head: &[&str],
    rows: impl IntoIterator<Item = Vec<String>>,
) {
    let mut table = Table::new();
    table.load_style(UTF8_HORIZONTAL_ONLY.row_separator(LineStyle::none()));
    table.set_header(head).add_rows(rows);
    for column in table.column_iter_mut().skip(texts) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    println!("\n{title}\n{table}");
}

pub fn transport(transport: Transport) -> String {
    match transport {
        Transport::Sse => "SSE",
        Transport::Ws => "WebSocket",
    }
    .to_owned()
}

/// In thousands, with commas.
pub fn count(number: f64) -> String {
    let digits = format!("{number:.0}");
    let groups: Vec<&str> = digits
        .as_bytes()
        .rchunks(3)
        .rev()
        .filter_map(|group| std::str::from_utf8(group).ok())
        .collect();
    groups.join(",")
}

pub fn ms(duration: Duration) -> String {
    let ms = duration.as_secs_f64() * 1000.0;
    if ms < 10.0 {
        format!("{ms:.1}")
    } else {
        format!("{ms:.0}")
    }
}

pub fn micros(duration: Duration) -> String {
    format!("{:.1}", duration.as_secs_f64() * 1e6)
}

/// The median, with the least and the most.
pub fn spread(values: &[f64]) -> String {
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let most = values.iter().copied().fold(0.0, f64::max);
    format!("{:.2} ({least:.2} to {most:.2})", median(values))
}

/// The one in the middle; of an even number, the mean of the two in the middle.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match (sorted.len() / 2, sorted.len() % 2) {
        (0, 0) => f64::NAN,
        (middle, 0) => f64::midpoint(sorted[middle - 1], sorted[middle]),
        (middle, _) => sorted[middle],
    }
}

/// The median of durations.
pub fn median_time(values: impl IntoIterator<Item = Duration>) -> Duration {
    let seconds: Vec<f64> = values
        .into_iter()
        .map(|value| value.as_secs_f64())
        .collect();
    Duration::try_from_secs_f64(median(&seconds)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert!((median(&[5.0, 1.0, 3.0]) - 3.0).abs() < 1e-9);
        assert!((median(&[4.0, 1.0, 2.0, 8.0]) - 3.0).abs() < 1e-9);
        assert_eq!(spread(&[2.0, 1.0, 4.0]), "2.00 (1.00 to 4.00)");
        let times = [30, 10, 20].map(Duration::from_millis);
        assert_eq!(median_time(times), Duration::from_millis(20));
    }

    #[test]
    fn large_numbers_have_commas() {
        let shown = [0.0, 999.4, 1000.0, 1_234_567.0].map(count);
        assert_eq!(shown, ["0", "999", "1,000", "1,234,567"]);
    }
}
