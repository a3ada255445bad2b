//! What has become of each update at each edge.

use std::{collections::HashMap, fmt};

use headstart_protocol::report::Status;
use serde::{Serialize, Serializer};

use crate::deliver::Outcome;

/// An update that has come to its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Published {
    /// Its id.
    pub id: String,
    /// How it ended at each edge, by the edge's name.
    #[serde(rename = "edges", serialize_with = "as_map")]
    pub at: Vec<(String, End)>,
}

/// How an update ended at one edge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct End {
    /// What the edge said.
    pub status: Status,
    /// Why, where the status does not say enough.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl Published {
    /// Returns whether some edge said so.
    #[must_use]
    pub fn has_status(&self, status: Status) -> bool {
        self.at.iter().any(|(_, end)| end.status == status)
    }
}

fn as_map<S: Serializer>(at: &[(String, End)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(at.iter().map(|(edge, end)| (edge, end)))
}

/// `<id> accepted`; where edges differ, what each said: `<id> london: accepted, paris: duplicate`.
impl fmt::Display for Published {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.id)?;
        let first = self.at.first().map(|(_, end)| end);
        let all_alike = self.at.iter().all(|(_, end)| Some(end) == first);
        for (index, (edge, end)) in self.at.iter().enumerate() {
            match (all_alike, index) {
                (true, 0) => write!(f, " {end}")?,
                (true, _) => break,
                (false, 0) => write!(f, " {edge}: {end}")?,
                (false, _) => write!(f, ", {edge}: {end}")?,
            }
        }
        Ok(())
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.status {
            Status::Accepted => "accepted",
            Status::Duplicate => "duplicate",
            Status::Ignored => "ignored",
            Status::Rejected => "rejected",
            Status::Retry => "retry",
        })?;
        match &self.reason {
            Some(reason) => write!(f, " ({reason})"),
            None => Ok(()),
        }
    }
}

/// The updates of one run that have not come to their end.
#[derive(Debug)]
pub(super) struct Progress {
    edges: Vec<String>,
    open: HashMap<String, Open>,
    /// Nothing was recorded since it was last asked.
    is_quiet: bool,
}

#[derive(Debug)]
struct Open {
    expires_at_ms: u64,
    at: Vec<(String, End)>,
}

impl Progress {
    pub(super) fn new(edges: Vec<String>) -> Self {
        Self {
            edges,
            open: HashMap::new(),
            is_quiet: false,
        }
    }

    /// Returns how many there are.
    pub(super) fn waiting(&self) -> usize {
        self.open.len()
    }

    /// Begins with an update that is about to be kept.
    pub(super) fn begin(&mut self, id: &str, expires_at_ms: u64) {
        self.is_quiet = false;
        let open = Open {
            expires_at_ms,
            at: Vec::new(),
        };
        self.open.insert(id.to_owned(), open);
    }

    /// Ends an update that had been kept before.
    pub(super) fn duplicate(&mut self, id: &str) -> Option<Published> {
        self.open.remove(id)?;
        let end = End {
            status: Status::Duplicate,
            reason: None,
        };
        Some(Published {
            id: id.to_owned(),
            at: self
                .edges
                .iter()
                .map(|edge| (edge.clone(), end.clone()))
                .collect(),
        })
    }

    /// Notes what an edge has said of an update. Returns the update once every edge has.
    pub(super) fn record(&mut self, outcome: Outcome) -> Option<Published> {
        self.is_quiet = false;
        let Open { at, .. } = self.open.get_mut(&outcome.id)?;
        at.push((
            outcome.edge,
            End {
                status: outcome.status,
                reason: outcome.reason,
            },
        ));
        if at.len() < self.edges.len() {
            return None;
        }
        let Open { at, .. } = self.open.remove(&outcome.id)?;
        Some(Published { id: outcome.id, at })
    }

    /// Returns whether nothing has happened since this was last asked.
    pub(super) fn is_quiet(&mut self) -> bool {
        std::mem::replace(&mut self.is_quiet, true)
    }

    /// Ends what has expired: edges that have not said anything of it will not.
    pub(super) fn expired(&mut self, now_ms: u64) -> Vec<Published> {
        let edges = &self.edges;
        let expired = self.open.extract_if(|_, open| open.expires_at_ms <= now_ms);
        let ended = expired.map(|(id, Open { mut at, .. })| {
            for edge in edges {
                if at.iter().all(|(other, _)| other != edge) {
                    let end = End {
                        status: Status::Rejected,
                        reason: Some("it expired before the edge took it".to_owned()),
                    };
                    at.push((edge.clone(), end));
                }
            }
            Published { id, at }
        });
        ended.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(edge: &str, id: &str, status: Status, reason: Option<&str>) -> Outcome {
        Outcome {
            edge: edge.to_owned(),
            subject: "t".to_owned(),
            id: id.to_owned(),
            status,
            reason: reason.map(str::to_owned),
        }
    }

    fn progress() -> Progress {
        let mut progress = Progress::new(vec!["london".to_owned(), "paris".to_owned()]);
        progress.begin("1", 1000);
        progress
    }

    #[test]
    fn an_update_ends_when_every_edge_has_spoken() {
        let mut progress = progress();
        let first = progress.record(outcome("london", "1", Status::Accepted, None));
        assert_eq!((first, progress.waiting()), (None, 1));
        let ended = progress.record(outcome("paris", "1", Status::Accepted, None));
        assert_eq!(ended.unwrap().to_string(), "1 accepted");
        assert_eq!(progress.waiting(), 0);
    }

    #[test]
    fn where_edges_differ_each_is_named_with_its_reason() {
        let mut progress = progress();
        progress.record(outcome(
            "paris",
            "1",
            Status::Rejected,
            Some("no such topic"),
        ));
        let ended = progress.record(outcome("london", "1", Status::Duplicate, None));
        let line = "1 paris: rejected (no such topic), london: duplicate";
        assert_eq!(ended.unwrap().to_string(), line);
    }

    #[test]
    fn what_was_known_before_is_a_duplicate_once() {
        let mut progress = progress();
        assert_eq!(progress.duplicate("1").unwrap().to_string(), "1 duplicate");
        assert_eq!(progress.duplicate("1"), None);
        assert_eq!(
            progress.record(outcome("paris", "1", Status::Accepted, None)),
            None
        );
    }

    #[test]
    fn what_nobody_speaks_of_any_more_has_expired() {
        let mut progress = progress();
        progress.record(outcome("paris", "1", Status::Accepted, None));
        assert!(!progress.is_quiet() && progress.is_quiet());
        assert_eq!(progress.expired(999), []);
        let ended = progress.expired(1000).remove(0);
        assert!(ended.has_status(Status::Rejected) && ended.has_status(Status::Accepted));
        assert_eq!(progress.waiting(), 0);
    }
}
