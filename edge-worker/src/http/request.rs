//! A request with all that is needed to answer it, and how a reply becomes the response.

use std::rc::Rc;

use worker::{Env, web_sys};

use crate::{
    config::{self, Config},
    http::{
        answer::Answer,
        cors::Cors,
        error::{Error, Misconfigured},
        head::Head,
    },
    platform,
};

/// A request with all that is needed to answer it.
pub struct RequestContext {
    /// The request itself.
    pub request: web_sys::Request,
    /// Its head.
    pub head: Head,
    /// The deployment's bindings.
    pub env: Env,
    /// The settings, or what is wrong with them.
    pub settings: Rc<Result<Config, Misconfigured>>,
    /// The node that answers.
    pub node: Rc<str>,
    /// The path's parameter, as the route's pattern has it in braces; empty where it has none.
    pub parameter: String,
}

impl RequestContext {
    /// Returns a request that has just come, whose route is still to be found.
    pub fn new(request: web_sys::Request, env: Env) -> Self {
        Self {
            head: Head::read(&request),
            node: node(&request),
            settings: config::of(&env),
            parameter: String::new(),
            request,
            env,
        }
    }

    /// Returns the allow-list of pages; a misconfigured edge lets no page read its answers.
    pub fn cors(&self) -> &Cors {
        static NONE: Cors = Cors::none();
        self.config().map_or(&NONE, |config| &config.cors)
    }

    /// Returns the settings.
    ///
    /// # Errors
    /// [`Error::Misconfigured`].
    pub fn config(&self) -> Result<&Config, Error> {
        config::ready(&self.settings)
    }

    /// Returns a header of the request.
    pub fn header(&self, name: &str) -> Option<String> {
        platform::header(&self.request, name)
    }
}

/// What a route gives back.
pub enum Reply {
    /// An answer, still to be made readable for other origins.
    Built(Answer),
    /// A response that must go out untouched: a stream or WebSocket of a Durable Object.
    Untouched(web_sys::Response),
}

impl From<Answer> for Reply {
    fn from(answer: Answer) -> Self {
        Self::Built(answer)
    }
}

/// Answers a request to a Durable Object.
///
/// # Errors
/// When the platform refuses to build a response.
pub async fn answer_object(
    env: &Env,
    request: &web_sys::Request,
    answer: impl AsyncFnOnce(&web_sys::Request, &Head, &Config) -> Result<Reply, Error>,
) -> worker::Result<web_sys::Response> {
    let head = Head::read(request);
    let settings = config::of(env);
    match config::ready(&settings) {
        Ok(config) => {
            let reply = answer(request, &head, config).await;
            finish(reply, &head, &config.cors)
        }
        Err(error) => finish(Err(error), &head, &Cors::none()),
    }
}

/// Turns a reply into the response. Both the Worker and its Durable Objects end here.
///
/// # Errors
/// When the platform refuses to build a response.
pub fn finish(
    reply: Result<Reply, Error>,
    head: &Head,
    cors: &Cors,
) -> worker::Result<web_sys::Response> {
    let answer = match reply {
        Ok(Reply::Untouched(response)) => return Ok(response),
        Ok(Reply::Built(answer)) => answer,
        Err(error) => {
            error.log();
            error.answer()
        }
    };
    let answer = cors
        .expose(answer, &head.origin)
        .header("X-Content-Type-Options", "nosniff");
    let answer = if head.method == "HEAD" {
        answer.without_body()
    } else {
        answer
    };
    answer.into_response().map_err(Error::into_worker)
}

/// Returns the node that answers. An isolate does not move, so it is asked for once.
fn node(request: &web_sys::Request) -> Rc<str> {
    thread_local! {
        static NODE: std::cell::OnceCell<Rc<str>> = const { std::cell::OnceCell::new() };
    }
    NODE.with(|node| node.get_or_init(|| platform::node(request).into()).clone())
}
