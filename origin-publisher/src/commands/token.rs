//! `origin-publisher token --topics PATTERN`: a token that opens private topics.

use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use headstart_protocol::{
    limits::MAX_TOKEN_BYTES,
    token::{self, Claims, NumericDate, Pattern},
};

use origin_publisher::{
    clock::now_ms,
    config::{layers::process_environment, secrets},
};

use crate::cli::ConfigFile;

/// Arguments of `token`.
#[derive(Debug, Args)]
#[group(id = "what", required = true, multiple = true, args = ["topics", "publish"])]
pub struct TokenArgs {
    /// Topics that may be followed: names, or beginnings of names with a * after them
    #[arg(long, value_name = "PATTERN", value_delimiter = ',', value_parser = Pattern::parse)]
    topics: Vec<Pattern>,
    /// Topics that may be published on
    #[arg(long, value_name = "PATTERN", value_delimiter = ',', value_parser = Pattern::parse)]
    publish: Vec<Pattern>,
    /// Whom it is for; nothing is decided by it
    #[arg(long, value_name = "NAME")]
    subject: Option<String>,
    /// How long it lasts, such as `15m`, `1h` or `7days`
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = humantime::parse_duration)]
    ttl: Duration,
    /// Where the key's file is named.
    #[command(flatten)]
    config: ConfigFile,
}

/// Prints a token.
///
/// # Errors
/// When there is no key, or the token would be too long to be accepted.
pub fn run(args: &TokenArgs) -> anyhow::Result<()> {
    let environment = process_environment();
    let config = args.config.load(&environment, Vec::new())?.config;
    let keys = secrets::token_keys(&config, &environment)
        .map_err(anyhow::Error::msg)?
        .context(
            "HEADSTART_TOKEN_KEY: missing; set it, or name a file with HEADSTART_TOKEN_KEY_FILE",
        )?;
    let token = token::mint(&args.claims(now_ms())?, keys.value.current());
    if token.len() > MAX_TOKEN_BYTES {
        bail!(
            "the token would have {} bytes and be accepted nowhere ({MAX_TOKEN_BYTES} are): give beginnings of names instead of many names",
            token.len()
        );
    }
    println!("{token}");
    Ok(())
}

impl TokenArgs {
    fn claims(&self, now_ms: u64) -> anyhow::Result<Claims> {
        if self.ttl < Duration::from_secs(1) {
            bail!("--ttl must be at least 1s");
        }
        Ok(Claims {
            sub: self.subject.clone(),
            aud: None,
            exp: NumericDate::from_seconds((now_ms / 1000).saturating_add(self.ttl.as_secs())),
            topics: self.topics.clone(),
            publish: self.publish.clone(),
        })
    }
}
