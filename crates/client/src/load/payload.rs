//! What an update carries: its number and its time of publishing, under a mark that no other run has.
//! They are found in whatever surrounds them without reading that.

use memchr::memmem;
use uuid::Uuid;

/// One update.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payload {
    /// A name that no other update of any run has.
    pub id: String,
    /// JSON.
    pub text: String,
}

/// What was found in what arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// The update's number, from 0.
    pub number: u64,
    /// When it was published, in microseconds since the run's epoch.
    pub published_at: u64,
}

/// Makes the payloads of one run, and finds their marks.
#[derive(Debug)]
pub struct Finder {
    run: String,
    mark: memmem::Finder<'static>,
}

impl Default for Finder {
    fn default() -> Self {
        Self::new()
    }
}

impl Finder {
    /// Returns a finder for a new run.
    #[must_use]
    pub fn new() -> Self {
        let run = Uuid::now_v7().simple().to_string();
        let mark = format!("{run}:");
        Self {
            run,
            mark: memmem::Finder::new(mark.as_bytes()).into_owned(),
        }
    }

    /// Returns the payload with this mark, of `bytes` bytes at least.
    #[must_use]
    pub fn payload(&self, mark: Mark, bytes: usize) -> Payload {
        let Mark {
            number,
            published_at,
        } = mark;
        let text = format!(r#"{{"mark":"{}:{number}:{published_at};","#, self.run);
        let pad = bytes.saturating_sub(text.len() + r#""pad":""}"#.len());
        Payload {
            id: format!("{}-{number}", self.run),
            text: format!(r#"{text}"pad":"{:x<pad$}"}}"#, ""),
        }
    }

    /// Gives every mark in what arrived to `each`.
    pub fn find(&self, bytes: &[u8], mut each: impl FnMut(Mark)) {
        let length = self.mark.needle().len();
        for at in self.mark.find_iter(bytes) {
            let rest = bytes.get(at + length..).unwrap_or_default();
            if let Some((number, rest)) = digits(rest, b':')
                && let Some((published_at, _)) = digits(rest, b';')
            {
                each(Mark {
                    number,
                    published_at,
                });
            }
        }
    }
}

/// Returns the number, and what comes after the `end` that must follow it.
fn digits(bytes: &[u8], end: u8) -> Option<(u64, &[u8])> {
    let at = bytes.iter().position(|byte| !byte.is_ascii_digit())?;
    let (number, rest) = bytes.split_at(at);
    let number = std::str::from_utf8(number).ok()?.parse().ok()?;
    Some((number, rest.strip_prefix(&[end])?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(finder: &Finder, text: &str) -> Vec<(u64, u64)> {
        let mut found = Vec::new();
        finder.find(text.as_bytes(), |mark| {
            found.push((mark.number, mark.published_at));
        });
        found
    }

    fn mark(number: u64) -> Mark {
        Mark {
            number,
            published_at: 17 + number,
        }
    }

    #[test]
    fn marks_are_found_in_whatever_surrounds_them() {
        let finder = Finder::new();
        let payloads = [finder.payload(mark(0), 200), finder.payload(mark(1), 0)];
        let text = format!(
            r#"{{"updates":[{{"id":"{}","data":{}}},{{"data":{}}}]}}"#,
            payloads[0].id, payloads[0].text, payloads[1].text
        );
        assert_eq!(found(&finder, &text), [(0, 17), (1, 18)]);
        assert_eq!(found(&Finder::new(), &text), [], "of another run");
    }

    #[test]
    fn a_payload_is_json_of_the_size_that_is_wanted() {
        let payload = Finder::new().payload(mark(7), 200);
        assert_eq!(payload.text.len(), 200);
        assert!(serde_json::from_str::<serde_json::Value>(&payload.text).is_ok());
    }

    #[test]
    fn what_is_cut_is_no_mark() {
        let finder = Finder::new();
        let text = finder.payload(mark(12), 0).text;
        let end = text.find(';').unwrap();
        for cut in 0..end {
            assert_eq!(found(&finder, &text[..cut]), []);
        }
        assert_eq!(found(&finder, &text[..=end]), [(12, 29)]);
    }
}
