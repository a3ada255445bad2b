//! The two that logins are sent to, each in workerd with its state on disk: our edge with an origin beside
//! it, and the one in JavaScript, whose origin this program plays.

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering},
};

use headstart_client::signing::signed_headers;
use headstart_tests::keys::{login_key, random};
use http::{
    HeaderValue, Request,
    header::{ACCEPT, CONTENT_TYPE},
};
use http_body_util::Full;
use hyper::body::Bytes;

use crate::{http_pool::HttpPool, origin::Origin, usage::Process, workerd::Workerd};

/// Whom logins are sent to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Headstart,
    JavaScript,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Headstart => "Headstart",
            Self::JavaScript => "JavaScript",
        })
    }
}

/// A running site.
#[derive(Debug)]
pub struct Site {
    pub kind: Kind,
    pub http: HttpPool,
    /// Counts users: each logs in once, so that no rate limit of one user is met.
    users: AtomicU64,
    // Ends before its edge does.
    origin: Option<Origin>,
    worker: Workerd,
}

impl Site {
    pub async fn start(kind: Kind) -> anyhow::Result<Self> {
        let (worker, origin) = match kind {
            Kind::Headstart => {
                let worker = Workerd::headstart(&[]).await?;
                let origin = Origin::start(worker.url())?;
                (worker, Some(origin))
            }
            Kind::JavaScript => {
                let key = u128::from_ne_bytes(random()).to_string();
                let settings = [("TICKET_KEY", key)];
                let worker = Workerd::start("benchmarks/javascript/logins.toml", &settings).await?;
                (worker, None)
            }
        };
        Ok(Self {
            kind,
            http: HttpPool::new(worker.url())?,
            users: AtomicU64::default(),
            origin,
            worker,
        })
    }

    pub fn worker(&self) -> &Workerd {
        &self.worker
    }

    /// The process of its origin, where it has one.
    pub fn origin(&self) -> Option<Process> {
        self.origin.as_ref().map(Origin::process)
    }

    /// How many logins it was sent so far.
    pub fn users(&self) -> u64 {
        self.users.load(Ordering::Relaxed)
    }

    /// The login of a user who has not been here before, signed where the edge asks for it.
    pub fn login(&self) -> Request<Full<Bytes>> {
        let number = self.users.fetch_add(1, Ordering::Relaxed);
        let body = Bytes::from(format!(r#"{{"user":"user-{number}"}}"#));
        let headers = match self.kind {
            Kind::Headstart => signed_headers(&body, &login_key()),
            Kind::JavaScript => http::HeaderMap::new(),
        };
        let mut request = post("/login", body);
        request.headers_mut().extend(headers);
        request
    }

    /// What its origin would send once it has generated; `None` where there is one that does.
    pub fn settlement(&self, ticket: &str, offer: &str) -> Option<Request<Full<Bytes>>> {
        (self.kind == Kind::JavaScript).then(|| {
            let body = format!(r#"{{"ticket":"{ticket}","offer":{offer}}}"#);
            post("/events", body.into())
        })
    }
}

/// Asks for a stream of Server-Sent Events.
pub fn stream(path: &str) -> anyhow::Result<Request<Full<Bytes>>> {
    let request = Request::get(path).header(ACCEPT, "text/event-stream");
    Ok(request.body(Full::default())?)
}

fn post(path: &'static str, body: Bytes) -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = http::Method::POST;
    *request.uri_mut() = http::Uri::from_static(path);
    let json = HeaderValue::from_static("application/json");
    request.headers_mut().insert(CONTENT_TYPE, json);
    request
}
