//! What is published: documents, one by one or as the lines of an input, and how each becomes an update.

use std::io::{self, BufRead, Read};

use headstart_client::clock::{now_ms, whole_ms};
use headstart_protocol::{
    event::{Data, Event, TYPE_UPDATE, is_json},
    limits::MAX_UPDATE_BYTES,
};
use serde_json::value::RawValue;
use tokio::sync::mpsc;
use uuid::Uuid;

use super::Plan;
use crate::outbox::TopicUpdate;

/// Lines that are read ahead.
const AHEAD: usize = 1000;

/// Content to be published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// What it is called where it is refused: `--data`, `line 7`.
    pub name: String,
    /// Id of the update; a new one where absent.
    pub id: Option<String>,
    /// Media type of the content.
    pub media_type: String,
    /// The content; a line that is too long to be one comes cut.
    pub content: Vec<u8>,
}

impl Document {
    /// Returns the update of `plan`'s topic with this content.
    ///
    /// # Errors
    /// A sentence that says why it is none.
    pub fn update(&self, plan: &Plan) -> Result<TopicUpdate, String> {
        let id = self
            .id
            .clone()
            .unwrap_or_else(|| Uuid::now_v7().to_string());
        let mut event = Event::new(id, &plan.source, TYPE_UPDATE);
        event.subject = Some(plan.topic.as_str().to_owned());
        event.datacontenttype = Some(self.media_type.clone());
        event.data = Some(self.data()?);
        TopicUpdate::new(event, now_ms().saturating_add(whole_ms(plan.ttl)))
            .map_err(|error| error.to_string())
    }

    fn data(&self) -> Result<Data, String> {
        if self.content.len() > MAX_UPDATE_BYTES {
            return Err(format!(
                "an update may have {MAX_UPDATE_BYTES} bytes of JSON"
            ));
        }
        if is_json(&self.media_type) {
            return serde_json::from_slice::<Box<RawValue>>(&self.content)
                .map(Data::Json)
                .map_err(|error| {
                    format!("it is not JSON: it goes wrong at column {}", error.column())
                });
        }
        Ok(Data::from_content(&self.media_type, self.content.clone()))
    }
}

/// Reads lines on a thread of their own, each a document; empty ones are passed over. The documents end
/// with the input, or when it fails, which is logged.
///
/// # Errors
/// When the thread cannot be had.
pub fn lines(
    input: impl BufRead + Send + 'static,
    media_type: String,
) -> io::Result<mpsc::Receiver<Document>> {
    let (send, documents) = mpsc::channel(AHEAD);
    std::thread::Builder::new()
        .name("lines".to_owned())
        .spawn(move || {
            if let Err(error) = read_lines(input, &media_type, &send) {
                tracing::error!(%error, "the input cannot be read on");
            }
        })?;
    Ok(documents)
}

fn read_lines(
    mut input: impl BufRead,
    media_type: &str,
    send: &mpsc::Sender<Document>,
) -> io::Result<()> {
    // One more than an update can have, so that it shows.
    let most = MAX_UPDATE_BYTES as u64 + 1;
    for number in 1_u64.. {
        let mut content = Vec::new();
        if input.by_ref().take(most).read_until(b'\n', &mut content)? == 0 {
            break;
        }
        let is_cut = content.len() as u64 == most && content.last() != Some(&b'\n');
        if is_cut {
            input.skip_until(b'\n')?;
        } else {
            content.truncate(content.trim_ascii_end().len());
        }
        if content.is_empty() {
            continue;
        }
        let document = Document {
            name: format!("line {number}"),
            id: None,
            media_type: media_type.to_owned(),
            content,
        };
        if send.blocking_send(document).is_err() {
            break;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::{io::Cursor, time::Duration};

    use headstart_protocol::topic::TopicName;

    use super::*;

    fn plan() -> Plan {
        Plan {
            edges: Vec::new(),
            outbox: "outbox".into(),
            source: "/origin/test".to_owned(),
            topic: TopicName::parse("scores/nba").unwrap(),
            ttl: Duration::from_mins(1),
            give_up: None,
        }
    }

    fn document(media_type: &str, content: &[u8]) -> Document {
        Document {
            name: "--data".to_owned(),
            id: None,
            media_type: media_type.to_owned(),
            content: content.to_vec(),
        }
    }

    fn read(text: &str) -> Vec<Document> {
        let mut documents =
            lines(Cursor::new(text.to_owned()), "application/json".to_owned()).unwrap();
        std::iter::from_fn(|| documents.blocking_recv()).collect()
    }

    #[test]
    fn a_document_becomes_an_update_of_the_topic_with_its_content_as_it_is() {
        let json = document("application/json", b"{ \"a\": 1.0 }").update(&plan());
        let json = json.unwrap().event().clone();
        assert_eq!(json.subject.as_deref(), Some("scores/nba"));
        assert_eq!(json.data.unwrap().as_bytes(), b"{ \"a\": 1.0 }");
        for content in [&b"plain"[..], &[0xFF, 0]] {
            let update = document("text/plain", content).update(&plan()).unwrap();
            let event = update.event();
            assert_eq!(event.media_type(), "text/plain");
            assert_eq!(event.data.as_ref().unwrap().as_bytes(), content);
        }
    }

    #[test]
    fn each_update_has_an_id_of_its_own_unless_one_is_given() {
        let without = document("application/json", b"1");
        let id = |document: &Document| document.update(&plan()).unwrap().event().id.clone();
        assert_ne!(id(&without), id(&without));
        let with = Document {
            id: Some("mine".to_owned()),
            ..without
        };
        assert_eq!(id(&with), "mine");
    }

    #[test]
    fn what_is_no_update_says_why_and_does_not_repeat_it() {
        let not_json = document("application/json", b"{secret").update(&plan());
        let error = not_json.unwrap_err();
        assert!(
            error.contains("column 2") && !error.contains("secret"),
            "{error}"
        );
        assert!(
            document("text/plain", &vec![b'x'; MAX_UPDATE_BYTES])
                .update(&plan())
                .is_err()
        );
    }

    #[test]
    fn lines_are_documents_named_by_their_number() {
        let read = read("1\r\n\n  \n{\"a\": 2}  \n3");
        let found: Vec<_> = read
            .iter()
            .map(|one| (one.name.as_str(), one.content.as_slice()))
            .collect();
        let expected: [(&str, &[u8]); 3] = [
            ("line 1", b"1"),
            ("line 4", b"{\"a\": 2}"),
            ("line 5", b"3"),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_line_that_is_too_long_is_refused_and_the_next_one_is_read() {
        let read = read(&format!(
            "{}\n{}2\n2\n",
            "1".repeat(200_000),
            " ".repeat(200_000)
        ));
        assert_eq!(read.len(), 3);
        assert!(read[0].update(&plan()).is_err() && read[1].update(&plan()).is_err());
        assert!(read[2].update(&plan()).is_ok());
    }
}
