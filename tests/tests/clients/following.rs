//! What every client that follows something must get, whatever it is made of.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use headstart_tests::{
    browser,
    client::offer_path,
    edge::Edge,
    edge_config::EdgeConfig,
    events::ready,
    follower::{Course, Follower, Heard, LAST},
    gate::{Gate, Mode},
    keys::fresh_ticket,
    script::Script,
    shared::{BRIEF_COUNT, brief_edge},
    topics::{fresh_topic, topic_path, update, updates},
    wait::PATIENCE,
};
use serde_json::json;
use tokio::{
    sync::OnceCell,
    task::{LocalSet, spawn_local},
    time::timeout,
};

/// A library that follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Library {
    script: &'static str,
    /// The library, where a script knows several.
    which: &'static str,
    way: Way,
}

/// How a library is connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Way {
    /// By Server-Sent Events.
    Stream,
    /// By WebSocket.
    Socket,
    /// By Server-Sent Events, in a browser.
    Page,
}

impl Library {
    const fn new(script: &'static str, way: Way) -> Self {
        let which = "";
        Self { script, which, way }
    }

    const fn in_page(which: &'static str) -> Self {
        let (script, way) = ("follow_in_page.mjs", Way::Page);
        Self { script, which, way }
    }

    /// npm's `eventsource`.
    pub const EVENTSOURCE: Self = Self::new("follow_eventsource.mjs", Way::Stream);
    /// npm's `eventsource-client`.
    pub const EVENTSOURCE_CLIENT: Self = Self::new("follow_eventsource_client.mjs", Way::Stream);
    /// npm's `event-source-polyfill`.
    pub const POLYFILL: Self = Self::in_page("event-source-polyfill");
    /// npm's `reconnecting-eventsource`.
    pub const RECONNECTING: Self = Self::in_page("reconnecting-eventsource");
    /// PyPI's `sseclient-py`.
    pub const SSECLIENT: Self = Self::new("follow_sseclient.py", Way::Stream);
    /// PyPI's `httpx-sse`.
    pub const HTTPX_SSE: Self = Self::new("follow_httpx_sse.py", Way::Stream);
    /// npm's `ws`.
    pub const WS: Self = Self::new("follow_ws.mjs", Way::Socket);
    /// npm's `partysocket`.
    pub const PARTYSOCKET: Self = Self::new("follow_partysocket.mjs", Way::Socket);
    /// PyPI's `websockets`.
    pub const WEBSOCKETS: Self = Self::new("follow_websockets.py", Way::Socket);
    /// PyPI's `websocket-client`.
    pub const WEBSOCKET_CLIENT: Self = Self::new("follow_websocket_client.py", Way::Socket);

    const ALL: [Self; 10] = [
        Self::EVENTSOURCE,
        Self::EVENTSOURCE_CLIENT,
        Self::POLYFILL,
        Self::RECONNECTING,
        Self::SSECLIENT,
        Self::HTTPX_SSE,
        Self::WS,
        Self::PARTYSOCKET,
        Self::WEBSOCKETS,
        Self::WEBSOCKET_CLIENT,
    ];

    /// Its script, to follow what is at `path` of the edge at `base`.
    pub fn script(self, base: &str, path: &str) -> Script {
        let file = format!("clients/{}", self.script);
        let script = match self.way {
            Way::Page => browser::script(&file),
            Way::Stream | Way::Socket => Script::new(&file),
        };
        let url = match self.way {
            Way::Socket => format!("{}{path}/ws", base.replacen("http", "ws", 1)),
            Way::Stream | Way::Page => format!("{base}{path}/events"),
        };
        script.name(&format!("{self:?}")).arg(url).arg(self.which)
    }
}

/// Fails unless it gets what comes while a proxy before the edge breaks its connection and then fails in each of
/// these ways, with so many updates meanwhile: all of them, or as many as a topic remembers, after a gap.
async fn comes_back(library: Library, failures: &[(Mode, u64)]) {
    let edge = brief_edge().await;
    let gate = Gate::before(edge.address(), Mode::Open).await;
    let (client, topic, follower) = (edge.client(), fresh_topic(), Follower::default());
    let mut expected: Vec<_> = updates_heard(1..=2).collect();
    let publish = async {
        follower.until("a connection", |now| now.opened > 0).await;
        client.publish_all(&updates(&topic, 2)).await;
        let mut head = 2;
        for &(mode, missed) in failures {
            follower.has(head).await;
            gate.set(mode);
            let tries = gate.tries();
            client.publish_all(&updates(&topic, missed)).await;
            gate.tried(tries + 1).await;
            gate.set(Mode::Open);
            let first = (head + missed + 1).saturating_sub(BRIEF_COUNT);
            if first > head + 1 {
                expected.push(Heard::Gap(first));
            }
            expected.extend(updates_heard(first.max(head + 1)..=head + missed));
            head += missed;
        }
        follower.has(head).await;
        client.publish_on(&topic, &json!(LAST)).await;
        expected.push(Heard::Update(head + 1));
    };
    let script = library.script(&gate.url(), &topic_path(&topic));
    let (course, ()) = tokio::join!(follower.run(script), publish);
    assert_eq!(course.heard, expected, "{course:?}");
    assert!(course.opened > failures.len(), "{course:?}");
}

/// Fails unless it gets what it missed while a proxy failed in either way.
pub async fn gets_what_it_missed(library: Library) {
    let some = BRIEF_COUNT / 2;
    comes_back(library, &[(Mode::BadGateway, some), (Mode::Shut, some)]).await;
}

/// Fails unless it is told of what it can no longer have.
pub async fn is_told_of_a_gap(library: Library) {
    comes_back(library, &[(Mode::BadGateway, BRIEF_COUNT + 2)]).await;
}

/// Fails unless it gets an offer once, and knows afterwards that nothing more comes.
pub async fn receives_an_offer(library: Library) {
    let edge = brief_edge().await;
    let (client, ticket, follower) = (edge.client(), fresh_ticket(), Follower::default());
    let event = ready(&ticket, &json!({ "items": [1, 2, 3] }));
    let settle = async {
        follower.until("a connection", |now| now.opened > 0).await;
        client.settle(&event).await;
    };
    let script = library.script(&edge.url(), &offer_path(&ticket));
    let (course, ()) = tokio::join!(follower.run(script), settle);
    let [Heard::Offer(offer)] = course.heard.as_slice() else {
        panic!("it is told an offer once: {course:?}");
    };
    assert_eq!((&offer.id, &offer.data), (&event.id, &event.data));
    assert!(
        matches!(course.ended.last(), Some(Some(204 | 1000))),
        "{course:?}"
    );
}

/// Fails unless it gets everything once, in order, over the death of its edge.
pub async fn outlives_its_edge(library: Library) {
    static COURSES: OnceCell<BTreeMap<Library, Result<Course, String>>> = OnceCell::const_new();
    let courses = COURSES.get_or_init(async || {
        // A script that fails must not take the others with it.
        let tasks = LocalSet::new();
        tasks.run_until(all_outlive_their_edge()).await
    });
    let course = match &courses.await[&library] {
        Ok(course) => course,
        Err(why) => panic!("{why}"),
    };
    let expected: Vec<_> = updates_heard(1..=5).collect();
    assert_eq!(course.heard, expected, "{course:?}");
    assert!(course.opened >= 2, "{course:?}");
}

/// What all libraries come to at one edge that dies, as starting an edge takes so long.
async fn all_outlive_their_edge() -> BTreeMap<Library, Result<Course, String>> {
    let mut edge = Edge::start(EdgeConfig::default()).await;
    let (client, topic) = (edge.client(), fresh_topic());
    let followers: Vec<_> = Library::ALL
        .into_iter()
        .map(|library| {
            let follower = Follower::default();
            let script = library.script(&edge.url(), &topic_path(&topic));
            let run = {
                let follower = follower.clone();
                spawn_local(async move { follower.run(script).await })
            };
            (library, follower, run)
        })
        .collect();
    // Who does not get there fails its own test, and no other.
    let all_have = async |number| {
        let all = join_all(
            followers
                .iter()
                .map(|(_, follower, _)| follower.has(number)),
        );
        let _ = timeout(PATIENCE / 2, all).await;
    };
    for (_, follower, _) in &followers {
        follower.until("a connection", |now| now.opened > 0).await;
    }
    client.publish_all(&updates(&topic, 2)).await;
    all_have(2).await;
    edge.kill().await;
    edge.start_again().await;
    // Before they are all back.
    for event in updates(&topic, 2) {
        client.publish_surely(&event).await;
    }
    all_have(4).await;
    client.publish_surely(&update(&topic, &json!(LAST))).await;
    let mut courses = BTreeMap::new();
    for (library, _, run) in followers {
        courses.insert(library, run.await.map_err(|error| error.to_string()));
    }
    courses
}

fn updates_heard(numbers: std::ops::RangeInclusive<u64>) -> impl Iterator<Item = Heard> {
    numbers.map(Heard::Update)
}
