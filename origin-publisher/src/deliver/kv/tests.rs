//! What positioning promises, against an API that behaves as the provider's does when it is strict.

use std::{collections::BTreeMap, sync::Mutex};

use base64::{Engine, engine::general_purpose::STANDARD};
use headstart_client::{http_client, token::Token};
use serde_json::{Value, json};
use tempfile::TempDir;
use wiremock::{
    Mock, MockServer, Request, Respond, ResponseTemplate,
    matchers::{header, method, path},
};

use super::*;
use crate::{
    config::KvConfig,
    outbox::TicketSettlement,
    testing::{self, delivered, offer, ticket_keys},
};

const TOKEN: &str = "token-that-nobody-may-see";

/// The provider: answers as told, then takes what its rules allow.
#[derive(Clone, Default)]
struct Provider(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// Answers for whole requests, used up one after the other.
    whole: Vec<ResponseTemplate>,
    /// Keys that are not written at their next coming.
    unsuccessful: Vec<String>,
    /// Keys that are never written.
    unwritable: Vec<String>,
    /// A batch with this value is refused.
    poison: Option<String>,
    /// When each request came.
    times: Vec<Instant>,
    /// What has been written.
    written: BTreeMap<String, Value>,
}

impl Respond for Provider {
    fn respond(&self, request: &Request) -> ResponseTemplate {
        let mut state = self.0.lock().unwrap();
        state.times.push(Instant::now());
        if let Some(answer) = state.whole.pop() {
            return answer;
        }
        let pairs: Vec<Value> = serde_json::from_slice(&request.body).unwrap();
        assert!(pairs.len() <= MAX_KV_BULK_PAIRS && request.body.len() <= MAX_KV_BULK_BYTES);
        if pairs
            .iter()
            .any(|pair| state.poison.as_deref() == pair["value"].as_str())
        {
            let body = json!({
                "success": false, "result": null, "messages": [],
                "errors": [{ "code": 10_054, "message": "bad value" }],
            });
            return ResponseTemplate::new(400).set_body_json(body);
        }
        let mut unsuccessful = Vec::new();
        for pair in pairs {
            let key = pair["key"].as_str().unwrap().to_owned();
            if state.unwritable.contains(&key) {
                unsuccessful.push(key);
            } else if let Some(at) = state.unsuccessful.iter().position(|other| *other == key) {
                unsuccessful.push(state.unsuccessful.remove(at));
            } else {
                assert!(state.written.insert(key, pair).is_none(), "written twice");
            }
        }
        let body = json!({
            "success": true, "errors": [], "messages": [],
            "result": { "successful_key_count": 0, "unsuccessful_keys": unsuccessful },
        });
        ResponseTemplate::new(200).set_body_json(body)
    }
}

struct Running {
    provider: Provider,
    outbox: Outbox,
    counters: Arc<Counters>,
    recovery: watch::Sender<()>,
    shutdown: Shutdown,
    lane: Option<KvLane>,
    _server: MockServer,
    _folder: TempDir,
}

impl Running {
    async fn new() -> Self {
        let server = MockServer::start().await;
        let provider = Provider::default();
        Mock::given(method("PUT"))
            .and(path("/v4/accounts/acc/storage/kv/namespaces/ns/bulk"))
            .and(header("authorization", format!("Bearer {TOKEN}")))
            .respond_with(provider.clone())
            .mount(&server)
            .await;
        let config = KvConfig {
            api: format!("{}/v4", server.uri()).parse().unwrap(),
            account_id: Some("acc".to_owned()),
            namespace_id: "ns".to_owned(),
            api_token_file: None,
        };
        let (outbox, folder) = testing::outbox(true);
        let (counters, shutdown) = (Arc::new(Counters::default()), Shutdown::default());
        let (recovery, recovered) = watch::channel(());
        let token = Token::new(TOKEN).unwrap();
        let lane = KvLane {
            name: "edge".to_owned(),
            api: KvApi::new(http_client::build().unwrap(), &config, &token),
            budget: Arc::default(),
            ticket_keys: ticket_keys(),
            outbox: outbox.clone(),
            metrics: Metrics::default(),
            counters: Arc::clone(&counters),
            recovered,
            shutdown: shutdown.clone(),
        };
        Self {
            provider,
            outbox,
            counters,
            recovery,
            shutdown,
            lane: Some(lane),
            _server: server,
            _folder: folder,
        }
    }

    async fn commit(&self, entries: Vec<TicketSettlement>) {
        for entry in entries {
            self.outbox.commit(entry).await.unwrap();
        }
    }

    fn start(&mut self) {
        if let Some(lane) = self.lane.take() {
            tokio::spawn(lane.run());
        }
    }

    async fn deliver(&mut self, entries: Vec<TicketSettlement>) {
        self.commit(entries).await;
        self.start();
        delivered(&self.outbox, Way::Kv).await;
    }

    /// Waits until so many requests have come.
    async fn asked(&self, times: usize) {
        while self.times().len() < times {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    fn times(&self) -> Vec<Instant> {
        self.provider.0.lock().unwrap().times.clone()
    }

    fn written(&self) -> BTreeMap<String, Value> {
        self.provider.0.lock().unwrap().written.clone()
    }

    /// No two requests came less than a second apart, but for the time that they travel.
    fn assert_at_most_one_a_second(&self) {
        for pair in self.times().windows(2) {
            let apart = pair[1] - pair[0];
            assert!(apart >= FLUSH_EVERY.mul_f64(0.9), "{apart:?}");
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shutdown.end();
    }
}

fn key_of(entry: &TicketSettlement) -> String {
    offer_key(entry.ticket.uuid())
}

#[tokio::test]
async fn an_offer_is_written_with_its_metadata_and_the_rest_of_its_tickets_life() {
    let mut running = Running::new().await;
    let mut binary = offer(&[0xFF, 0]);
    binary.expires_at_ms = now_ms() + 5_000;
    let json = offer(b"{ \"a\": 1 }");
    running.deliver(vec![json.clone(), binary.clone()]).await;
    let written = running.written();
    assert_eq!(running.times().len(), 1, "in one request");

    let pair = &written[&key_of(&json)];
    assert_eq!(pair["value"], "{ \"a\": 1 }");
    assert_eq!(pair.get("base64"), None);
    let ttl = pair["expiration_ttl"].as_u64().unwrap();
    assert!((3890..=3900).contains(&ttl), "{ttl}");
    let metadata: OfferMetadata = serde_json::from_value(pair["metadata"].clone()).unwrap();
    assert_eq!(metadata.event_id, json.settlement.event_id);
    assert_eq!(metadata.media_type, "application/json");
    assert!(metadata.stamps.get(Point::Published).is_some());

    let pair = &written[&key_of(&binary)];
    assert_eq!(
        STANDARD.decode(pair["value"].as_str().unwrap()).unwrap(),
        [0xFF, 0]
    );
    assert_eq!(pair["base64"], true);
    let ttl = pair["expiration_ttl"].as_u64().unwrap();
    assert!((301..=305).contains(&ttl), "{ttl}");
}

#[tokio::test]
async fn offers_are_gathered_to_at_most_one_request_a_second() {
    let mut running = Running::new().await;
    running.start();
    for _ in 0..12 {
        running.commit(vec![offer(b"1")]).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    delivered(&running.outbox, Way::Kv).await;
    running.assert_at_most_one_a_second();
    assert!(running.times().len() <= 4, "{}", running.times().len());
    assert_eq!(running.written().len(), 12);
}

#[tokio::test]
async fn after_429_nothing_is_asked_until_the_time_the_provider_gave() {
    let mut running = Running::new().await;
    running.provider.0.lock().unwrap().whole =
        vec![ResponseTemplate::new(429).insert_header("retry-after", "3")];
    running.deliver(vec![offer(b"1"), offer(b"2")]).await;
    let times = running.times();
    assert_eq!(times.len(), 2);
    assert!(times[1] - times[0] >= Duration::from_secs(3));
    assert_eq!(running.written().len(), 2);
}

#[tokio::test]
async fn after_429_without_a_time_the_providers_block_is_waited_out() {
    let running = Running::new().await;
    let lane = running.lane.as_ref().unwrap();
    for retry_after in [None, Some(Duration::ZERO)] {
        let wait = lane.wait(&KvError::TooMany { retry_after }, &mut Resume::new(WAITS));
        assert_eq!(wait, PROVIDER_BLOCK);
    }
    let budget = Arc::clone(&lane.budget);
    let blocked = tokio::time::timeout(Duration::from_millis(50), budget.permit()).await;
    assert!(
        blocked.is_err(),
        "every other edge of the account is held back too"
    );
}

#[tokio::test]
async fn an_edge_that_is_back_ends_the_back_off_but_no_wait_that_the_provider_asked_for() {
    let mut running = Running::new().await;
    let busy = |status| ResponseTemplate::new(status).insert_header("retry-after", "2");
    let ends = [ResponseTemplate::new(502), busy(503), busy(429)];
    for (end, least) in ends.into_iter().zip([1, 2, 2]) {
        let before = running.times().len();
        // After two failures a lane waits for two seconds or more.
        running.provider.0.lock().unwrap().whole = vec![end, ResponseTemplate::new(502)];
        running.commit(vec![offer(b"1")]).await;
        running.start();
        running.asked(before + 2).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        running.recovery.send_replace(());
        delivered(&running.outbox, Way::Kv).await;
        let times = running.times();
        let waited = times[before + 2] - times[before + 1];
        let least = Duration::from_secs(least);
        assert!(waited >= least.mul_f64(0.9), "{waited:?}");
        assert!(waited < least + Duration::from_millis(900), "{waited:?}");
    }
    running.assert_at_most_one_a_second();
}

#[tokio::test]
async fn what_the_provider_says_is_left_slows_the_lane_down() {
    let mut running = Running::new().await;
    let body = json!({ "success": true, "result": { "unsuccessful_keys": [] } });
    let answer = ResponseTemplate::new(200).set_body_json(body);
    running.provider.0.lock().unwrap().whole =
        vec![answer.insert_header("ratelimit", "\"default\";r=1;t=3")];
    running.deliver(vec![offer(b"1")]).await;
    running.deliver(vec![offer(b"2")]).await;
    let times = running.times();
    assert!(times[1] - times[0] >= Duration::from_secs(3));
}

#[tokio::test]
async fn only_unsuccessful_keys_are_written_again() {
    let mut running = Running::new().await;
    let entries: Vec<_> = (0..4).map(|_| offer(b"1")).collect();
    running.provider.0.lock().unwrap().unsuccessful =
        vec![key_of(&entries[1]), key_of(&entries[3])];
    // The provider asserts that nothing is written twice.
    running.deliver(entries).await;
    assert_eq!(running.written().len(), 4);
    assert_eq!(running.times().len(), 2);
    running.assert_at_most_one_a_second();
}

#[tokio::test]
async fn one_poisonous_pair_costs_only_itself() {
    let mut running = Running::new().await;
    let mut entries: Vec<_> = (0..4).map(|_| offer(b"1")).collect();
    entries.push(offer(b"poison"));
    running.provider.0.lock().unwrap().poison = Some("poison".to_owned());
    running.deliver(entries.clone()).await;
    assert_eq!(running.written().len(), 4);
    assert!(!running.written().contains_key(&key_of(&entries[4])));
    assert_eq!(running.counters.counts().refused, 1);
    running.assert_at_most_one_a_second();
}

#[tokio::test]
async fn poisonous_pairs_hold_up_nobody_else() {
    let mut running = Running::new().await;
    let mut entries: Vec<_> = (0..60).map(|_| offer(b"1")).collect();
    for at in [10, 30, 50] {
        entries[at] = offer(b"poison");
    }
    running.provider.0.lock().unwrap().poison = Some("poison".to_owned());
    running.commit(entries).await;
    running.start();
    running.asked(2).await;
    let newcomer = offer(b"2");
    running.commit(vec![newcomer.clone()]).await;
    while !running.written().contains_key(&key_of(&newcomer)) {
        assert!(running.times().len() <= 4, "the newcomer waits");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    running.assert_at_most_one_a_second();
}

#[tokio::test]
async fn a_key_that_is_never_written_is_tried_less_and_less_often() {
    let mut running = Running::new().await;
    let entries = vec![offer(b"1"), offer(b"2")];
    running.provider.0.lock().unwrap().unwritable = vec![key_of(&entries[0])];
    running.commit(entries.clone()).await;
    running.start();
    tokio::time::sleep(Duration::from_millis(4500)).await;
    // At once, after one second, and after two more.
    assert_eq!(running.times().len(), 3);
    assert!(running.written().contains_key(&key_of(&entries[1])));
}

#[tokio::test]
async fn a_body_that_is_refused_as_too_large_is_halved() {
    let mut running = Running::new().await;
    running.provider.0.lock().unwrap().whole = vec![ResponseTemplate::new(413)];
    running.deliver(vec![offer(b"1"), offer(b"2")]).await;
    assert_eq!(running.written().len(), 2);
    assert_eq!(running.times().len(), 3);
}

#[tokio::test]
async fn a_wrong_token_or_namespace_loses_nothing() {
    let mut running = Running::new().await;
    let refused = |code: i64, message: &str| {
        let errors = json!([{ "code": code, "message": message }]);
        let body = json!({ "success": false, "errors": errors });
        ResponseTemplate::new(400).set_body_json(body)
    };
    running.provider.0.lock().unwrap().whole = vec![
        refused(10_013, "namespace not found"),
        refused(6003, "Invalid request headers"),
        refused(
            9106,
            "Missing X-Auth-Key, X-Auth-Email or Authorization headers",
        ),
        ResponseTemplate::new(403),
    ];
    running.deliver(vec![offer(b"1")]).await;
    assert_eq!(running.written().len(), 1);
    assert_eq!(running.counters.counts().refused, 0);
    running.assert_at_most_one_a_second();
}

#[tokio::test]
async fn no_error_shows_the_token_or_the_url() {
    let config = KvConfig {
        // Nothing listens here.
        api: "http://127.0.0.1:1/v4".parse().unwrap(),
        account_id: Some("acc".to_owned()),
        namespace_id: "ns".to_owned(),
        api_token_file: None,
    };
    let token = Token::new(TOKEN).unwrap();
    let api = KvApi::new(http_client::build().unwrap(), &config, &token);
    let error = api.put(&[], &Budget::default()).await.unwrap_err();
    let shown = format!("{error} {error:?} {api:?}");
    assert!(!shown.contains(TOKEN), "{shown}");
    assert!(!error.to_string().contains("acc"), "{error}");
}
