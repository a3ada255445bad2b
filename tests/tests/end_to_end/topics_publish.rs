//! What an origin publishes on a topic gets the topic's next number, once, and the last of it reaches
//! KV.

use std::{collections::BTreeSet, time::Duration};

use futures_util::future::join_all;
use headstart_protocol::{
    event::{Data, Event},
    limits::{MAX_EVENTS_PER_BATCH, MAX_TOPIC_BYTES, MAX_UPDATE_BYTES},
    report::Status,
    stamps::{Point, Stamps},
    update::SEQUENCE,
};
use headstart_tests::{
    events::{SOURCE, batch, ready, results, statuses},
    keys::{foreign_key, fresh_ticket, login_key, now_ms, origin_key, token_key},
    kv::Kv,
    shared::edge,
    subscriber::Transport,
    topics::{
        event_of, fresh_topic, ids, sequence, sequences, topic_path, update, update_of_size,
        updates,
    },
    wait::until,
};
use serde_json::json;

/// How far the clocks of the test and of the edge, on one machine, may seem apart.
const CLOCK_MS: u64 = 60_000;

#[tokio::test]
async fn an_update_gets_its_topics_next_number_and_the_time_of_its_receipt() {
    let edge = edge().await;
    let (client, topic) = (edge.client(), fresh_topic());
    for n in 1..=3 {
        let sent = client.publish_on(&topic, &json!({ "n": n })).await;
        let got = event_of(&client.latest(&topic).await);
        assert_eq!(sequence(&got), n);
        assert_eq!((&got.id, &got.source), (&sent.id, &sent.source));
        assert_eq!((&got.subject, &got.kind), (&sent.subject, &sent.kind));
        assert_eq!(got.data, sent.data);
        let received_at = Stamps::of_event(&got).get(Point::Received).unwrap();
        assert!(received_at.abs_diff(now_ms()) < CLOCK_MS);
    }
}

#[tokio::test]
async fn every_topic_counts_for_itself() {
    let edge = edge().await;
    let client = edge.client();
    let (one, two) = (fresh_topic(), fresh_topic());
    // One that begins with the name of another is another topic.
    let below = format!("{one}/below");
    for topic in [&one, &two, &one, &below, &one] {
        client.publish_on(topic, &json!(1)).await;
    }
    for (topic, latest) in [(&one, 3), (&two, 1), (&below, 1)] {
        assert_eq!(client.since(topic, 0).await.latest, latest);
    }
}

#[tokio::test]
async fn updates_of_a_topic_keep_the_order_of_their_batch() {
    let edge = edge().await;
    let client = edge.client();
    let (one, two) = (fresh_topic(), fresh_topic());
    let (of_one, of_two) = (updates(&one, 60), updates(&two, 60));
    let mixed: Vec<_> = of_one
        .iter()
        .zip(&of_two)
        .flat_map(|(a, b)| [a.clone(), b.clone()])
        .collect();
    client.publish_all(&mixed).await;
    for (topic, sent) in [(&one, &of_one), (&two, &of_two)] {
        let since = client.since(topic, 0).await;
        assert_eq!(ids(&since.updates), ids(sent));
        assert!(sequences(&since.updates).into_iter().eq(1..=60));
    }
}

#[tokio::test]
async fn a_full_batch_of_one_topic_is_taken_whole() {
    let edge = edge().await;
    let (client, topic) = (edge.client(), fresh_topic());
    let sent = updates(&topic, MAX_EVENTS_PER_BATCH as u64);
    let results = results(&client.publish_batch(&batch(&sent)).await);
    assert!(
        results
            .iter()
            .zip(&sent)
            .all(|(result, event)| result.id == event.id)
    );
    assert!(
        results
            .iter()
            .all(|result| result.status == Status::Accepted)
    );
    assert_eq!(ids(&client.since(&topic, 0).await.updates), ids(&sent));
}

#[tokio::test]
async fn updates_and_offers_travel_in_one_batch_and_are_judged_each_by_itself() {
    let edge = edge().await;
    let (client, topic, ticket) = (edge.client(), fresh_topic(), fresh_ticket());
    let (first, second) = (
        update(&topic, &json!("first")),
        update(&topic, &json!("second")),
    );
    let nowhere = update("a//b", &json!("lost"));
    let offer = ready(&ticket, &json!("offer"));
    let answer = client
        .publish_batch(&format!(
            "[{}, {}, 7, {}, {}, {}]",
            first.to_json(),
            offer.to_json(),
            nowhere.to_json(),
            second.to_json(),
            first.to_json(),
        ))
        .await;
    let bad = Status::Rejected;
    let taken = Status::Accepted;
    assert_eq!(
        statuses(&answer),
        [taken, taken, bad, bad, taken, Status::Duplicate]
    );
    assert_eq!(
        ids(&client.since(&topic, 0).await.updates),
        [&first.id, &second.id]
    );
    assert_eq!(client.offer(&ticket).await.json(), json!("offer"));
}

#[tokio::test]
async fn the_same_update_again_is_a_duplicate_and_heard_once() {
    let edge = edge().await;
    let (client, topic) = (edge.client(), fresh_topic());
    for transport in Transport::ALL {
        let mut subscriber = client.subscribe(transport, &topic).await;
        let event = update(&topic, &json!("once"));
        let twice = client
            .publish_batch(&batch(&[event.clone(), event.clone()]))
            .await;
        assert_eq!(statuses(&twice), [Status::Accepted, Status::Duplicate]);
        assert_eq!(client.publish(&event).await.status, Status::Duplicate);
        let next = client.publish_on(&topic, &json!("next")).await;
        let heard = subscriber.updates(2).await;
        assert_eq!(ids(&heard), [&event.id, &next.id]);
    }
}

#[tokio::test]
async fn another_source_or_another_topic_makes_the_same_id_another_update() {
    let edge = edge().await;
    let client = edge.client();
    let (topic, elsewhere) = (fresh_topic(), fresh_topic());
    let event = update(&topic, &json!(1));
    let mut other = event.clone();
    other.source = "/origin/other".to_owned();
    let mut moved = event.clone();
    moved.subject = Some(elsewhere.clone());
    for event in [&event, &other, &moved] {
        assert_eq!(client.publish(event).await.status, Status::Accepted);
    }
    assert_eq!(client.since(&topic, 0).await.latest, 2);
    assert_eq!(client.since(&elsewhere, 0).await.latest, 1);
}

#[tokio::test]
async fn what_a_sender_says_in_place_of_the_edge_is_dropped() {
    let edge = edge().await;
    let (client, topic) = (edge.client(), fresh_topic());
    let mut subscriber = client.subscribe(Transport::Sse, &topic).await;
    let mut event = update(&topic, &json!(1));
    for (name, value) in [
        (SEQUENCE, "999"),
        ("receivedat", "7"),
        ("deliveredat", "8"),
        ("publishedat", "9"),
        ("region", "north"),
    ] {
        event.extensions.insert(name.to_owned(), value.to_owned());
    }
    client.settle(&event).await;
    let heard = subscriber.update().await;
    for got in [heard, event_of(&client.latest(&topic).await)] {
        let stamps = Stamps::of_event(&got);
        assert_eq!(sequence(&got), 1);
        assert!(stamps.get(Point::Received) > Some(999), "{got:?}");
        assert_ne!(stamps.get(Point::Delivered), Some(8), "{got:?}");
        assert_eq!(stamps.get(Point::Published), Some(9), "the origin's own");
        assert_eq!(got.extensions["region"], "north");
    }
}

#[tokio::test]
async fn an_update_of_the_largest_size_arrives_whole_and_one_byte_more_is_rejected() {
    let edge = edge().await;
    let (client, topic) = (edge.client(), fresh_topic());
    for transport in Transport::ALL {
        let mut subscriber = client.subscribe(transport, &topic).await;
        let largest = update_of_size(&topic, MAX_UPDATE_BYTES);
        client.settle(&largest).await;
        let too_large = update_of_size(&topic, MAX_UPDATE_BYTES + 1);
        let result = client.publish(&too_large).await;
        assert_eq!(result.status, Status::Rejected);
        assert!(result.reason.is_some());
        let heard = subscriber.update().await;
        assert_eq!(heard.data, largest.data);
    }
    assert_eq!(client.since(&topic, 0).await.latest, 2);
}

#[tokio::test]
async fn an_update_of_nothing_that_can_be_a_topic_is_rejected_and_says_why() {
    let edge = edge().await;
    let client = edge.client();
    let long = "x".repeat(MAX_TOPIC_BYTES + 1);
    for subject in [
        "",
        "/",
        "/a",
        "a/",
        "a//b",
        ".",
        "..",
        "a/../b",
        "a b",
        "a?b",
        "a#b",
        "a%2Fb",
        "a,b",
        "a=b",
        "a*",
        "\u{e9}",
        "a\u{2028}b",
        "events",
        "a/events",
        "a/ws",
        "a/subscribers",
        "a/acks",
        &long,
    ] {
        let result = client.publish(&update(subject, &json!(1))).await;
        assert_eq!(result.status, Status::Rejected, "{subject}");
        assert!(result.reason.is_some(), "{subject}");
    }
    let with = |change: fn(&mut Event)| {
        let mut event = update("a", &json!(1));
        change(&mut event);
        event
    };
    for event in [
        with(|event| event.subject = None),
        with(|event| event.dataref = Some("/elsewhere".to_owned())),
        with(|event| event.kind = "dev.headstart.updates".to_owned()),
    ] {
        let result = client.publish(&event).await;
        assert_eq!(result.status, Status::Rejected, "{event:?}");
        assert!(result.reason.is_some(), "{event:?}");
    }
}

#[tokio::test]
async fn a_topic_of_the_longest_name_works_like_any_other() {
    let edge = edge().await;
    let client = edge.client();
    let fresh = fresh_topic();
    let topic = format!(
        "{fresh}/~@:+-._{}",
        "x".repeat(MAX_TOPIC_BYTES - fresh.len() - 8)
    );
    assert_eq!(topic.len(), MAX_TOPIC_BYTES);
    for transport in Transport::ALL {
        let mut subscriber = client.subscribe(transport, &topic).await;
        let sent = client.publish_on(&topic, &json!(1)).await;
        assert_eq!(subscriber.update().await.id, sent.id);
    }
}

#[tokio::test]
async fn only_the_origin_can_publish() {
    let edge = edge().await;
    let (client, topic) = (edge.client(), fresh_topic());
    let call = client.publish_call(&update(&topic, &json!("forged")));
    let unsigned = call.clone().without_header("webhook-signature");
    let mut calls = vec![unsigned, call.clone().with_body("{}")];
    calls.extend([foreign_key(), login_key(), token_key()].map(|key| call.clone().signed(&key)));
    for call in calls {
        let _ = call.send().await.expect_problem(401);
    }
    let _ = client.latest(&topic).await.expect_problem(404);
}

#[tokio::test]
async fn an_update_in_binary_mode_is_taken_like_any_other() {
    let edge = edge().await;
    let (client, topic) = (edge.client(), fresh_topic());
    let answer = client
        .post("/events", "text/html", "<p>news</p>")
        .header("ce-specversion", "1.0")
        .header("ce-type", "dev.headstart.update")
        .header("ce-source", SOURCE)
        .header("ce-id", "caf%C3%A9")
        .header("ce-subject", &topic)
        .signed(&origin_key())
        .send()
        .await;
    assert_eq!(statuses(&answer), [Status::Accepted]);
    let got = event_of(&client.latest(&topic).await);
    assert_eq!((got.id.as_str(), sequence(&got)), ("caf\u{e9}", 1));
    assert_eq!(got.media_type(), "text/html");
    assert_eq!(got.data.unwrap().as_bytes(), b"<p>news</p>");
}

#[tokio::test]
async fn an_update_of_any_media_type_keeps_its_bytes_by_every_way() {
    let edge = edge().await;
    let (client, topic) = (edge.client(), fresh_topic());
    let mut streams = Vec::new();
    for transport in Transport::ALL {
        streams.push(client.subscribe(transport, &topic).await);
    }
    for (media_type, data) in [
        (None, None),
        (None, Some(&b"{ \"b\": 1.50,\t\"a\": \"\\u00e9\\r\" }"[..])),
        (Some("text/plain"), Some(b"")),
        (
            Some("text/html; charset=utf-8"),
            Some(b"<p>caf\xC3\xA9</p>\n\ndata: x\r\n\r\n"),
        ),
        (Some("image/png"), Some(&[0x89, 0x50, 0x00, 0xFF, 0x0A])),
    ] {
        let mut event = update(&topic, &json!(1));
        event.datacontenttype = media_type.map(str::to_owned);
        event.data = data.map(|data| Data::from_content(event.media_type(), data.to_vec()));
        client.settle(&event).await;
        let latest = event_of(&client.latest(&topic).await);
        let since = client.since(&topic, sequence(&latest) - 1).await;
        let mut got = vec![latest, since.updates[0].clone()];
        for stream in &mut streams {
            got.push(stream.update().await);
        }
        for got in got {
            assert_eq!(
                (&got.id, &got.datacontenttype),
                (&event.id, &event.datacontenttype)
            );
            assert_eq!(got.data, event.data, "{media_type:?}");
        }
    }
}

#[tokio::test]
async fn of_updates_that_come_at_once_each_gets_a_number_of_its_own() {
    let edge = edge().await;
    let (client, topic) = (edge.client(), fresh_topic());
    let sent = updates(&topic, 24);
    // Each is sent twice at the same time, as by an origin that did not hear the answer.
    let twice = sent.iter().chain(&sent);
    let results = join_all(twice.map(|event| client.publish(event))).await;
    let accepted = results
        .iter()
        .filter(|result| result.status == Status::Accepted);
    assert_eq!(accepted.count(), 24, "{results:?}");
    let since = client.since(&topic, 0).await;
    assert!(sequences(&since.updates).into_iter().eq(1..=24));
    let got: BTreeSet<_> = ids(&since.updates).into_iter().collect();
    assert_eq!(got, ids(&sent).into_iter().collect());
}

#[tokio::test]
async fn the_last_value_reaches_kv_and_no_more_than_one_a_second_does() {
    let edge = edge().await;
    let (client, topic) = (edge.client(), fresh_topic());
    let kv = Kv::of(&edge);
    let mut seen = BTreeSet::new();
    let begun = tokio::time::Instant::now();
    let publish = async {
        let mut last = None;
        for n in 0..100 {
            last = Some(client.publish_on(&topic, &json!({ "n": n })).await);
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        last.unwrap()
    };
    let watch = async {
        loop {
            if let Some((_, metadata)) = kv.update(&topic).await {
                seen.insert(metadata.sequence);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let last = tokio::select! {
        last = publish => last,
        () = watch => unreachable!("it watches for ever"),
    };
    let (value, metadata) = until("the last value in KV", async || {
        let found = kv.update(&topic).await?;
        seen.insert(found.1.sequence);
        (found.1.sequence == 100).then_some(found)
    })
    .await;
    let seconds = usize::try_from(begun.elapsed().as_secs()).unwrap();
    assert!(
        seen.len() <= seconds + 2,
        "{} in {seconds} s: {seen:?}",
        seen.len()
    );
    let event = Event::from_json(&value).unwrap();
    assert_eq!((sequence(&event), &event.id), (100, &last.id));
    assert_eq!(event.data, last.data);
    assert_eq!((metadata.event_id, metadata.source), (last.id, last.source));
    assert_eq!(metadata.media_type, "application/json");
    assert!(metadata.stamps.get(Point::Received).is_some());
}

#[tokio::test]
async fn a_topics_path_takes_no_update() {
    let edge = edge().await;
    let (client, topic) = (edge.client(), fresh_topic());
    let event = update(&topic, &json!(1)).to_json();
    let path = topic_path(&topic);
    let call = client.post(&path, "application/cloudevents+json", event);
    let answer = call.signed(&origin_key()).send().await;
    let _ = answer.expect_problem(405);
    let _ = client.latest(&topic).await.expect_problem(404);
}

/// Texts that would begin a frame of their own, if they got into one as they are.
const FORGERIES: [&str; 6] = [
    "x\n\nevent: gap\nid: 9\ndata: {}\n\n",
    "x\r\revent: update\rdata: forged\r\r",
    "x\r\n\r\nid: 9\r\nretry: 1\r\n\r\n",
    "x\u{85}\u{85}event: gap\u{85}data: {}\u{85}\u{85}",
    "x\0\0event: gap\0data: {}",
    "\u{feff}data: forged\n\n",
];

#[tokio::test]
async fn no_attribute_can_forge_a_frame() {
    let edge = edge().await;
    let (client, topic) = (edge.client(), fresh_topic());
    let mut stream = client.subscribe(Transport::Sse, &topic).await;
    for forgery in FORGERIES {
        let hostile = |change: fn(&mut Event, String)| {
            let mut event = update(&topic, &json!(1));
            change(&mut event, forgery.to_owned());
            event
        };
        let events = [
            hostile(|event, text| event.id = text),
            hostile(|event, text| event.source = text),
            hostile(|event, text| event.kind = text),
            hostile(|event, text| event.subject = Some(text)),
            hostile(|event, text| event.subject.as_mut().unwrap().push_str(&text)),
            hostile(|event, text| event.time = Some(text)),
            hostile(|event, text| event.datacontenttype = Some(format!("text/plain; a={text}"))),
            hostile(|event, text| event.dataref = Some(text)),
            hostile(|event, text| drop(event.extensions.insert("region".to_owned(), text))),
            hostile(|event, text| drop(event.extensions.insert("sequence".to_owned(), text))),
            hostile(|event, text| drop(event.extensions.insert("receivedat".to_owned(), text))),
            hostile(|event, text| drop(event.extensions.insert(text, "1".to_owned()))),
        ];
        // Each by itself, and all in a batch.
        for event in &events {
            let answer = client.publish_call(event).send().await;
            match answer.status {
                400 => drop(answer.expect_problem(400)),
                _ => assert_eq!(statuses(&answer), [Status::Rejected], "{event:?}"),
            }
        }
        let answer = client.publish_batch(&batch(&events)).await;
        assert_eq!(statuses(&answer), vec![Status::Rejected; events.len()]);
    }
    let sent = client
        .publish_on(&topic, &json!("the first that is told"))
        .await;
    assert_eq!(stream.update().await.id, sent.id);
    assert_eq!(client.since(&topic, 0).await.latest, 1);
}

#[tokio::test]
async fn no_header_of_binary_mode_can_forge_a_frame() {
    let edge = edge().await;
    let (client, topic) = (edge.client(), fresh_topic());
    let good = client
        .post("/events", "application/json", "1")
        .header("ce-specversion", "1.0")
        .header("ce-type", "dev.headstart.update")
        .header("ce-source", SOURCE)
        .header("ce-id", "1")
        .header("ce-subject", &topic);
    for name in [
        "ce-id",
        "ce-source",
        "ce-type",
        "ce-subject",
        "ce-time",
        "ce-region",
    ] {
        for text in [
            "a%0Aid: 9",
            "a%0D%0A%0D%0Adata: x",
            "a%C2%85b",
            "a%00b",
            "a%0D",
        ] {
            let answer = good
                .clone()
                .header(name, text)
                .signed(&origin_key())
                .send()
                .await;
            let _ = answer.expect_problem(400);
        }
    }
    let _ = client.latest(&topic).await.expect_problem(404);
}

#[tokio::test]
async fn no_data_can_forge_a_frame() {
    let edge = edge().await;
    let (client, topic) = (edge.client(), fresh_topic());
    let mut subscribers = Vec::new();
    for transport in Transport::ALL {
        subscribers.push(client.subscribe(transport, &topic).await);
    }
    let mut events = Vec::new();
    for forgery in FORGERIES {
        let text = update(&topic, &json!(forgery));
        let key = update(&topic, &json!({ forgery: { forgery: [forgery] } }));
        let mut plain = update(&topic, &json!(1));
        plain.datacontenttype = Some("text/plain".to_owned());
        plain.data = Some(Data::from_content("text/plain", forgery.into()));
        let mut binary = plain.clone();
        binary.datacontenttype = Some("application/octet-stream".to_owned());
        binary.data = Some(Data::Binary(forgery.into()));
        let mut id = update(&topic, &json!(1));
        // What is no control character is allowed in an attribute.
        id.id = format!("{}: id: 9, event: gap \u{2028}\u{2029} caf\u{e9}", id.id);
        for (n, mut event) in [text, key, plain, binary, id].into_iter().enumerate() {
            event.id = format!("{} {n}", event.id);
            events.push(event);
        }
    }
    // White space between the tokens of JSON may hold the ends of lines, as they are.
    let mut spread = update(&topic, &json!(1));
    let json = "[\n\n1,\r\n\r\n2,\r\r3\n]";
    spread.data = Some(Data::from_content("application/json", json.into()));
    events.push(spread);
    for event in &events {
        client.settle(event).await;
    }
    for subscriber in &mut subscribers {
        // The subscriber itself sees to it that each is one frame with its own number.
        for (event, got) in events.iter().zip(subscriber.updates(events.len()).await) {
            assert_eq!(got.id, event.id);
            match event.json_data::<serde_json::Value>() {
                Some(value) => assert_eq!(got.json_data(), Some(value)),
                None => assert_eq!(got.data, event.data),
            }
        }
    }
}
