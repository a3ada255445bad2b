//! What is said over an open link. What is held outlives it: the next link to the desk goes on.

use std::{collections::HashSet, time::Duration};

use futures_util::{SinkExt, StreamExt};
use headstart_protocol::{
    channel::{PING_TEXT, PONG_TEXT},
    link::{DEAD_AFTER_MS, FromEdge, FromOrigin, MAX_HELD_PER_HELLO, PING_EVERY_MS},
};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, MissedTickBehavior, interval, sleep_until},
};
use tokio_tungstenite::tungstenite::{
    self, Message,
    protocol::{CloseFrame, frame::coding::CloseCode},
};

use super::{Links, handshake::Socket, lease};
use crate::shutdown::Shutdown;

/// How long the edge may take for its welcome.
const WELCOME_TIMEOUT: Duration = Duration::from_secs(10);

/// How often the edge is pinged. That also keeps proxies from closing an idle link.
const PING_EVERY: Duration = Duration::from_millis(PING_EVERY_MS);

/// A link over which nothing came for this long is dead.
const DEAD_AFTER: Duration = Duration::from_millis(DEAD_AFTER_MS);

/// How long an ack waits for others to go with it. By then the event has mostly reached the desk, and the ack
/// changes nothing there.
const ACKS_TOGETHER: Duration = Duration::from_millis(20);

/// How long a message may take to be handed to the network. Longer means nobody takes it.
const SEND_TIMEOUT: Duration = Duration::from_secs(10);

/// What this origin holds of one desk, whichever link it came over.
#[derive(Debug)]
pub(super) struct Desk {
    number: u32,
    held: HashSet<String>,
    /// Answers of finished leases, until a link takes them.
    answers: mpsc::UnboundedReceiver<FromOrigin>,
    answer: mpsc::UnboundedSender<FromOrigin>,
    /// Leases that are done, to be acked together.
    done: Vec<String>,
    /// When they are acked at the latest, where there are any.
    ack_at: Instant,
}

/// Why a link ended.
#[derive(Debug)]
pub(super) enum Ended {
    /// The origin is going, and holds nothing any more.
    Drained,
    /// It broke.
    Lost {
        /// Whether the edge had welcomed the origin: then it was a good link.
        welcomed: bool,
        /// What broke it.
        reason: String,
    },
}

impl Desk {
    pub(super) fn new(number: u32) -> Self {
        let (answer, answers) = mpsc::unbounded_channel();
        Self {
            number,
            held: HashSet::new(),
            answers,
            answer,
            done: Vec::new(),
            ack_at: Instant::now(),
        }
    }

    /// Waits until nothing is held, or all is to stop. Without a link nobody hears the answers; the
    /// edge learns of what settled by its event, and leases the rest to another origin.
    pub(super) async fn finish(&mut self, shutdown: &Shutdown) {
        for lease in self.done.drain(..) {
            self.held.remove(&lease);
        }
        while !self.held.is_empty() {
            tokio::select! {
                answer = self.answers.recv() => match answer {
                    Some(answer) => self.forget(&answer),
                    None => return,
                },
                () = shutdown.over() => return,
            }
        }
    }

    fn forget(&mut self, answer: &FromOrigin) {
        let leases = match answer {
            FromOrigin::Ack { leases } => leases.as_slice(),
            FromOrigin::Release { lease } => std::slice::from_ref(lease),
            FromOrigin::Hello { .. } | FromOrigin::Drain {} => &[],
        };
        for lease in leases {
            self.held.remove(lease);
        }
    }

    /// Takes an answer: says it at once, or, an ack, with others.
    async fn take(&mut self, answer: FromOrigin, link: &mut Link) -> Result<(), String> {
        if let FromOrigin::Ack { leases } = answer {
            if self.done.is_empty() {
                self.ack_at = Instant::now() + ACKS_TOGETHER;
            }
            self.done.extend(leases);
            return Ok(());
        }
        let said = link.say(&answer).await;
        if said.is_ok() {
            self.forget(&answer);
        } else {
            // For the next link. The desk itself keeps the other end open.
            let _ = self.answer.send(answer);
        }
        said
    }

    /// Says the acks that have waited for each other. What is not said is for the next link.
    async fn ack(&mut self, link: &mut Link) -> Result<(), String> {
        while !self.done.is_empty() {
            let count = self.done.len().min(MAX_HELD_PER_HELLO);
            let leases = self.done[..count].to_vec();
            let ack = FromOrigin::Ack { leases };
            link.say(&ack).await?;
            self.done.drain(..count);
            self.forget(&ack);
        }
        Ok(())
    }
}

/// Speaks with the edge until the link breaks or the origin has drained.
pub(super) async fn hold(
    links: &Links,
    desk: &mut Desk,
    socket: Socket,
    desks: &watch::Sender<u32>,
) -> Ended {
    let mut link = Link {
        socket,
        heard_at: Instant::now(),
    };
    let mut welcomed = false;
    match speak(links, desk, &mut link, desks, &mut welcomed).await {
        Ok(()) => Ended::Drained,
        Err(reason) => Ended::Lost { welcomed, reason },
    }
}

async fn speak(
    links: &Links,
    desk: &mut Desk,
    link: &mut Link,
    desks: &watch::Sender<u32>,
    welcomed: &mut bool,
) -> Result<(), String> {
    let edge = links.edge.name();
    let count = tokio::time::timeout(WELCOME_TIMEOUT, link.welcome())
        .await
        .map_err(|_| "the edge sent no welcome".to_owned())??;
    *welcomed = true;
    links.recovery.send_replace(());
    let metrics = links.pipeline.metrics();
    let _open = metrics.link_open(edge.clone());
    // Only one desk need tell, and all tell the same.
    desks.send_if_modified(|known| std::mem::replace(known, count) != count);
    links.pipeline.learn_desks(count);
    let capacity = capacity_of_one(links.capacity, count);
    let mut takes_logins = links.takes_logins();
    let wanted = if takes_logins { capacity } else { 0 };
    link.greet(links, wanted, &desk.held).await?;
    tracing::info!(
        edge,
        desk = desk.number,
        desks = count,
        capacity,
        held = desk.held.len(),
        "linked"
    );

    let mut pings = interval(PING_EVERY);
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut drain_said = false;
    loop {
        if drain_said && desk.held.is_empty() {
            link.close().await;
            return Ok(());
        }
        let dead_at = link.heard_at + DEAD_AFTER;
        tokio::select! {
            // Answers before news: what is done must reach the edge even under a flood of leases.
            biased;
            Some(answer) = desk.answers.recv() => {
                desk.take(answer, link).await?;
            }
            () = sleep_until(desk.ack_at), if !desk.done.is_empty() => desk.ack(link).await?,
            () = links.shutdown.over() => {
                desk.ack(link).await?;
                for lease in desk.held.drain() {
                    link.say(&FromOrigin::Release { lease }).await?;
                }
                drain_said = true;
            }
            () = links.shutdown.drained(), if !drain_said => {
                link.say(&FromOrigin::Drain {}).await?;
                drain_said = true;
            }
            () = links.turns(!takes_logins), if !drain_said => {
                takes_logins = !takes_logins;
                if takes_logins {
                    link.greet(links, capacity, &desk.held).await?;
                } else {
                    link.say(&FromOrigin::Drain {}).await?;
                }
            }
            _ = pings.tick() => link.send(Message::text(PING_TEXT)).await?,
            heard = link.hear() => match heard? {
                Some(FromEdge::Lease { lease, expires_in_ms, event }) => {
                    if drain_said || !takes_logins {
                        // Sent before the edge heard of the drain.
                        link.say(&FromOrigin::Release { lease }).await?;
                    } else if desk.held.insert(lease.clone()) {
                        metrics.login_from("link");
                        let work = lease::work(links.pipeline.clone(), lease, *event, Duration::from_millis(expires_in_ms));
                        let answer = desk.answer.clone();
                        tokio::spawn(async move {
                            // Nobody listens only once the desk has given up waiting.
                            let _ = answer.send(work.await);
                        });
                    }
                }
                Some(FromEdge::Welcome { .. }) | None => {}
            },
            // After what has come: it may only be this process that stood still.
            () = sleep_until(dead_at) => {
                return Err(format!("nothing heard for {} s", DEAD_AFTER.as_secs()));
            }
        }
    }
}

/// Returns what an origin says first: a hello with all that it holds, or several, of which only the last one
/// asks for leases.
fn hellos(links: &Links, capacity: u32, held: &HashSet<String>) -> Vec<FromOrigin> {
    let held: Vec<String> = held.iter().cloned().collect();
    let mut parts: Vec<&[String]> = held.chunks(MAX_HELD_PER_HELLO).collect();
    let last = parts.pop().unwrap_or_default();
    let hello = |held: &[String], capacity| FromOrigin::Hello {
        origin: links.origin.clone(),
        instance: links.instance.clone(),
        capacity,
        held: held.to_vec(),
    };
    let mut hellos: Vec<FromOrigin> = parts.into_iter().map(|part| hello(part, 0)).collect();
    hellos.push(hello(last, capacity));
    hellos
}

/// Returns the share of one link: all links feed the same pool.
fn capacity_of_one(capacity: usize, desks: u32) -> u32 {
    let capacity = u32::try_from(capacity).unwrap_or(u32::MAX);
    capacity.div_ceil(desks.max(1)).max(1)
}

struct Link {
    socket: Socket,
    heard_at: Instant,
}

impl Link {
    /// Waits for the next message; `None` for what is no message of the link.
    async fn hear(&mut self) -> Result<Option<FromEdge>, String> {
        let frame = match self.socket.next().await {
            Some(Ok(frame)) => frame,
            Some(Err(error)) => return Err(error.to_string()),
            None => return Err("the edge ended the link".to_owned()),
        };
        self.heard_at = Instant::now();
        match frame {
            Message::Text(text) if text == PONG_TEXT => Ok(None),
            Message::Text(text) => match serde_json::from_str(&text) {
                Ok(message) => Ok(Some(message)),
                Err(error) => {
                    // Its text may hold a ticket; the error of an enum's name does not.
                    tracing::warn!(
                        line = error.line(),
                        column = error.column(),
                        "a message of the edge cannot be read"
                    );
                    Ok(None)
                }
            },
            Message::Close(frame) => Err(frame.map_or_else(
                || "the edge closed the link".to_owned(),
                |frame| format!("the edge closed the link: {} {}", frame.code, frame.reason),
            )),
            // The library answers pings by itself.
            Message::Ping(_) | Message::Pong(_) | Message::Binary(_) | Message::Frame(_) => {
                Ok(None)
            }
        }
    }

    /// Waits for the welcome and returns the number of desks.
    async fn welcome(&mut self) -> Result<u32, String> {
        loop {
            if let Some(FromEdge::Welcome { desks, .. }) = self.hear().await? {
                return Ok(desks);
            }
        }
    }

    /// Says hello, and how many leases are wanted.
    async fn greet(
        &mut self,
        links: &Links,
        capacity: u32,
        held: &HashSet<String>,
    ) -> Result<(), String> {
        for hello in hellos(links, capacity, held) {
            self.say(&hello).await?;
        }
        Ok(())
    }

    async fn say(&mut self, message: &FromOrigin) -> Result<(), String> {
        let text = serde_json::to_string(message).map_err(|error| error.to_string())?;
        self.send(Message::text(text)).await
    }

    async fn send(&mut self, message: Message) -> Result<(), String> {
        tokio::time::timeout(SEND_TIMEOUT, self.socket.send(message))
            .await
            .map_err(|_| "the edge takes no more messages".to_owned())?
            .map_err(|error| error.to_string())
    }

    /// Says goodbye, and waits a moment for the edge to have heard all that was said before.
    async fn close(&mut self) {
        let goodbye = CloseFrame {
            code: CloseCode::Normal,
            reason: "".into(),
        };
        let closing = async {
            self.socket.close(Some(goodbye)).await?;
            while let Some(frame) = self.socket.next().await {
                frame?;
            }
            Ok::<_, tungstenite::Error>(())
        };
        // Whether or not the edge answers, the origin goes.
        let _ = tokio::time::timeout(Duration::from_secs(1), closing).await;
    }
}
