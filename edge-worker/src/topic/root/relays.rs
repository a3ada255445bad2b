//! A topic's root object and its relays: who is sent there, who follows, and what is pushed to them. The
//! rules are in `headstart_edge_rules::topic::fanout`.

use std::{rc::Rc, time::Duration};

use headstart_edge_rules::topic::{
    fanout::{Mode, PushOrder},
    messages::Follow,
    region::Region,
};
use worker::web_sys;

use crate::{
    config::Config,
    http::{answer::Answer, error::Error, head::Head, request::Reply},
    platform,
    topic::{
        relay,
        root::object::{Root, number},
        sessions,
    },
};

/// How long a push may take. Longer than a relay may take to hand it on: see [`PushOrder`].
const PUSH_WITHIN: Duration = Duration::from_secs(5);

/// Largest follow, in bytes: a name and three numbers.
const MAX_FOLLOW_BYTES: usize = 1024;

impl Root {
    /// Over how many relays the subscribers of a region are spread; `None` while their place is here.
    pub(super) fn relays_of(&self, region: Region, config: &Config) -> Result<Option<u32>, Error> {
        let own = self.sessions.count();
        let threshold = config.topics.relay_threshold;
        self.with(|root| match root.mode(region, own, threshold) {
            Mode::Local => None,
            Mode::Relays { shards } => Some(shards),
        })
    }

    /// `POST .../follow`
    pub(super) async fn follow(
        self: &Rc<Self>,
        request: &web_sys::Request,
    ) -> Result<Reply, Error> {
        let body = platform::read_body(request, MAX_FOLLOW_BYTES).await?;
        let follow: Follow = serde_json::from_slice(&body)
            .map_err(|error| Error::Platform(format!("a follow: {error}")))?;
        let now = platform::now_ms();
        let (answer, effects) = self.with(|root| root.follow(&follow, now))?;
        self.carry_out(effects)?;
        Ok(Answer::json(200, &answer).into())
    }

    /// `GET .../missed`: what a relay does not remember.
    pub(super) fn missed(&self, head: &Head) -> Result<Reply, Error> {
        let after = number(head, "after");
        let missed = self.with(|root| root.missed(after))?;
        Ok(Answer::json(200, &missed).into())
    }

    /// Pushes, and hears how the relays stand then.
    pub(super) async fn carry_push(self: &Rc<Self>, order: PushOrder) -> Result<(), Error> {
        let push = self.with(|root| root.push(&order))?;
        let loads = self.state.loads();
        let answered = platform::within(
            PUSH_WITHIN,
            relay::client::push(&self.env, &order.to, &push),
        );
        let answered = answered.await;
        if loads != self.state.loads() {
            // It was loaded anew: its orders are numbered from the beginning.
            return Ok(());
        }
        let now = platform::now_ms();
        let effects = match answered {
            Ok(answers) => self.with(|root| root.push_answered(order.id, &answers, now)),
            Err(error) => {
                error.log();
                self.with(|root| root.push_failed(order.id, now))
            }
        }?;
        self.carry_out(effects)?;
        sessions::object::set_alarm(self.as_ref()).await
    }
}
