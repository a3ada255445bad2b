//! Many subscribers of one topic, as `origin-publisher load` counts what they get.

use headstart_tests::{
    edge_config::EdgeConfig,
    origin::{Origin, OriginConfig},
    subscriber::Transport,
    topics::fresh_topic,
    workerd::Workerd,
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::Value;

/// How many subscribers: more than stay at the topic's root.
const SUBSCRIBERS: u64 = 5_000;

/// How many updates each of them gets.
const UPDATES: u64 = 5;

/// How many files a process must be able to open: workerd opens two for each connection, and has some
/// of its own.
const FILES: u64 = 2 * SUBSCRIBERS + 1_000;

/// Lets this process and those that it starts open as many files as it takes.
fn allow_many_files() {
    let limit = getrlimit(Resource::Nofile);
    let enough = |limit: Option<u64>| limit.is_none_or(|files| files >= FILES);
    if enough(limit.current) {
        return;
    }
    assert!(
        enough(limit.maximum),
        "this test needs {FILES} open files: raise `ulimit -Hn`, which is {:?}",
        limit.maximum
    );
    let raised = Rlimit {
        current: Some(FILES),
        ..limit
    };
    setrlimit(Resource::Nofile, raised).expect("a limit can be raised up to the hard one");
}

/// What `load` reports of a topic's subscribers; fails unless it is content.
fn load(edge: &Workerd, origin: &Origin, transport: Transport) -> Value {
    let transport = match transport {
        Transport::Sse => "sse",
        Transport::Ws => "ws",
    };
    let topic = fresh_topic();
    let (subscribers, updates) = (SUBSCRIBERS.to_string(), UPDATES.to_string());
    let output = origin.run(&[
        "load",
        "--edge",
        edge.url(),
        "--topic",
        &topic,
        "--transport",
        transport,
        "--subscribers",
        &subscribers,
        "--updates",
        &updates,
        "--connect-patience",
        "120",
        "--patience",
        "60",
        "--json",
    ]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{transport}: {said}");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {said}"))
}

#[tokio::test]
async fn thousands_of_subscribers_get_each_update_once() {
    allow_many_files();
    for transport in Transport::ALL {
        // A fresh edge for each: the files of the connections that were are not closed at once.
        let edge = Workerd::start(&EdgeConfig::default()).await;
        let origin = Origin::new(OriginConfig::new("load"));
        let report = load(&edge, &origin, transport);
        let count = |name: &str| report[name].as_u64();
        assert_eq!(count("subscribers"), Some(SUBSCRIBERS), "{report}");
        assert_eq!(count("updates"), Some(UPDATES), "{report}");
        assert_eq!(count("deliveries"), Some(SUBSCRIBERS * UPDATES), "{report}");
        for fault in ["losses", "duplicates", "disordered", "reconnects"] {
            assert_eq!(count(fault), Some(0), "{report}");
        }
    }
}
