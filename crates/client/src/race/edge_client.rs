//! A client of an edge's public routes, and of the origin's listener: what a site's page would do.

use std::time::Duration;

use eventsource_stream::Eventsource;
use futures_util::StreamExt;
use headstart_protocol::{
    event::{Event, TYPE_OFFER_FAILED},
    keys::Key,
    login::{LoginAccepted, LoginRequest},
    problem::Problem,
    stamps::{STAMPS_HEADER, Stamps},
};
use reqwest::{Response, StatusCode, header::HeaderMap};
use tokio_tungstenite::tungstenite::Message;
use url::Url;

use crate::{http_client, signing::signed_headers};

/// Why a client did not get its offer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The request could not be made or its answer not be read. Never names the ticket.
    #[error("{0}")]
    Http(String),
    /// There is no connection to an edge or an origin.
    #[error("cannot reach {url}: {reason}{}", hint(.url))]
    Unreachable {
        /// Where it should be.
        url: Url,
        /// Why not.
        reason: String,
    },
    /// The edge or the origin asks for a signature, and there is no key.
    #[error(
        "logins must be signed here: set HEADSTART_LOGIN_KEY (beside `make dev`: source scripts/activate.sh)"
    )]
    Unsigned,
    /// The other side answered with an error.
    #[error("{status}: {detail}")]
    Refused {
        /// The HTTP status.
        status: StatusCode,
        /// The problem's detail, or a word on the body.
        detail: String,
    },
    /// The generation failed.
    #[error("the generation failed: {0}")]
    Failed(String),
    /// A stream or socket ended before the offer came.
    #[error("the connection ended before the offer came")]
    Ended,
    /// What came is not what the contract says.
    #[error("the answer is not understood: {0}")]
    Malformed(String),
    /// It took longer than `--give-up`.
    #[error("no offer within {} s", .0.as_secs())]
    GivenUp(Duration),
}

/// Returns what to try: on this machine it is most likely what `make dev` runs.
fn hint(url: &Url) -> &'static str {
    match url.host_str() {
        Some("127.0.0.1" | "localhost") => "; is `make dev` running?",
        _ => "",
    }
}

impl From<reqwest::Error> for ClientError {
    fn from(error: reqwest::Error) -> Self {
        Self::Http(http_client::describe(error))
    }
}

/// An offer in hand.
#[derive(Debug, Clone)]
pub struct Offer {
    /// The offer itself.
    pub body: Vec<u8>,
    /// Its stamps.
    pub stamps: Stamps,
    /// Where the edge had it: `memory`, `kv` or `object`, as `Cache-Status` says.
    pub served_from: Option<String>,
}

/// What one `GET` of an offer answered.
#[derive(Debug)]
pub enum Asked {
    /// The offer.
    Ready(Offer),
    /// Not yet.
    Pending,
}

/// The client. Cheap to share; connections are kept between requests, as a browser does.
#[derive(Debug)]
pub struct EdgeClient {
    http: reqwest::Client,
    edge: Url,
    origin: Option<Url>,
    login_key: Option<Key>,
}

impl EdgeClient {
    /// Returns a client of `edge` and, for the way that waits on it, of `origin`.
    ///
    /// # Errors
    /// When the system's TLS roots cannot be used.
    pub fn new(
        edge: Url,
        origin: Option<Url>,
        login_key: Option<Key>,
    ) -> Result<Self, ClientError> {
        Ok(Self {
            http: http_client::build()?,
            edge,
            origin,
            login_key,
        })
    }

    /// Logs in: `POST /login` at the edge.
    ///
    /// # Errors
    /// [`ClientError`], also when the edge refuses the login.
    pub async fn login(&self, login: &LoginRequest) -> Result<LoginAccepted, ClientError> {
        let response = self.post_login(&self.edge, "/login", login).await?;
        Ok(accepted(response).await?.json().await?)
    }

    /// Returns the offer of `POST /offers` at the origin, generated while the client waits.
    ///
    /// # Errors
    /// [`ClientError`]; [`ClientError::Malformed`] without an origin.
    pub async fn offer_of_origin(&self, login: &LoginRequest) -> Result<Offer, ClientError> {
        let origin = self
            .origin
            .as_ref()
            .ok_or_else(|| ClientError::Malformed("no origin is given".to_owned()))?;
        let response = self.post_login(origin, "/offers", login).await?;
        offer_in(accepted(response).await?).await
    }

    /// Asks for the offer: `GET /tickets/{ticket}`, held by the edge for up to `wait`.
    ///
    /// # Errors
    /// [`ClientError`]; a failed generation is [`ClientError::Failed`].
    pub async fn ask(
        &self,
        login: &LoginAccepted,
        wait: Option<Duration>,
    ) -> Result<Asked, ClientError> {
        let mut request = self.http.get(self.at(&login.offer)?);
        if let Some(wait) = wait {
            request = request.header("prefer", format!("wait={}", wait.as_secs()));
        }
        let response = request.send().await?;
        match response.status() {
            StatusCode::OK => Ok(Asked::Ready(offer_in(response).await?)),
            StatusCode::ACCEPTED => Ok(Asked::Pending),
            StatusCode::BAD_GATEWAY => Err(ClientError::Failed(detail(response).await)),
            _ => Err(refusal(response).await),
        }
    }

    /// Waits on `GET /tickets/{ticket}/events`.
    ///
    /// # Errors
    /// [`ClientError`]; [`ClientError::Ended`] when the stream ends first.
    pub async fn offer_by_sse(&self, login: &LoginAccepted) -> Result<Offer, ClientError> {
        let response = accepted(self.http.get(self.at(&login.events)?).send().await?).await?;
        let mut events = response.bytes_stream().eventsource();
        let frame = events
            .next()
            .await
            .ok_or(ClientError::Ended)?
            .map_err(|_| ClientError::Ended)?;
        self.offer_of_event(login, &frame.data).await
    }

    /// Waits on `GET /tickets/{ticket}/ws`.
    ///
    /// # Errors
    /// [`ClientError`]; [`ClientError::Ended`] when the socket closes first.
    pub async fn offer_by_socket(&self, login: &LoginAccepted) -> Result<Offer, ClientError> {
        let mut url = self.at(&login.ws)?;
        let scheme = if url.scheme() == "https" { "wss" } else { "ws" };
        url.set_scheme(scheme)
            .map_err(|()| ClientError::Malformed("the edge's URL is not http".to_owned()))?;
        let (mut socket, _) = tokio_tungstenite::connect_async(url.as_str())
            .await
            .map_err(|error| ClientError::Http(error.to_string()))?;
        while let Some(message) = socket.next().await {
            match message {
                Ok(Message::Text(text)) => return self.offer_of_event(login, &text).await,
                Ok(Message::Close(_)) | Err(_) => break,
                Ok(_) => {}
            }
        }
        Err(ClientError::Ended)
    }

    /// Returns the offer that an event brings, fetched where the event only names it.
    async fn offer_of_event(
        &self,
        login: &LoginAccepted,
        json: &str,
    ) -> Result<Offer, ClientError> {
        let event = Event::from_json(json.as_bytes())
            .map_err(|error| ClientError::Malformed(error.to_string()))?;
        if event.kind == TYPE_OFFER_FAILED {
            let reason = event
                .json_data::<serde_json::Value>()
                .and_then(|data| Some(data.get("reason")?.as_str()?.to_owned()));
            return Err(ClientError::Failed(reason.unwrap_or_default()));
        }
        let stamps = Stamps::of_event(&event);
        match event.data {
            Some(data) => Ok(Offer {
                body: data.as_bytes().to_vec(),
                stamps,
                served_from: None,
            }),
            None => match self.ask(login, None).await? {
                Asked::Ready(offer) => Ok(offer),
                Asked::Pending => Err(ClientError::Malformed(
                    "the offer that the event names is not there".to_owned(),
                )),
            },
        }
    }

    async fn post_login(
        &self,
        base: &Url,
        path: &str,
        login: &LoginRequest,
    ) -> Result<Response, ClientError> {
        let body =
            serde_json::to_vec(login).map_err(|error| ClientError::Malformed(error.to_string()))?;
        let mut headers = HeaderMap::new();
        if let Some(key) = &self.login_key {
            headers = signed_headers(&body, key);
        }
        headers.insert(
            reqwest::header::CONTENT_TYPE,
            reqwest::header::HeaderValue::from_static("application/json"),
        );
        let url = join(base, path)?;
        let request = self.http.post(url).headers(headers).body(body);
        let response = request.send().await.map_err(|error| {
            if error.is_connect() {
                ClientError::Unreachable {
                    url: base.clone(),
                    reason: http_client::root_cause(&error),
                }
            } else {
                error.into()
            }
        })?;
        if response.status() == StatusCode::UNAUTHORIZED && self.login_key.is_none() {
            return Err(ClientError::Unsigned);
        }
        Ok(response)
    }

    fn at(&self, path: &str) -> Result<Url, ClientError> {
        join(&self.edge, path)
    }
}

fn join(base: &Url, path: &str) -> Result<Url, ClientError> {
    base.join(path)
        .map_err(|error| ClientError::Malformed(error.to_string()))
}

async fn accepted(response: Response) -> Result<Response, ClientError> {
    if response.status().is_success() {
        Ok(response)
    } else {
        Err(refusal(response).await)
    }
}

async fn refusal(response: Response) -> ClientError {
    ClientError::Refused {
        status: response.status(),
        detail: detail(response).await,
    }
}

async fn detail(response: Response) -> String {
    match response.json::<Problem>().await {
        Ok(problem) => problem.detail,
        Err(_) => "the answer is not a problem that says why".to_owned(),
    }
}

async fn offer_in(response: Response) -> Result<Offer, ClientError> {
    let header = |name: &str| {
        let value = response.headers().get(name)?.to_str().ok()?;
        Some(value.to_owned())
    };
    let stamps = header(STAMPS_HEADER).map_or_else(Stamps::default, |h| Stamps::from_header(&h));
    let served_from = header("cache-status").and_then(|status| cache_detail(&status));
    Ok(Offer {
        body: response.bytes().await?.to_vec(),
        stamps,
        served_from,
    })
}

/// Returns the `detail` parameter of a `Cache-Status` header (RFC 9211).
fn cache_detail(status: &str) -> Option<String> {
    status.split(';').find_map(|parameter| {
        let (name, value) = parameter.trim().split_once('=')?;
        (name == "detail").then(|| value.trim_matches('"').to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_is_read_from_cache_status() {
        for (status, place) in [
            ("LHR; hit; detail=kv", Some("kv")),
            ("LHR;hit;detail=\"memory\"", Some("memory")),
            ("LHR; fwd=miss", None),
        ] {
            assert_eq!(cache_detail(status).as_deref(), place, "{status}");
        }
    }
}
