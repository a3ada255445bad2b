//! Opens connections, with TLS where the URL says so. One connection for each subscriber, so no pool.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use rustls::{ClientConfig, pki_types::ServerName};
use rustls_platform_verifier::ConfigVerifierExt;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_tungstenite::MaybeTlsStream;
use url::Url;

use super::SubscribeError;
use crate::http_client::install_tls_provider;

/// How long opening may take, TLS included.
pub const TIMEOUT: Duration = Duration::from_secs(10);

/// An open connection.
pub type Connection = MaybeTlsStream<TcpStream>;

/// Connects to the server of a URL.
///
/// # Errors
/// [`SubscribeError`].
pub async fn connect(url: &Url) -> Result<Connection, SubscribeError> {
    tokio::time::timeout(TIMEOUT, connect_now(url))
        .await
        .map_err(|_| SubscribeError::connection("no connection within 10 s"))?
}

async fn connect_now(url: &Url) -> Result<Connection, SubscribeError> {
    let no_http = || SubscribeError::Request("the URL must be http(s)://host[:port]".to_owned());
    let host = url.host().ok_or_else(no_http)?;
    let port = url.port_or_known_default().ok_or_else(no_http)?;
    // An IPv6 address stands in brackets in a URL, and without them here.
    let name = match &host {
        url::Host::Ipv6(address) => address.to_string(),
        host => host.to_string(),
    };
    let tcp = TcpStream::connect((name.as_str(), port))
        .await
        .map_err(SubscribeError::connection)?;
    tcp.set_nodelay(true).map_err(SubscribeError::connection)?;
    match url.scheme() {
        "http" => Ok(MaybeTlsStream::Plain(tcp)),
        "https" => {
            let name = ServerName::try_from(name).map_err(SubscribeError::connection)?;
            let tls = TlsConnector::from(tls_config()?)
                .connect(name, tcp)
                .await
                .map_err(SubscribeError::connection)?;
            Ok(MaybeTlsStream::Rustls(tls))
        }
        _ => Err(no_http()),
    }
}

/// Trusts whom the system trusts. Read once: all connections share it.
fn tls_config() -> Result<Arc<ClientConfig>, SubscribeError> {
    static CONFIG: OnceLock<Arc<ClientConfig>> = OnceLock::new();
    if let Some(config) = CONFIG.get() {
        return Ok(Arc::clone(config));
    }
    install_tls_provider();
    let config = ClientConfig::with_platform_verifier().map_err(SubscribeError::connection)?;
    Ok(Arc::clone(CONFIG.get_or_init(|| Arc::new(config))))
}
