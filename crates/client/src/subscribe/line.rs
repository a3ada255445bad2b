//! A connection of either transport, as the frames that come over it.

use headstart_protocol::channel::Up;

use super::{
    SubscribeError,
    event_stream::EventStream,
    request::Request,
    socket::Socket,
    sse::{Frame, Reader},
    transport::Transport,
};

/// An open connection.
#[derive(Debug)]
pub struct Line(Kind);

#[derive(Debug)]
enum Kind {
    Sse {
        stream: Box<EventStream>,
        reader: Reader,
    },
    Ws(Box<Socket>),
}

impl Line {
    /// Opens it.
    ///
    /// # Errors
    /// [`SubscribeError`].
    pub async fn open(request: &Request, transport: Transport) -> Result<Self, SubscribeError> {
        Ok(Self(match transport {
            Transport::Sse => Kind::Sse {
                stream: Box::new(EventStream::open(request).await?),
                reader: Reader::default(),
            },
            Transport::Ws => Kind::Ws(Box::new(Socket::open(request).await?)),
        }))
    }

    /// Waits for what comes next, and gives every frame of it to `each`; a WebSocket's message is a frame
    /// that is nothing but data. There may be none: a comment came, or a part of a frame.
    ///
    /// # Errors
    /// [`SubscribeError`]; [`SubscribeError::Connection`] at the end of the connection.
    pub async fn next(&mut self, mut each: impl FnMut(Frame<'_>)) -> Result<(), SubscribeError> {
        let ended = || SubscribeError::connection("the edge ended the connection");
        match &mut self.0 {
            Kind::Sse { stream, reader } => {
                let bytes = stream.next().await?.ok_or_else(ended)?;
                reader
                    .read(&bytes, each)
                    .map_err(|error| SubscribeError::Malformed(error.to_string()))
            }
            Kind::Ws(socket) => {
                let text = socket.next().await?.ok_or_else(ended)?;
                each(Frame {
                    event: &[],
                    id: None,
                    data: text.as_bytes(),
                });
                Ok(())
            }
        }
    }

    /// Returns how long the edge asks a subscriber to wait before it reconnects, in milliseconds.
    #[must_use]
    pub fn retry_ms(&self) -> Option<u64> {
        match &self.0 {
            Kind::Sse { reader, .. } => reader.retry_ms(),
            Kind::Ws(_) => None,
        }
    }

    /// Says something to the edge, where the transport can.
    ///
    /// # Errors
    /// [`SubscribeError::Connection`].
    pub async fn say(&mut self, message: &Up) -> Result<(), SubscribeError> {
        match &mut self.0 {
            Kind::Ws(socket) => socket.send(message).await,
            Kind::Sse { .. } => Ok(()),
        }
    }

    /// Asks whether the edge is there, where the transport can.
    ///
    /// # Errors
    /// [`SubscribeError::Connection`].
    pub async fn ping(&mut self) -> Result<(), SubscribeError> {
        match &mut self.0 {
            Kind::Ws(socket) => socket.ping().await,
            Kind::Sse { .. } => Ok(()),
        }
    }

    /// Says goodbye, where the transport can.
    pub async fn close(&mut self) {
        if let Kind::Ws(socket) = &mut self.0 {
            socket.close().await;
        }
    }
}
