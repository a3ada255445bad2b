//! The edge's settings, read from the deployment's variables, secrets and bindings once per isolate.
//!
//! | name | default | what |
//! |---|---|---|
//! | `TICKET_KEY` (secret) | | mints and verifies tickets |
//! | `ORIGIN_KEYS` (secret) | | verify `POST /events` and `GET /origin/link` |
//! | `LOGIN_KEYS` (secret) | | verify `POST /login` where `LOGIN_AUTH` is `signed` |
//! | `LOGIN_AUTH` | `signed` | who may log in: `signed`, or `open` to all |
//! | `TOKEN_KEYS` (secret) | none | verify the tokens of subscribers; without it nobody may into `private/` topics |
//! | `TOKEN_AUDIENCE` | none | whom the `aud` of every token must name; without it a token may have none |
//! | `ORIGIN_URL` | none | the origin's listener, for `POST /offers`, which asks it while the client waits |
//! | `CORS_ORIGINS` | none | pages that may call the edge, comma separated; `*` for all |
//! | `LOGIN_DESKS` | 1 | over how many desks logins are spread; 1 to 256 |
//! | `DESK_REGIONS` | none | in which part of the world each desk is, comma separated: `weur,enam` |
//! | `DESK_WAITERS` | 5000 | most streams and long polls at one desk; 1 to 30,000 |
//! | `DESK_BYTES` | 4 GB | how much one desk stores before it takes no more logins; 1 MB to 4 GB |
//! | `LOGINS_UNDER_WAY` | 64 | most logins that an isolate brings to the desks at a time; 1 to 10,000 |
//! | `LOGIN_TIMEOUT_SECONDS` | 30 | until a login that no origin takes fails; 1 to 600 |
//! | `LEASE_SECONDS` | 30 | until a login that is not acked goes to another origin; 1 to 600 |
//! | `SETTLE_SECONDS` | 60 | until a login that is acked, and whose event has not come, does; 1 to 600 |
//! | `TICKET_TTL_SECONDS` | 3600 | how long a ticket lives; 1 to 604,800 (a week) |
//! | `TICKET_YOUNG_SECONDS` | 60 | how long KV is not asked for a ticket's offer; 0 switches that off |
//! | `STREAM_LIFE_SECONDS` | 300 | when a stream of Server-Sent Events is ended, give or take a tenth; 1 to 3,600 |
//! | `MEMORY_CACHE_BYTES` | 16 MiB | what an isolate may remember; 0 to 64 MiB |
//! | `HISTORY_COUNT` | 1000 | most updates that a topic remembers; 1 to 100,000 |
//! | `HISTORY_BYTES` | 1 MiB | most bytes of them; 64 KiB to 16 MiB |
//! | `HISTORY_SECONDS` | 3600 | for how long it remembers them; 1 to 604,800 |
//! | `PRESENCE` | `on` | whether it is told who is connected: `on` or `off` |
//! | `RELAY_THRESHOLD` | 2000 | how many subscribers a topic's root has before others go to relays; 0 to 30,000 |
//! | `RELAY_CAPACITY` | 10000 | most subscribers of one relay; 5 to 30,000 |

use std::{cell::OnceCell, ops::RangeInclusive, rc::Rc, time::Duration};

use headstart_edge_rules::{
    desk::DeskTimes,
    topic::{history::HistoryLimits, region::Region},
};
use headstart_protocol::{keys::KeyRing, ticket::TicketTimes};
use worker::{Env, console_error, console_warn, js_sys::Reflect, wasm_bindgen::JsValue};

use crate::http::{
    cors::Cors,
    error::{Error, Misconfigured},
};

/// What a deployment that lets anyone log in says of itself.
pub const OPEN_WARNING: &str =
    "LOGIN_AUTH is open: anyone may log in as anyone. For development and demos only.";

/// Bindings without which the edge cannot work.
const BINDINGS: [&str; 5] = ["CONTENT", "DESKS", "LOGIN_LIMIT", "TOPICS", "RELAYS"];

/// Who may send a login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LoginAuth {
    /// Whoever signs with one of these keys.
    Signed(KeyRing),
    /// Anyone.
    Open,
}

impl LoginAuth {
    /// Returns the value as `LOGIN_AUTH` spells it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Signed(_) => "signed",
            Self::Open => "open",
        }
    }
}

/// The settings, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Mint and verify tickets.
    pub ticket_keys: KeyRing,
    /// Verify what origins send.
    pub origin_keys: KeyRing,
    /// Who may log in.
    pub login_auth: LoginAuth,
    /// Which pages may call.
    pub cors: Cors,
    /// The origin's listener, without a slash at its end.
    pub origin_url: Option<String>,
    /// The desks.
    pub desks: DeskSettings,
    /// How long tickets live and are young.
    pub ticket_times: TicketTimes,
    /// How long a stream of Server-Sent Events stays open, before jitter. It keeps its object awake, which a
    /// WebSocket does not.
    pub stream_life: Duration,
    /// What an isolate may remember, in bytes.
    pub memory_cache_bytes: usize,
    /// How topics behave.
    pub topics: TopicSettings,
}

/// The desks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeskSettings {
    /// How many there are: logins are spread over them.
    pub count: u16,
    /// Where each is; empty where they are wherever they were first asked.
    pub regions: Vec<Region>,
    /// Most streams and long polls at one of them.
    pub waiters: u32,
    /// How much one of them stores before it takes no more logins, in bytes.
    pub bytes: usize,
    /// Most logins that an isolate brings to them at a time.
    pub under_way: u32,
    /// Their time-outs.
    pub times: DeskTimes,
}

impl DeskSettings {
    /// Returns in which part of the world a desk is to be made; `None` for anywhere.
    pub fn region(&self, desk: u16) -> Option<Region> {
        self.regions.get(usize::from(desk)).copied()
    }

    /// Returns the desks that take logins from a part of the world: those that are there, or all.
    pub fn near(&self, region: Region) -> Vec<u16> {
        let all = 0..self.count;
        let near: Vec<u16> = all
            .clone()
            .filter(|desk| self.region(*desk) == Some(region))
            .collect();
        if near.is_empty() { all.collect() } else { near }
    }
}

/// How topics behave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicSettings {
    /// Verify the tokens of subscribers; without them private topics are closed to all.
    pub token_keys: Option<KeyRing>,
    /// Whom tokens must name.
    pub token_audience: Option<String>,
    /// What a topic remembers.
    pub history: HistoryLimits,
    /// How many subscribers a topic's root has before others are sent to relays. The platform takes
    /// 32,768 WebSockets at one object.
    pub relay_threshold: u32,
    /// Most subscribers of one relay.
    pub relay_capacity: u32,
    /// Whether it is told who is connected.
    pub presence: bool,
}

impl Config {
    /// Reads the settings: `var` gives a variable or secret, `bound` says whether a binding is there.
    ///
    /// # Errors
    /// Everything that is wrong, at once.
    pub fn parse(
        var: impl Fn(&str) -> Option<String>,
        bound: impl Fn(&str) -> bool,
    ) -> Result<Self, Misconfigured> {
        let mut reader = Reader {
            var,
            wrong: Vec::new(),
        };
        for name in BINDINGS {
            if !bound(name) {
                reader.wrong.push(format!("the binding {name} is missing"));
            }
        }
        let ticket_keys = reader.keys("TICKET_KEY");
        let origin_keys = reader.keys("ORIGIN_KEYS");
        let login_auth = reader.login_auth();
        let cors = reader.cors();
        let origin_url = reader.origin_url();
        let desks = reader.desks();
        let ttl = reader.number("TICKET_TTL_SECONDS", 3600, 1..=604_800);
        let young = reader.number("TICKET_YOUNG_SECONDS", 60, 0..=3600);
        let stream_life = reader.number("STREAM_LIFE_SECONDS", 300, 1..=3600);
        let memory_cache_bytes =
            reader.number("MEMORY_CACHE_BYTES", 16 * 1024 * 1024, 0..=64 * 1024 * 1024);
        let topics = reader.topics();
        match (ticket_keys, origin_keys, login_auth, reader.wrong) {
            (Some(ticket_keys), Some(origin_keys), Some(login_auth), wrong) if wrong.is_empty() => {
                Ok(Self {
                    ticket_keys,
                    origin_keys,
                    login_auth,
                    cors,
                    origin_url,
                    desks,
                    ticket_times: TicketTimes {
                        ttl_ms: u64::from(ttl) * 1000,
                        young_ms: u64::from(young) * 1000,
                    },
                    stream_life: Duration::from_secs(stream_life.into()),
                    memory_cache_bytes: memory_cache_bytes as usize,
                    topics,
                })
            }
            (.., wrong) => Err(Misconfigured(wrong)),
        }
    }

    /// Returns what an operator should know about these settings.
    pub fn warnings(&self) -> Vec<&'static str> {
        match self.login_auth {
            LoginAuth::Open => vec![OPEN_WARNING],
            LoginAuth::Signed(_) => vec![],
        }
    }
}

struct Reader<V> {
    var: V,
    wrong: Vec<String>,
}

impl<V: Fn(&str) -> Option<String>> Reader<V> {
    fn keys(&mut self, name: &str) -> Option<KeyRing> {
        // Key errors never repeat any part of the key.
        KeyRing::parse(&(self.var)(name).unwrap_or_default())
            .map_err(|error| self.wrong.push(format!("{name}: {error}")))
            .ok()
    }

    /// Returns a setting that may be absent, which an empty one is.
    fn given(&self, name: &str) -> Option<String> {
        let text = (self.var)(name)?.trim().to_owned();
        (!text.is_empty()).then_some(text)
    }

    fn login_auth(&mut self) -> Option<LoginAuth> {
        match (self.var)("LOGIN_AUTH").as_deref() {
            None | Some("" | "signed") => self.keys("LOGIN_KEYS").map(LoginAuth::Signed),
            Some("open") => Some(LoginAuth::Open),
            Some(_) => {
                self.wrong
                    .push("LOGIN_AUTH must be signed or open".to_owned());
                None
            }
        }
    }

    fn desks(&mut self) -> DeskSettings {
        let count = self.number("LOGIN_DESKS", 1, 1..=256);
        let mut ms = |name, default| u64::from(self.number(name, default, 1..=600)) * 1000;
        let times = DeskTimes {
            login_timeout_ms: ms("LOGIN_TIMEOUT_SECONDS", 30),
            lease_ms: ms("LEASE_SECONDS", 30),
            settle_ms: ms("SETTLE_SECONDS", 60),
        };
        let regions = self.given("DESK_REGIONS").unwrap_or_default();
        let codes = regions.split(',').map(str::trim);
        let regions: Option<Vec<Region>> = codes
            .filter(|code| !code.is_empty())
            .map(Region::parse)
            .collect();
        let regions = regions.filter(|all| all.is_empty() || all.len() == count as usize);
        if regions.is_none() {
            let codes = Region::ALL.map(Region::code).join(", ");
            self.wrong.push(format!(
                "DESK_REGIONS must be empty, or name one of {codes} for each of the {count} LOGIN_DESKS"
            ));
        }
        DeskSettings {
            count: u16::try_from(count).unwrap_or(1),
            regions: regions.unwrap_or_default(),
            waiters: self.number("DESK_WAITERS", 5000, 1..=30_000),
            bytes: self.number("DESK_BYTES", 4_000_000_000, 1_000_000..=4_000_000_000) as usize,
            under_way: self.number("LOGINS_UNDER_WAY", 64, 1..=10_000),
            times,
        }
    }

    fn topics(&mut self) -> TopicSettings {
        let token_keys = self
            .given("TOKEN_KEYS")
            .and_then(|_| self.keys("TOKEN_KEYS"));
        let count = self.number("HISTORY_COUNT", 1000, 1..=100_000);
        let bytes = self.number("HISTORY_BYTES", 1024 * 1024, 65_536..=16_777_216);
        let seconds = self.number("HISTORY_SECONDS", 3600, 1..=604_800);
        TopicSettings {
            token_keys,
            token_audience: self.given("TOKEN_AUDIENCE"),
            history: HistoryLimits {
                count: count as usize,
                bytes: bytes as usize,
                age_ms: u64::from(seconds) * 1000,
            },
            relay_threshold: self.number("RELAY_THRESHOLD", 2000, 0..=30_000),
            relay_capacity: self.number("RELAY_CAPACITY", 10_000, 5..=30_000),
            presence: self.switch("PRESENCE", true),
        }
    }

    fn switch(&mut self, name: &str, default: bool) -> bool {
        match (self.var)(name).as_deref().map(str::trim) {
            None | Some("") => default,
            Some("on") => true,
            Some("off") => false,
            Some(_) => {
                self.wrong.push(format!("{name} must be on or off"));
                default
            }
        }
    }

    fn origin_url(&mut self) -> Option<String> {
        let text = (self.var)("ORIGIN_URL").unwrap_or_default();
        let text = text.trim().trim_end_matches('/');
        if text.is_empty() {
            return None;
        }
        let host = ["http://", "https://"]
            .iter()
            .find_map(|scheme| text.strip_prefix(scheme));
        if host.is_none_or(|host| host.is_empty() || host.contains(['?', '#', '@', ' '])) {
            self.wrong
                .push("ORIGIN_URL must be like https://origin.example".to_owned());
            return None;
        }
        Some(text.to_owned())
    }

    fn cors(&mut self) -> Cors {
        Cors::parse(&(self.var)("CORS_ORIGINS").unwrap_or_default()).unwrap_or_else(|entry| {
            self.wrong.push(format!(
                "CORS_ORIGINS: {entry:?} is neither * nor like https://shop.example"
            ));
            Cors::none()
        })
    }

    fn number(&mut self, name: &str, default: u32, range: RangeInclusive<u32>) -> u32 {
        match (self.var)(name).as_deref().map(str::trim) {
            None | Some("") => default,
            Some(text) => match text.parse() {
                Ok(number) if range.contains(&number) => number,
                _ => {
                    self.wrong.push(format!(
                        "{name} must be a number from {} to {}",
                        range.start(),
                        range.end()
                    ));
                    default
                }
            },
        }
    }
}

/// Returns the settings of this isolate, or what is wrong with them. Read once, and told to the log once.
pub fn of(env: &Env) -> Rc<Result<Config, Misconfigured>> {
    thread_local! {
        static CONFIG: OnceCell<Rc<Result<Config, Misconfigured>>> = const { OnceCell::new() };
    }
    CONFIG.with(|cell| {
        cell.get_or_init(|| {
            let config = Config::parse(
                |name| env.var(name).ok().map(|value| value.to_string()),
                |name| {
                    Reflect::get(env, &JsValue::from_str(name)).is_ok_and(|value| value.is_object())
                },
            );
            match &config {
                Ok(config) => {
                    for warning in config.warnings() {
                        console_warn!("{warning}");
                    }
                }
                Err(Misconfigured(wrong)) => console_error!("misconfigured: {}", wrong.join("; ")),
            }
            Rc::new(config)
        })
        .clone()
    })
}

/// Returns the settings to who cannot go on without them.
///
/// # Errors
/// [`Error::Misconfigured`].
pub fn ready(settings: &Result<Config, Misconfigured>) -> Result<&Config, Error> {
    settings
        .as_ref()
        .map_err(|wrong| Error::Misconfigured(wrong.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "whsec_AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";

    fn parse(changes: &[(&str, &str)]) -> Result<Config, Misconfigured> {
        let settings = [
            ("TICKET_KEY", KEY),
            ("ORIGIN_KEYS", KEY),
            ("LOGIN_KEYS", KEY),
        ];
        Config::parse(
            |name| {
                let mut all = settings.iter().chain(changes).rev();
                let (_, value) = all.find(|(known, _)| *known == name)?;
                Some((*value).to_owned())
            },
            |_| true,
        )
    }

    #[test]
    fn keys_are_all_that_has_to_be_set() {
        let config = parse(&[]).unwrap();
        assert_eq!(config.login_auth.name(), "signed");
        assert_eq!(config.desks.count, 1);
        assert_eq!(config.ticket_times.ttl_ms, 3_600_000);
        assert!(config.warnings().is_empty());
        let groups = |text| {
            parse(&[("TOKEN_AUDIENCE", text)])
                .unwrap()
                .topics
                .token_audience
        };
        assert_eq!(groups(" "), None);
        assert_eq!(groups("edge").as_deref(), Some("edge"));
    }

    #[test]
    fn a_desk_may_be_given_a_part_of_the_world() {
        let desks = |regions| {
            let parsed = parse(&[("LOGIN_DESKS", "3"), ("DESK_REGIONS", regions)]);
            parsed.map(|config| config.desks)
        };
        let settings = desks("weur, enam,weur").unwrap();
        assert_eq!(settings.region(1), Some(Region::Enam));
        assert_eq!(settings.near(Region::Weur), [0, 2]);
        assert_eq!(settings.near(Region::Oc), [0, 1, 2], "none is there");
        let anywhere = desks(" ").unwrap();
        assert_eq!(anywhere.region(1), None);
        assert_eq!(anywhere.near(Region::Weur), [0, 1, 2]);
        for wrong in ["weur", "weur,enam,mars", "weur,enam,weur,apac"] {
            let Misconfigured(wrong) = desks(wrong).unwrap_err();
            assert!(wrong[0].contains("3 LOGIN_DESKS"), "{wrong:?}");
        }
    }

    #[test]
    fn an_open_edge_warns() {
        let config = parse(&[("LOGIN_AUTH", "open"), ("LOGIN_KEYS", "")]).unwrap();
        assert_eq!(config.warnings(), [OPEN_WARNING]);
    }

    #[test]
    fn everything_wrong_is_told_at_once_and_no_secret_with_it() {
        let Misconfigured(wrong) = parse(&[
            ("TICKET_KEY", "hunter2"),
            ("LOGIN_AUTH", "jwt"),
            ("CORS_ORIGINS", "shop.example"),
            ("LOGIN_DESKS", "0"),
            ("LEASE_SECONDS", "soon"),
            ("PRESENCE", "maybe"),
            ("TOKEN_KEYS", "hunter2"),
        ])
        .unwrap_err();
        assert_eq!(wrong.len(), 7, "{wrong:?}");
        assert!(!wrong.join(" ").contains("hunter2"));
    }

    #[test]
    fn a_missing_binding_is_told() {
        let Misconfigured(wrong) =
            Config::parse(|_| Some(KEY.to_owned()), |name| name != "CONTENT").unwrap_err();
        assert!(
            wrong.contains(&"the binding CONTENT is missing".to_owned()),
            "{wrong:?}"
        );
    }
}
