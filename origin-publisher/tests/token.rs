//! `origin-publisher token`, as a process of its own.

use std::{
    process::{Command, Output},
    time::{SystemTime, UNIX_EPOCH},
};

use headstart_protocol::{
    keys::Key,
    token::{TokenError, verify},
    topic::TopicName,
};

fn key(fill: u8) -> Key {
    Key::from_bytes(&[fill; 32]).unwrap()
}

fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(now.as_millis()).unwrap()
}

fn run(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    Command::new(env!("CARGO_BIN_EXE_origin-publisher"))
        .current_dir(folder.path())
        .arg("token")
        .args(arguments)
        .envs(environment.iter().copied())
        .output()
        .unwrap()
}

#[test]
fn a_token_opens_what_it_was_made_for_until_it_ends() {
    let key = key(4);
    let arguments = [
        "--topics",
        "private/a,scores/*",
        "--publish",
        "private/b",
        "--subject",
        "40228",
        "--ttl",
        "15m",
    ];
    let output = run(&arguments, &[("HEADSTART_TOKEN_KEY", &key.expose())]);
    assert!(output.status.success());
    let token = String::from_utf8(output.stdout).unwrap();
    let token = token.strip_suffix('\n').unwrap();
    let (keys, now) = (key.into(), now_ms());
    let claims = verify(token, &keys, None, now).unwrap();
    let may_read = |name| claims.may_read(&TopicName::parse(name).unwrap());
    assert!(may_read("private/a") && may_read("scores/nba") && !may_read("private/b"));
    assert!(claims.may_publish(&TopicName::parse("private/b").unwrap()));
    assert_eq!(claims.sub.as_deref(), Some("40228"));
    assert!(verify(token, &keys, None, now + 14 * 60_000).is_ok());
    assert_eq!(
        verify(token, &keys, None, now + 15 * 60_000),
        Err(TokenError::Expired)
    );
}

#[test]
fn a_token_with_an_audience_is_for_that_edge_and_programs_get_its_end_too() {
    let key = key(4);
    let environment = [("HEADSTART_TOKEN_KEY", key.expose())];
    let environment = environment
        .each_ref()
        .map(|(name, value)| (*name, value.as_str()));
    let arguments = [
        "--topics",
        "a",
        "--audience",
        "https://edge.example",
        "--json",
    ];
    let output = run(&arguments, &environment);
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let token = json["token"].as_str().unwrap();
    let at = |audience| verify(token, &key.clone().into(), audience, now_ms());
    let claims = at(Some("https://edge.example")).unwrap();
    assert_eq!(
        json["expires_at"].as_u64().unwrap() * 1000,
        claims.expires_at_ms()
    );
    assert!(at(Some("https://other.example")).is_err() && at(None).is_err());
}

#[test]
fn the_key_may_be_in_a_file_and_is_missed_by_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key");
    std::fs::write(&file, key(4).expose()).unwrap();
    let file = file.display().to_string();
    let output = run(&["--topics", "a"], &[("HEADSTART_TOKEN_KEY_FILE", &file)]);
    let token = String::from_utf8(output.stdout).unwrap();
    assert!(verify(token.trim(), &key(4).into(), None, now_ms()).is_ok());
    let without = run(&["--topics", "a"], &[]);
    assert!(!without.status.success() && without.stdout.is_empty());
    let error = String::from_utf8(without.stderr).unwrap();
    assert!(error.contains("HEADSTART_TOKEN_KEY"), "{error}");
}

#[test]
fn a_token_that_opens_nothing_or_would_not_be_accepted_is_not_made() {
    let key = key(4).expose();
    let many: Vec<String> = (0..100)
        .map(|number| format!("private/topic-number-{number:020}"))
        .collect();
    let many = many.join(",");
    for arguments in [
        vec![],
        vec!["--topics", "a b"],
        vec!["--topics", "a*b"],
        vec!["--topics", "a", "--ttl", "0s"],
        vec!["--topics", "a", "--ttl", "soon"],
        vec!["--topics", many.as_str()],
    ] {
        let output = run(&arguments, &[("HEADSTART_TOKEN_KEY", &key)]);
        assert!(
            !output.status.success() && output.stdout.is_empty(),
            "{arguments:?}"
        );
    }
}
