//! What the commands of `origin-publisher` print, and how they end.

use std::{
    collections::BTreeMap,
    fs::File,
    path::Path,
    process::Output,
    time::{Duration, Instant},
};

use headstart_protocol::keys::KeyRing;
use headstart_tests::{
    keys::{foreign_key, login_key, origin_key, ticket_key},
    origin::{Origin, OriginConfig},
    shared::{TTL_SECONDS, edge, shop},
};
use serde_json::Value;
use tempfile::TempDir;

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
    let nowhere = stranger.run(&["login", CUSTOMER, "--edge", "http://127.0.0.1:9"]);
    failed(
        &nowhere,
        1,
        &["cannot reach http://127.0.0.1:9/", "make dev"],
    );
    assert_eq!(stderr(&nowhere).lines().count(), 1, "{}", stderr(&nowhere));
    let keyless = OriginConfig::new("keyless").env("HEADSTART_LOGIN_KEY", "");
    let keyless = Origin::new(keyless).run(&["login", CUSTOMER, "--edge", &url]);
    failed(&keyless, 1, &["HEADSTART_LOGIN_KEY", "scripts/activate.sh"]);
    let no_origin = stranger.run(&["login", CUSTOMER, "--edge", &url, "--way", "sse,origin"]);
    failed(&no_origin, 2, &["--origin"]);
    let no_url = stranger.run(&["login", CUSTOMER, "--edge", "notaurl"]);
    failed(&no_url, 2, &["must be like http"]);
}

#[tokio::test]
async fn login_ends_quietly_when_its_reader_has_enough_and_fails_on_a_full_disk() {
    let shop = shop().await;
    let url = shop.url();
    // Much longer than the story's first line.
    let login = [
        "login",
        CUSTOMER,
        "--edge",
        &url,
        "--way",
        "positioned,polling",
        "--think",
        "60",
    ];
    let start = Instant::now();
    let (reader, closed) = std::io::pipe().unwrap();
    drop(reader);
    let output = shop.origin().run_printing_to(&login, closed);
    assert_eq!(
        (output.status.code(), stderr(&output).as_str()),
        (Some(0), "")
    );
    let full = File::options().write(true).open("/dev/full").unwrap();
    let output = shop.origin().run_printing_to(&login, full);
    failed(&output, 1, &["error: standard output cannot be written"]);
    assert!(start.elapsed() < Duration::from_secs(30));
}

/// What `config check --connect --json` found out, by what it asked.
fn findings(output: &Output) -> BTreeMap<String, bool> {
    let report: Value = serde_json::from_str(&stdout(output)).expect("JSON");
    let findings = report["connect"].as_array().expect("a list").iter();
    let of = |finding: &Value| {
        let check = finding["check"].as_str().expect("a name").to_owned();
        (check, finding["ok"].as_bool().expect("true or false"))
    };
    findings.map(of).collect()
}

#[tokio::test]
async fn config_check_asks_the_edge_whether_it_knows_this_origin_and_agrees_with_it() {
    let edge = edge().await;
    let ask = ["config", "check", "--connect", "--json"];
    let ttl = i64::try_from(TTL_SECONDS).unwrap();
    let good = || {
        OriginConfig::new("one")
            .edge(&edge)
            .set("tickets.ttl_seconds", ttl)
    };
    let checks = ["edge", "clock", "origin key", "tickets", "kv"];
    let all = |wrong: &[&str]| -> BTreeMap<String, bool> {
        let found = checks.map(|check| (check.to_owned(), !wrong.contains(&check)));
        found.into()
    };
    let output = Origin::new(good()).run(&ask);
    let _ = succeeded(&output);
    assert_eq!(findings(&output), all(&[]));
    shows_no_key(&output);
    let foreign = foreign_key().expose();
    for (config, wrong) in [
        (good().env("HEADSTART_ORIGIN_KEY", &foreign), "origin key"),
        (good().env("HEADSTART_TICKET_KEY", &foreign), "tickets"),
        (good().set("tickets.ttl_seconds", ttl / 2), "tickets"),
        (good().set("tickets.ttl_seconds", ttl * 2), "tickets"),
        (good().kv_through("http://127.0.0.1:9"), "kv"),
    ] {
        let output = Origin::new(config).run(&ask);
        failed(&output, 1, &["1 of 5 checks"]);
        assert_eq!(findings(&output), all(&[wrong]));
    }
    let nowhere = OriginConfig::new("one").edge_through(&edge, "http://127.0.0.1:9");
    let output = Origin::new(nowhere).run(&["config", "check", "--connect"]);
    failed(&output, 1, &["1 of 2 checks"]);
    let told = "# FAILED edge-0, edge: cannot reach http://127.0.0.1:9/: Connection refused";
    assert!(stdout(&output).contains(told), "{}", stdout(&output));
}

#[test]
fn config_check_tells_all_that_serve_would_refuse_at_once() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "no history").unwrap();
    let path = |path: &Path| path.display().to_string();
    let config = OriginConfig::new("two words")
        .set("generate.retail.effort", "x")
        .set(
            "generate.retail.history",
            path(&folder.path().join("none.csv")),
        )
        .set("outbox.path", path(&file.join("outbox.sqlite3")))
        .set("listen.addr", "192.0.2.1:1")
        .env("HEADSTART_TICKET_KEY", "")
        .env("HEADSTART_ORIGIN_KEY", "plain-secret");
    let output =
        Origin::new(config).run(&["config", "check", "--edge-url", "https://edge.example"]);
    let all = [
        "origin.name must be",
        "generate.retail.effort",
        "\"x\"",
        "none.csv: No such file",
        "is not a folder",
        "listening on 192.0.2.1:1",
        "HEADSTART_TICKET_KEY: missing",
        "HEADSTART_ORIGIN_KEY",
    ];
    failed(&output, 1, &all);
    let said = stderr(&output);
    assert_eq!(said.matches("No such file").count(), 1, "{said}");
    assert!(!said.contains("plain-secret"), "{said}");
    let not_one = OriginConfig::new("one").set("generate.retail.history", path(&file));
    let json = Origin::new(not_one).run(&["config", "check", "--json"]);
    failed(&json, 1, &[]);
    let report: Value = serde_json::from_str(&stdout(&json)).unwrap();
    assert_eq!(
        (&report["ok"], report["problems"].as_array().unwrap().len()),
        (&false.into(), 2)
    );
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
        .set("generate.retail.effort", 2);
    let origin = Origin::new(config.clone());
    assert!(succeeded(&origin.run(&["config", "check"])).contains("effort = 2"));
    let origin = Origin::new(config.env("HEADSTART_GENERATE_RETAIL_EFFORT", "3"));
    assert!(succeeded(&origin.run(&["config", "check"])).contains("effort = 3"));
    let flag = origin.run(&["config", "check", "--set", "generate.retail.effort=4"]);
    assert!(succeeded(&flag).contains("effort = 4"));
}

#[tokio::test]
async fn a_configuration_that_cannot_work_is_refused_and_the_mistake_named() {
    let edge = edge().await;
    let good = || OriginConfig::new("one").edge(&edge);
    let wrong = [
        (good().set("generate.efort", 2), "generate.efort"),
        (good().set("generate.retail.effort", 0), "retail.effort"),
        (
            good().set("generate.retail.effort", "much"),
            "generate.retail.effort",
        ),
        (
            good().set("generate.history", "a.csv"),
            "generate.retail.history",
        ),
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
    for word in ["serve", "login", "config", "keys", "Exit status"] {
        assert!(help.contains(word), "{help}");
    }
}

#[test]
fn a_new_key_is_one_and_another_each_time() {
    let origin = Origin::new(OriginConfig::new("one"));
    let keys = [0, 1].map(|_| succeeded(&origin.run(&["keys", "new"])));
    assert!(keys.iter().all(|key| KeyRing::parse(key).is_ok()));
    assert_ne!(keys[0], keys[1]);
    let json = succeeded(&origin.run(&["keys", "new", "--json"]));
    let json: Value = serde_json::from_str(&json).unwrap();
    assert!(KeyRing::parse(json["key"].as_str().unwrap()).is_ok());
}

#[test]
fn shells_and_the_manual_know_every_command() {
    let origin = Origin::new(OriginConfig::new("one"));
    let folder = TempDir::new().unwrap();
    let man = folder.path().join("man1");
    for shell in ["bash", "zsh", "fish"] {
        let completions = succeeded(&origin.run(&["completions", shell]));
        assert!(completions.contains("subscribe"), "{completions}");
    }
    let page = succeeded(&origin.run(&["man"]));
    assert!(page.contains(".TH origin-publisher 1"), "{page}");
    succeeded(&origin.run(&["man", &man.display().to_string()]));
    let publish = std::fs::read_to_string(man.join("origin-publisher-publish.1")).unwrap();
    assert!(publish.contains("XDG_STATE_HOME"), "{publish}");
}
