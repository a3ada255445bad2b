//! Our own edge as a target: updates as signed events, followed over either transport.

use headstart_protocol::{
    channel::{Down, Welcome},
    event::{Data, Event, MEDIA_TYPE_BATCH, TYPE_UPDATE},
    keys::Key,
    problem::Problem,
    report::{PublishReport, Status},
    stamps::{Point, Stamps},
    topic::TopicName,
};
use http::{HeaderValue, StatusCode, header::CONTENT_TYPE};
use memchr::memmem;
use serde_json::value::RawValue;
use url::Url;

use super::{
    payload::Payload,
    target::{Publication, Target},
};
use crate::{
    clock::now_ms,
    signing::signed_headers,
    subscribe::{
        SubscribeError,
        request::{self, From, Request},
        sse::Frame,
        transport::Transport,
    },
    token::Token,
};

/// The `source` of the updates.
const SOURCE: &str = "/origin/load";

/// An edge of ours, and one topic of it.
#[derive(Debug)]
pub struct Headstart {
    edge: Url,
    topic: TopicName,
    transport: Transport,
    key: Key,
    token: Option<Token>,
    /// Finds the number of the last update in a message.
    sequence: memmem::FinderRev<'static>,
}

impl Headstart {
    /// Returns the `topic` of `edge`. `key` signs what is published; `token` opens a private topic.
    #[must_use]
    pub fn new(
        edge: Url,
        topic: TopicName,
        transport: Transport,
        key: Key,
        token: Option<Token>,
    ) -> Self {
        Self {
            edge,
            topic,
            transport,
            key,
            token,
            sequence: memmem::FinderRev::new(br#""sequence":""#),
        }
    }

    fn welcome(&self, frame: Frame<'_>) -> Option<Welcome> {
        match self.transport {
            Transport::Sse if frame.event == b"welcome" => serde_json::from_slice(frame.data).ok(),
            Transport::Ws if frame.data.starts_with(br#"{"welcome""#) => {
                match Down::from_json(std::str::from_utf8(frame.data).ok()?) {
                    Ok(Some(Down::Welcome(welcome))) => Some(welcome),
                    _ => None,
                }
            }
            _ => None,
        }
    }

    fn event(&self, update: &Payload) -> Result<String, String> {
        let mut event = Event::new(&update.id, SOURCE, TYPE_UPDATE);
        event.subject = Some(self.topic.as_str().to_owned());
        let json = RawValue::from_string(update.text.clone()).map_err(|error| error.to_string())?;
        event.data = Some(Data::Json(json));
        Stamps::default()
            .with(Point::Published, now_ms())
            .write_to(&mut event);
        Ok(event.to_json())
    }
}

impl Target for Headstart {
    fn transport(&self) -> Transport {
        self.transport
    }

    fn subscribe(&self, cursor: &[u8]) -> Result<Request, SubscribeError> {
        let from = if cursor.is_empty() {
            From::Head
        } else {
            From::Cursor(String::from_utf8_lossy(cursor).into_owned())
        };
        let topics = std::slice::from_ref(&self.topic);
        request::subscribe(
            &self.edge,
            topics,
            self.transport,
            &from,
            self.token.as_ref(),
        )
    }

    fn greets(&self) -> bool {
        true
    }

    fn is_welcome(&self, frame: Frame<'_>) -> bool {
        match self.transport {
            Transport::Sse => frame.event == b"welcome",
            Transport::Ws => frame.data.starts_with(br#"{"welcome""#),
        }
    }

    fn follow(&self, frame: Frame<'_>, cursor: &mut Vec<u8>) {
        let sequence = match self.transport {
            Transport::Sse if frame.event == b"update" => frame.id,
            Transport::Ws if frame.data.starts_with(br#"{"updates""#) => {
                self.sequence.rfind(frame.data).and_then(|at| {
                    let rest = frame.data.get(at + self.sequence.needle().len()..)?;
                    rest.split(|byte| *byte == b'"').next()
                })
            }
            _ => None,
        };
        if let Some(sequence) = sequence {
            cursor.clear();
            cursor.extend_from_slice(sequence);
        } else if cursor.is_empty()
            && let Some(welcome) = self.welcome(frame)
        {
            // Whoever loses its connection before the first update goes on from here.
            let head = welcome.topics.get(&self.topic).copied().unwrap_or_default();
            cursor.extend_from_slice(head.to_string().as_bytes());
        }
    }

    fn ping(&self, frame: Frame<'_>) -> Option<u64> {
        if self.transport == Transport::Sse || !frame.data.starts_with(br#"{"ping""#) {
            return None;
        }
        match Down::from_json(std::str::from_utf8(frame.data).ok()?) {
            Ok(Some(Down::Ping { n })) => Some(n),
            _ => None,
        }
    }

    fn publish(&self, updates: &[Payload]) -> Result<Vec<Publication>, String> {
        let events: Vec<String> = updates
            .iter()
            .map(|update| self.event(update))
            .collect::<Result<_, _>>()?;
        let body = format!("[{}]", events.join(",")).into_bytes();
        let mut headers = signed_headers(&body, &self.key);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE_BATCH));
        let url = request::at(&self.edge, "/events").map_err(|error| error.to_string())?;
        Ok(vec![Publication { url, headers, body }])
    }

    fn check(&self, status: StatusCode, body: &[u8]) -> Result<(), String> {
        if status != StatusCode::OK {
            let detail = serde_json::from_slice(body).map_or_else(
                |_| String::new(),
                |problem: Problem| format!(": {}", problem.detail),
            );
            return Err(format!("the edge answered {status}{detail}"));
        }
        let report: PublishReport =
            serde_json::from_slice(body).map_err(|error| format!("the report: {error}"))?;
        let left = report
            .results
            .iter()
            .find(|one| !matches!(one.status, Status::Accepted | Status::Duplicate));
        match left {
            None => Ok(()),
            Some(one) => Err(format!(
                "an update was not taken: {}",
                one.reason
                    .as_deref()
                    .unwrap_or("the edge asks for it again")
            )),
        }
    }
}
