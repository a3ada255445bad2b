//! A whole origin that generates something of its own: a sentence for whoever logs in.
//!
//! It is configured as the program is, by `headstart.toml` and the environment, and does all that `serve`
//! does. `cargo run -p origin-publisher --example own_generator`

use std::sync::Arc;

use origin_publisher::{
    config::{self, Secrets, layers::process_environment},
    generate::{Content, Deadline, GenerateError, Generator, LoginData},
    serve::serve,
};

struct Welcome;

impl Generator for Welcome {
    fn generate(&self, login: &LoginData, _deadline: &Deadline) -> Result<Content, GenerateError> {
        Ok(Content {
            media_type: "text/plain;charset=utf-8".to_owned(),
            bytes: format!("Welcome back, {}.", login.user).into_bytes(),
        })
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt().with_ansi(false).init();
    let environment = process_environment();
    let config = config::load(None, &environment, &[])?.config;
    let secrets = Secrets::read(&config, &environment)?;
    let stop = async { drop(tokio::signal::ctrl_c().await) };
    serve(&config, &secrets, Arc::new(Welcome), stop).await?;
    Ok(())
}
