//! Who is connected to a topic, at its root object and at its relays, and who watches that. The rules are
//! in `presence.rs`.

use std::rc::Rc;

use futures_util::future::join_all;
use headstart_protocol::{presence::SubscriberList, sse::Frame};
use serde::Serialize;
use worker::web_sys;

use super::{
    host, presence, relay,
    relay_name::{ROOT, RelayName},
    root_object::Root,
    seat,
    subscription::Subscription,
};
use crate::{
    answer::Answer, call::Reply, config::Config, delivery, error::Error, head::Head, platform,
    tickets::stream_headers, waiters,
};

/// What the root knows of who is connected, beside its own connections.
#[derive(Debug, Default)]
pub struct Presence {
    /// What those who watch were told last; nothing while nobody does.
    watched: Option<presence::Told>,
    /// Who is at the relays, and when they were asked.
    at_relays: Option<(u64, Vec<SubscriberList>)>,
}

impl Root {
    /// Who is connected now. The relays are asked at most every [`presence::TELL_EVERY_MS`].
    async fn list(&self) -> Result<SubscriberList, Error> {
        host::forget_ended(self)?;
        let now = platform::now_ms();
        let (topic, relays) = self.with(|memory| {
            let known = memory.presence.at_relays.as_ref();
            let fresh = known.is_some_and(|(at, _)| now < at + presence::TELL_EVERY_MS);
            let relays = memory.spread.relays().map(|(name, _)| name.clone());
            let relays: Option<Vec<RelayName>> = (!fresh).then(|| relays.collect());
            (memory.topic.clone(), relays)
        })?;
        if let Some(relays) = relays {
            let asked = relays
                .iter()
                .map(|name| relay::subscribers(&self.env, name, &topic));
            let answers = join_all(asked).await.into_iter();
            // One that cannot be asked now is asked again in a second.
            let lists = answers.filter_map(|answer| answer.map_err(|error| error.log()).ok());
            let lists = lists.collect();
            self.with(|memory| memory.presence.at_relays = Some((now, lists)))?;
        }
        let own = self.connections.list(&topic);
        self.with(|memory| {
            let at_relays = memory.presence.at_relays.iter();
            let lists = at_relays.flat_map(|(_, lists)| lists.iter().cloned());
            presence::merge(&topic, lists.chain([own]))
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
        let crowd = &self.connections.crowd;
        if crowd.watchers() >= waiters::MAX_WAITERS {
            return Err(Error::TooManySubscribers);
        }
        let list = self.list().await?;
        let mut first = delivery::opening(platform::random());
        first.extend(frame("subscribers", &list));
        let at_most = subscription.right_lasts(head.now_ms);
        let id = seat::new_id(ROOT)?;
        let stream = crowd.open_watcher(&id, &first, config.stream_life, at_most);
        let begun = self.with(|memory| {
            let begun = memory.presence.watched.is_none();
            if begun {
                let told = presence::Told::list(&list, platform::now_ms());
                memory.presence.watched = Some(told);
            }
            begun
        })?;
        if begun {
            self.tell_watchers_later();
        }
        let answer = stream_headers(Answer::new(200)).stream(stream);
        Ok(host::served_from_here(answer, &subscription.node))
    }

    fn tell_watchers_later(self: &Rc<Self>) {
        self.later(presence::TELL_EVERY_MS, |root| async move {
            root.tell_watchers().await
        });
    }

    /// Tells those who watch what has changed, and goes on every second until nobody watches.
    async fn tell_watchers(self: &Rc<Self>) -> Result<(), Error> {
        let crowd = &self.connections.crowd;
        if crowd.watchers() == 0 {
            return self.with(|memory| memory.presence.watched = None);
        }
        let list = self.list().await?;
        let changes = self.with(|memory| {
            let told = memory.presence.watched.as_mut()?;
            told.changes(&list, platform::now_ms())
        })?;
        if let Some(changes) = changes {
            crowd.write_watchers(&frame("changes", &changes));
        }
        self.tell_watchers_later();
        Ok(())
    }
}

/// A frame of the stream of who is connected.
fn frame<T: Serialize>(event: &str, value: &T) -> Vec<u8> {
    Frame {
        event: Some(event),
        // Names and numbers have a JSON form.
        data: Some(&serde_json::to_string(value).unwrap_or_default()),
        ..Frame::default()
    }
    .encode()
}
