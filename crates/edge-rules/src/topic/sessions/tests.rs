use std::collections::BTreeMap;

use headstart_protocol::{
    channel::{Down, Place},
    limits::SILENT_AFTER_MS,
    presence::Transport,
    token::Claims,
    topic::TopicName,
};
use proptest::prelude::*;

use super::{Session, SessionTable};
use crate::topic::{
    batch::Batch,
    catch_up::{Missed, Wanted},
    history::Replay,
    subscription::tests::subscription,
    update::{EventJson, Update, tests::update},
    wires::{Wire, codec::Message},
};

fn topic(name: &str) -> TopicName {
    TopicName::parse(name).unwrap()
}

fn topics(names: &[&str]) -> Vec<TopicName> {
    names.iter().map(|name| topic(name)).collect()
}

/// Returns a session that connected at 0, whose token ends at 17 s.
fn session(id: &str, names: &[&str], wire: Wire) -> Session {
    Session {
        id: id.to_owned(),
        connected_at_ms: 0,
        subscription: subscription(names, wire),
    }
}

fn wanted(names: &[&str]) -> Vec<Wanted> {
    subscription(names, Wire::Json).wanted
}

/// Returns what lies between `after` and `head`.
fn missed(name: &str, after: u64, head: u64) -> Missed {
    let replay = Replay {
        after,
        updates: (after + 1..=head).map(update).collect(),
        ..Replay::at_head(head)
    };
    Missed::of(topic(name), replay)
}

fn texts(messages: Vec<Message>) -> Vec<String> {
    let texts = messages.into_iter().map(|message| match message {
        Message::Text(text) => text,
        Message::Bytes(bytes) => String::from_utf8(bytes).unwrap(),
    });
    texts.collect()
}

/// Adds a session that missed nothing and has begun.
fn begin(table: &mut SessionTable, session: Session) {
    let (id, topics) = (session.id.clone(), session.subscription.topics());
    table.join(session);
    let missed = topics.iter().map(|topic| missed(topic.as_str(), 0, 0));
    table.begin(&id, missed.collect(), 0.0, 0).unwrap();
}

/// Tells an update, and returns who is told it.
fn told(table: &mut SessionTable, name: &str, sequence: u64) -> Vec<String> {
    let batch = Batch {
        topic: &topic(name),
        gap: None,
        updates: &[update(sequence)],
        delivered_at_ms: sequence,
    };
    let encoded = table.tell(&batch, |_| sequence);
    let mut told: Vec<String> = Vec::new();
    for group in encoded.iter().flat_map(|encoded| &encoded.groups) {
        let entries = table.entries.values();
        let of_group = entries.filter(|entry| entry.told_group.as_ref() == Some(group));
        told.extend(of_group.map(|entry| entry.session.id.clone()));
    }
    told.sort();
    told
}

fn listed(table: &SessionTable, name: &str, now: u64) -> u64 {
    table.list(&topic(name), now).count
}

#[test]
fn a_session_counts_before_it_begins_and_is_told_from_then_on() {
    let mut table = SessionTable::default();
    table.join(session("s", &["a", "b"], Wire::Json));
    assert_eq!((table.count(), table.subscribers(&topic("a"))), (1, 1));
    assert_eq!(
        table.topics().collect::<Vec<_>>(),
        [&topic("a"), &topic("b")]
    );
    assert!(told(&mut table, "a", 1).is_empty());
    assert_eq!(listed(&table, "a", 0), 0);

    let opening = table.begin("s", vec![missed("a", 1, 2), missed("b", 0, 0)], 0.0, 0);
    let opening = texts(opening.unwrap());
    assert_eq!(
        opening[0],
        r#"{"welcome":{"subscriber":"s","topics":{"a":2,"b":0}}}"#
    );
    assert!(opening[1].starts_with(r#"{"updates":[{"#), "{}", opening[1]);
    assert_eq!(opening.len(), 2);
    assert_eq!(told(&mut table, "a", 3), ["s"]);
    assert_eq!((table.count(), table.subscribers(&topic("a"))), (1, 1));
    assert_eq!(listed(&table, "a", 0), 1);
}

#[test]
fn a_session_that_has_gone_meanwhile_does_not_begin() {
    let mut table = SessionTable::default();
    table.join(session("s", &["a"], Wire::Sse));
    assert_eq!(table.leave("s"), topics(&["a"]));
    assert_eq!(table.begin("s", vec![missed("a", 0, 0)], 0.0, 0), None);
    assert_eq!((table.count(), listed(&table, "a", 0)), (0, 0));
}

#[test]
fn a_session_that_was_told_before_an_eviction_is_told_after_it() {
    let mut table = SessionTable::default();
    table.restore(session("s", &["a"], Wire::Json), 5);
    assert_eq!(told(&mut table, "a", 7), ["s"]);
    let list = table.list(&topic("a"), 9);
    let [restored] = list.subscribers.as_slice() else {
        panic!("it is listed")
    };
    assert_eq!((restored.connectedat, restored.seen), (0, 4));
    assert_eq!(restored.transport, Transport::Ws);
}

#[test]
fn a_socket_that_is_waited_for_counts_once() {
    let mut table = SessionTable::default();
    table.wait_for("s");
    table.wait_for("t");
    assert_eq!((table.count(), table.subscribers(&topic("a"))), (2, 0));
    table.join(session("s", &["a"], Wire::Json));
    assert_eq!(table.count(), 2);
    assert!(table.leave("t").is_empty());
    assert_eq!(table.count(), 1);
}

#[test]
fn the_last_to_leave_is_told_of_and_its_roster_goes() {
    let mut table = SessionTable::default();
    begin(&mut table, session("s", &["a", "b"], Wire::Json));
    begin(&mut table, session("t", &["b"], Wire::Sse));
    assert_eq!(table.leave("s"), topics(&["a"]));
    assert_eq!(table.rosters.keys().collect::<Vec<_>>(), [&topic("b")]);
    assert_eq!((listed(&table, "b", 0), table.count()), (1, 1));
    assert!(table.leave("s").is_empty());
    assert_eq!(table.leave("t"), topics(&["b"]));
}

#[test]
fn a_sign_of_life_counts_for_all_topics_of_a_session() {
    let mut table = SessionTable::default();
    begin(&mut table, session("s", &["a", "b"], Wire::Json));
    let now = SILENT_AFTER_MS;
    assert_eq!((listed(&table, "a", now), listed(&table, "b", now)), (0, 0));
    let place = Place::new(1.5, 2.5).unwrap();
    assert!(table.heard("s", Some(place), now));
    for name in ["a", "b"] {
        let list = table.list(&topic(name), now);
        assert_eq!(list.subscribers[0].place.latitude, Some(1.5), "{name}");
    }
    assert!(!table.heard("nobody", None, now));
}

#[test]
fn an_ack_is_of_a_session_that_has_the_topic() {
    let mut table = SessionTable::default();
    begin(&mut table, session("s", &["a"], Wire::Json));
    begin(&mut table, session("t", &["b"], Wire::Json));
    told(&mut table, "a", 7);
    assert!(table.acked("s", &topic("a"), 7, None, 30));
    let list = table.list(&topic("a"), 30);
    assert_eq!(list.subscribers[0].roundtrip.unwrap().last, 30 - 7);
    assert!(!table.acked("s", &topic("b"), 7, None, 30));
    assert!(!table.acked("s", &topic("c"), 7, None, 30));
    assert!(!table.acked("nobody", &topic("a"), 7, None, 30));
}

#[test]
fn what_was_missed_is_acked_from_when_it_was_handed_over() {
    let mut table = SessionTable::default();
    table.join(session("s", &["a"], Wire::Json));
    table.begin("s", vec![missed("a", 1, 3)], 0.0, 100).unwrap();
    assert!(table.acked("s", &topic("a"), 3, None, 130));
    let list = table.list(&topic("a"), 130);
    assert_eq!(list.subscribers[0].roundtrip.unwrap().last, 30);
}

#[test]
fn the_right_of_a_socket_ends_and_a_stream_ends_by_itself() {
    let mut table = SessionTable::default();
    begin(&mut table, session("public", &["a"], Wire::Json));
    begin(&mut table, session("stream", &["private/a"], Wire::Sse));
    assert_eq!(table.next_expiry(), None);
    begin(
        &mut table,
        session("socket", &["a", "private/a"], Wire::Json),
    );
    begin(&mut table, session("gone", &["private/a"], Wire::Json));
    table.leave("gone");
    assert_eq!(table.next_expiry(), Some(17_000));
    assert!(table.take_expired(16_999).is_empty());
    assert_eq!(table.next_expiry(), Some(17_000));
    assert_eq!(
        table.take_expired(17_000).into_iter().collect::<Vec<_>>(),
        ["socket"]
    );
    assert!(table.take_expired(17_000).is_empty());
    assert_eq!(table.next_expiry(), None);
}

#[test]
fn a_fresh_token_puts_the_end_off() {
    let claims: Claims = serde_json::from_str(r#"{"exp":99}"#).unwrap();
    let mut table = SessionTable::default();
    let mut session = session("s", &["private/a"], Wire::Json);
    begin(&mut table, session.clone());
    session.subscription.claims = Some(claims);
    table.keep(&session);
    assert_eq!(table.next_expiry(), Some(99_000));
    assert!(table.take_expired(17_000).is_empty());
    table.leave("s");
    assert_eq!(table.next_expiry(), None);
    table.keep(&session);
    assert_eq!(
        (table.next_expiry(), table.count()),
        (None, 0),
        "it has gone"
    );
}

#[test]
fn who_changes_topics_is_told_of_those_that_it_keeps_and_of_no_other() {
    let mut table = SessionTable::default();
    begin(&mut table, session("s", &["a", "b"], Wire::Json));
    assert_eq!(
        table.change_topics("s", wanted(&["b", "c"])),
        topics(&["a"])
    );
    assert!(told(&mut table, "a", 1).is_empty(), "it was left");
    assert_eq!(told(&mut table, "b", 1), ["s"], "it stayed");
    assert!(told(&mut table, "c", 1).is_empty(), "it comes");
    let subscribers = ["a", "b", "c"].map(|name| table.subscribers(&topic(name)));
    assert_eq!(subscribers, [0, 1, 1]);
    assert!(table.change_topics("nobody", wanted(&["a"])).is_empty());
    assert_eq!(table.subscribers(&topic("a")), 0);
}

#[test]
fn a_topic_that_comes_begins_with_what_was_missed_and_nothing_is_said_twice() {
    let mut table = SessionTable::default();
    begin(&mut table, session("s", &["a"], Wire::Json));
    table.change_topics("s", wanted(&["a", "b"]));
    let missed = vec![missed("a", 0, 4), missed("b", 6, 7), missed("c", 0, 1)];
    let messages = texts(table.begin("s", missed, 0.0, 9).unwrap());
    let event = update(7).event.delivered(9);
    assert_eq!(messages, [format!(r#"{{"updates":[{event}]}}"#)]);
    assert_eq!(told(&mut table, "a", 5), ["s"]);
    assert_eq!(told(&mut table, "b", 8), ["s"]);
    assert!(told(&mut table, "c", 2).is_empty());
}

#[test]
fn a_cursor_on_the_way_to_a_new_topic_holds_all_of_them() {
    let mut table = SessionTable::default();
    begin(&mut table, session("s", &["a"], Wire::Sse));
    table.change_topics("s", wanted(&["a", "b"]));
    let messages = table.begin("s", vec![missed("a", 2, 4), missed("b", 6, 7)], 0.0, 9);
    let frames = texts(messages.unwrap()).concat();
    assert!(
        frames.starts_with("event: update\nid: a=4,b=7\n"),
        "{frames}"
    );
}

#[test]
fn a_change_before_the_beginning_is_part_of_it() {
    let mut table = SessionTable::default();
    table.join(session("s", &["a", "b"], Wire::Json));
    assert_eq!(
        table.change_topics("s", wanted(&["b", "c"])),
        topics(&["a"])
    );
    let asked_before = vec![missed("a", 0, 1), missed("b", 0, 0)];
    let opening = texts(table.begin("s", asked_before, 0.0, 0).unwrap());
    assert_eq!(
        opening,
        [r#"{"welcome":{"subscriber":"s","topics":{"b":0}}}"#]
    );
    assert_eq!(told(&mut table, "b", 1), ["s"]);
    assert!(told(&mut table, "c", 1).is_empty());
}

#[test]
fn rosters_follow_a_change_of_topics() {
    let mut table = SessionTable::default();
    begin(&mut table, session("s", &["a", "b"], Wire::Json));
    begin(&mut table, session("t", &["a"], Wire::Json));
    told(&mut table, "b", 7);
    assert!(table.acked("s", &topic("b"), 7, None, 9));
    assert!(table.change_topics("s", wanted(&["b", "c"])).is_empty());
    let counts = |table: &SessionTable| ["a", "b", "c"].map(|name| listed(table, name, 9));
    assert_eq!(counts(&table), [1, 1, 0]);
    let list = table.list(&topic("b"), 9);
    assert_eq!(list.subscribers[0].roundtrip.unwrap().last, 2, "it goes on");
    table.begin("s", vec![missed("c", 0, 0)], 0.0, 9).unwrap();
    assert_eq!(counts(&table), [1, 1, 1]);
    assert_eq!(table.leave("t"), topics(&["a"]));
    assert_eq!(table.change_topics("s", vec![]), topics(&["b", "c"]));
    assert!(table.rosters.is_empty());
    assert_eq!(table.count(), 1, "it is still connected");
}

#[test]
fn a_private_topic_that_comes_brings_its_end_and_takes_it_along() {
    let mut table = SessionTable::default();
    begin(&mut table, session("s", &["a"], Wire::Json));
    table.change_topics("s", wanted(&["a", "private/a"]));
    assert_eq!(table.next_expiry(), Some(17_000));
    table.change_topics("s", wanted(&["a"]));
    assert_eq!(table.next_expiry(), None);
}

/// Returns an update that says of which topic it is.
fn update_of(topic: &TopicName, sequence: u64) -> Update {
    let event = format!(
        r#"{{"specversion":"1.0","id":"{sequence}","source":"/s","type":"t","subject":"{topic}"}}"#
    );
    Update {
        sequence,
        event: EventJson::read(event).unwrap(),
    }
}

/// Two clients at one object: one changes its topics, the other has its own all the time.
struct Object {
    table: SessionTable,
    heads: BTreeMap<TopicName, u64>,
    /// Of each client, up to where it has got on each topic that it has.
    clients: BTreeMap<&'static str, BTreeMap<TopicName, u64>>,
}

impl Object {
    fn publish(&mut self, topic: &TopicName) {
        let head = self.heads.get_mut(topic).unwrap();
        *head += 1;
        let batch = Batch {
            topic,
            gap: None,
            updates: &[update_of(topic, *head)],
            delivered_at_ms: 0,
        };
        for encoded in self.table.tell(&batch, |topic| self.heads[topic]) {
            for (id, at) in &mut self.clients {
                let group = &self.table.entries[*id].told_group;
                for _ in encoded
                    .groups
                    .iter()
                    .filter(|key| group.as_ref() == Some(key))
                {
                    hear(at, encoded.messages.clone());
                }
            }
        }
    }

    /// The changing client takes these topics, the new ones from their heads on.
    fn change(&mut self, topics: &[TopicName]) {
        let at = self.clients.get_mut("s").unwrap();
        at.retain(|topic, _| topics.contains(topic));
        for topic in topics {
            at.entry(topic.clone()).or_insert(self.heads[topic]);
        }
        let names: Vec<&str> = topics.iter().map(TopicName::as_str).collect();
        self.table.change_topics("s", wanted(&names));
    }

    /// The changing client is told what it missed, of whatever was looked up.
    fn begin(&mut self) {
        let at = self.clients.get_mut("s").unwrap();
        let missed = self.heads.iter().map(|(topic, head)| {
            let after = at.get(topic).copied().unwrap_or(0);
            let replay = Replay {
                after,
                updates: (after + 1..=*head).map(|n| update_of(topic, n)).collect(),
                ..Replay::at_head(*head)
            };
            Missed::of(topic.clone(), replay)
        });
        hear(at, self.table.begin("s", missed.collect(), 0.0, 0).unwrap());
    }

    fn check(&self) {
        for (id, at) in &self.clients {
            for topic in &self.table.entries[*id].told {
                assert_eq!(at[topic], self.heads[topic], "{id} has all of {topic}");
            }
        }
        for topic in self.heads.keys() {
            let clients = self.clients.values();
            let subscribers = clients.filter(|at| at.contains_key(topic)).count();
            assert_eq!(self.table.subscribers(topic) as usize, subscribers);
        }
    }
}

/// Takes what a client is told: each update is of a topic that it has, and the next one.
fn hear(at: &mut BTreeMap<TopicName, u64>, messages: Vec<Message>) {
    for text in texts(messages) {
        if let Ok(Some(Down::Updates(events))) = Down::from_json(&text) {
            for event in events {
                let topic = topic(event.subject.as_deref().unwrap());
                let at = at.get_mut(&topic).expect("it has the topic");
                assert_eq!(event.id, (*at + 1).to_string(), "of {topic}");
                *at += 1;
            }
        }
    }
}

proptest! {
    /// However topics change, nobody is told of one that it left, and of one that it has it is told
    /// everything, once and in order.
    #[test]
    fn a_client_is_told_everything_of_the_topics_that_it_has(
        steps in prop::collection::vec((0_u8..4, 0_usize..3, 0_u8..8), 1..60),
    ) {
        let all = topics(&["a", "b", "c"]);
        let fixed = session("t", &["a", "c"], Wire::Json);
        let mut object = Object {
            table: SessionTable::default(),
            heads: all.iter().map(|topic| (topic.clone(), 0)).collect(),
            clients: BTreeMap::from([
                ("s", BTreeMap::new()),
                ("t", fixed.subscription.topics().into_iter().map(|topic| (topic, 0)).collect()),
            ]),
        };
        begin(&mut object.table, fixed);
        begin(&mut object.table, session("s", &[], Wire::Json));
        for (what, which, some) in steps {
            match what {
                0 => {
                    let some = all.iter().enumerate().filter(|(n, _)| some & (1 << n) != 0);
                    let some: Vec<TopicName> = some.map(|(_, topic)| topic.clone()).collect();
                    object.change(&some);
                }
                1 => object.begin(),
                _ => object.publish(&all[which]),
            }
            object.check();
        }
    }
}
