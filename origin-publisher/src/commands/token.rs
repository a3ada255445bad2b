//! `origin-publisher token --topics PATTERN`: a token that opens private topics.

use std::time::Duration;

use anyhow::bail;
use clap::Args;
use headstart_client::clock::now_ms;
use headstart_protocol::{
    limits::MAX_TOKEN_BYTES,
    token::{self, Claims, NumericDate, Pattern},
};
use origin_publisher::config::{layers::process_environment, secrets};
use serde_json::json;

use super::output::Output;
use crate::arguments::ConfigFile;

/// Arguments of `token`.
#[derive(Debug, Args)]
#[group(id = "what", required = true, multiple = true, args = ["topics", "publish"])]
pub struct TokenArgs {
    /// Topics that may be followed: names, or beginnings of names with a * after them
    #[arg(long, value_name = "PATTERN", value_delimiter = ',', value_parser = pattern)]
    topics: Vec<Pattern>,
    /// Topics that may be published on
    #[arg(long, value_name = "PATTERN", value_delimiter = ',', value_parser = pattern)]
    publish: Vec<Pattern>,
    /// Whom it is for; nothing is decided by it
    #[arg(long, value_name = "NAME")]
    subject: Option<String>,
    /// The edge that it is for: needed where the edge has a `TOKEN_AUDIENCE`, and then the same; refused by
    /// one that has none
    #[arg(long, value_name = "AUD")]
    audience: Option<String>,
    /// How long it lasts, such as `15m`, `1h` or `7days`
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = time)]
    ttl: Duration,
    /// Print JSON, which also says when it ends
    #[arg(long)]
    json: bool,
    /// Where the key's file is named.
    #[command(flatten)]
    config: ConfigFile,
}

/// Prints a token.
///
/// # Errors
/// When there is no key, or the token would be too long to be accepted.
pub fn run(args: &TokenArgs, output: &Output) -> anyhow::Result<()> {
    let environment = process_environment();
    let config = args.config.load(&environment)?.config;
    let keys = secrets::needed(
        secrets::token_keys(&config, &environment),
        "secrets.token_key",
    )?;
    let claims = args.claims(now_ms())?;
    let token = token::mint(&claims, keys.value.current());
    if token.len() > MAX_TOKEN_BYTES {
        bail!(
            "the token would have {} bytes and be accepted nowhere ({MAX_TOKEN_BYTES} are): give beginnings of names instead of many names",
            token.len()
        );
    }
    if args.json {
        return output.json(&json!({ "token": token, "expires_at": claims.exp }));
    }
    Ok(output.line(token)?)
}

impl TokenArgs {
    fn claims(&self, now_ms: u64) -> anyhow::Result<Claims> {
        if self.ttl < Duration::from_secs(1) {
            bail!("--ttl must be at least 1s");
        }
        Ok(Claims {
            sub: self.subject.clone(),
            aud: self.audience.clone(),
            exp: NumericDate::from_seconds((now_ms / 1000).saturating_add(self.ttl.as_secs())),
            topics: self.topics.clone(),
            publish: self.publish.clone(),
        })
    }
}

fn pattern(text: &str) -> Result<Pattern, String> {
    Pattern::parse(text).map_err(|error| match text.find('*') {
        Some(at) if at + 1 < text.len() => "a * may only end it, as in private/desk-7/*".to_owned(),
        _ => error.to_string(),
    })
}

fn time(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|_| "must be like 15m, 1h or 7days".to_owned())
}
