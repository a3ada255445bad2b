//! Who is connected to a topic, at its root object and at its relays, and who watches that. The rules are
//! in `headstart_edge_rules::topic::root_presence`.

use std::{rc::Rc, time::Duration};

use futures_util::future::join_all;
use headstart_edge_rules::topic::{presence, relay_name::RelayName, subscription::Subscription};
use headstart_protocol::{
    limits::{MAX_PRESENCE_LIST, MAX_WAITERS},
    presence::SubscriberList,
    sse::{self, Frame},
};
use serde::Serialize;
use worker::web_sys;

use crate::{
    config::Config,
    http::{answer::Answer, error::Error, head::Head, request::Reply},
    platform::{self, wake},
    ticket::routes::stream_headers,
    topic::{relay, root::object::Root, sessions},
};

/// How long a relay may take to say who is there.
const ASK_WITHIN: Duration = Duration::from_secs(3);

impl Root {
    /// Returns who is connected now. The relays are asked at most every [`presence::TELL_EVERY_MS`], each for
    /// its share of what a list holds.
    async fn list(&self) -> Result<SubscriberList, Error> {
        sessions::object::forget_ended(self)?;
        let topic = self.with(|root| root.topic().clone())?;
        let asking = format!("{} asks its relays", self.sessions.sockets.object());
        while self.presence.borrow().is_asking() {
            wake::wait(&asking, ASK_WITHIN).await;
        }
        if let Some(relays) = self.relays_to_ask()? {
            let most = MAX_PRESENCE_LIST.div_ceil(relays.len().max(1));
            let asked = relays.iter().map(|name| {
                let list = relay::client::subscribers(&self.env, name, &topic, most);
                platform::within(ASK_WITHIN, list)
            });
            let answers = join_all(asked).await.into_iter();
            // One that cannot be asked now is asked again in a second.
            let lists = answers.filter_map(|answer| answer.map_err(|error| error.log()).ok());
            let (lists, now) = (lists.collect(), platform::now_ms());
            self.presence.borrow_mut().relays_said(lists, now);
            wake::wake_all(&asking);
        }
        let own = self.sessions.list(&topic);
        Ok(self.presence.borrow().list(own))
    }

    /// Returns the relays, if what they have said is no longer fresh.
    fn relays_to_ask(&self) -> Result<Option<Vec<RelayName>>, Error> {
        let now = platform::now_ms();
        self.with(|root| {
            let relays = root.relays().cloned();
            let is_due = self.presence.borrow_mut().ask(now);
            is_due.then(|| relays.collect())
        })
    }

    pub(super) async fn subscribers(&self) -> Result<Reply, Error> {
        Ok(Answer::json(200, &self.list().await?).into())
    }

    /// Opens a stream of who is connected: all of them first, then changes.
    pub(super) async fn watch(
        self: &Rc<Self>,
        request: &web_sys::Request,
        head: &Head,
        config: &Config,
    ) -> Result<Reply, Error> {
        let subscription: Subscription = platform::read_subscription(request)?;
        let watchers = &self.sessions.sockets.watchers;
        if watchers.count() >= MAX_WAITERS {
            return Err(Error::TooManySubscribers);
        }
        let list = self.list().await?;
        let mut first = sse::opening(platform::random());
        first.extend(frame("subscribers", &list));
        let at_most = subscription.right_lasts(head.now_ms);
        let stream = watchers.open("", &first, config.stream_life, at_most);
        let now = platform::now_ms();
        let begun = self.presence.borrow_mut().watch(&list, now);
        if begun {
            self.tell_watchers_later();
        }
        let answer = stream_headers(Answer::new(200)).stream(stream);
        Ok(sessions::object::served_from_here(
            answer,
            &subscription.node,
        ))
    }

    fn tell_watchers_later(self: &Rc<Self>) {
        self.later(presence::TELL_EVERY_MS, |root| async move {
            root.tell_watchers().await
        });
    }

    /// Tells those who watch what has changed, and goes on every second until nobody watches.
    async fn tell_watchers(self: &Rc<Self>) -> Result<(), Error> {
        let watchers = &self.sessions.sockets.watchers;
        if watchers.count() == 0 {
            self.presence.borrow_mut().unwatched();
            return Ok(());
        }
        let list = self.list().await?;
        let now = platform::now_ms();
        let changes = self.presence.borrow_mut().changes(&list, now);
        if let Some(changes) = changes {
            watchers.write("", &frame("changes", &changes));
        }
        self.tell_watchers_later();
        Ok(())
    }
}

/// Returns a frame of the stream of who is connected.
fn frame<T: Serialize>(event: &str, value: &T) -> Vec<u8> {
    Frame {
        event: Some(event),
        // Names and numbers have a JSON form.
        data: Some(&serde_json::to_string(value).unwrap_or_default()),
        ..Frame::default()
    }
    .encode()
}
