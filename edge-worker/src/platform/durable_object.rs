//! The platform's handlers of a Durable Object, the same for each class.

use std::rc::Rc;

use worker::{Env, State, WebSocket, WebSocketIncomingMessage, web_sys};

use crate::http::error::Error;

/// What an object does when the platform calls. The macro [`durable_object!`] makes its class.
pub trait ObjectHandlers {
    /// Returns the object as it begins: nothing is loaded yet.
    fn new(state: State, env: Env) -> Self;

    /// Answers a request. An error of the object is an answer, too.
    async fn fetch(
        self: &Rc<Self>,
        request: &web_sys::Request,
    ) -> worker::Result<web_sys::Response>;

    /// Does what is due.
    async fn alarm(self: &Rc<Self>) -> Result<(), Error>;

    /// A WebSocket's client says something.
    async fn message(
        self: &Rc<Self>,
        socket: &WebSocket,
        message: WebSocketIncomingMessage,
    ) -> Result<(), Error>;

    /// A WebSocket is closed or broken.
    async fn closed(self: &Rc<Self>, socket: &WebSocket) -> Result<(), Error>;
}

/// Makes the class of a Durable Object: `durable_object!(DeskDo, DeskObject)`, where the object has
/// the handlers of [`ObjectHandlers`], which is imported there.
macro_rules! durable_object {
    ($class:ident, $object:ty) => {
        /// The class that the platform knows. See the module's own words.
        #[worker::durable_object]
        #[derive(Debug)]
        pub struct $class {
            object: std::rc::Rc<$object>,
        }

        #[wasm_bindgen::prelude::wasm_bindgen]
        impl $class {
            /// Answers a request with the very response that was built: the platform's handler `fetch` makes
            /// another one of it, which takes as long. `entry.js` calls this one in its place.
            pub fn answer(&self, request: worker::web_sys::Request) -> worker::js_sys::Promise {
                let object = std::rc::Rc::clone(&self.object);
                worker::wasm_bindgen_futures::future_to_promise(async move {
                    let response = ObjectHandlers::fetch(&object, &request).await?;
                    Ok(response.into())
                })
            }
        }

        impl worker::DurableObject for $class {
            fn new(state: worker::State, env: worker::Env) -> Self {
                let object = ObjectHandlers::new(state, env);
                Self {
                    object: std::rc::Rc::new(object),
                }
            }

            async fn fetch(&self, request: worker::Request) -> worker::Result<worker::Response> {
                let response = ObjectHandlers::fetch(&self.object, request.inner()).await?;
                Ok(response.into())
            }

            async fn alarm(&self) -> worker::Result<worker::Response> {
                ObjectHandlers::alarm(&self.object)
                    .await
                    .map_err($crate::http::error::Error::into_worker)?;
                worker::Response::empty()
            }

            async fn websocket_message(
                &self,
                socket: worker::WebSocket,
                message: worker::WebSocketIncomingMessage,
            ) -> worker::Result<()> {
                ObjectHandlers::message(&self.object, &socket, message)
                    .await
                    .map_err($crate::http::error::Error::into_worker)
            }

            async fn websocket_close(
                &self,
                socket: worker::WebSocket,
                code: usize,
                _reason: String,
                _was_clean: bool,
            ) -> worker::Result<()> {
                let code = $crate::platform::websocket::closing_code(code);
                $crate::platform::websocket::close(&socket, code, "");
                ObjectHandlers::closed(&self.object, &socket)
                    .await
                    .map_err($crate::http::error::Error::into_worker)
            }

            async fn websocket_error(
                &self,
                socket: worker::WebSocket,
                _error: worker::Error,
            ) -> worker::Result<()> {
                ObjectHandlers::closed(&self.object, &socket)
                    .await
                    .map_err($crate::http::error::Error::into_worker)
            }

            async fn connect(&self, _socket: worker::Socket) -> worker::Result<()> {
                Err("this object takes no TCP connections".into())
            }
        }
    };
}

pub(crate) use durable_object;
