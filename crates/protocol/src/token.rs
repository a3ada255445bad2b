//! Tokens: who may read and publish on which topics, as the site's backend says.
//!
//! A token is a JSON Web Token ([RFC 7519](https://www.rfc-editor.org/rfc/rfc7519)), signed HS256 under
//! one of `TOKEN_KEYS`, so any JWT library makes one. It is a bearer capability, and so always ends.

use jsonwebtoken::{
    Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, decode_header, encode,
    errors::ErrorKind,
};
use serde::{Deserialize, Serialize, Serializer};

use crate::{
    hs256,
    keys::{Key, KeyRing},
    limits::{MAX_TOKEN_BYTES, MAX_TOPIC_BYTES},
    topic::{TopicError, TopicName, has_only_name_characters},
};

/// Why a token is refused. Never repeats any part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Malformed, too long, of another algorithm, tampered with, or signed with a key that is not
    /// ours. These are one case on purpose: a caller learns nothing from the difference.
    #[error(
        "this is not a token of ours: it must be a JWT, HS256 under a key of TOKEN_KEYS, whose bytes are what follows whsec_, base64-decoded"
    )]
    Unknown,
    /// Signed by us, but not with the claims that a token here has.
    #[error(
        "the claims must be exp (a number of seconds), topics and publish (lists of names, or of prefixes ending in *)"
    )]
    Claims,
    /// A real token, for somebody else.
    #[error(
        "the claim aud must name the edge's TOKEN_AUDIENCE, and must not be there where that is not set"
    )]
    Audience,
    /// A real token, before the time that its `nbf` names.
    #[error("this token is not valid yet")]
    Early,
    /// A real token, past its end.
    #[error("this token has expired")]
    Expired,
}

/// The topics a token speaks of: one by its name, or all whose names begin with what stands before a
/// trailing `*`. A `*` alone is every topic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Pattern(String);

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// [`TopicError`], for what no topic's name could match.
    pub fn parse(text: &str) -> Result<Self, TopicError> {
        if let Some(prefix) = text.strip_suffix('*') {
            if prefix.len() > MAX_TOPIC_BYTES {
                return Err(TopicError::Length);
            }
            if !has_only_name_characters(prefix) {
                return Err(TopicError::Character);
            }
        } else {
            TopicName::parse(text)?;
        }
        Ok(Self(text.to_owned()))
    }

    /// Returns whether `topic` is among its topics.
    #[must_use]
    pub fn matches(&self, topic: &TopicName) -> bool {
        match self.0.strip_suffix('*') {
            Some(prefix) => topic.as_str().starts_with(prefix),
            None => topic.as_str() == self.0,
        }
    }
}

impl TryFrom<String> for Pattern {
    type Error = TopicError;

    fn try_from(text: String) -> Result<Self, TopicError> {
        Self::parse(&text)
    }
}

impl From<Pattern> for String {
    fn from(pattern: Pattern) -> Self {
        pattern.0
    }
}

/// A time as a token names it: seconds since the Unix epoch, which may have a fraction
/// ([RFC 7519, "NumericDate"](https://www.rfc-editor.org/rfc/rfc7519#section-2)). Kept to the millisecond; what
/// lies before 1970 is taken for its beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(from = "f64")]
pub struct NumericDate {
    ms: u64,
}

impl NumericDate {
    /// Returns that many seconds after the Unix epoch.
    #[must_use]
    pub const fn from_seconds(seconds: u64) -> Self {
        Self {
            ms: seconds.saturating_mul(1000),
        }
    }

    /// Returns it in milliseconds since the Unix epoch.
    #[must_use]
    pub const fn as_ms(self) -> u64 {
        self.ms
    }
}

impl From<f64> for NumericDate {
    fn from(seconds: f64) -> Self {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "what is out of range becomes the first or the last moment that there is"
        )]
        let ms = (seconds * 1000.0).round() as u64;
        Self { ms }
    }
}

/// An integer where it is one, which is what every reader of tokens takes.
impl Serialize for NumericDate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.ms.is_multiple_of(1000) {
            return serializer.serialize_u64(self.ms / 1000);
        }
        #[expect(
            clippy::cast_precision_loss,
            reason = "exact for 285,000 years, and nobody waits for the end of later ones"
        )]
        let ms = self.ms as f64;
        serializer.serialize_f64(ms / 1000.0)
    }
}

/// What a token says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// Whom the token was made for. Nothing is decided by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sub: Option<String>,
    /// Which edge it is for. Written by [`mint`] and judged by [`verify`], which does not keep it.
    #[serde(default, skip_deserializing, skip_serializing_if = "Option::is_none")]
    pub aud: Option<String>,
    /// When it ends.
    pub exp: NumericDate,
    /// The topics that its holder may read.
    #[serde(default)]
    pub topics: Vec<Pattern>,
    /// The topics that its holder may publish on.
    #[serde(default)]
    pub publish: Vec<Pattern>,
}

impl Claims {
    /// Returns whether the holder may read `topic`.
    #[must_use]
    pub fn may_read(&self, topic: &TopicName) -> bool {
        self.topics.iter().any(|pattern| pattern.matches(topic))
    }

    /// Returns whether the holder may publish on `topic`.
    #[must_use]
    pub fn may_publish(&self, topic: &TopicName) -> bool {
        self.publish.iter().any(|pattern| pattern.matches(topic))
    }

    /// Returns when the token ends, in milliseconds since the Unix epoch.
    #[must_use]
    pub fn expires_at_ms(&self) -> u64 {
        self.exp.as_ms()
    }
}

/// Whom a token is for ([RFC 7519](https://www.rfc-editor.org/rfc/rfc7519#section-4.1.3)).
#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Several(Vec<String>),
}

impl Audience {
    fn names(&self, audience: &str) -> bool {
        match self {
            Self::One(name) => name == audience,
            Self::Several(names) => names.iter().any(|name| name == audience),
        }
    }
}

/// The claims as they are signed, with those that only [`verify`] looks at.
#[derive(Deserialize)]
struct Signed {
    #[serde(flatten)]
    claims: Claims,
    #[serde(default)]
    aud: Option<Audience>,
    #[serde(default)]
    nbf: Option<NumericDate>,
}

impl Signed {
    fn at(self, now_ms: u64, audience: Option<&str>) -> Result<Claims, TokenError> {
        let is_for_us = match (&self.aud, audience) {
            (None, None) => true,
            (Some(aud), Some(audience)) => aud.names(audience),
            _ => false,
        };
        if !is_for_us {
            return Err(TokenError::Audience);
        }
        if now_ms >= self.claims.expires_at_ms() {
            return Err(TokenError::Expired);
        }
        if self.nbf.is_some_and(|nbf| now_ms < nbf.as_ms()) {
            return Err(TokenError::Early);
        }
        Ok(self.claims)
    }
}

/// Makes a token. One longer than [`MAX_TOKEN_BYTES`] is not accepted anywhere; a prefix says more
/// than a long list of names.
#[expect(
    clippy::missing_panics_doc,
    reason = "strings and numbers have a JSON form, and HMAC takes a key of any length"
)]
#[must_use]
pub fn mint(claims: &Claims, key: &Key) -> String {
    hs256::install();
    let key = EncodingKey::from_secret(key.as_bytes());
    encode(&Header::new(Algorithm::HS256), claims, &key).expect("claims can be signed")
}

/// Verifies a token at `now_ms` and gives its claims. Other claims than ours are passed over, but for
/// those that RFC 7519 lets nobody pass over: `nbf`, and an `aud` that does not name our `audience`. Where
/// we have one, a token must name it.
///
/// # Errors
/// [`TokenError`]. Signatures are compared in constant time.
pub fn verify(
    token: &str,
    keys: &KeyRing,
    audience: Option<&str>,
    now_ms: u64,
) -> Result<Claims, TokenError> {
    hs256::install();
    if token.len() > MAX_TOKEN_BYTES {
        return Err(TokenError::Unknown);
    }
    // Extensions of the format that a token declares critical are to be understood or refused
    // (RFC 7515, section 4.1.11), which the library leaves to its callers.
    let header = decode_header(token).map_err(|_| TokenError::Unknown)?;
    if header.crit.is_some() {
        return Err(TokenError::Unknown);
    }
    let mut validation = Validation::new(Algorithm::HS256);
    // The library would ask the system's clock, and let through a token that names nobody; `Signed::at`
    // judges what a token says.
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation.validate_aud = false;
    for key in keys.iter() {
        let key = DecodingKey::from_secret(key.as_bytes());
        match decode::<Signed>(token, &key, &validation) {
            Ok(token) => return token.claims.at(now_ms, audience),
            Err(error) => match error.kind() {
                ErrorKind::InvalidSignature => {}
                ErrorKind::Json(_) => return Err(TokenError::Claims),
                _ => return Err(TokenError::Unknown),
            },
        }
    }
    Err(TokenError::Unknown)
}

#[cfg(test)]
mod tests {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    use hmac::{Hmac, KeyInit, Mac};
    use proptest::prelude::*;
    use sha2::Sha512;

    use super::*;
    use crate::topic::tests::{any_topic, topic};

    const NOW_MS: u64 = 1_700_000_000_000;
    const EXP: u64 = 1_700_000_060;
    const HS256: &str = r#"{"alg":"HS256","typ":"JWT"}"#;

    fn key(fill: u8) -> Key {
        Key::from_bytes(&[fill; 32]).unwrap()
    }

    fn pattern(text: &str) -> Pattern {
        Pattern::parse(text).unwrap()
    }

    fn claims() -> Claims {
        Claims {
            sub: Some("40228".to_owned()),
            aud: None,
            exp: NumericDate::from_seconds(EXP),
            topics: vec![pattern("private/a"), pattern("private/teams/*")],
            publish: vec![pattern("private/a")],
        }
    }

    /// Returns a token of any header and claims, tagged by whatever `tag` makes of it.
    fn token(header: &str, claims: &str, tag: impl FnOnce(&[u8]) -> Vec<u8>) -> String {
        let signed = format!(
            "{}.{}",
            URL_SAFE_NO_PAD.encode(header),
            URL_SAFE_NO_PAD.encode(claims)
        );
        let tag = URL_SAFE_NO_PAD.encode(tag(signed.as_bytes()));
        format!("{signed}.{tag}")
    }

    fn hs256(message: &[u8]) -> Vec<u8> {
        let mac = key(1).hmac().chain_update(message);
        mac.finalize().into_bytes().to_vec()
    }

    fn check(token: &str) -> Result<Claims, TokenError> {
        verify(token, &key(1).into(), None, NOW_MS)
    }

    #[test]
    fn the_example_of_rfc_7515_is_read() {
        // RFC 7515, appendix A.1; the claims are those of RFC 7519, section 3.1.
        let key = URL_SAFE_NO_PAD
            .decode("AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow")
            .unwrap();
        let keys = KeyRing::from(Key::from_bytes(&key).unwrap());
        let token = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.\
                     eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.\
                     dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        let claims = verify(token, &keys, None, 1_300_819_379_999).unwrap();
        assert_eq!(claims.exp, NumericDate::from_seconds(1_300_819_380));
        assert!(!claims.may_read(&topic("a")), "it names no topic");
        assert_eq!(
            verify(token, &keys, None, 1_300_819_380_000),
            Err(TokenError::Expired)
        );
    }

    #[test]
    fn a_token_is_what_any_library_makes_of_the_claims() {
        let minted = mint(&claims(), &key(1));
        let payload = minted.split('.').nth(1).unwrap();
        let json = String::from_utf8(URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap();
        assert_eq!(
            json,
            r#"{"sub":"40228","exp":1700000060,"topics":["private/a","private/teams/*"],"publish":["private/a"]}"#
        );
        assert_eq!(check(&minted), Ok(claims()));
        assert_eq!(check(&token(HS256, &json, hs256)), Ok(claims()));
    }

    #[test]
    fn a_token_of_another_key_is_refused_and_of_a_rotated_key_accepted() {
        let token = mint(&claims(), &key(2));
        assert_eq!(check(&token), Err(TokenError::Unknown));
        let both = format!("{},{}", key(1).expose(), key(2).expose());
        let both = KeyRing::parse(&both).unwrap();
        assert_eq!(verify(&token, &both, None, NOW_MS), Ok(claims()));
    }

    #[test]
    fn a_token_ends_exactly_at_its_exp_and_begins_at_its_nbf() {
        let at = |token: &str, now_ms| verify(token, &key(1).into(), None, now_ms).map(|_| ());
        let ends = mint(&claims(), &key(1));
        assert_eq!(claims().expires_at_ms(), EXP * 1000);
        assert_eq!(at(&ends, EXP * 1000 - 1), Ok(()));
        assert_eq!(at(&ends, EXP * 1000), Err(TokenError::Expired));
        let begins = token(HS256, r#"{"exp":1700000060,"nbf":1700000030}"#, hs256);
        assert_eq!(at(&begins, 1_700_000_029_999), Err(TokenError::Early));
        assert_eq!(at(&begins, 1_700_000_030_000), Ok(()));
    }

    #[test]
    fn a_time_is_any_number_of_seconds() {
        let json = r#"{"iat":1699999999.25,"nbf":1699999999.5,"exp":1700000060.75,"topics":["a"]}"#;
        let token = token(HS256, json, hs256);
        let at = |now_ms| verify(&token, &key(1).into(), None, now_ms).map(|_| ());
        assert_eq!(at(1_699_999_999_499), Err(TokenError::Early));
        assert_eq!(at(1_699_999_999_500), Ok(()));
        assert_eq!(at(1_700_000_060_749), Ok(()));
        assert_eq!(at(1_700_000_060_750), Err(TokenError::Expired));
        for (exp, ms) in [
            ("0", 0),
            ("-0.5", 0),
            ("17e8", 1_700_000_000_000),
            ("1e300", u64::MAX),
            ("18446744073709551616", u64::MAX),
        ] {
            let date: NumericDate = serde_json::from_str(exp).unwrap();
            assert_eq!(date.as_ms(), ms, "{exp}");
            let written = serde_json::to_string(&date).unwrap();
            assert_eq!(serde_json::from_str(&written).ok(), Some(date), "{written}");
        }
    }

    #[test]
    fn a_token_with_an_audience_is_for_that_edge_alone() {
        let of = |aud: &str| {
            let json = format!(r#"{{"exp":1700000060,"topics":["a"]{aud}}}"#);
            token(HS256, &json, hs256)
        };
        let at = |audience, aud| verify(&of(aud), &key(1).into(), audience, NOW_MS).map(|_| ());
        let ours = Some("https://edge.example");
        for named in [
            r#","aud":"https://edge.example""#,
            r#","aud":["x","https://edge.example"]"#,
        ] {
            assert_eq!(at(ours, named), Ok(()), "{named}");
            assert_eq!(at(None, named), Err(TokenError::Audience), "{named}");
        }
        for other in ["", r#","aud":"x""#, r#","aud":["x"]"#, r#","aud":[]"#] {
            assert_eq!(at(ours, other), Err(TokenError::Audience), "{other}");
        }
        assert_eq!(at(None, ""), Ok(()));
        let minted = Claims {
            aud: ours.map(str::to_owned),
            ..claims()
        };
        let minted = mint(&minted, &key(1));
        assert_eq!(verify(&minted, &key(1).into(), ours, NOW_MS), Ok(claims()));
        assert_eq!(check(&minted), Err(TokenError::Audience));
    }

    #[test]
    fn no_other_algorithm_is_accepted() {
        let json = r#"{"exp":1700000060,"topics":["*"]}"#;
        let hs512 = |message: &[u8]| {
            let mac = Hmac::<Sha512>::new_from_slice(&[1; 32]).unwrap();
            mac.chain_update(message).finalize().into_bytes().to_vec()
        };
        for bad in [
            token(r#"{"alg":"HS512","typ":"JWT"}"#, json, hs512),
            token(r#"{"alg":"HS512","typ":"JWT"}"#, json, hs256),
            token(r#"{"alg":"RS256","typ":"JWT"}"#, json, hs256),
            token(r#"{"alg":"none","typ":"JWT"}"#, json, |_| vec![]),
            token(r#"{"alg":"none","typ":"JWT"}"#, json, hs256),
            token(r#"{"alg":"HS256","crit":["x"],"x":1}"#, json, hs256),
            token(r#"{"typ":"JWT"}"#, json, hs256),
            token("", json, hs256),
            token(HS256, json, |_| vec![]),
            token(HS256, json, |message| hs256(message)[..16].to_vec()),
        ] {
            assert_eq!(check(&bad), Err(TokenError::Unknown), "{bad}");
        }
    }

    #[test]
    fn signed_claims_of_another_form_are_told_as_such() {
        for json in [
            "7",
            "{}",
            r#"{"topics":["a"]}"#,
            r#"{"exp":"1700000060"}"#,
            r#"{"exp":1700000060,"exp":1800000000}"#,
            r#"{"exp":1700000060,"topics":"a"}"#,
            r#"{"exp":1700000060,"topics":["a/*/b"]}"#,
            r#"{"exp":1700000060,"publish":[""]}"#,
            r#"{"exp":1700000060,"nbf":"soon"}"#,
            r#"{"exp":null}"#,
            r#"{"exp":1700000060,"aud":7}"#,
        ] {
            assert_eq!(
                check(&token(HS256, json, hs256)),
                Err(TokenError::Claims),
                "{json}"
            );
        }
    }

    #[test]
    fn a_token_that_is_too_long_is_refused() {
        let of_user = |bytes: usize| Claims {
            sub: Some("x".repeat(bytes)),
            ..claims()
        };
        assert!(check(&mint(&of_user(2000), &key(1))).is_ok());
        let long = mint(&of_user(MAX_TOKEN_BYTES), &key(1));
        assert_eq!(check(&long), Err(TokenError::Unknown));
    }

    #[test]
    fn a_claim_opens_its_topics_and_no_others() {
        for (topic_name, read, publish) in [
            ("private/a", true, true),
            ("private/a/b", false, false),
            ("private/teams/7", true, false),
            ("private/teams/7/chat", true, false),
            ("private/team", false, false),
            ("public", false, false),
        ] {
            let topic = topic(topic_name);
            assert_eq!(claims().may_read(&topic), read, "{topic_name}");
            assert_eq!(claims().may_publish(&topic), publish, "{topic_name}");
        }
    }

    #[test]
    fn a_pattern_that_could_match_nothing_is_refused() {
        for bad in ["", "a*b", "**", "a b*", "é*", "/a", "a/events"] {
            assert!(Pattern::parse(bad).is_err(), "{bad}");
        }
        let long = "x".repeat(MAX_TOPIC_BYTES + 1);
        assert!(Pattern::parse(&format!("{long}*")).is_err());
    }

    proptest! {
        #[test]
        fn a_name_matches_itself_and_every_beginning_of_it(topic in any_topic(), at: prop::sample::Index) {
            let name = topic.as_str();
            let (head, _) = name.split_at(at.index(name.len() + 1));
            let prefix = format!("{head}*");
            prop_assert!(pattern(name).matches(&topic));
            prop_assert!(pattern(&prefix).matches(&topic));
            prop_assert!(pattern("*").matches(&topic));
        }

        #[test]
        fn a_pattern_matches_no_other_name(one in any_topic(), other in any_topic()) {
            prop_assume!(one != other);
            prop_assert!(!pattern(one.as_str()).matches(&other));
            let below = Pattern::parse(&format!("{one}/*")).unwrap();
            prop_assert_eq!(below.matches(&other), other.as_str().starts_with(&format!("{one}/")));
        }

        #[test]
        fn a_token_with_any_character_changed_is_refused(at: prop::sample::Index, to in "[ -~]") {
            let mut changed = mint(&claims(), &key(1));
            let at = at.index(changed.len());
            prop_assume!(changed[at..=at] != to);
            changed.replace_range(at..=at, &to);
            prop_assert_eq!(check(&changed), Err(TokenError::Unknown));
        }

        #[test]
        fn any_text_is_refused_without_a_panic(text in "\\PC{0,80}|[A-Za-z0-9_-]{0,20}(\\.[A-Za-z0-9_-]{0,20}){0,4}") {
            prop_assert_eq!(check(&text), Err(TokenError::Unknown));
        }
    }
}
