//! What the configuration promises.

use std::{fmt::Write as _, fs};

use super::*;
use crate::config::layers::Source;

const KEY: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

const FILE: &str = r#"
[generate]
workers = 3

[generate.retail]
effort = 2

[[edges]]
name = "local"
url = "http://127.0.0.1:8787"

[edges.kv]
namespace_id = "0f2ac74b498b48028cb68387c421e279"
account_id = "023e105f4ecef8ad9ca31a8372d0c353"
"#;

fn environment(pairs: &[(&str, &str)]) -> Environment {
    pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

fn flag(path: &str, value: &str) -> Override {
    Override {
        path: path.to_owned(),
        value: value.to_owned(),
        flag: "--set".to_owned(),
    }
}

fn try_load(text: &str, env: &[(&str, &str)], flags: &[Override]) -> Result<Loaded, ConfigError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("test.toml");
    fs::write(&path, text).unwrap();
    load(Some(&path), &environment(env), flags)
}

fn refusal(text: &str, env: &[(&str, &str)], flags: &[Override]) -> String {
    try_load(text, env, flags).unwrap_err().to_string()
}

#[test]
fn flags_go_before_the_environment_and_that_before_the_file() {
    let env = [
        ("HEADSTART_GENERATE_WORKERS", "5"),
        ("HEADSTART_GENERATE_QUEUE", "6"),
        ("HEADSTART_EDGES_0_NAME", "renamed"),
    ];
    let loaded = try_load(FILE, &env, &[flag("generate.queue", "7")]).unwrap();
    let generate = &loaded.config.generate;
    assert_eq!(generate.retail.effort.get(), 2);
    assert_eq!((generate.workers, generate.queue), (5, 7));
    assert_eq!(generate.timeout_ms, GenerateConfig::default().timeout_ms);
    assert_eq!(loaded.config.edges[0].name(), "renamed");
    let source = |path: &str| loaded.sources.get(path).cloned();
    assert!(matches!(
        source("generate.retail.effort"),
        Some(Source::File(_))
    ));
    assert_eq!(
        source("generate.workers"),
        Some(Source::Variable("HEADSTART_GENERATE_WORKERS".to_owned()))
    );
    assert_eq!(
        source("generate.queue"),
        Some(Source::Flag("--set".to_owned()))
    );
    assert_eq!(source("generate.timeout_ms"), None);
}

#[test]
fn edges_can_be_made_of_variables_alone_in_any_number() {
    let mut env = Vec::new();
    for number in 0..12 {
        env.push((
            format!("HEADSTART_EDGES_{number}_URL"),
            format!("http://edge-{number}"),
        ));
    }
    let env: Environment = env.into_iter().collect();
    let loaded = load(None, &env, &[]).unwrap();
    let names: Vec<_> = loaded.config.edges.iter().map(EdgeConfig::name).collect();
    assert_eq!(names.len(), 12);
    assert_eq!(names[10], "edge-10");
}

#[test]
fn every_value_has_a_variable_and_a_path_that_are_understood() {
    for value in values::VALUES {
        let path = value.path.replace('*', "0");
        let text = match (value.kind, path.as_str()) {
            (_, "outbox.max_bytes_per_edge") => "200000000",
            (values::Kind::Integer, _) => "60",
            (values::Kind::Fraction, _) => "0.25",
            (_, "listen.addr") => "127.0.0.1:1",
            (_, "listen.auth") => "open",
            (_, "edges.0.kv.account_id" | "edges.0.kv.namespace_id") => {
                "699d98642c564d2e855e9661899b7252"
            }
            (_, "edges.0.url" | "edges.0.kv.api") => "https://example.com",
            _ => "text",
        };
        let variable = values::variable(&path);
        let by_variable = try_load(FILE, &[(&variable, text)], &[]).unwrap();
        let by_flag = try_load(FILE, &[], &[flag(&path, text)]).unwrap();
        assert_eq!(by_variable.config, by_flag.config, "{path}");
        assert_ne!(
            by_flag.config,
            try_load(FILE, &[], &[]).unwrap().config,
            "{path}"
        );
    }
}

#[test]
fn no_value_is_left_out_of_the_list() {
    // Everything that serialises must have a path that is known: the list cannot fall behind.
    let mut config = try_load(FILE, &[], &[]).unwrap().config;
    config.generate.retail.history = Some("h".into());
    config.generate.retail.effort_limit = Some(std::num::NonZeroU32::MIN);
    config.listen.addr = Some("127.0.0.1:1".parse().unwrap());
    config.secrets = SecretFiles {
        origin_key_file: Some("f".into()),
        ticket_key_file: Some("f".into()),
        login_key_file: Some("f".into()),
        token_key_file: Some("f".into()),
        api_token_file: Some("f".into()),
    };
    config.edges[0].key_file = Some("f".into());
    config.edges[0].kv.as_mut().unwrap().api_token_file = Some("f".into());
    let text = toml::to_string(&config).unwrap();
    let loaded = try_load(&text, &[], &[]).unwrap();
    assert_eq!(loaded.config, config);
    assert_eq!(loaded.sources.len(), values::VALUES.len());
}

#[test]
fn what_is_unknown_is_refused_with_what_there_is_instead() {
    for (text, told) in [
        ("[generate]\nefort = 2", "generate.efort"),
        ("[generate]\nefort = 2", "workers, queue, timeout_ms"),
        (
            "[generate.retail]\nefort = 2",
            "history, effort, effort_limit",
        ),
        ("[generation]\neffort = 2", "[generate]"),
        ("[[edges]]\nurl = 'http://x'\nkind = 1", "edges.0.kind"),
    ] {
        let error = refusal(text, &[], &[]);
        assert!(error.contains(told), "{error}");
    }
    assert!(refusal("", &[], &[flag("generate.efort", "1")]).contains("--set"));
}

#[test]
fn a_value_under_its_old_name_is_refused_with_its_new_one_wherever_it_stands() {
    for (old, new) in values::MOVED {
        let (section, name) = old.split_once('.').unwrap();
        let variable = values::variable(old);
        for error in [
            refusal(&format!("[{section}]\n{name} = 2"), &[], &[]),
            refusal("", &[(&variable, "2")], &[]),
            refusal("", &[], &[flag(old, "2")]),
        ] {
            let told = format!("is {new} now, as a variable {}", values::variable(new));
            assert!(error.starts_with(old) && error.ends_with(&told), "{error}");
        }
        assert!(refusal("", &[(&variable, "2")], &[]).contains(&variable));
    }
}

#[test]
fn a_variable_that_is_most_likely_misspelt_is_noticed() {
    let env = [
        ("HEADSTART_GENERATE_EFORT", "2"),
        ("HEADSTART_TICKET_KEY", KEY),
        ("HEADSTART_EDGES_0_KV_API_TOKEN", "t"),
        ("HEADSTART_LOG", "debug"),
        ("PATH", "/bin"),
    ];
    let loaded = try_load(FILE, &env, &[]).unwrap();
    assert_eq!(loaded.unknown_variables, ["HEADSTART_GENERATE_EFORT"]);
}

#[test]
fn a_secret_in_the_file_or_a_flag_is_refused_and_never_repeated() {
    for text in [
        format!("[secrets]\nticket_key = '{KEY}'"),
        format!("[secrets]\norigin_keys = '{KEY}'"),
        format!("[[edges]]\nurl = 'http://x'\nkey = '{KEY}'"),
        format!("[edges.kv]\napi_token = '{KEY}'"),
        format!("api_token = '{KEY}'"),
    ] {
        let error = refusal(&text, &[], &[]);
        assert!(
            error.contains("only from the environment or from files"),
            "{error}"
        );
        assert!(!error.contains("AAEC"), "{error}");
    }
    let error = refusal("", &[], &[flag("secrets.login_key", KEY)]);
    assert!(error.contains("HEADSTART_LOGIN_KEY"), "{error}");
    assert!(!error.contains("AAEC"), "{error}");
}

#[test]
fn a_secret_in_the_place_of_a_value_is_not_repeated() {
    for (text, env) in [
        (format!("[generate]\nqueue = '{KEY}'"), vec![]),
        (format!("[generate.retail]\neffort = '{KEY}'"), vec![]),
        (format!("[generate.retail]\neffort = {KEY}"), vec![]),
        (format!("[listen]\nauth = '{KEY}'"), vec![]),
        (format!("[listen]\naddr = '{KEY}'"), vec![]),
        (format!("[[edges]]\nurl = '{KEY}'"), vec![]),
        (String::new(), vec![("HEADSTART_GENERATE_QUEUE", KEY)]),
        (String::new(), vec![("HEADSTART_GENERATE_EFFORT", KEY)]),
        (String::new(), vec![("HEADSTART_LISTEN_AUTH", KEY)]),
    ] {
        let error = refusal(&text, &env, &[]);
        assert!(!error.contains("AAEC"), "{error}");
    }
}

#[test]
fn an_error_says_where_the_value_came_from() {
    let error = refusal("", &[("HEADSTART_LISTEN_ADDR", "nonsense")], &[]);
    assert!(
        error.contains("listen.addr") && error.contains("HEADSTART_LISTEN_ADDR"),
        "{error}"
    );
    let error = refusal("[a]\nb = 1\n[c\n", &[], &[]);
    assert!(error.contains("line 3"), "{error}");
    let error = refusal("[[edges]]\nname = 'x'", &[], &[]);
    assert!(
        error.contains("edges.0") && error.contains("url"),
        "{error}"
    );
    let error = load(Some(Path::new("/no/such.toml")), &Environment::new(), &[]).unwrap_err();
    assert!(error.to_string().contains("/no/such.toml"), "{error}");
}

#[test]
fn everything_that_makes_no_sense_is_told_at_once() {
    let text = r#"
        [origin]
        name = "two words"
        [generate]
        queue = 0
        [updates]
        ttl_seconds = 0
        [[edges]]
        name = "same"
        url = "ftp://x"
        [[edges]]
        name = "same"
        url = "https://user:secret@x"
        [edges.kv]
        namespace_id = "a/b"
    "#;
    let error = refusal(text, &[], &[]);
    for part in [
        "origin.name",
        "generate.queue",
        "updates.ttl_seconds",
        "edges.0.url",
        "edges.1.url",
        "edges.1.name",
        "edges.1.kv.namespace_id",
        "edges.1.kv.account_id",
    ] {
        assert!(error.contains(part), "{part} is not in: {error}");
    }
    assert!(!error.contains("secret"), "{error}");
}

#[test]
fn everything_that_is_wrong_is_told_at_once_and_once() {
    let text = r#"
        [origin]
        name = "two words"
        [generate]
        queue = "many"
        efort = 1
        [generate.retail]
        effort = "x"
        [[edges]]
        url = "notaurl"
        kind = 1
        [[edges]]
        name = "no url"
        [edges.kv]
        namespace_id = "content"
        account_id = "0123..."
    "#;
    let env = [("HEADSTART_GENERATE_WORKERS", "some")];
    let error = refusal(text, &env, &[flag("listen.adr", "x")]);
    let lines: Vec<&str> = error.lines().collect();
    for part in [
        "generate.efort",
        "edges.0.kind",
        "generate.workers",
        "listen.adr",
        r#"invalid type: string "x", expected"#,
        "generate.queue",
        "edges.0.url",
        "must be like https://edge.example",
        "edges.1 (",
        "origin.name",
        "edges.1.kv.account_id",
        "edges.1.kv.namespace_id",
    ] {
        assert_eq!(error.matches(part).count(), 1, "{part}: {error}");
    }
    assert_eq!(lines.len(), 11, "{error}");
}

#[test]
fn an_edge_without_a_name_is_named_by_its_host() {
    for (url, name) in [
        ("https://a.example/", "a.example"),
        ("http://a:81/base", "a:81"),
    ] {
        let env = environment(&[("HEADSTART_EDGES_0_URL", url)]);
        let config = load(None, &env, &[]).unwrap().config;
        assert_eq!(config.edges[0].name(), name);
    }
}

#[test]
fn paths_at_an_edge_have_one_slash() {
    for url in ["https://a.example", "https://a.example/"] {
        let env = environment(&[("HEADSTART_EDGES_0_URL", url)]);
        let config = load(None, &env, &[]).unwrap().config;
        assert_eq!(config.edges[0].at("/events"), "https://a.example/events");
    }
}

fn secrets(text: &str, env: &[(&str, &str)]) -> Result<Secrets, ConfigError> {
    Secrets::read(&try_load(text, env, &[]).unwrap().config, &environment(env))
}

#[test]
fn every_missing_secret_is_named_at_once() {
    let text = format!("{FILE}\n[listen]\naddr = '127.0.0.1:1'");
    let error = secrets(&text, &[]).unwrap_err().to_string();
    for name in [
        "HEADSTART_TICKET_KEY",
        "HEADSTART_ORIGIN_KEY",
        "HEADSTART_LOGIN_KEY",
        "HEADSTART_API_TOKEN",
    ] {
        assert!(error.contains(name), "{name} is not in: {error}");
    }
}

#[test]
fn an_edges_own_secret_goes_before_the_common_one_and_a_variable_before_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key");
    fs::write(&file, format!("{KEY}\n")).unwrap();
    let text = format!(
        "{FILE}\n[secrets]\norigin_key_file = '{0}'\nticket_key_file = '{0}'\nlogin_key_file = '{0}'",
        file.display()
    );
    let other = "whsec_ISIjJCUmJygpKissLS4vMDEyMzQ1Njc4OTo7PD0+P0A=";
    let env = [
        ("HEADSTART_TICKET_KEY", other),
        ("HEADSTART_API_TOKEN", "common"),
        ("HEADSTART_EDGES_0_KV_API_TOKEN", "own"),
    ];
    let secrets = secrets(&text, &env).unwrap();
    assert_eq!(secrets.ticket.value.current().expose(), other);
    assert_eq!(secrets.edges[0].key.value.current().expose(), KEY);
    assert_eq!(secrets.edges[0].key.from, file.display().to_string());
    let token = secrets.edges[0].api_token.as_ref().unwrap();
    assert_eq!(token.from, "HEADSTART_EDGES_0_KV_API_TOKEN");
    assert_eq!(token.value.bearer(), "Bearer own");
}

#[test]
fn a_malformed_secret_is_told_without_it() {
    let base = [
        ("HEADSTART_TICKET_KEY", "plain-secret"),
        ("HEADSTART_ORIGIN_KEY", KEY),
        ("HEADSTART_API_TOKEN", "secret with\nline"),
    ];
    let error = secrets(FILE, &base).unwrap_err().to_string();
    assert!(
        error.contains("HEADSTART_TICKET_KEY") && error.contains("HEADSTART_API_TOKEN"),
        "{error}"
    );
    assert!(!error.contains("secret"), "{error}");
}

#[test]
fn the_effective_configuration_can_be_used_again_and_shows_no_secret() {
    let env = [
        ("HEADSTART_TICKET_KEY", KEY),
        ("HEADSTART_ORIGIN_KEY", KEY),
        ("HEADSTART_API_TOKEN", "token-AAEC"),
        ("HEADSTART_GENERATE_QUEUE", "9"),
    ];
    let loaded = try_load(FILE, &env, &[]).unwrap();
    let secrets = secrets(FILE, &env).unwrap();
    let shown = show::effective(&loaded, &secrets);
    assert!(!shown.contains("AAEC"), "{shown}");
    assert!(!format!("{secrets:?}").contains("AAEC"));
    assert!(
        shown
            .lines()
            .any(|line| line.starts_with("queue = 9 ")
                && line.ends_with("# HEADSTART_GENERATE_QUEUE")),
        "{shown}"
    );
    assert!(
        shown
            .lines()
            .any(|line| line.starts_with("account_id") && line.ends_with("test.toml")),
        "{shown}"
    );
    assert_eq!(try_load(&shown, &[], &[]).unwrap().config, loaded.config);
}

#[test]
fn the_example_is_true() {
    let example = include_str!("../../config.example.toml");
    let loaded = try_load(example, &[], &[]).unwrap();
    // What it sets is what a newcomer wants: one local edge. Everything else that it mentions stands in
    // a comment as the default, `#key = value`; uncommented, nothing changes.
    let mut uncommented = String::new();
    for line in example.lines() {
        let line = match line.strip_prefix('#') {
            Some(rest) if rest.starts_with(|c: char| c.is_ascii_lowercase()) => rest,
            _ => line,
        };
        let _ = writeln!(uncommented, "{line}");
    }
    let with_defaults = try_load(&uncommented, &[], &[]).unwrap();
    assert_eq!(with_defaults.config, loaded.config);
    let Config {
        origin,
        generate,
        outbox,
        tickets,
        updates,
        ..
    } = loaded.config;
    let defaults = Config::default();
    assert_eq!((origin, generate), (defaults.origin, defaults.generate));
    assert_eq!((outbox, tickets), (defaults.outbox, defaults.tickets));
    assert_eq!(updates, defaults.updates);
    for value in values::VALUES {
        let name = value.path.rsplit('.').next().unwrap();
        assert!(
            example.lines().any(|line| line
                .trim_start_matches(['#', ' '])
                .starts_with(&format!("{name} ="))),
            "{} is not in the example",
            value.path
        );
    }
}
