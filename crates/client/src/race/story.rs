//! The user's story, told as it happens.

use std::{io::Write, sync::Mutex, time::Duration};

use super::{
    Plan,
    attempt::Attempt,
    listener::{Listener, Moment},
    spans::{Span, spans},
    way::Way,
};

/// Writes the story in lines of text.
#[derive(Debug)]
pub struct Teller<W> {
    out: Mutex<W>,
}

impl<W: Write + Send> Teller<W> {
    /// Returns a teller that writes to `out`.
    pub fn new(out: W) -> Self {
        Self {
            out: Mutex::new(out),
        }
    }

    fn line(&self, text: &str) {
        if let Ok(mut out) = self.out.lock() {
            // A reader that has gone away, as `head` does, must not end the measurement.
            let _ = writeln!(out, "{text}");
        }
    }
}

impl<W: Write + Send> Listener for Teller<W> {
    fn begins(&self, way: Way, round: u32, plan: &Plan) {
        let times = match plan.repeat {
            1 => String::new(),
            repeat => format!(" ({round} of {repeat})"),
        };
        let how = match way {
            Way::Polling => format!(", asking every {} ms", plan.poll_every.as_millis()),
            _ => String::new(),
        };
        self.line(&format!("\n{}{how}{times}", way.name()));
    }

    fn tells(&self, after: Duration, moment: Moment<'_>) {
        let what = match moment {
            Moment::LogsIn => "logs in".to_owned(),
            Moment::HasTicket => "has a ticket; the page goes on".to_owned(),
            Moment::Thinks(time) => format!("looks around for {} s", time.as_secs_f64()),
            Moment::Asks => "asks for the offer".to_owned(),
            Moment::HasOffer(offer) => {
                let from = match &offer.served_from {
                    Some(place) => format!(" from the edge's {place}"),
                    None => String::new(),
                };
                let parts: Vec<String> = spans(&offer.stamps).iter().map(in_words).collect();
                format!(
                    "has the offer ({} bytes){from}\n             of which ms: {}",
                    offer.body.len(),
                    parts.join(", ")
                )
            }
        };
        self.line(&format!("  {:>6} ms  {what}", after.as_millis()));
    }

    fn ended(&self, attempt: &Attempt) {
        if let Err(error) = &attempt.result {
            self.line(&format!("  no offer: {error}"));
        }
    }
}

/// Returns a part in words; `~` marks one that also tells how far two clocks are apart.
fn in_words(span: &Span) -> String {
    let about = if span.crosses_clocks { "~" } else { "" };
    format!("{about}{} {}", span.part, span.ms)
}
