//! Standard Webhooks by other people's libraries: what they sign is taken, and what was changed is not.

use headstart_protocol::{keys::KeyRing, ticket::Ticket};
use headstart_tests::{
    keys::{login_key, origin_key, ticket_key},
    script::Script,
    shared::brief_edge,
    topics::{event_of, fresh_topic},
};
use serde_json::json;

/// A script that signs as the site's backend and as an origin, and uses a topic of the edge at `url`.
pub fn signing(path: &str, url: &str, topic: &str) -> Script {
    Script::new(path)
        .env("HEADSTART_LOGIN_KEY", login_key().expose())
        .env("HEADSTART_ORIGIN_KEY", origin_key().expose())
        .arg(url)
        .arg(topic)
}

async fn sign(script: &str) {
    let edge = brief_edge().await;
    let topic = fresh_topic();
    let told = signing(script, &edge.url(), &topic).told().await;
    let [(_, login), (_, changed), (_, event)] = told.as_slice() else {
        panic!("{told:?}");
    };
    assert_eq!(login[0], 202, "{login:?}");
    let ticket = login[1]["ticket"].as_str().expect("a ticket");
    Ticket::verify(ticket, &KeyRing::from(ticket_key())).expect("it is the edge's own");
    assert_eq!(changed[0], 401, "{changed:?}");
    assert_eq!(changed[1]["type"], "urn:headstart:signature-refused");
    assert_eq!(event[0], 200, "{event:?}");
    assert_eq!(event[1]["results"][0]["status"], "accepted");
    let latest = event_of(&edge.client().latest(&topic).await);
    assert_eq!(latest.json_data(), Some(json!("signed")));
}

#[tokio::test]
async fn standardwebhooks_of_npm_signs_logins_and_events() {
    sign("clients/with_standardwebhooks.mjs").await;
}

#[tokio::test]
async fn standardwebhooks_of_pypi_signs_logins_and_events() {
    sign("clients/with_standardwebhooks.py").await;
}
