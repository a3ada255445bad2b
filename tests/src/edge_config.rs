//! How an edge of a test is configured: the project's own `wrangler.toml`, with some settings changed.

use std::{env, fmt::Display, fs, path::PathBuf};

use headstart_protocol::keys::Key;
use toml::{Table, Value};

use crate::{
    keys::{login_key, origin_key, rotated_key, ticket_key, token_key},
    wait::PATIENCE,
};

/// The repository's root.
#[must_use]
pub fn root() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .canonicalize()
        .expect("this crate lies in the repository")
}

/// The prebuilt Worker: `HEADSTART_EDGE_BUILD`, or where `make build` puts it.
#[must_use]
pub fn worker() -> PathBuf {
    let build = env::var_os("HEADSTART_EDGE_BUILD")
        .map_or_else(|| root().join("edge-worker/build"), PathBuf::from);
    let main = build.join("index.js");
    assert!(
        main.exists(),
        "{} is missing: `make build` builds it",
        main.display()
    );
    main
}

/// The file in an edge's folder that a module around the Worker is written to.
pub(crate) const MODULE: &str = "around.mjs";

/// The settings of one edge.
#[derive(Debug, Clone)]
pub struct EdgeConfig {
    vars: Vec<(String, String)>,
    secrets: Vec<(String, String)>,
    logins_per_minute: u32,
    /// A module around the Worker, by its path in `tests/`.
    around: Option<&'static str>,
}

impl Default for EdgeConfig {
    /// As `wrangler.toml` says, with the keys of [`crate::keys`], time-outs that a busy machine keeps,
    /// and no rate limit in the way.
    fn default() -> Self {
        let ring = |key: Key| format!("{},{}", key.expose(), rotated_key().expose());
        let secrets = [
            ("TICKET_KEY", ring(ticket_key())),
            ("ORIGIN_KEYS", ring(origin_key())),
            ("LOGIN_KEYS", ring(login_key())),
            ("TOKEN_KEYS", ring(token_key())),
        ];
        let patience = PATIENCE.as_secs().to_string();
        let timeouts = ["LEASE_SECONDS", "LOGIN_TIMEOUT_SECONDS"];
        Self {
            vars: timeouts
                .map(|name| (name.to_owned(), patience.clone()))
                .to_vec(),
            secrets: secrets
                .map(|(name, value)| (name.to_owned(), value))
                .to_vec(),
            logins_per_minute: 1_000_000,
            around: None,
        }
    }
}

impl EdgeConfig {
    /// With the variable `name` set.
    #[must_use]
    pub fn var(mut self, name: &str, value: impl Display) -> Self {
        self.vars.push((name.to_owned(), value.to_string()));
        self
    }

    /// With the secret `name` set to these keys, and no other.
    #[must_use]
    pub fn keys(mut self, name: &str, keys: &[Key]) -> Self {
        let keys: Vec<_> = keys.iter().map(Key::expose).collect();
        self.secrets.retain(|(known, _)| known != name);
        self.secrets.push((name.to_owned(), keys.join(",")));
        self
    }

    /// Without the secret `name`.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.secrets.retain(|(known, _)| known != name);
        self
    }

    /// With that many logins allowed to each client in a minute.
    #[must_use]
    pub fn logins_per_minute(mut self, limit: u32) -> Self {
        self.logins_per_minute = limit;
        self
    }

    /// With a module of `tests/` around the Worker, which it imports as `WORKER`.
    #[must_use]
    pub fn around(mut self, module: &'static str) -> Self {
        self.around = Some(module);
        self
    }

    /// The text of the module around the Worker, if there is one.
    pub(crate) fn module(&self) -> Option<String> {
        let module = fs::read_to_string(root().join("tests").join(self.around?))
            .expect("the module is in the repository");
        Some(module.replace("WORKER", &worker().display().to_string()))
    }

    /// The text of `wrangler.toml` with these settings. It names the prebuilt Worker, so that nothing
    /// is built when an edge starts.
    pub(crate) fn wrangler_toml(&self) -> String {
        let text = fs::read_to_string(root().join("wrangler.toml"))
            .expect("wrangler.toml is at the repository's root");
        let mut config: Table = text.parse().expect("wrangler.toml is TOML");
        config.remove("build");
        let worker = worker();
        let pages = worker.with_file_name("pages");
        let main = match self.around {
            Some(_) => MODULE.to_owned(),
            None => worker.display().to_string(),
        };
        config.insert("main".to_owned(), main.into());
        config["assets"]["directory"] = pages.display().to_string().into();
        let vars = config
            .entry("vars")
            .or_insert_with(|| Table::new().into())
            .as_table_mut()
            .expect("[vars] is a table");
        for (name, value) in &self.vars {
            vars.insert(name.clone(), value.clone().into());
        }
        let limits = config["ratelimits"].as_array_mut().expect("is a list");
        for limit in limits {
            limit["simple"]["limit"] = Value::Integer(self.logins_per_minute.into());
        }
        config.to_string()
    }

    /// The text of `.dev.vars`, where `wrangler dev` looks for secrets.
    #[must_use]
    pub fn dev_vars(&self) -> String {
        let line = |(name, value): &(String, String)| format!("{name}=\"{value}\"\n");
        self.secrets.iter().map(line).collect()
    }
}
