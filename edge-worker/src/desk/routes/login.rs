//! `POST /login`: mints a ticket for a user and stores the login at a desk, from where an origin gets
//! it. The answer goes out once the login is stored.

use std::{cell::RefCell, collections::BTreeMap, fmt::Write, net::IpAddr};

use headstart_edge_rules::under_way::UnderWay;
use headstart_protocol::{
    limits::MAX_LOGIN_BODY_BYTES,
    login::{LoginAccepted, LoginData, LoginRequest},
    signature::{self, ID_HEADER},
    ticket::Ticket,
};
use sha2::{Digest, Sha256};
use worker::console_warn;

use crate::{
    config::{Config, LoginAuth},
    desk::client::{self, Enqueue, Enqueued, Webhook},
    http::{
        answer::Answer,
        error::Error,
        request::{Reply, RequestContext},
    },
    platform,
};

/// The rate limiter's binding.
const LIMITER: &str = "LOGIN_LIMIT";

/// Seconds after which a client that polls for its offer may begin.
const RETRY_AFTER: &str = "1";

/// A login that may be sent.
pub struct Admitted {
    /// The login.
    pub login: LoginRequest,
    /// The body that it came as.
    pub body: Vec<u8>,
    /// What the signed message was, where logins are signed.
    pub webhook: Option<Webhook>,
}

/// Reads a login, and judges whether it may be sent.
///
/// # Errors
/// [`Error::BodyTooLarge`], [`Error::Signature`], [`Error::RateLimited`], [`Error::Login`],
/// [`Error::Platform`].
pub async fn admit(context: &RequestContext, config: &Config) -> Result<Admitted, Error> {
    if config.login_auth == LoginAuth::Open {
        let address = context.header("cf-connecting-ip").unwrap_or_default();
        limit(context, &format!("client:{}", network(&address))).await?;
    }
    let body = platform::read_body(&context.request, MAX_LOGIN_BODY_BYTES).await?;
    let webhook = match &config.login_auth {
        LoginAuth::Open => None,
        LoginAuth::Signed(keys) => {
            let now_ms = context.head.now_ms;
            let id = signature::verify(|name| context.header(name), &body, keys, now_ms)?;
            let digest = digest(&body);
            Some(Webhook { id, digest })
        }
    };
    let login = LoginRequest::from_json(&body)?;
    if webhook.is_some() {
        limit(context, &format!("user:{}", login.user)).await?;
    }
    Ok(Admitted {
        login,
        body,
        webhook,
    })
}

/// `POST /login`
///
/// # Errors
/// Those of [`admit`], and [`Error::LoginConflict`], [`Error::BacklogFull`].
pub async fn post(context: &RequestContext) -> Result<Reply, Error> {
    let config = context.config()?;
    let desk = desk_of(context, config)?;
    let most = config.desks.under_way as usize;
    // Before anything is read of it, so that it costs next to nothing.
    if !under_way(desk, |logins| logins.has_room(most, context.head.now_ms)) {
        return Err(Error::BacklogFull);
    }
    let Admitted { login, webhook, .. } = admit(context, config).await?;
    let ticket = mint(context, config, desk)?;
    let data = LoginData {
        user: login.user,
        attributes: login.attributes,
        geo: platform::client_place(&context.request),
    };
    let source = format!("/edge/{}", context.node);
    let enqueue = Enqueue {
        event: data.to_event(&ticket, &source, context.head.now_ms),
        webhook,
    };
    let ticket = match bring(context, config, desk, &enqueue).await? {
        Enqueued::Stored => ticket,
        Enqueued::Repeated { ticket } => {
            Ticket::verify(&ticket, &config.ticket_keys).map_err(|_| {
                Error::Platform("a repeated login's ticket is of a key that is gone".to_owned())
            })?
        }
        Enqueued::Conflict => return Err(Error::LoginConflict),
        Enqueued::Full => return Err(Error::BacklogFull),
    };
    let accepted = LoginAccepted::new(&ticket);
    Ok(Answer::json(202, &accepted)
        .header("Location", &accepted.offer)
        .header("Retry-After", RETRY_AFTER)
        .header("Cache-Control", "no-store")
        .into())
}

/// Brings a login to its desk, unless too many are on their way. Only from here on it counts: whoever sends a
/// body slowly, or one that is refused, takes nobody's place.
async fn bring(
    context: &RequestContext,
    config: &Config,
    desk: u16,
    login: &Enqueue,
) -> Result<Enqueued, Error> {
    let most = config.desks.under_way as usize;
    let begun = under_way(desk, |logins| logins.begin(most, platform::now_ms()));
    let Some(begun) = begun else {
        return Ok(Enqueued::Full);
    };
    let enqueued = client::enqueue(&context.env, config, desk, login).await;
    under_way(desk, |logins| {
        logins.end(begun);
        if matches!(enqueued, Ok(Enqueued::Full)) {
            logins.refused(platform::now_ms());
        }
    });
    enqueued
}

/// Works with what this isolate has under way to a desk.
fn under_way<T>(desk: u16, work: impl FnOnce(&mut UnderWay) -> T) -> T {
    thread_local! {
        static UNDER_WAY: RefCell<BTreeMap<u16, UnderWay>> = RefCell::default();
    }
    UNDER_WAY.with_borrow_mut(|desks| work(desks.entry(desk).or_default()))
}

/// Refuses a client that logs in too often. A limiter that fails lets everyone through: it protects
/// against floods, and is no reason to turn users away.
async fn limit(context: &RequestContext, key: &str) -> Result<(), Error> {
    let limiter = context.env.rate_limiter(LIMITER)?;
    match limiter.limit(key.to_owned()).await {
        Ok(outcome) if !outcome.success => Err(Error::RateLimited),
        Ok(_) => Ok(()),
        Err(error) => {
            console_warn!("the rate limiter failed: {error}");
            Ok(())
        }
    }
}

/// Returns what counts as one client: an IPv4 address, or the /64 network of an IPv6 one, which is the least
/// that anybody gets and so all of it one client's.
fn network(address: &str) -> String {
    match address.parse::<IpAddr>() {
        Ok(IpAddr::V6(v6)) if v6.to_ipv4_mapped().is_none() => {
            let [a, b, c, d, ..] = v6.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
        }
        _ => address.to_owned(),
    }
}

fn mint(context: &RequestContext, config: &Config, desk: u16) -> Result<Ticket, Error> {
    let key = config.ticket_keys.current();
    Ok(Ticket::mint(context.head.now_ms, desk, random()?, key))
}

fn random() -> Result<[u8; 8], Error> {
    let mut random = [0; 8];
    getrandom::fill(&mut random)
        .map_err(|error| Error::Platform(format!("random bytes: {error}")))?;
    Ok(random)
}

/// Returns which desk takes a login. A signed one is sent again under its `webhook-id`, perhaps from
/// elsewhere, and has to find the desk that knows it: so that alone decides, though it is still to be
/// verified. Any other goes to a desk near the user, who sends it.
fn desk_of(context: &RequestContext, config: &Config) -> Result<u16, Error> {
    let desks = &config.desks;
    if let LoginAuth::Signed(_) = config.login_auth {
        let id = context.header(ID_HEADER).unwrap_or_default();
        return Ok(one_of(desks.count.into(), hash(id.as_bytes())));
    }
    let near = desks.near(platform::client_region(&context.request));
    let at = one_of(near.len() as u64, u64::from_be_bytes(random()?));
    Ok(near.get(usize::from(at)).copied().unwrap_or_default())
}

/// Returns a number below `count`, which is at most 256.
fn one_of(count: u64, hash: u64) -> u16 {
    u16::try_from(hash % count.max(1)).unwrap_or_default()
}

/// Returns the FNV-1a hash in 64 bits.
fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// Returns the SHA-256 of a body in hexadecimal: tells a repeated login from another under the same id.
fn digest(body: &[u8]) -> String {
    Sha256::digest(body)
        .iter()
        .fold(String::with_capacity(64), |mut text, byte| {
            // Writing to a String cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logins_spread_over_all_desks_and_one_name_stays_at_one() {
        let mut counts = [0_u32; 4];
        for n in 0..4000 {
            let desk = || one_of(4, hash(format!("msg_{n}").as_bytes()));
            assert_eq!(desk(), desk());
            counts[usize::from(desk())] += 1;
        }
        assert!(counts.iter().all(|count| *count > 800), "{counts:?}");
        assert_eq!(one_of(1, hash(b"x")), 0);
    }

    #[test]
    fn addresses_of_one_network_are_one_client() {
        assert_eq!(network("192.0.2.7"), "192.0.2.7");
        assert_eq!(network("2001:db8:1:2:3::4"), "2001:db8:1:2::/64");
        assert_eq!(network("2001:db8:1:2:ffff::"), network("2001:db8:1:2::1"));
        assert_ne!(network("2001:db8:1:3::1"), network("2001:db8:1:2::1"));
        assert_eq!(network("::ffff:192.0.2.7"), "::ffff:192.0.2.7");
        assert_eq!(network(""), "");
    }

    #[test]
    fn a_digest_is_sha_256_in_hexadecimal() {
        assert!(digest(b"").starts_with("e3b0c44298fc1c149afbf4c8996fb924"));
    }
}
