//! The one HTTP client that everything shares: one pool of connections, one set of time-outs.

use std::time::Duration;

/// How long a connection may take to open. Generous for a far edge, short against a dead one.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long an idle connection is kept; below the usual 60 s of servers, so that a request is
/// rarely sent into a connection that the server is about to close.
const IDLE_TIMEOUT: Duration = Duration::from_secs(50);

/// Makes `ring` the process's TLS provider. Call it first in `main`; calling it again does nothing.
pub fn install_tls_provider() {
    // An error says that a provider is installed already, which is all that is wanted.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// Builds the client. Requests set their own time-outs, since some wait on purpose.
///
/// # Errors
/// When the system's TLS roots cannot be used.
pub fn build() -> Result<reqwest::Client, reqwest::Error> {
    install_tls_provider();
    reqwest::Client::builder()
        .user_agent(concat!("headstart-origin/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_idle_timeout(IDLE_TIMEOUT)
        .tcp_nodelay(true)
        // A redirected POST would lose its body, and a token must not follow to another host.
        .redirect(reqwest::redirect::Policy::none())
        .build()
}

/// Returns an error of the client in one line with its causes, without the URL: a ticket in it is a secret.
#[must_use]
pub fn describe(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}

/// Returns the innermost cause of an error of the client, such as `Connection refused (os error 111)`.
#[must_use]
pub fn root_cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}
