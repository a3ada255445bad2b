//! What the commands of `origin-publisher` print, and how they end.

use std::process::Output;

use headstart_protocol::keys::KeyRing;
use headstart_tests::{
    keys::{foreign_key, login_key, origin_key, ticket_key},
    origin::{Origin, OriginConfig},
    shared::{edge, shop},
};
use serde_json::Value;

const CUSTOMER: &str = "17850";

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

/// Fails unless the command failed with this code and said what with `words`.
fn failed(output: &Output, code: i32, words: &[&str]) {
    let said = stderr(output);
    assert_eq!(output.status.code(), Some(code), "{said}");
    for word in words {
        assert!(said.contains(word), "{said}");
    }
}

/// Fails where a command shows any key.
fn shows_no_key(output: &Output) {
    let shown = stdout(output) + &stderr(output);
    for key in [ticket_key(), origin_key(), login_key()] {
        let key = key.expose();
        let secret = key.trim_start_matches("whsec_").trim_end_matches('=');
        assert!(!shown.contains(secret), "{shown}");
    }
    assert!(!shown.contains("whsec_"), "{shown}");
}

#[tokio::test]
async fn login_measures_every_way_and_tells_it_in_json() {
    let shop = shop().await;
    let (edge, origin) = (shop.url(), shop.origin().listener().await.base().to_owned());
    let arguments = [
        "login", CUSTOMER, "--edge", &edge, "--origin", &origin, "--json",
    ];
    let output = shop.origin().run(&arguments);
    let report: Value = serde_json::from_str(&succeeded(&output)).unwrap();
    assert_eq!(report["user"], CUSTOMER);
    let ways = report["ways"].as_array().unwrap();
    let names: Vec<_> = ways
        .iter()
        .map(|way| way["way"].as_str().unwrap())
        .collect();
    let all = [
        "origin",
        "polling",
        "long-poll",
        "sse",
        "web-socket",
        "positioned",
    ];
    assert_eq!(names, all);
    for way in ways {
        let attempt = &way["attempts"][0];
        assert!(attempt["felt_ms"].as_f64() > Some(0.0), "{way}");
        assert!(attempt["offer_bytes"].as_u64() > Some(0), "{way}");
        assert!(attempt["stamps"]["generatedat"].is_u64(), "{way}");
    }
    let positioned = &ways[5];
    assert_eq!(positioned["attempts"][0]["served_from"], "kv");
    assert!(positioned["felt_again"].is_object(), "{positioned}");
    shows_no_key(&output);
}

#[tokio::test]
async fn login_repeats_and_gives_percentiles() {
    let shop = shop().await;
    let edge = shop.url();
    let arguments = [
        "login", CUSTOMER, "--edge", &edge, "--way", "sse", "--repeat", "4", "--json",
    ];
    let report: Value = serde_json::from_str(&succeeded(&shop.origin().run(&arguments))).unwrap();
    let way = &report["ways"][0];
    assert_eq!(way["attempts"].as_array().unwrap().len(), 4);
    let spread = way["felt"].as_object().unwrap();
    let of = |name: &str| {
        spread[name]
            .as_f64()
            .unwrap_or_else(|| panic!("{spread:?}"))
    };
    assert!(of("min_ms") <= of("p50_ms"), "{spread:?}");
    assert!(of("p50_ms") <= of("max_ms"), "{spread:?}");
}

#[tokio::test]
async fn login_shows_a_table_for_people() {
    let shop = shop().await;
    let edge = shop.url();
    let output = shop
        .origin()
        .run(&["login", CUSTOMER, "--edge", &edge, "--way", "sse,polling"]);
    let shown = succeeded(&output);
    assert!(
        shown.contains("SSE") && shown.contains("polling"),
        "{shown}"
    );
    assert!(shown.contains(CUSTOMER), "{shown}");
    shows_no_key(&output);
}

#[tokio::test]
async fn a_login_that_brings_no_offer_fails_and_says_why() {
    let shop = shop().await;
    let edge = shop.url();
    let mut arguments = vec!["login", CUSTOMER, "--edge", &edge, "--way", "sse", "--json"];
    arguments.extend(["--attribute", "max_items=many"]);
    let output = shop.origin().run(&arguments);
    failed(&output, 1, &[]);
    let report: Value = serde_json::from_str(&stdout(&output)).unwrap();
    let error = report["ways"][0]["attempts"][0]["error"].as_str().unwrap();
    assert!(error.contains("max_items"), "{error}");
}

#[tokio::test]
async fn a_login_that_the_edge_refuses_or_that_finds_no_edge_fails() {
    let edge = edge().await;
    let stranger = OriginConfig::new("stranger");
    let stranger = stranger.env("HEADSTART_LOGIN_KEY", &foreign_key().expose());
    let stranger = Origin::new(stranger.edge(&edge));
    let url = edge.url();
    let output = stranger.run(&["login", CUSTOMER, "--edge", &url, "--way", "polling"]);
    failed(&output, 1, &[]);
    // Port 9 is for discarding; nothing listens there.
    let nowhere = [
        "login",
        CUSTOMER,
        "--edge",
        "http://127.0.0.1:9",
        "--way",
        "polling",
    ];
    failed(&stranger.run(&nowhere), 1, &[]);
}

#[tokio::test]
async fn config_check_shows_what_is_in_force_and_no_secret() {
    let shop = shop().await;
    let output = shop.origin().run(&["config", "check", "--effort", "7"]);
    let shown = succeeded(&output);
    assert!(shown.contains("effort = 7"), "{shown}");
    assert!(shown.contains(&shop.url()), "{shown}");
    assert!(
        shown.contains("HEADSTART_TICKET_KEY"),
        "where it comes from: {shown}"
    );
    shows_no_key(&output);
}

#[tokio::test]
async fn the_environment_goes_before_the_file_and_a_flag_before_both() {
    let edge = edge().await;
    let config = OriginConfig::new("one")
        .edge(&edge)
        .set("generate.effort", 2);
    let origin = Origin::new(config.clone());
    assert!(succeeded(&origin.run(&["config", "check"])).contains("effort = 2"));
    let origin = Origin::new(config.env("HEADSTART_GENERATE_EFFORT", "3"));
    assert!(succeeded(&origin.run(&["config", "check"])).contains("effort = 3"));
    let flag = origin.run(&["config", "check", "--set", "generate.effort=4"]);
    assert!(succeeded(&flag).contains("effort = 4"));
}

#[tokio::test]
async fn a_configuration_that_cannot_work_is_refused_and_the_mistake_named() {
    let edge = edge().await;
    let good = || OriginConfig::new("one").edge(&edge);
    let wrong = [
        (good().set("generate.efort", 2), "generate.efort"),
        (good().set("generate.effort", 0), "generate.effort"),
        (good().set("generate.effort", "much"), "generate.effort"),
        (good().set("origin.name", "two words"), "name"),
        (
            good().set("secrets.ticket_key", "whsec_hidden"),
            "HEADSTART_TICKET_KEY",
        ),
        (
            good().env("HEADSTART_TICKET_KEY", "hidden"),
            "HEADSTART_TICKET_KEY",
        ),
        (
            good().env("HEADSTART_ORIGIN_KEY", ""),
            "HEADSTART_ORIGIN_KEY",
        ),
        (OriginConfig::new("one"), "edge"),
    ];
    for (config, word) in wrong {
        let origin = Origin::new(config);
        for command in [&["config", "check"][..], &["serve"]] {
            let output = origin.run(command);
            failed(&output, 1, &[word]);
            assert!(!stderr(&output).contains("hidden"), "{}", stderr(&output));
        }
    }
}

#[tokio::test]
async fn a_second_origin_on_the_same_outbox_does_not_start() {
    let shop = shop().await;
    let output = shop.origin().run(&["serve"]);
    failed(&output, 1, &["outbox"]);
}

#[test]
fn a_command_that_is_not_there_is_a_usage_error() {
    let origin = Origin::new(OriginConfig::new("one"));
    failed(&origin.run(&["publsh"]), 2, &["publsh"]);
    let help = succeeded(&origin.run(&["--help"]));
    for command in ["serve", "login", "config", "keys"] {
        assert!(help.contains(command), "{help}");
    }
}

#[test]
fn a_new_key_is_one_and_another_each_time() {
    let origin = Origin::new(OriginConfig::new("one"));
    let keys = [0, 1].map(|_| succeeded(&origin.run(&["keys", "new"])));
    assert!(keys.iter().all(|key| KeyRing::parse(key).is_ok()));
    assert_ne!(keys[0], keys[1]);
}
