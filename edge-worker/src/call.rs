//! One request on its way through the edge: from the route table to the response.

use std::rc::Rc;

use worker::{Context, Env, web_sys};

use crate::{
    answer::Answer,
    config::{self, Config, Misconfigured},
    cors::Cors,
    error::Error,
    events,
    head::Head,
    health, login, origin_link, platform, pull,
    router::{Resolved, Route, Target, resolve},
    tickets, topic,
};

/// A request with all that is needed to answer it.
pub struct Call {
    /// The request itself.
    pub request: web_sys::Request,
    /// Its head.
    pub head: Head,
    /// The deployment's bindings.
    pub env: Env,
    /// Keeps work alive that goes on after the answer.
    pub context: Context,
    /// The settings, or what is wrong with them.
    pub settings: Rc<Result<Config, Misconfigured>>,
    /// The node that answers.
    pub node: Rc<str>,
}

impl Call {
    /// The settings.
    ///
    /// # Errors
    /// [`Error::Misconfigured`].
    pub fn config(&self) -> Result<&Config, Error> {
        config::ready(&self.settings)
    }

    /// A header of the request.
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

/// Answers a request by the route table.
///
/// # Errors
/// None that a client can bring about: only when the platform refuses to build a response.
pub async fn answer(
    routes: &[Route],
    request: web_sys::Request,
    env: Env,
    context: Context,
) -> worker::Result<web_sys::Response> {
    let call = Call {
        head: Head::read(&request),
        node: node(&request),
        settings: config::of(&env),
        request,
        env,
        context,
    };
    let reply = match resolve(routes, &call.head.method, &call.head.path) {
        Resolved::Found(target, parameter) => dispatch(&call, target, parameter).await,
        Resolved::Preflight(methods) => {
            Ok(cors(&call).preflight(&call.head.origin, &methods).into())
        }
        Resolved::MethodNotAllowed(allow) => Err(Error::MethodNotAllowed { allow }),
        Resolved::NotFound => Err(Error::NotFound),
    };
    finish(reply, &call.head, cors(&call))
}

async fn dispatch(call: &Call, target: Target, parameter: &str) -> Result<Reply, Error> {
    match target {
        Target::Login => login::post(call).await,
        Target::Pull => pull::post(call).await,
        Target::Offer => tickets::get(call, parameter).await,
        Target::OfferEvents => tickets::events(call, parameter).await,
        Target::OfferSocket => tickets::socket(call, parameter).await,
        Target::Events => events::post(call).await,
        Target::OriginLink => origin_link::get(call).await,
        Target::Topic => topic::read::get(call, parameter).await,
        Target::Topics => topic::connect::several(call).await,
        Target::TopicEvents => topic::connect::events(call, parameter).await,
        Target::TopicSocket => topic::connect::socket(call, parameter).await,
        Target::Subscribers => topic::subscribers::list(call, parameter).await,
        Target::SubscriberEvents => topic::subscribers::events(call, parameter).await,
        Target::Acks => topic::subscribers::ack(call, parameter).await,
        Target::Ping => Ok(health::ping(call)),
        Target::Health => Ok(health::healthz(call)),
    }
}

/// Answers a request to a Durable Object.
///
/// # Errors
/// When the platform refuses to build a response.
pub async fn answer_object(
    env: &Env,
    request: &worker::Request,
    answer: impl AsyncFnOnce(&web_sys::Request, &Head, &Config) -> Result<Reply, Error>,
) -> worker::Result<worker::Response> {
    let request = request.inner();
    let head = Head::read(request);
    let settings = config::of(env);
    let response = match config::ready(&settings) {
        Ok(config) => {
            let reply = answer(request, &head, config).await;
            finish(reply, &head, &config.cors)
        }
        Err(error) => finish(Err(error), &head, &Cors::none()),
    }?;
    Ok(response.into())
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

/// The allow-list; a misconfigured edge lets no page read its answers.
fn cors(call: &Call) -> &Cors {
    static NONE: Cors = Cors::none();
    call.config().map_or(&NONE, |config| &config.cors)
}

/// The node that answers. An isolate does not move, so it is asked for once.
fn node(request: &web_sys::Request) -> Rc<str> {
    thread_local! {
        static NODE: std::cell::OnceCell<Rc<str>> = const { std::cell::OnceCell::new() };
    }
    NODE.with(|node| node.get_or_init(|| platform::node(request).into()).clone())
}
