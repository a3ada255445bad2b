//! `origin-publisher subscribe TOPIC...`: prints what happens on topics.

use std::collections::BTreeMap;

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use headstart_client::{
    clock::whole_ms,
    subscribe::{Start, Subscribe, Subscription, SubscriptionEvent, render, transport::Transport},
    token::Token,
};
use headstart_protocol::{
    channel::Gap, cursor::Cursors, limits::MAX_TOPICS_PER_CONNECTION, topic::TopicName,
};
use serde::Serialize;
use url::Url;

use super::{output::Output, signals::stop_signal};
use crate::arguments::EdgeArg;

/// Arguments of `subscribe`.
#[derive(Debug, Args)]
pub struct SubscribeArgs {
    /// The topics, up to 32, on one connection
    #[arg(
        required = true,
        num_args = 1..=MAX_TOPICS_PER_CONNECTION,
        value_name = "TOPIC",
        value_parser = TopicName::parse
    )]
    topics: Vec<TopicName>,
    /// The edge.
    #[command(flatten)]
    edge: EdgeArg,
    /// How to follow
    #[arg(long, value_enum, default_value_t = Way::Ws)]
    transport: Way,
    /// Begin after this update: its sequence, or of several topics `a=42,b=7`; those that are not named
    /// begin with what comes next
    #[arg(long, value_name = "CURSOR", conflicts_with = "latest")]
    since: Option<String>,
    /// Begin with the latest update of each topic
    #[arg(long)]
    latest: bool,
    /// Tell the edge of each update that it has arrived
    #[arg(long)]
    ack: bool,
    /// Print JSON, one object on each line
    #[arg(long)]
    json: bool,
    /// End after so many updates
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
}

/// How updates travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Way {
    /// A WebSocket.
    Ws,
    /// Server-Sent Events.
    Sse,
}

impl From<Way> for Transport {
    fn from(way: Way) -> Self {
        match way {
            Way::Ws => Self::Ws,
            Way::Sse => Self::Sse,
        }
    }
}

/// The token that opens private topics.
const TOKEN_VARIABLE: &str = "HEADSTART_TOKEN";

/// Returns the token of the environment, where there is one.
///
/// # Errors
/// When it is none, or missing for a private topic.
pub fn token(topics: &[TopicName]) -> anyhow::Result<Option<Token>> {
    match std::env::var(TOKEN_VARIABLE) {
        Ok(text) if !text.trim().is_empty() => Token::new(&text).map(Some).with_context(|| {
            format!("{TOKEN_VARIABLE}: a token is made of visible ASCII characters")
        }),
        _ => match topics.iter().find(|topic| topic.is_private()) {
            Some(topic) => bail!(
                "{topic} is private: {TOKEN_VARIABLE} must hold a token that opens it (`origin-publisher token` makes one)"
            ),
            None => Ok(None),
        },
    }
}

/// Runs the command.
///
/// # Errors
/// When an argument cannot be used, or the edge refuses.
pub async fn run(args: SubscribeArgs, output: &Output) -> anyhow::Result<()> {
    let start = match (&args.since, args.latest) {
        (Some(since), _) => Start::After(Cursors::parse(since, &args.topics).context("--since")?),
        (None, true) => Start::Latest,
        (None, false) => Start::Head,
    };
    let mut subscription = Subscription::new(Subscribe {
        edge: args.edge.url.clone(),
        token: token(&args.topics)?,
        topics: args.topics,
        transport: args.transport.into(),
        start,
        acks: args.ack,
    })?;
    let mut left = args.count;
    let mut stop = std::pin::pin!(stop_signal()?);
    while left != Some(0) {
        let event = tokio::select! {
            event = subscription.next() => event?,
            () = &mut stop => break,
        };
        if let SubscriptionEvent::Update(_) = event {
            left = left.map(|left| left - 1);
        }
        let line = if args.json {
            for_programs(&event)?
        } else {
            for_people(&event, &args.edge.url)
        };
        if let Err(error) = output.line(line) {
            subscription.close().await;
            return Err(error.into());
        }
    }
    subscription.close().await;
    Ok(())
}

fn for_people(event: &SubscriptionEvent, edge: &Url) -> String {
    match event {
        SubscriptionEvent::Connected(welcome) => {
            let heads: Vec<String> = welcome
                .topics
                .iter()
                .map(|(topic, head)| format!("{topic} {head}"))
                .collect();
            format!("connected; the latest: {}", heads.join(", "))
        }
        SubscriptionEvent::Update(update) => render::lines(update),
        // The edge tells of a gap also where it knows less than the subscriber.
        SubscriptionEvent::Gap(gap) if gap.first <= gap.after => format!(
            "{} is ahead of the topic {}, whose numbering may have begun anew: going on with {}",
            gap.after, gap.topic, gap.first
        ),
        SubscriptionEvent::Gap(gap) => format!(
            "gap on {}: what came after {} and before {} is kept no longer",
            gap.topic, gap.after, gap.first
        ),
        SubscriptionEvent::Lost { reason, retry_in } => {
            format!(
                "lost {edge}: {reason}; connecting again in {} ms",
                whole_ms(*retry_in)
            )
        }
    }
}

/// A line for programs. Serialised without a detour, so that data stays as it was sent.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Line<'a> {
    Connected {
        topics: &'a BTreeMap<TopicName, u64>,
    },
    Update(render::Rendered<'a>),
    Gap(&'a Gap),
    Lost {
        reason: &'a str,
        retry_in_ms: u64,
    },
}

fn for_programs(event: &SubscriptionEvent) -> serde_json::Result<String> {
    serde_json::to_string(&match event {
        SubscriptionEvent::Connected(welcome) => Line::Connected {
            topics: &welcome.topics,
        },
        SubscriptionEvent::Update(update) => Line::Update(render::Rendered::of(update)),
        SubscriptionEvent::Gap(gap) => Line::Gap(gap),
        SubscriptionEvent::Lost { reason, retry_in } => Line::Lost {
            reason,
            retry_in_ms: whole_ms(*retry_in),
        },
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use headstart_protocol::channel::Welcome;

    use super::*;

    #[test]
    fn what_happens_is_one_line_and_shows_no_secret() {
        let topic = TopicName::parse("scores/nba").unwrap();
        let edge = Url::parse("https://edge.example").unwrap();
        let happenings = [
            SubscriptionEvent::Connected(Welcome {
                subscriber: "secret".to_owned().into(),
                topics: BTreeMap::from([(topic.clone(), 57)]),
            }),
            SubscriptionEvent::Gap(Gap {
                topic: topic.clone(),
                after: 42,
                first: 50,
            }),
            SubscriptionEvent::Gap(Gap {
                topic,
                after: 99_999,
                first: 1,
            }),
            SubscriptionEvent::Lost {
                reason: "the edge ended the connection".to_owned(),
                retry_in: Duration::from_millis(250),
            },
        ];
        let told: Vec<String> = happenings
            .iter()
            .map(|event| for_people(event, &edge))
            .collect();
        assert_eq!(
            told,
            [
                "connected; the latest: scores/nba 57",
                "gap on scores/nba: what came after 42 and before 50 is kept no longer",
                "99999 is ahead of the topic scores/nba, whose numbering may have begun anew: going on with 1",
                "lost https://edge.example/: the edge ended the connection; connecting again in 250 ms",
            ]
        );
        let told: Vec<String> = happenings
            .iter()
            .map(|event| for_programs(event).unwrap())
            .collect();
        assert_eq!(
            told,
            [
                r#"{"connected":{"topics":{"scores/nba":57}}}"#,
                r#"{"gap":{"topic":"scores/nba","after":42,"first":50}}"#,
                r#"{"gap":{"topic":"scores/nba","after":99999,"first":1}}"#,
                r#"{"lost":{"reason":"the edge ended the connection","retry_in_ms":250}}"#,
            ]
        );
    }
}
