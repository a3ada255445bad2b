//! Another's client that follows something, by a script of `tests/clients/`, and what it is told.

use headstart_protocol::event::Event;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::{
    script::Script,
    topics::sequence,
    wait::{LONG, within, within_time},
};

/// The last update that a follower of a topic waits for.
pub const LAST: &str = "last";

/// What a follower heard.
#[derive(Debug, Clone, PartialEq)]
pub enum Heard {
    /// An update, with the number it is resumed by.
    Update(u64),
    /// What it can no longer have: up to this number, exclusively.
    Gap(u64),
    /// An offer.
    Offer(Box<Event>),
}

/// What a follower has come to.
#[derive(Debug, Clone, Default)]
pub struct Course {
    /// How many times it was connected.
    pub opened: usize,
    /// What it heard, in order.
    pub heard: Vec<Heard>,
    /// With which statuses or close codes it was left to its user.
    pub ended: Vec<Option<u64>>,
    /// Whether its script has ended.
    is_over: bool,
}

impl Course {
    /// The number of the last update; 0 before the first.
    #[must_use]
    pub fn at(&self) -> u64 {
        let number = |heard: &Heard| match heard {
            Heard::Update(number) => Some(*number),
            Heard::Gap(_) | Heard::Offer(_) => None,
        };
        self.heard.iter().rev().find_map(number).unwrap_or_default()
    }
}

/// A follower, as the test sees it.
#[derive(Debug, Clone, Default)]
pub struct Follower(watch::Sender<Course>);

impl Follower {
    /// Runs the script until the test has had enough: the update [`LAST`], or an end that lasts. Gives all it
    /// has come to.
    pub async fn run(&self, script: Script) -> Course {
        // Whoever waits for more is told also where the script fails.
        let _over = Over(&self.0);
        let answer = async |name: &str, values: &[Value]| json!(self.take(name, values));
        within_time(LONG, "a follower to end", script.run(answer)).await;
        self.0.borrow().clone()
    }

    /// Waits until its course is so, or over.
    pub async fn until(&self, what: &str, mut is_so: impl FnMut(&Course) -> bool) {
        let mut course = self.0.subscribe();
        let reached = within(what, course.wait_for(|now| now.is_over || is_so(now))).await;
        reached.expect("the sender is here");
    }

    /// Waits until it has the update with this number, or its course is over.
    pub async fn has(&self, number: u64) {
        let what = format!("a follower to have update {number}");
        self.until(&what, |course| course.at() >= number).await;
    }

    /// Takes what the script tells. Gives whether that was all.
    fn take(&self, name: &str, values: &[Value]) -> bool {
        let mut is_all = false;
        self.0.send_modify(|course| match name {
            "opened" => course.opened += 1,
            "ended" => {
                let code = values[0].as_u64();
                is_all = matches!(code, Some(204 | 1000 | 4001));
                course.ended.push(code);
            }
            "told" => {
                let (entry, last) = heard(values);
                is_all = last;
                course.heard.push(entry);
            }
            other => panic!("unexpected: {other}"),
        });
        is_all
    }
}

/// What a script tells of: kind, id and JSON; and whether it is the last update.
fn heard(values: &[Value]) -> (Heard, bool) {
    let [kind, id, data] = values else {
        panic!("unexpected: {values:?}");
    };
    let text = data.as_str().expect("the event is text");
    let event =
        || Event::from_json(text.as_bytes()).unwrap_or_else(|error| panic!("{error}: {text}"));
    match kind.as_str() {
        Some("update") => {
            let event = event();
            let number = sequence(&event);
            assert_eq!(*id, json!(number.to_string()), "the id is the number");
            let is_last = event.json_data() == Some(json!(LAST));
            (Heard::Update(number), is_last)
        }
        Some("gap") => {
            let gap: Value = serde_json::from_str(text).expect("a gap is JSON");
            (Heard::Gap(gap["first"].as_u64().expect("a number")), false)
        }
        Some("offer") => (Heard::Offer(Box::new(event())), false),
        _ => panic!("unexpected: {values:?}"),
    }
}

struct Over<'a>(&'a watch::Sender<Course>);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|course| course.is_over = true);
    }
}
