//! What the commands of `origin-publisher` for topics do and print.

use std::process::Output;

use headstart_protocol::{channel::Up, event::Event, report::Status};
use headstart_tests::{
    edge::Edge,
    edge_config::EdgeConfig,
    keys::token_key,
    origin::{Origin, OriginConfig},
    shared::edge,
    subscriber::{News, Transport},
    tokens::Token,
    topics::{event_of, fresh_private_topic, fresh_topic, ids, topic_path, update, updates},
    wait::until,
};
use serde_json::{Value, json};
use tokio::task::spawn_blocking;

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("the output is text")
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("the output is text")
}

/// Fails unless the command succeeded; gives what it printed.
fn succeeded(output: &Output) -> String {
    assert!(output.status.success(), "{}", stderr(output));
    stdout(output)
}

/// The lines of a command that prints JSON, one object on each; between them may be what it logs.
fn objects(text: &str) -> Vec<Value> {
    let lines = text.lines().filter(|line| line.starts_with('{'));
    let lines = lines.map(serde_json::from_str);
    lines
        .collect::<Result<_, _>>()
        .unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// Where a command is run: an origin that knows the edge and does not run.
fn desk(edge: &Edge) -> Origin {
    Origin::new(OriginConfig::new("desk").edge(edge))
}

#[tokio::test]
async fn publish_brings_an_update_to_the_edge_and_says_so() {
    let edge = edge().await;
    let (client, topic, desk) = (edge.client(), fresh_topic(), desk(&edge));
    let data = r#"{ "home": 101, "away": 99 }"#;
    let publish = [
        "publish", "--topic", &topic, "--data", data, "--id", "final",
    ];
    let shown = succeeded(&desk.run(&publish));
    assert!(
        shown.contains("final") && shown.contains("accepted"),
        "{shown}"
    );
    let event = event_of(&client.latest(&topic).await);
    assert_eq!(
        (event.id.as_str(), event.source.as_str()),
        ("final", "/origin/desk")
    );
    assert_eq!(event.data.as_ref().unwrap().as_bytes(), data.as_bytes());
    assert!(event.extensions.contains_key("publishedat"), "{event:?}");
    // The same id again is the same update.
    let shown = succeeded(&desk.run(&publish));
    assert!(shown.contains("duplicate"), "{shown}");
    assert_eq!(client.since(&topic, 0).await.latest, 1);
}

#[tokio::test]
async fn publish_takes_an_update_from_each_line_of_its_input() {
    let edge = edge().await;
    let (client, topic, desk) = (edge.client(), fresh_topic(), desk(&edge));
    let mut subscriber = client.subscribe(Transport::Ws, &topic).await;
    let lines: Vec<_> = (1..=40).map(|n| format!("{{\"n\":{n}}}\n")).collect();
    let input = lines.concat();
    let output = desk.run_with_input(&["publish", "--topic", &topic], input.as_bytes());
    assert_eq!(succeeded(&output).matches("accepted").count(), 40);
    for (n, event) in (1..).zip(subscriber.updates(40).await) {
        assert_eq!(event.json_data(), Some(json!({ "n": n })));
    }
}

#[tokio::test]
async fn publish_refuses_what_is_no_update_and_fails() {
    let edge = edge().await;
    let (client, topic, desk) = (edge.client(), fresh_topic(), desk(&edge));
    let output = desk.run_with_input(&["publish", "--topic", &topic], b"1\n{broken\n3\n");
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert_eq!(stdout(&output).matches("accepted").count(), 2);
    assert_eq!(client.since(&topic, 0).await.latest, 2);
    for bad in ["a//b", "a/events", ""] {
        let output = desk.run(&["publish", "--topic", bad, "--data", "1"]);
        assert_eq!(output.status.code(), Some(2), "{bad}: {}", stderr(&output));
    }
}

#[tokio::test]
async fn what_an_interrupted_publish_left_is_delivered_by_the_next_in_order() {
    let mut edge = Edge::start(EdgeConfig::default()).await;
    let (client, topic, desk) = (edge.client(), fresh_topic(), desk(&edge));
    let publish = |n: &str| ["publish", "--topic", &topic, "--data", n].map(str::to_owned);
    succeeded(&desk.run(&["publish", "--topic", &topic, "--data", "1"]));
    edge.kill().await;
    let mut interrupted = desk.spawn("interrupted", &publish("2"));
    // It says that it cannot deliver, by when the update is durable.
    until("the delivery to fail", async || {
        (!interrupted.log().is_empty()).then_some(())
    })
    .await;
    interrupted.kill();
    edge.start_again().await;
    succeeded(&desk.run(&["publish", "--topic", &topic, "--data", "3"]));
    let updates = until("all three", async || {
        let since = client.since(&topic, 0).await;
        (since.latest == 3).then_some(since.updates)
    })
    .await;
    let data: Vec<Option<u64>> = updates.iter().map(Event::json_data).collect();
    assert_eq!(data, [Some(1), Some(2), Some(3)]);
}

#[tokio::test]
async fn subscribe_prints_what_was_missed_and_what_comes_and_acks_it() {
    let edge = edge().await;
    let (client, desk) = (edge.client(), desk(&edge));
    for transport in ["ws", "sse"] {
        let topic = fresh_topic();
        let sent = updates(&topic, 4);
        client.publish_all(&sent[..2]).await;
        let arguments = [
            "subscribe",
            &topic,
            "--edge",
            &edge.url(),
            "--transport",
            transport,
            "--since",
            "0",
            "--count",
            "4",
            "--json",
            "--ack",
        ];
        let mut command = desk.spawn(transport, &arguments.map(str::to_owned));
        client
            .await_subscribers(&topic, "the acks", |list| list.first()?.roundtrip)
            .await;
        client.publish_all(&sent[2..]).await;
        let ended = until("the command to end", async || command.ended()).await;
        assert!(ended.success(), "{ended}: {}", command.log());
        let lines = objects(&command.log());
        let told: Vec<_> = lines
            .iter()
            .filter(|line| line.get("update").is_some())
            .collect();
        assert_eq!(told.len(), 4, "{lines:?}");
        for (event, line) in sent.iter().zip(told) {
            assert!(line.to_string().contains(&event.id), "{line}");
        }
    }
}

#[tokio::test]
async fn subscribe_follows_several_runs_of_an_edge() {
    let mut edge = Edge::start(EdgeConfig::default()).await;
    let (client, topic, desk) = (edge.client(), fresh_topic(), desk(&edge));
    let arguments = [
        "subscribe",
        &topic,
        "--edge",
        &edge.url(),
        "--since",
        "0",
        "--count",
        "6",
        "--json",
    ];
    let mut command = desk.spawn("follower", &arguments.map(str::to_owned));
    let sent = updates(&topic, 6);
    client.publish_all(&sent[..3]).await;
    until("the first updates", async || {
        (command.log().matches("\"update\"").count() >= 3).then_some(())
    })
    .await;
    edge.kill().await;
    edge.start_again().await;
    client.publish_all(&sent[3..]).await;
    let ended = until("the command to end", async || command.ended()).await;
    assert!(ended.success(), "{ended}: {}", command.log());
    let lines = objects(&command.log());
    let told: Vec<_> = lines
        .iter()
        .filter(|line| line.get("update").is_some())
        .collect();
    assert_eq!(told.len(), 6, "{lines:?}");
    for (event, line) in sent.iter().zip(told) {
        assert!(line.to_string().contains(&event.id), "{line}");
    }
}

/// The ids of the updates of `topic` that a command told, in its order.
fn told_of<'a>(lines: &'a [Value], topic: &str) -> Vec<&'a str> {
    let updates = lines.iter().filter_map(|line| line.get("update"));
    let of_topic = updates.filter(|update| update["topic"] == topic);
    of_topic
        .map(|update| update["event"]["id"].as_str().expect("an id"))
        .collect()
}

#[tokio::test]
async fn subscribe_follows_several_topics_on_one_connection_and_acks_each() {
    let edge = edge().await;
    let (client, desk) = (edge.client(), desk(&edge));
    for transport in ["ws", "sse"] {
        let (a, b) = (fresh_topic(), fresh_topic());
        let (of_a, of_b) = (updates(&a, 4), updates(&b, 4));
        client.publish_all(&of_a[..2]).await;
        client.publish_all(&of_b[..2]).await;
        let (url, since) = (edge.url(), format!("{b}=1,{a}=0"));
        let arguments = [
            "subscribe",
            &a,
            &b,
            "--edge",
            &url,
            "--transport",
            transport,
            "--since",
            &since,
            "--count",
            "7",
            "--json",
            "--ack",
        ];
        let mut command = desk.spawn(transport, &arguments.map(str::to_owned));
        for topic in [&a, &b] {
            let acked = client.await_subscribers(topic, "the acks", |list| {
                assert!(list.len() <= 1, "one connection: {list:?}");
                list.first()?.roundtrip
            });
            acked.await;
        }
        client.publish_all(&of_b[2..]).await;
        client.publish_all(&of_a[2..]).await;
        let ended = until("the command to end", async || command.ended()).await;
        assert!(ended.success(), "{ended}: {}", command.log());
        let lines = objects(&command.log());
        assert_eq!(told_of(&lines, &a), ids(&of_a));
        assert_eq!(told_of(&lines, &b), ids(&of_b[1..]));
        // With the latest of each; and by the cursor of one of them, with nothing old of the other.
        let of_b_only = format!("{b}=1");
        for (begin, told) in [
            (vec!["--latest"], [1, 1]),
            (vec!["--since", &of_b_only], [0, 3]),
        ] {
            let count = told.iter().sum::<usize>().to_string();
            let mut arguments = vec![
                "subscribe",
                &a,
                &b,
                "--edge",
                &url,
                "--json",
                "--count",
                &count,
            ];
            arguments.extend(["--transport", transport]);
            arguments.extend(begin);
            let desk = Origin::new(OriginConfig::new("desk").edge(&edge));
            let lines = objects(&succeeded(&desk.run(&arguments)));
            assert_eq!(told_of(&lines, &a), ids(&of_a[4 - told[0]..]));
            assert_eq!(told_of(&lines, &b), ids(&of_b[4 - told[1]..]));
        }
    }
}

#[tokio::test]
async fn subscribe_goes_on_with_each_of_several_topics_when_the_edge_was_away() {
    let mut edge = Edge::start(EdgeConfig::default()).await;
    let (client, desk) = (edge.client(), desk(&edge));
    let (a, b) = (fresh_topic(), fresh_topic());
    let (of_a, of_b) = (updates(&a, 6), updates(&b, 6));
    let since = format!("{a}=0,{b}=0");
    let mut commands = Vec::new();
    for transport in ["ws", "sse"] {
        let arguments = [
            "subscribe",
            &a,
            &b,
            "--edge",
            &edge.url(),
            "--transport",
            transport,
            "--since",
            &since,
            "--count",
            "12",
            "--json",
        ];
        commands.push(desk.spawn(transport, &arguments.map(str::to_owned)));
    }
    client.publish_all(&of_a[..3]).await;
    client.publish_all(&of_b[..1]).await;
    for command in &commands {
        until("the first updates", async || {
            (command.log().matches("\"update\"").count() >= 4).then_some(())
        })
        .await;
    }
    edge.kill().await;
    edge.start_again().await;
    client.publish_all(&of_b[1..]).await;
    client.publish_all(&of_a[3..]).await;
    for mut command in commands {
        let ended = until("the command to end", async || command.ended()).await;
        assert!(ended.success(), "{ended}: {}", command.log());
        let lines = objects(&command.log());
        assert_eq!(told_of(&lines, &a), ids(&of_a));
        assert_eq!(told_of(&lines, &b), ids(&of_b));
    }
}

#[tokio::test]
async fn subscribe_refuses_topics_and_cursors_that_are_none_and_says_what_it_takes() {
    let desk = Origin::new(OriginConfig::new("desk"));
    let many: Vec<_> = (0..33).map(|n| format!("t{n}")).collect();
    let too_many: Vec<_> = std::iter::once("subscribe")
        .chain(many.iter().map(String::as_str))
        .collect();
    for (arguments, code) in [
        (&["subscribe"][..], 2),
        (&["subscribe", "a", "b//c"], 2),
        (&["subscribe", "a", "b/events"], 2),
        (&too_many, 2),
        (&["subscribe", "a", "--since", "1", "--latest"], 2),
        (&["subscribe", "a", "b", "--since", "7"], 1),
        (&["subscribe", "a", "b", "--since", "a=1,a=2"], 1),
    ] {
        let output = desk.run(arguments);
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        assert!(!said.is_empty() && stdout(&output).is_empty(), "{said}");
    }
    let help = succeeded(&desk.run(&["subscribe", "--help"]));
    for told in ["<TOPIC>...", "up to 32", "a=42,b=7"] {
        assert!(help.contains(told), "{told}: {help}");
    }
}

#[tokio::test]
async fn subscribe_tells_people_differences_and_one_time_and_a_cursor_that_is_ahead() {
    let edge = edge().await;
    let (client, topic, desk) = (edge.client(), fresh_topic(), desk(&edge));
    client.publish_all(&updates(&topic, 2)).await;
    let url = edge.url();
    let arguments = [
        "subscribe",
        &topic,
        "--edge",
        &url,
        "--count",
        "1",
        "--since",
        "99999",
    ];
    let shown = succeeded(&desk.run(&arguments));
    let ahead = format!("99999 is ahead of the topic {topic}, whose numbering may have begun anew");
    assert!(shown.contains(&ahead), "{shown}");
    let times = shown.lines().last().unwrap();
    assert!(
        times.contains(" ms  delivered  ~") && times.contains("  here at "),
        "{times}"
    );
    let mut dead = desk.spawn(
        "dead",
        &["subscribe", "a", "--edge", "http://127.0.0.1:9"].map(str::to_owned),
    );
    until("the edge to be named", async || {
        dead.log()
            .contains("lost http://127.0.0.1:9/: Connection refused")
            .then_some(())
    })
    .await;
    dead.kill();
}

#[tokio::test]
async fn token_makes_what_opens_and_publishes_on_private_topics() {
    let edge = edge().await;
    let (client, topic, desk) = (edge.client(), fresh_private_topic(), desk(&edge));
    let sent = client.publish_on(&topic, &json!("secret")).await;
    let token = succeeded(&desk.run(&[
        "token",
        "--topics",
        "private/*",
        "--publish",
        &topic,
        "--ttl",
        "5m",
    ]));
    let bearer = format!("Bearer {}", token.trim());
    let call = client
        .get(&topic_path(&topic))
        .header("authorization", &bearer);
    assert_eq!(event_of(&call.send().await).id, sent.id);
    let subscription = client.subscription(Transport::Ws, &[&topic]);
    let mut subscriber = subscription.header("authorization", &bearer).open().await;
    let event = Box::new(update(&topic, &json!("mine")));
    subscriber
        .say(&Up::Publish {
            event: event.clone(),
        })
        .await;
    loop {
        match subscriber.next().await {
            News::Update(_) => {}
            News::Published(result) => {
                assert_eq!(result.status, Status::Accepted);
                break;
            }
            other => panic!("unexpected: {other:?}"),
        }
    }
    let narrow = succeeded(&desk.run(&["token", "--topics", "private/other"]));
    let call = client.get(&topic_path(&topic));
    let call = call.header("authorization", &format!("Bearer {}", narrow.trim()));
    let _ = call.send().await.expect_problem(403);
}

#[tokio::test]
async fn token_fails_without_a_key_or_a_topic() {
    let keyless = Origin::new(OriginConfig::new("one").env("HEADSTART_TOKEN_KEY", ""));
    let output = keyless.run(&["token", "--topics", "private/*"]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(
        stderr(&output).contains("HEADSTART_TOKEN_KEY"),
        "{}",
        stderr(&output)
    );
    let origin = Origin::new(OriginConfig::new("one"));
    for arguments in [
        &["token"][..],
        &["token", "--topics", "a b"],
        &["token", "--topics", "a*b"],
    ] {
        let output = origin.run(arguments);
        assert_eq!(
            output.status.code(),
            Some(2),
            "{arguments:?}: {}",
            stderr(&output)
        );
        assert!(!stderr(&output).contains(&token_key().expose()));
    }
}

#[tokio::test]
async fn subscribe_opens_a_private_topic_with_the_token_of_its_environment_only() {
    let edge = edge().await;
    let (client, topic) = (edge.client(), fresh_private_topic());
    let sent = updates(&topic, 2);
    client.publish_all(&sent).await;
    let url = edge.url();
    let arguments = [
        "subscribe",
        &topic,
        "--edge",
        &url,
        "--since",
        "0",
        "--count",
        "2",
        "--json",
    ];
    let token = Token::reading(&[&topic]).mint();
    let holder = OriginConfig::new("holder")
        .edge(&edge)
        .env("HEADSTART_TOKEN", &token);
    for transport in ["ws", "sse"] {
        let holder = Origin::new(holder.clone());
        let mut arguments = arguments.map(str::to_owned).to_vec();
        arguments.extend(["--transport".to_owned(), transport.to_owned()]);
        let output = spawn_blocking(move || {
            let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
            holder.run(&arguments)
        });
        let output = output.await.unwrap();
        let lines = objects(&succeeded(&output));
        assert_eq!(
            lines
                .iter()
                .filter(|line| line.get("update").is_some())
                .count(),
            2
        );
        assert!(!stdout(&output).contains(&token) && !stderr(&output).contains(&token));
        let stranger = desk(&edge);
        let arguments = [
            "subscribe",
            &topic,
            "--edge",
            &url,
            "--transport",
            transport,
        ];
        let output = stranger.run(&arguments);
        assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
        assert!(ids(&sent).iter().all(|id| !stdout(&output).contains(id)));
    }
}

#[tokio::test]
async fn load_counts_every_delivery_and_finds_none_missing() {
    let edge = edge().await;
    let desk = desk(&edge);
    for transport in ["sse", "ws"] {
        let (url, topic) = (edge.url(), fresh_topic());
        let output = desk.run(&[
            "load",
            "--edge",
            &url,
            "--topic",
            &topic,
            "--subscribers",
            "50",
            "--transport",
            transport,
            "--updates",
            "40",
            "--burst",
            "10",
            "--json",
        ]);
        let report: Value = serde_json::from_str(&succeeded(&output)).unwrap();
        assert_eq!(report["deliveries"], 2000, "{report}");
        assert_eq!(
            (&report["losses"], &report["duplicates"]),
            (&json!(0), &json!(0)),
            "{report}"
        );
        assert!(
            report["deliveries_per_second"].as_f64() > Some(0.0),
            "{report}"
        );
        let latency = |name: &str| report["latency"][name].as_f64().expect("a time");
        assert!(latency("p50_ms") <= latency("p99_ms") && latency("p99_ms") <= latency("max_ms"));
    }
}
