//! What the head start was worth, in a sentence.

use headstart_protocol::stamps::Point;

use super::{
    attempt::{Attempt, Received},
    report::received,
    statistics::{Percentiles, ms},
    way::Way,
};

/// How many times longer a wait must be to count as longer: equal ones vary by less.
const CLEARLY: f64 = 1.2;

/// Returns what the user gained by the head start; `None` unless both an offer straight from the origin and
/// one that was already positioned came.
#[must_use]
pub fn gain(attempts: &[Attempt]) -> Option<String> {
    let wait = |way| {
        let felt = received(way, attempts).map(|one| one.felt);
        Some(ms(Percentiles::of(felt)?.p50))
    };
    let mut generating: Vec<_> = received(Way::Origin, attempts)
        .filter_map(generating)
        .collect();
    generating.sort_by(f64::total_cmp);
    let generating = *generating.get(generating.len() / 2)?;
    Some(told(wait(Way::Origin)?, wait(Way::Positioned)?, generating))
}

fn generating(received: &Received) -> Option<f64> {
    let stamps = &received.offer.stamps;
    let ms = stamps.between(Point::Started, Point::Generated)?;
    Some(f64::from(i32::try_from(ms).ok()?))
}

/// Returns the sentence, of the wait straight from the origin, the wait for a positioned offer, and how long
/// generating took of the first, all in ms.
fn told(without: f64, with: f64, generating: f64) -> String {
    let worth = if with * CLEARLY < without {
        format!(
            "The head start saved {:.0} of {without:.0} ms.",
            without - with
        )
    } else {
        format!(
            "The head start gained nothing here: an offer took {generating:.0} ms to make, and to ask for {with:.0} ms."
        )
    };
    // Whatever else asking the origin takes, it takes for the dearest offer, too.
    let pays_from = with - (without - generating);
    if pays_from < 1.0 {
        format!("{worth}\nIt pays however quickly an offer is made.")
    } else {
        format!("{worth}\nIt pays where making an offer takes longer than {pays_from:.0} ms.")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_told_what_was_saved() {
        assert_eq!(
            told(476.0, 16.0, 474.0),
            "The head start saved 460 of 476 ms.\n\
             It pays where making an offer takes longer than 14 ms."
        );
    }

    #[test]
    fn it_is_told_that_nothing_was_gained() {
        assert_eq!(
            told(2.4, 12.0, 1.0),
            "The head start gained nothing here: an offer took 1 ms to make, and to ask for 12 ms.\n\
             It pays where making an offer takes longer than 11 ms."
        );
        assert!(told(12.0, 11.0, 10.0).contains("gained nothing"));
    }

    #[test]
    fn with_an_origin_further_away_than_the_edge_it_always_pays() {
        assert_eq!(
            told(81.0, 12.0, 1.0),
            "The head start saved 69 of 81 ms.\nIt pays however quickly an offer is made."
        );
    }

    #[test]
    fn nothing_is_told_of_what_was_not_measured() {
        assert_eq!(gain(&[]), None);
    }
}
