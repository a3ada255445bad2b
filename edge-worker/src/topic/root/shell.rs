//! The Durable Object of one topic, its root. Its requests are listed in `client.rs`; what it does is in
//! `object.rs`.
//!
//! Touches its own SQLite (`store.rs`), KV, its alarm, and its connections (`sockets.rs`).

use std::rc::Rc;

use headstart_protocol::channel::{PING_TEXT, PONG_TEXT};
use worker::{
    DurableObject, Env, Request, Response, Result, State, WebSocket, WebSocketIncomingMessage,
    durable_object, worker_sys::WebSocketRequestResponsePair,
};

use crate::{
    http::{error::Error, request},
    platform::websocket,
    topic::{root::object::Root, sessions},
};

/// The object. See the module's own words.
#[durable_object]
#[derive(Debug)]
pub struct TopicDo {
    root: Rc<Root>,
}

impl DurableObject for TopicDo {
    fn new(state: State, env: Env) -> Self {
        if let Ok(pair) = WebSocketRequestResponsePair::new(PING_TEXT, PONG_TEXT) {
            state.set_websocket_auto_response(&pair);
        }
        Self {
            root: Rc::new(Root::new(state, env)),
        }
    }

    async fn fetch(&self, request: Request) -> Result<Response> {
        request::answer_object(&self.root.env, &request, async |request, head, config| {
            self.root.answer(request, head, config).await
        })
        .await
    }

    async fn alarm(&self) -> Result<Response> {
        self.root.wake().await.map_err(Error::into_worker)?;
        Response::empty()
    }

    async fn websocket_message(
        &self,
        socket: WebSocket,
        message: WebSocketIncomingMessage,
    ) -> Result<()> {
        sessions::object::hear(&self.root, &socket, message)
            .await
            .map_err(Error::into_worker)
    }

    async fn websocket_close(
        &self,
        socket: WebSocket,
        code: usize,
        _reason: String,
        _was_clean: bool,
    ) -> Result<()> {
        websocket::close(&socket, websocket::closing_code(code), "");
        sessions::object::leave(&self.root, &socket).map_err(Error::into_worker)
    }

    async fn websocket_error(&self, socket: WebSocket, _error: worker::Error) -> Result<()> {
        sessions::object::leave(&self.root, &socket).map_err(Error::into_worker)
    }

    async fn connect(&self, _socket: worker::Socket) -> Result<()> {
        Err("this object takes no TCP connections".into())
    }
}
