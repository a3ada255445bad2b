//! What a root and its relays say to each other, in JSON.
//!
//! ```text
//! relay -> root    Follow        "these are my subscribers, and I have everything up to here"
//!          answer  FollowAnswer  what it missed
//! root  -> relay   Push          "after that one come these; hand them on to those relays, too"
//!          answer  [PushAnswer]  up to where the relay, and each that it handed on to, is now
//! ```

use headstart_protocol::topic::TopicName;
use serde::{Deserialize, Serialize};

use crate::topic::{history::Replay, relay_name::RelayName, update::Update};

/// A relay has subscribers and wants a topic's updates. It says so when the first one comes, and then
/// every [`crate::topic::follower::FOLLOW_EVERY_MS`], so a root that forgot it learns of it again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Follow {
    /// The relay.
    pub relay: RelayName,
    /// A random number, another one each time that the relay begins to follow anew: what was said under
    /// an earlier one says nothing about this one.
    pub epoch: u64,
    /// It has everything up to this sequence; absent when it wants to start at the head.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub have: Option<u64>,
    /// How many subscribers the topic has at the relay.
    pub subscribers: u32,
}

/// The root's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FollowAnswer {
    /// Over how many relays the topic's subscribers in the relay's region are spread now.
    pub shards: u32,
    /// The updates after `have`.
    pub missed: Replay,
}

/// New updates for a relay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Push {
    /// The topic.
    pub topic: TopicName,
    /// The epoch under which the relay follows, as far as the root knows.
    pub epoch: u64,
    /// The sequence before the first update. A relay that has not got so far takes none of them, and
    /// says where it is.
    pub after: u64,
    /// Of what was up to `after` nothing is left at the root: a relay that has not got so far goes on
    /// from there, with a gap.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub gap: bool,
    /// The updates; none when the root only asks where the relay is.
    pub updates: Vec<Update>,
    /// Whom the relay hands this push on to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub forward: Vec<Forward>,
}

/// A relay that another relay hands a push on to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forward {
    /// The relay.
    pub relay: RelayName,
    /// The epoch under which it follows.
    pub epoch: u64,
}

impl Push {
    /// Returns what the relay hands on and to whom, which leaves first, and what it then applies itself.
    #[must_use]
    pub fn hand_on(mut self) -> (Vec<(RelayName, Self)>, Self) {
        let forward = std::mem::take(&mut self.forward);
        let handed_on = forward.into_iter().map(|to| {
            let push = Self {
                epoch: to.epoch,
                ..self.clone()
            };
            (to.relay, push)
        });
        (handed_on.collect(), self)
    }
}

/// How a relay stands after a push. The relay that handed it on answers for every relay that it
/// reached; one that is missing in the answer was not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PushAnswer {
    /// The relay.
    pub relay: RelayName,
    /// The epoch of the push.
    pub epoch: u64,
    /// How many subscribers the topic has there.
    pub subscribers: u32,
    /// How it stands.
    pub standing: Standing,
}

/// Whether a relay follows, and how far it has got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// It has everything up to this sequence.
    Have(u64),
    /// It has no subscribers and wants nothing.
    Unfollow,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topic::update::tests::update;

    fn relay(name: &str) -> RelayName {
        RelayName::parse(name).unwrap()
    }

    #[test]
    fn messages_are_read_as_they_were_written() {
        let follow = Follow {
            relay: relay("weur:0:a"),
            epoch: u64::MAX,
            have: None,
            subscribers: 3,
        };
        let json = r#"{"relay":"weur:0:a","epoch":18446744073709551615,"subscribers":3}"#;
        assert_eq!(serde_json::to_string(&follow).unwrap(), json);
        assert_eq!(serde_json::from_str::<Follow>(json).unwrap(), follow);

        let answer = FollowAnswer {
            shards: 2,
            missed: Replay {
                after: 3,
                head: 9,
                gap: Some(7),
                updates: vec![update(7)],
                more: true,
            },
        };
        let json = serde_json::to_string(&answer).unwrap();
        assert_eq!(serde_json::from_str::<FollowAnswer>(&json).unwrap(), answer);

        let answers = [Standing::Have(7), Standing::Unfollow].map(|standing| PushAnswer {
            relay: relay("many:oc:1"),
            epoch: 1,
            subscribers: 0,
            standing,
        });
        let json = serde_json::to_string(&answers).unwrap();
        assert!(json.contains(r#""standing":{"have":7}"#), "{json}");
        assert_eq!(
            serde_json::from_str::<[PushAnswer; 2]>(&json).unwrap(),
            answers
        );
    }

    #[test]
    fn a_push_is_handed_on_under_each_relays_own_epoch_and_no_further() {
        let push = Push {
            topic: TopicName::parse("a").unwrap(),
            epoch: 1,
            after: 6,
            gap: false,
            updates: vec![update(7)],
            forward: vec![Forward {
                relay: relay("weur:1:a"),
                epoch: 2,
            }],
        };
        let json = serde_json::to_string(&push).unwrap();
        assert_eq!(serde_json::from_str::<Push>(&json).unwrap(), push);
        let (handed_on, own) = push.clone().hand_on();
        assert_eq!(handed_on.len(), 1);
        let (to, handed_on) = &handed_on[0];
        assert_eq!((to.to_string().as_str(), handed_on.epoch), ("weur:1:a", 2));
        assert!(handed_on.forward.is_empty() && own.forward.is_empty());
        assert_eq!((own.epoch, own.after), (push.epoch, push.after));
        assert_eq!(handed_on.updates, push.updates);
    }
}
