//! The servers that ours is measured against, as targets: their routes are ours, their updates nothing
//! but data, and nothing is signed.

use headstart_client::{
    load::{
        payload::Payload,
        target::{Publication, Target},
    },
    subscribe::{SubscribeError, request::Request, transport::Transport},
};
use http::{
    HeaderMap, HeaderValue, StatusCode,
    header::{CONTENT_TYPE, HeaderName},
};
use url::Url;

/// How updates that go together are published.
#[derive(Debug, Clone, Copy)]
pub enum Publishing {
    /// In one request, as a JSON array.
    Together,
    /// In one request each.
    OneByOne,
}

/// One topic of a server without an envelope around its updates.
#[derive(Debug)]
pub struct Plain {
    topic: Url,
    transport: Transport,
    publishing: Publishing,
}

impl Plain {
    /// `topic` is where updates are posted; the streams are below it.
    pub fn new(topic: Url, transport: Transport, publishing: Publishing) -> Self {
        Self {
            topic,
            transport,
            publishing,
        }
    }

    fn publication(&self, body: String) -> Publication {
        let json: (HeaderName, _) = (CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Publication {
            url: self.topic.clone(),
            headers: HeaderMap::from_iter([json]),
            body: body.into_bytes(),
        }
    }
}

impl Target for Plain {
    fn transport(&self) -> Transport {
        self.transport
    }

    fn subscribe(&self, _: &[u8]) -> Result<Request, SubscribeError> {
        let url = Url::parse(&format!("{}/{}", self.topic, self.transport.segment()));
        Ok(Request {
            url: url.map_err(|error| SubscribeError::Request(error.to_string()))?,
            headers: HeaderMap::new(),
        })
    }

    fn publish(&self, updates: &[Payload]) -> Result<Vec<Publication>, String> {
        let texts = updates.iter().map(|update| update.text.as_str());
        Ok(match self.publishing {
            Publishing::Together => {
                let texts: Vec<&str> = texts.collect();
                vec![self.publication(format!("[{}]", texts.join(",")))]
            }
            Publishing::OneByOne => texts
                .map(|text| self.publication(text.to_owned()))
                .collect(),
        })
    }

    fn check(&self, status: StatusCode, _: &[u8]) -> Result<(), String> {
        if status.is_success() {
            Ok(())
        } else {
            Err(status.to_string())
        }
    }
}
