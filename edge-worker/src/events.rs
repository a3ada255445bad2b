//! `POST /events`: signed CloudEvents from an origin, single or in a batch. Each is judged by itself,
//! and settling is idempotent, so a sender may send anything again.

use std::collections::BTreeMap;

use futures_util::{StreamExt, stream};
use headstart_protocol::{
    binary_mode,
    event::{Event, EventError, MEDIA_TYPE_BATCH, MEDIA_TYPE_EVENT, TYPE_UPDATE},
    limits::{MAX_EVENTS_BODY_BYTES, MAX_EVENTS_PER_BATCH},
    report::{EventResult, PublishReport, Status},
    settlement::Settlement,
    signature,
    stamps::Point,
    ticket::{Ticket, TicketError},
    topic::TopicName,
    update,
};

use crate::{
    config::Config,
    desk,
    http::{
        answer::Answer,
        error::Error,
        request::{Reply, RequestContext},
    },
    platform,
    topic::root,
};

/// How many objects are told at a time: enough to hide the way to each object, and few enough that
/// one request does not crowd out the isolate's others.
const CONCURRENCY: usize = 32;

/// Why an event is to be sent again.
pub const AGAIN: &str = "the edge could not take it now";

/// `POST /events`
///
/// # Errors
/// [`Error::Signature`], [`Error::BodyTooLarge`], [`Error::MediaType`], [`Error::Event`],
/// [`Error::TooManyEvents`]: then nothing of the request was taken.
pub async fn post(context: &RequestContext) -> Result<Reply, Error> {
    let config = context.config()?;
    let body = platform::read_body(&context.request, MAX_EVENTS_BODY_BYTES).await?;
    signature::verify(
        |name| context.header(name),
        &body,
        &config.origin_keys,
        context.head.now_ms,
    )?;
    let events = read(
        &context.header("content-type").unwrap_or_default(),
        || platform::headers(&context.request),
        body,
    )?;
    let results = deliver_all(context, config, events).await;
    Ok(Answer::json(200, &PublishReport { results })
        .header("Cache-Control", "no-store")
        .into())
}

/// Reads the events of a body in any of the three content modes.
fn read(
    content_type: &str,
    headers: impl FnOnce() -> Vec<(String, String)>,
    body: Vec<u8>,
) -> Result<Vec<Result<Event, EventError>>, Error> {
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case(MEDIA_TYPE_EVENT) {
        return Ok(vec![Ok(Event::from_json(&body)?)]);
    }
    if essence.eq_ignore_ascii_case(MEDIA_TYPE_BATCH) {
        let events = Event::batch_from_json(&body)?;
        if events.len() > MAX_EVENTS_PER_BATCH {
            return Err(Error::TooManyEvents);
        }
        return Ok(events);
    }
    let headers = headers();
    if !headers.iter().any(|(name, _)| name == "ce-specversion") {
        return Err(Error::MediaType);
    }
    let pairs = headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()));
    Ok(vec![Ok(binary_mode::from_http(pairs, body)?)])
}

/// Whom an event is for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Addressee {
    /// The desk of a ticket of ours.
    Desk(u16),
    /// The object of a topic.
    Topic(TopicName),
}

/// An event that was checked.
#[derive(Debug)]
struct Ready {
    at: usize,
    event: Event,
}

/// Delivers all events; gives a result for each, in their order.
async fn deliver_all(
    context: &RequestContext,
    config: &Config,
    events: Vec<Result<Event, EventError>>,
) -> Vec<EventResult> {
    let mut results = Vec::with_capacity(events.len());
    // Events for one object are delivered in the batch's order.
    let mut by_addressee: BTreeMap<Addressee, Vec<Ready>> = BTreeMap::new();
    for (at, event) in events.into_iter().enumerate() {
        match check(event, config, context.head.now_ms) {
            Ok((addressee, event)) => {
                results.push(result(&event.id, Status::Retry, None));
                let ready = Ready { at, event };
                by_addressee.entry(addressee).or_default().push(ready);
            }
            Err(refused) => results.push(refused),
        }
    }
    let delivered: Vec<Vec<(usize, EventResult)>> = stream::iter(by_addressee)
        .map(|(addressee, ready)| async move {
            let events: Vec<&Event> = ready.iter().map(|ready| &ready.event).collect();
            let results = bring(context, config, &addressee, &events).await;
            let places = ready.iter().map(|ready| ready.at);
            places.zip(results).collect()
        })
        .buffer_unordered(CONCURRENCY)
        .collect()
        .await;
    for (at, delivered) in delivered.into_iter().flatten() {
        if let Some(place) = results.get_mut(at) {
            *place = delivered;
        }
    }
    results
}

/// Brings events to the object that they are for, together; gives a result for each.
async fn bring(
    context: &RequestContext,
    config: &Config,
    addressee: &Addressee,
    events: &[&Event],
) -> Vec<EventResult> {
    let env = &context.env;
    let brought = match addressee {
        Addressee::Desk(desk) => desk::client::settle(env, config, *desk, events).await,
        Addressee::Topic(topic) => root::client::publish(env, topic, events).await,
    };
    brought.unwrap_or_else(|error| {
        error.log();
        let again = |event: &&Event| result(&event.id, Status::Retry, Some(AGAIN.to_owned()));
        events.iter().map(again).collect()
    })
}

/// Checks what can be checked here; gives whom the event is for, and what to tell them: of a settlement
/// with the time of its receipt.
fn check(
    event: Result<Event, EventError>,
    config: &Config,
    now_ms: u64,
) -> Result<(Addressee, Event), EventResult> {
    let event = event.map_err(|error| result("", Status::Rejected, Some(error.to_string())))?;
    let id = event.id.clone();
    let rejected = |reason: String| result(&id, Status::Rejected, Some(reason));
    if event.kind == TYPE_UPDATE {
        let topic = update::check(&event).map_err(|error| rejected(error.to_string()))?;
        return Ok((Addressee::Topic(topic), event));
    }
    let (text, mut settlement) =
        Settlement::of_event(event).map_err(|error| rejected(error.to_string()))?;
    let ticket = match Ticket::admit(&text, &config.ticket_keys, now_ms, config.ticket_times) {
        Ok(ticket) => ticket,
        Err(TicketError::Expired) => return Err(expired(&id)),
        Err(error @ TicketError::Unknown) => return Err(rejected(error.to_string())),
    };
    settlement.stamps = settlement.stamps.with(Point::Received, now_ms);
    let event = settlement.to_event(&ticket);
    Ok((Addressee::Desk(ticket.desk()), event))
}

fn expired(id: &str) -> EventResult {
    let reason = TicketError::Expired.to_string();
    result(id, Status::Ignored, Some(reason))
}

fn result(id: &str, status: Status, reason: Option<String>) -> EventResult {
    EventResult {
        id: id.to_owned(),
        status,
        reason,
    }
}

#[cfg(test)]
mod tests {
    use headstart_protocol::{keys::Key, ticket::TicketTimes};

    use super::*;

    const NOW_MS: u64 = 1_700_000_000_000;

    fn key(fill: u8) -> Key {
        Key::from_bytes(&[fill; 32]).unwrap()
    }

    fn config() -> Config {
        let text = key(1).expose();
        Config::parse(|name| name.contains("KEY").then(|| text.clone()), |_| true).unwrap()
    }

    fn ticket(age_ms: u64, by: u8) -> Ticket {
        Ticket::mint(NOW_MS - age_ms, 3, [7; 8], &key(by))
    }

    fn json(ticket: &Ticket) -> String {
        format!(
            r#"{{"specversion":"1.0","id":"e1","source":"/o","type":"dev.headstart.offer.ready","subject":"{}","data":{{"a":1}}}}"#,
            ticket.as_str()
        )
    }

    fn read_as(content_type: &str, body: &str) -> Result<Vec<Result<Event, EventError>>, Error> {
        read(content_type, Vec::new, body.as_bytes().to_vec())
    }

    #[test]
    fn each_content_mode_is_read() {
        let event = json(&ticket(0, 1));
        let one = read_as("application/cloudevents+json; charset=utf-8", &event).unwrap();
        let batch = format!("[{event},7,{event}]");
        let many = read_as("Application/CloudEvents-Batch+JSON", &batch).unwrap();
        assert_eq!((one.len(), many.len()), (1, 3));
        assert_eq!(one[0], many[2]);
        assert!(many[1].is_err(), "one that is refused leaves the others");
        let headers = [
            ("ce-specversion", "1.0"),
            ("ce-id", "e1"),
            ("ce-source", "/o"),
            ("ce-type", "dev.headstart.offer.ready"),
            ("content-type", "text/plain"),
        ];
        let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let binary = read("text/plain", || headers.to_vec(), b"hi".to_vec()).unwrap();
        assert_eq!(binary[0].as_ref().unwrap().media_type(), "text/plain");
    }

    #[test]
    fn what_is_no_event_is_refused_as_a_whole() {
        let refused = |content_type, body| read_as(content_type, body).unwrap_err();
        assert!(matches!(
            refused("application/json", "{}"),
            Error::MediaType
        ));
        assert!(matches!(refused(MEDIA_TYPE_EVENT, "{"), Error::Event(_)));
        assert!(matches!(refused(MEDIA_TYPE_BATCH, "{}"), Error::Event(_)));
        let long = format!("[{}1]", "1,".repeat(MAX_EVENTS_PER_BATCH));
        assert!(matches!(
            refused(MEDIA_TYPE_BATCH, &long),
            Error::TooManyEvents
        ));
    }

    fn checked(ticket: &Ticket) -> Result<(Addressee, Event), EventResult> {
        check(Event::from_json(json(ticket).as_bytes()), &config(), NOW_MS)
    }

    #[test]
    fn an_update_is_for_its_topic_and_stays_as_it_is() {
        let json = r#"{"specversion":"1.0","id":"u1","source":"/o","type":"dev.headstart.update","subject":"scores/nba","data":[1, 2]}"#;
        let (addressee, event) =
            check(Event::from_json(json.as_bytes()), &config(), NOW_MS).unwrap();
        let topic = TopicName::parse("scores/nba").unwrap();
        assert_eq!(addressee, Addressee::Topic(topic));
        assert_eq!(event.to_json().len(), json.len());
        let nowhere = json.replace("scores/nba", "scores//nba");
        let refused = check(Event::from_json(nowhere.as_bytes()), &config(), NOW_MS).unwrap_err();
        assert_eq!(refused.status, Status::Rejected);
    }

    #[test]
    fn an_event_about_a_ticket_of_ours_gets_the_time_of_its_receipt() {
        let (addressee, event) = checked(&ticket(0, 1)).unwrap();
        assert_eq!(addressee, Addressee::Desk(3));
        assert_eq!(event.extensions["receivedat"], NOW_MS.to_string());
        assert_eq!(event.data.unwrap().as_bytes(), br#"{"a":1}"#);
    }

    #[test]
    fn a_forged_ticket_is_rejected_and_an_expired_one_ignored() {
        let forged = checked(&ticket(0, 2)).unwrap_err();
        assert_eq!(
            (forged.id.as_str(), forged.status),
            ("e1", Status::Rejected)
        );
        let TicketTimes { ttl_ms, .. } = config().ticket_times;
        let old = checked(&ticket(ttl_ms, 1)).unwrap_err();
        assert_eq!(old.status, Status::Ignored);
    }

    #[test]
    fn an_event_of_an_unknown_type_is_rejected_with_the_reason() {
        let json = json(&ticket(0, 1)).replace("offer.ready", "offer.lost");
        let result = check(Event::from_json(json.as_bytes()), &config(), NOW_MS).unwrap_err();
        assert_eq!(result.status, Status::Rejected);
        assert!(result.reason.is_some_and(|reason| reason.contains("type")));
    }
}
