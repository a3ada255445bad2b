//! Tickets: the unguessable, signed names of content that is being generated for one user.
//!
//! A ticket is `<uuid v7>.<tag>`: the UUID ([RFC 9562](https://www.rfc-editor.org/rfc/rfc9562)) holds
//! the time of minting in milliseconds, the number of the desk that keeps what becomes of the ticket in the 12
//! bits that the RFC calls `rand_a`, and 62 random bits; the tag is the first 16 bytes of HMAC-SHA-256 over
//! the UUID's 16 bytes, in base64url without padding. So forged, expired and real tickets are told apart and
//! their desk is found without any I/O, and a ticket has exactly one spelling.

use std::fmt;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::Mac;
use uuid::Uuid;

use crate::keys::{Key, KeyRing};

/// Bytes of the tag: 128 bits leave no hope of guessing one.
const TAG_BYTES: usize = 16;

/// How many desks a ticket can tell apart.
pub const MAX_DESKS: u16 = 1 << 12;

/// Characters of a ticket: 36 of the UUID, a dot, 22 of the tag.
pub const TICKET_CHARS: usize = 59;

/// Why a text is not accepted as a ticket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TicketError {
    /// Malformed, truncated, forged, or minted with a key that is not ours. These are one case on
    /// purpose: a caller learns nothing from the difference.
    #[error("this is not a ticket of ours")]
    Unknown,
    /// A real ticket, past its time to live.
    #[error("this ticket has expired")]
    Expired,
}

/// How long tickets live, and how long they are young.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TicketTimes {
    /// From minting to expiry, in milliseconds.
    pub ttl_ms: u64,
    /// From minting until KV may be asked for the offer, in milliseconds. KV remembers a miss for
    /// 60 s or more, so it must not be asked for what may not be written yet.
    pub young_ms: u64,
}

/// A ticket whose tag has been verified, or that was minted here.
///
/// It is a bearer capability: `Debug` shows its UUID, which names it in logs, and not its tag.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Ticket {
    uuid: Uuid,
    text: String,
}

impl Ticket {
    /// Mints a ticket of `desk`, below [`MAX_DESKS`], at `now_ms` from 8 random bytes (of which 62 bits are
    /// used).
    #[must_use]
    pub fn mint(now_ms: u64, desk: u16, random: [u8; 8], key: &Key) -> Self {
        // The builder puts the version over the highest 4 bits of the first 16.
        let mut bits = [0; 10];
        bits[..2].copy_from_slice(&desk.to_be_bytes());
        bits[2..].copy_from_slice(&random);
        let uuid = uuid::Builder::from_unix_timestamp_millis(now_ms, &bits).into_uuid();
        let mut mac = key.hmac();
        mac.update(uuid.as_bytes());
        let tag = &mac.finalize().into_bytes()[..TAG_BYTES];
        Self {
            uuid,
            text: format!("{uuid}.{}", URL_SAFE_NO_PAD.encode(tag)),
        }
    }

    /// Reads a ticket and verifies its tag, whatever its age.
    ///
    /// # Errors
    /// [`TicketError::Unknown`] for everything that no key of `keys` minted, in this very spelling.
    pub fn verify(text: &str, keys: &KeyRing) -> Result<Self, TicketError> {
        let (uuid, tag) = split(text).ok_or(TicketError::Unknown)?;
        if keys.verifies(&[uuid.as_bytes()], &tag) {
            Ok(Self {
                uuid,
                text: text.to_owned(),
            })
        } else {
            Err(TicketError::Unknown)
        }
    }

    /// Reads a ticket, verifies its tag and refuses it once it has expired.
    ///
    /// # Errors
    /// [`TicketError::Unknown`] as [`Ticket::verify`]; [`TicketError::Expired`] for a real ticket past
    /// its time to live.
    pub fn admit(
        text: &str,
        keys: &KeyRing,
        now_ms: u64,
        times: TicketTimes,
    ) -> Result<Self, TicketError> {
        let ticket = Self::verify(text, keys)?;
        if now_ms >= ticket.expires_at_ms(times) {
            return Err(TicketError::Expired);
        }
        Ok(ticket)
    }

    /// Returns the whole ticket, as its holder presents it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns the ticket's name without its tag: opens nothing, and so is fit for logs and keys.
    #[must_use]
    pub fn uuid(&self) -> Uuid {
        self.uuid
    }

    /// Returns when it was minted, in milliseconds since the Unix epoch.
    #[must_use]
    pub fn minted_at_ms(&self) -> u64 {
        minted_at_ms(self.uuid)
    }

    /// Returns the number of the desk that keeps what becomes of it, below [`MAX_DESKS`].
    #[must_use]
    pub fn desk(&self) -> u16 {
        let bytes = self.uuid.as_bytes();
        u16::from_be_bytes([bytes[6], bytes[7]]) % MAX_DESKS
    }

    /// Returns how long ago it was minted, in milliseconds; 0 when the minter's clock is ahead of ours.
    #[must_use]
    pub fn age_ms(&self, now_ms: u64) -> u64 {
        now_ms.saturating_sub(self.minted_at_ms())
    }

    /// Returns whether KV must not be asked for its offer yet.
    #[must_use]
    pub fn is_young(&self, now_ms: u64, times: TicketTimes) -> bool {
        self.age_ms(now_ms) < times.young_ms
    }

    /// Returns when it expires, in milliseconds since the Unix epoch.
    #[must_use]
    pub fn expires_at_ms(&self, times: TicketTimes) -> u64 {
        self.minted_at_ms().saturating_add(times.ttl_ms)
    }
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ticket({}.***)", self.uuid)
    }
}

/// Returns when the ticket of this name was minted, in milliseconds since the Unix epoch.
#[must_use]
pub fn minted_at_ms(uuid: Uuid) -> u64 {
    // The first 48 of 128 bits.
    u64::try_from(uuid.as_u128() >> 80).unwrap_or_default()
}

/// Returns what sorts after the name of every ticket minted before `ms`, and before all others: names begin
/// with the time of minting.
#[must_use]
pub fn first_uuid(ms: u64) -> Uuid {
    Uuid::from_u128(u128::from(ms) << 80)
}

/// Returns the UUID and tag of a text that has a ticket's canonical form.
fn split(text: &str) -> Option<(Uuid, [u8; TAG_BYTES])> {
    if text.len() != TICKET_CHARS || !text.is_ascii() {
        return None;
    }
    let (name, tag_text) = text.split_once('.')?;
    let uuid = Uuid::try_parse(name).ok()?;
    let tag: [u8; TAG_BYTES] = URL_SAFE_NO_PAD.decode(tag_text).ok()?.try_into().ok()?;
    // Upper case, braces and the like also parse as a UUID; only the canonical spelling is a ticket.
    (uuid.get_version_num() == 7 && uuid.to_string() == name).then_some((uuid, tag))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TIMES: TicketTimes = TicketTimes {
        ttl_ms: 3_600_000,
        young_ms: 60_000,
    };

    fn key(fill: u8) -> Key {
        Key::from_bytes(&[fill; 32]).unwrap()
    }

    #[test]
    fn the_time_is_where_rfc_9562_puts_it() {
        // RFC 9562, appendix A.6: 2022-02-22 19:22:22 UTC.
        let ticket = Ticket::mint(0x017F_22E2_79B0, 0, [0; 8], &key(1));
        assert_eq!(ticket.minted_at_ms(), 1_645_557_742_000);
        assert!(ticket.as_str().starts_with("017f22e2-79b0-7"));
    }

    #[test]
    fn the_desk_is_where_rfc_9562_leaves_room_for_it() {
        let ticket = Ticket::mint(1_700_000_000_000, 0xABC, [0xFF; 8], &key(1));
        assert_eq!(&ticket.as_str()[14..18], "7abc");
        assert_eq!(ticket.desk(), 0xABC);
    }

    #[test]
    fn names_sort_by_the_time_of_minting() {
        let minted = |ms, fill| Ticket::mint(ms, 4095, [fill; 8], &key(1)).uuid();
        let first = first_uuid(1_700_000_000_000);
        assert!(minted(1_699_999_999_999, 0xFF) < first);
        assert!(first < minted(1_700_000_000_000, 0));
        assert!(minted(1_699_999_999_999, 0xFF).to_string() < first.to_string());
    }

    #[test]
    fn the_tag_is_the_hmac_of_the_uuids_bytes() {
        let ticket = Ticket::mint(1_700_000_000_000, 0, [7; 8], &key(1));
        let mut mac = key(1).hmac();
        mac.update(ticket.uuid().as_bytes());
        let whole = mac.finalize().into_bytes();
        let (_, tag) = ticket.as_str().split_once('.').unwrap();
        assert_eq!(URL_SAFE_NO_PAD.decode(tag).unwrap(), whole[..16]);
    }

    #[test]
    fn a_ticket_of_another_key_is_refused_and_of_a_rotated_key_accepted() {
        let ticket = Ticket::mint(1_700_000_000_000, 0, [7; 8], &key(1));
        let other = KeyRing::from(key(2));
        assert_eq!(
            Ticket::verify(ticket.as_str(), &other),
            Err(TicketError::Unknown)
        );
        let rotated = KeyRing::parse(&format!("{},{}", key(2).expose(), key(1).expose())).unwrap();
        assert_eq!(Ticket::verify(ticket.as_str(), &rotated), Ok(ticket));
    }

    #[test]
    fn a_ticket_expires_exactly_at_its_time_to_live() {
        let minted = 1_700_000_000_000;
        let ticket = Ticket::mint(minted, 0, [7; 8], &key(1));
        let admit = |now| Ticket::admit(ticket.as_str(), &key(1).into(), now, TIMES).map(|_| ());
        assert_eq!(admit(minted + TIMES.ttl_ms - 1), Ok(()));
        assert_eq!(admit(minted + TIMES.ttl_ms), Err(TicketError::Expired));
        assert_eq!(admit(minted - 5_000), Ok(()), "the minter's clock is ahead");
    }

    #[test]
    fn a_ticket_is_young_until_kv_may_be_asked() {
        let ticket = Ticket::mint(1_000_000, 0, [7; 8], &key(1));
        assert!(ticket.is_young(1_000_000 - 10, TIMES));
        assert!(ticket.is_young(1_059_999, TIMES));
        assert!(!ticket.is_young(1_060_000, TIMES));
    }

    #[test]
    fn every_other_spelling_is_refused() {
        let keys = KeyRing::from(key(1));
        let ticket = Ticket::mint(1_700_000_000_000, 0, [7; 8], &key(1));
        let good = ticket.as_str();
        for bad in [
            good.to_uppercase(),
            good[..TICKET_CHARS - 1].to_owned(),
            format!("{good} "),
            format!("{{{}}}.{}", &good[..36], &good[37..57]),
            good.replace('.', "="),
            String::new(),
        ] {
            assert_eq!(
                Ticket::verify(&bad, &keys),
                Err(TicketError::Unknown),
                "{bad}"
            );
        }
    }

    #[test]
    fn debug_does_not_show_the_tag() {
        let ticket = Ticket::mint(1_700_000_000_000, 0, [7; 8], &key(1));
        let (_, tag) = ticket.as_str().split_once('.').unwrap();
        assert!(!format!("{ticket:?}").contains(tag));
    }

    proptest! {
        #[test]
        fn minted_tickets_verify_and_keep_their_time_and_desk(
            ms in 0_u64..(1 << 48), desk in 0..MAX_DESKS, random: [u8; 8],
        ) {
            let ticket = Ticket::mint(ms, desk, random, &key(1));
            prop_assert_eq!(ticket.desk(), desk);
            prop_assert_eq!(ticket.as_str().len(), TICKET_CHARS);
            prop_assert_eq!(ticket.minted_at_ms(), ms);
            prop_assert_eq!(Ticket::verify(ticket.as_str(), &key(1).into()), Ok(ticket));
        }

        #[test]
        fn a_ticket_with_any_character_changed_is_refused(
            random: [u8; 8], at in 0..TICKET_CHARS, to in "[ -~]",
        ) {
            let ticket = Ticket::mint(1_700_000_000_000, 0, random, &key(1));
            let mut changed = ticket.as_str().to_owned();
            prop_assume!(changed[at..=at] != to);
            changed.replace_range(at..=at, &to);
            prop_assert_eq!(Ticket::verify(&changed, &key(1).into()), Err(TicketError::Unknown));
        }

        #[test]
        fn any_text_is_refused_without_a_panic(text in "\\PC{0,80}") {
            prop_assert!(Ticket::verify(&text, &key(1).into()).is_err());
        }
    }
}
