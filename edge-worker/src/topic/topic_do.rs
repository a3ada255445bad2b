//! The Durable Object of one topic, its root. Its requests are listed in `root.rs`; what it does is in
//! `root_object.rs`.
//!
//! Touches its own SQLite (`topic_store.rs`), KV, its alarm, and its connections (`crowd.rs`).

use std::rc::Rc;

use headstart_protocol::channel::{PING_TEXT, PONG_TEXT};
use worker::{
    DurableObject, Env, Request, Response, Result, State, WebSocket, WebSocketIncomingMessage,
    durable_object, worker_sys::WebSocketRequestResponsePair,
};

use super::root_object::Root;
use crate::{call, config, cors::Cors, error::Error, head::Head, websocket};

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
        let request = request.inner();
        let head = Head::read(request);
        let settings = config::of(&self.root.env);
        let response = match config::ready(&settings) {
            Ok(config) => {
                let reply = self.root.answer(request, &head, config).await;
                call::finish(reply, &head, &config.cors)
            }
            Err(error) => call::finish(Err(error), &head, &Cors::none()),
        }?;
        Ok(response.into())
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
        self.root
            .hear(&socket, message)
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
        self.root.leave(&socket);
        websocket::close(&socket, websocket::closing_code(code), "");
        Ok(())
    }

    async fn websocket_error(&self, socket: WebSocket, _error: worker::Error) -> Result<()> {
        self.root.leave(&socket);
        Ok(())
    }

    async fn connect(&self, _socket: worker::Socket) -> Result<()> {
        Err("this object takes no TCP connections".into())
    }
}
