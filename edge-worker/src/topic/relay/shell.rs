//! The Durable Object of one relay. Its requests are listed in `client.rs`; what it does is in
//! `object.rs`.
//!
//! Touches its own SQLite (`store.rs`), its alarm, its connections (`sockets.rs`), its topics' roots
//! and the other relays of its region.

use std::rc::Rc;

use headstart_protocol::channel::{PING_TEXT, PONG_TEXT};
use worker::{
    DurableObject, Env, Request, Response, Result, State, WebSocket, WebSocketIncomingMessage,
    durable_object, worker_sys::WebSocketRequestResponsePair,
};

use crate::{
    http::{error::Error, request},
    platform::websocket,
    topic::{relay::object::Relay, sessions},
};

/// The object. See the module's own words.
#[durable_object]
#[derive(Debug)]
pub struct RelayDo {
    relay: Rc<Relay>,
}

impl DurableObject for RelayDo {
    fn new(state: State, env: Env) -> Self {
        if let Ok(pair) = WebSocketRequestResponsePair::new(PING_TEXT, PONG_TEXT) {
            state.set_websocket_auto_response(&pair);
        }
        Self {
            relay: Rc::new(Relay::new(state, env)),
        }
    }

    async fn fetch(&self, request: Request) -> Result<Response> {
        request::answer_object(&self.relay.env, &request, async |request, head, config| {
            self.relay.answer(request, head, config).await
        })
        .await
    }

    async fn alarm(&self) -> Result<Response> {
        self.relay.wake().await.map_err(Error::into_worker)?;
        Response::empty()
    }

    async fn websocket_message(
        &self,
        socket: WebSocket,
        message: WebSocketIncomingMessage,
    ) -> Result<()> {
        sessions::object::hear(&self.relay, &socket, message)
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
        sessions::object::leave(&self.relay, &socket).map_err(Error::into_worker)
    }

    async fn websocket_error(&self, socket: WebSocket, _error: worker::Error) -> Result<()> {
        sessions::object::leave(&self.relay, &socket).map_err(Error::into_worker)
    }

    async fn connect(&self, _socket: worker::Socket) -> Result<()> {
        Err("this object takes no TCP connections".into())
    }
}
