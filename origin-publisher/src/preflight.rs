//! What `serve` would refuse although the values make sense: files and addresses that cannot be used.
//! Nothing is made or changed.

use std::{io::ErrorKind, net::TcpListener};

use headstart_retail::history::PurchaseHistory;

use crate::{config::Config, outbox::Outbox, serve::ServeError};

/// Returns everything that `serve` would refuse, each in a sentence.
#[must_use]
pub fn problems(config: &Config) -> Vec<String> {
    let edges = if config.edges.is_empty() {
        Err(ServeError::NoEdge)
    } else {
        Ok(())
    };
    let history = config.generate.retail.history.as_deref();
    let history = history.map_or(Ok(()), |path| PurchaseHistory::open(path).map(drop));
    let outbox = Outbox::check(&config.outbox.path).map_err(ServeError::from);
    let listen = config.listen.addr.map_or(Ok(()), |addr| {
        match TcpListener::bind(addr) {
            // It is most likely the origin that runs with this very configuration.
            Err(reason) if reason.kind() != ErrorKind::AddrInUse => {
                Err(ServeError::Listen { addr, reason })
            }
            _ => Ok(()),
        }
    });
    let text = |error: ServeError| error.to_string();
    [
        edges.map_err(text),
        history.map_err(|error| error.to_string()),
        outbox.map_err(text),
        listen.map_err(text),
    ]
    .into_iter()
    .filter_map(Result::err)
    .collect()
}
