//! What a desk does in one situation each.

use std::collections::BTreeMap;

use super::{link::Greeting, login::MAX_LOST_LEASES, *};

pub(super) const TIMES: DeskTimes = DeskTimes {
    lease_ms: 30_000,
    login_timeout_ms: 30_000,
    settle_ms: 60_000,
};

pub(super) fn id(n: u8) -> Uuid {
    Uuid::from_bytes([n; 16])
}

pub(super) fn greeting(origin: &str, capacity: u32) -> Greeting {
    Greeting {
        origin: origin.to_owned(),
        instance: format!("{origin}'s first run"),
        capacity,
        draining: false,
    }
}

/// Returns a desk at time 0 with a link to each of these origins, named like the origin.
fn desk_with(origins: &[(&str, u32)]) -> Desk {
    let mut desk = Desk::new(TIMES);
    for (origin, capacity) in origins {
        desk.open_link(origin, 0);
        desk.hello(origin, greeting(origin, *capacity), &[], 0);
    }
    desk
}

/// Returns the leases among effects: over which link, under which name.
fn leases(effects: &[Effect]) -> Vec<(String, String)> {
    effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Lease { link, lease, .. } => Some((link.clone(), lease.clone())),
            _ => None,
        })
        .collect()
}

fn lease(n: u8, number: u32) -> String {
    lease_name(id(n), number)
}

fn to(link: &str, n: u8, number: u32) -> Vec<(String, String)> {
    vec![(link.to_owned(), lease(n, number))]
}

fn is_acked(effects: &[Effect], n: u8) -> bool {
    effects.iter().any(|effect| {
        matches!(effect, Effect::Save(login, Login { place: LoginState::Acked { .. }, .. }) if *login == id(n))
    })
}

fn failure(n: u8, reason: &str) -> Effect {
    let reason = reason.to_owned();
    Effect::Fail {
        login: id(n),
        reason,
    }
}

#[test]
fn a_login_goes_to_an_origin_at_once_and_leaves_when_its_ticket_settles() {
    let mut desk = desk_with(&[("a", 1)]);
    let effects = desk.enqueue(id(1), 0).unwrap();
    assert_eq!(leases(&effects), to("a", 1, 1));
    let effects = desk.ack("a", &lease(1, 1), 10);
    assert!(is_acked(&effects, 1));
    assert_eq!(desk.next_deadline(), Some(10 + TIMES.settle_ms));
    assert_eq!(desk.settle(id(1), 20), [Effect::Delete(id(1))]);
    assert_eq!(desk.next_deadline(), None);
}

#[test]
fn a_settlement_that_comes_before_the_ack_frees_the_place_of_the_lease() {
    let mut desk = desk_with(&[("a", 1)]);
    desk.enqueue(id(1), 0).unwrap();
    desk.enqueue(id(2), 0).unwrap();
    let effects = desk.settle(id(1), 10);
    assert_eq!(effects[0], Effect::Delete(id(1)));
    assert_eq!(leases(&effects), to("a", 2, 1));
    assert!(desk.ack("a", &lease(1, 1), 11).is_empty());
    assert!(desk.settle(id(1), 12).is_empty(), "once is enough");
}

#[test]
fn an_acked_login_whose_settlement_does_not_come_goes_to_another_origin() {
    let mut desk = desk_with(&[("a", 9), ("b", 1)]);
    desk.enqueue(id(1), 0).unwrap();
    desk.ack("a", &lease(1, 1), 10);
    assert!(leases(&desk.tick(60_009)).is_empty());
    assert_eq!(leases(&desk.tick(60_010)), to("b", 1, 2));
    // Whichever settles it first has settled it.
    assert_eq!(desk.settle(id(1), 60_011), [Effect::Delete(id(1))]);
}

#[test]
fn it_does_not_go_back_to_the_origin_that_does_not_deliver() {
    let mut desk = desk_with(&[("a", 9), ("b", 0)]);
    desk.enqueue(id(1), 0).unwrap();
    desk.ack("a", &lease(1, 1), 0);
    assert!(leases(&desk.tick(60_000)).is_empty(), "b has no room");
    let effects = desk.tick(60_000 + TIMES.login_timeout_ms);
    assert!(effects.contains(&failure(1, REASON_UNTAKEN)), "{effects:?}");
}

#[test]
fn it_fails_where_no_other_origin_is() {
    let mut desk = desk_with(&[("a", 9)]);
    desk.enqueue(id(1), 0).unwrap();
    desk.ack("a", &lease(1, 1), 0);
    let failed = [failure(1, REASON_UNSETTLED), Effect::Delete(id(1))];
    assert_eq!(desk.tick(60_000), failed);
    assert_eq!(desk.next_deadline(), None);
}

#[test]
fn nothing_is_leased_before_the_hello_or_over_the_capacity() {
    let mut desk = Desk::new(TIMES);
    desk.open_link("a", 0);
    assert!(leases(&desk.enqueue(id(1), 0).unwrap()).is_empty());
    assert!(leases(&desk.enqueue(id(2), 0).unwrap()).is_empty());
    let effects = desk.hello("a", greeting("a", 1), &[], 1);
    assert_eq!(leases(&effects), to("a", 1, 1));
    let effects = desk.ack("a", &lease(1, 1), 2);
    assert_eq!(leases(&effects), to("a", 2, 1), "room for the next");
}

#[test]
fn origins_share_the_work() {
    let mut desk = desk_with(&[("a", 10), ("b", 10)]);
    let mut counts = BTreeMap::new();
    for n in 0..10 {
        for (link, _) in leases(&desk.enqueue(id(n), 0).unwrap()) {
            *counts.entry(link).or_insert(0) += 1;
        }
    }
    assert_eq!(counts["a"], 5);
    assert_eq!(counts["b"], 5);
}

#[test]
fn an_unacked_lease_goes_to_another_origin() {
    let mut desk = desk_with(&[("a", 9), ("b", 1)]);
    assert_eq!(leases(&desk.enqueue(id(1), 0).unwrap()), to("a", 1, 1));
    assert!(leases(&desk.tick(29_999)).is_empty());
    assert_eq!(leases(&desk.tick(30_000)), to("b", 1, 2));
}

#[test]
fn a_late_ack_counts_and_the_second_origins_changes_nothing() {
    let mut desk = desk_with(&[("a", 9), ("b", 1)]);
    desk.enqueue(id(1), 0).unwrap();
    desk.tick(30_000);
    assert!(is_acked(&desk.ack("a", &lease(1, 1), 30_001), 1));
    assert!(desk.ack("b", &lease(1, 2), 30_002).is_empty());
}

#[test]
fn an_ack_of_a_lease_that_never_was_changes_nothing() {
    let mut desk = desk_with(&[("a", 1)]);
    desk.enqueue(id(1), 0).unwrap();
    for wrong in [
        lease(1, 0),
        lease(1, 2),
        lease(2, 1),
        "x".to_owned(),
        String::new(),
    ] {
        assert!(desk.ack("a", &wrong, 1).is_empty(), "{wrong}");
    }
}

#[test]
fn a_released_login_goes_to_another_origin_at_once() {
    let mut desk = desk_with(&[("a", 9), ("b", 1)]);
    desk.enqueue(id(1), 0).unwrap();
    let effects = desk.release("a", &lease(1, 1), 5);
    assert_eq!(leases(&effects), to("b", 1, 2));
}

#[test]
fn a_released_login_does_not_come_straight_back() {
    let mut desk = desk_with(&[("a", 1)]);
    desk.enqueue(id(1), 0).unwrap();
    assert!(leases(&desk.release("a", &lease(1, 1), 5)).is_empty());
    assert_eq!(desk.next_deadline(), Some(1_005));
    assert_eq!(leases(&desk.tick(1_005)), to("a", 1, 2));
}

#[test]
fn only_the_holder_can_release() {
    let mut desk = desk_with(&[("a", 9), ("b", 1)]);
    desk.enqueue(id(1), 0).unwrap();
    assert!(desk.release("b", &lease(1, 1), 5).is_empty());
}

#[test]
fn endless_releases_end_with_the_time_out() {
    let mut desk = desk_with(&[("a", 1)]);
    desk.enqueue(id(1), 0).unwrap();
    let (mut now, mut number, mut failed) = (0, 1, None);
    while now < TIMES.login_timeout_ms {
        desk.release("a", &lease(1, number), now);
        now += RELEASE_PAUSE_MS;
        number += 1;
        let effects = desk.tick(now);
        failed = effects
            .into_iter()
            .find(|effect| matches!(effect, Effect::Fail { .. }));
    }
    assert_eq!(failed, Some(failure(1, REASON_UNTAKEN)));
}

#[test]
fn the_leases_of_a_closed_link_wait_for_their_origin() {
    let mut desk = desk_with(&[("a", 9), ("b", 1)]);
    desk.enqueue(id(1), 0).unwrap();
    desk.close_link("a", 100);
    assert!(leases(&desk.tick(2_099)).is_empty());
    desk.open_link("a2", 2_099);
    let effects = desk.hello("a2", greeting("a", 9), &[lease(1, 1)], 2_099);
    assert!(leases(&effects).is_empty());
    assert!(leases(&desk.tick(2_100)).is_empty(), "it is back");
    assert!(is_acked(&desk.ack("a2", &lease(1, 1), 2_101), 1));
}

#[test]
fn the_leases_of_a_dead_origin_go_to_another_after_the_grace() {
    let mut desk = desk_with(&[("a", 9), ("b", 1)]);
    desk.enqueue(id(1), 0).unwrap();
    desk.close_link("a", 100);
    assert_eq!(leases(&desk.tick(2_100)), to("b", 1, 2));
}

#[test]
fn a_lease_that_could_not_be_sent_goes_to_another_link_and_counts_for_nothing() {
    let mut desk = desk_with(&[("a", 9), ("b", 1)]);
    desk.enqueue(id(1), 0).unwrap();
    let effects = desk.undelivered("a", &lease(1, 1), 5);
    assert_eq!(leases(&effects), to("b", 1, 2));
    assert_eq!(desk.logins[&id(1)].lost, 0);
    assert!(!desk.links.contains_key("a"));
}

#[test]
fn a_draining_origin_gets_no_more() {
    let mut desk = desk_with(&[("a", 9)]);
    desk.drain("a");
    assert!(leases(&desk.enqueue(id(1), 0).unwrap()).is_empty());
}

#[test]
fn a_link_that_fell_silent_is_the_last_choice_until_it_speaks() {
    let mut desk = desk_with(&[("a", 9), ("b", 2)]);
    desk.enqueue(id(1), 0).unwrap();
    desk.tick(30_000);
    let effects = desk.enqueue(id(2), 30_001).unwrap();
    assert_eq!(leases(&effects), to("b", 2, 1));
    desk.ack("a", "anything", 30_002);
    let effects = desk.enqueue(id(3), 30_003).unwrap();
    assert_eq!(leases(&effects), to("a", 3, 1));
}

#[test]
fn a_link_that_fell_silent_gets_one_login_at_a_time_until_it_answers() {
    let mut desk = desk_with(&[("a", 9)]);
    desk.enqueue(id(1), 0).unwrap();
    assert_eq!(leases(&desk.tick(30_000)), to("a", 1, 2));
    assert!(leases(&desk.enqueue(id(2), 30_001).unwrap()).is_empty());
    assert!(leases(&desk.enqueue(id(3), 30_001).unwrap()).is_empty());
    assert_eq!(leases(&desk.ack("a", &lease(1, 2), 30_002)).len(), 2);
}

#[test]
fn an_origin_that_says_hello_again_gets_nothing_over_its_older_link() {
    let mut desk = desk_with(&[("old", 4), ("b", 1)]);
    for n in 1..=3 {
        desk.enqueue(id(n), 0).unwrap();
    }
    desk.open_link("new", 10);
    let mut again = greeting("old", 4);
    again.origin = "renamed".to_owned();
    let held = [lease(1, 1), lease(2, 1)];
    let effects = desk.hello("new", again, &held, 10);
    let why = CloseReason::Replaced;
    let link = "old".to_owned();
    assert!(effects.contains(&Effect::Close { link, why }));
    assert!(!desk.links.contains_key("old") && desk.links.contains_key("b"));
    let mut leased = Vec::new();
    for n in 4..=6 {
        leased.extend(leases(&desk.enqueue(id(n), 11).unwrap()));
    }
    assert!(!leased.is_empty());
    assert!(leased.iter().all(|(link, _)| link != "old"), "{leased:?}");
    // It goes on with what it held.
    assert!(
        leases(&desk.tick(10 + GRACE_MS))
            .iter()
            .all(|(_, name)| !held.contains(name))
    );
    assert!(is_acked(&desk.ack("new", &held[0], 5_000), 1));
}

#[test]
fn origins_that_do_not_say_which_run_they_are_close_no_links() {
    let mut desk = Desk::new(TIMES);
    for link in ["a", "b"] {
        let mut nameless = greeting("origin", 1);
        nameless.instance.clear();
        desk.open_link(link, 0);
        desk.hello(link, nameless, &[], 0);
    }
    assert_eq!(desk.links.len(), 2);
}

#[test]
fn what_is_held_may_be_told_in_parts_and_nothing_is_leased_before_the_last() {
    let mut desk = desk_with(&[("a", 2)]);
    for n in 1..=3 {
        desk.enqueue(id(n), 0).unwrap();
    }
    desk.close_link("a", 1);
    desk.open_link("a2", 2);
    let part = desk.hello("a2", greeting("a", 0), &[lease(1, 1)], 2);
    assert!(leases(&part).is_empty());
    let rest = desk.hello("a2", greeting("a", 3), &[lease(2, 1)], 2);
    assert_eq!(leases(&rest), to("a2", 3, 1));
    assert!(leases(&desk.tick(GRACE_MS + 2)).is_empty(), "both are held");
}

#[test]
fn the_leases_of_a_link_that_is_heard_no_more_go_to_another_long_before_they_end() {
    let mut desk = desk_with(&[("a", 9), ("b", 1)]);
    desk.enqueue(id(1), 0).unwrap();
    assert_eq!(desk.next_deadline(), Some(DEAD_AFTER_MS));
    assert!(desk.unheard(DEAD_AFTER_MS - 1).is_empty());
    assert_eq!(desk.unheard(DEAD_AFTER_MS), ["a", "b"]);
    // One has pinged meanwhile.
    assert_eq!(desk.last_heard("b", 14_000, DEAD_AFTER_MS), []);
    let effects = desk.last_heard("a", 0, DEAD_AFTER_MS);
    let why = CloseReason::Dead;
    let link = "a".to_owned();
    assert!(effects.contains(&Effect::Close { link, why }));
    assert_eq!(desk.next_deadline(), Some(DEAD_AFTER_MS + GRACE_MS));
    assert_eq!(leases(&desk.tick(DEAD_AFTER_MS + GRACE_MS)), to("b", 1, 2));
    assert_eq!(desk.next_deadline(), Some(14_000 + DEAD_AFTER_MS));
}

#[test]
fn whatever_an_origin_says_of_its_leases_is_heard() {
    const AT: u64 = DEAD_AFTER_MS - 1;
    let says: [fn(&mut Desk) -> Vec<Effect>; 3] = [
        |desk| desk.hello("a", greeting("a", 9), &[], AT),
        |desk| desk.ack("a", &lease(1, 1), AT),
        |desk| desk.release("a", &lease(1, 1), AT),
    ];
    for say in says {
        let mut desk = desk_with(&[("a", 9)]);
        desk.enqueue(id(1), 0).unwrap();
        say(&mut desk);
        assert!(desk.unheard(DEAD_AFTER_MS).is_empty());
        assert_eq!(desk.unheard(AT + DEAD_AFTER_MS), ["a"]);
    }
}

#[test]
fn a_hello_over_a_link_that_is_closed_opens_none() {
    let mut desk = desk_with(&[("a", 9)]);
    desk.close_link("a", 1);
    desk.hello("a", greeting("a", 9), &[], 2);
    assert!(leases(&desk.enqueue(id(1), 3).unwrap()).is_empty());
}

#[test]
fn a_desk_that_slept_leases_nothing_to_a_link_that_died_meanwhile() {
    let links = ["a", "b"].map(|link| (link.to_owned(), Some(greeting(link, 9))));
    let heard = links
        .into_iter()
        .zip([0, 1])
        .map(|((link, greeting), at)| (link, greeting, at));
    let queued = Login {
        waits_since: 0,
        leases: 0,
        lost: 0,
        place: LoginState::Queued { away_from: None },
    };
    let (desk, effects) = Desk::restore(TIMES, [(id(1), queued)], heard, DEAD_AFTER_MS);
    assert_eq!(leases(&effects), to("b", 1, 1));
    assert_eq!(desk.links.len(), 1);
}

#[test]
fn a_login_fails_after_three_leases_in_silence() {
    let mut desk = desk_with(&[("a", 1)]);
    desk.enqueue(id(1), 0).unwrap();
    for round in 1..MAX_LOST_LEASES {
        let effects = desk.tick(u64::from(round) * 30_000);
        assert_eq!(leases(&effects), to("a", 1, round + 1));
    }
    let failed = [failure(1, REASON_LOST), Effect::Delete(id(1))];
    assert_eq!(desk.tick(90_000), failed);
}

#[test]
fn a_login_that_nobody_takes_fails() {
    let mut desk = Desk::new(TIMES);
    desk.enqueue(id(1), 0).unwrap();
    assert_eq!(desk.next_deadline(), Some(30_000));
    let failed = [failure(1, REASON_UNTAKEN), Effect::Delete(id(1))];
    assert_eq!(desk.tick(30_000), failed);
    assert_eq!(desk.next_deadline(), None);
}

#[test]
fn many_that_are_due_are_dealt_with_in_turns() {
    let mut desk = Desk::new(TIMES);
    for n in 0..=DUE_AT_A_TIME {
        desk.enqueue(Uuid::from_u128(n as u128), 0).unwrap();
    }
    assert_eq!(desk.tick(30_000).len(), 2 * DUE_AT_A_TIME);
    assert_eq!(desk.next_deadline(), Some(30_000), "at once again");
    assert_eq!(desk.tick(30_000).len(), 2);
}

#[test]
fn a_full_desk_takes_no_more() {
    let mut desk = Desk::new(TIMES);
    for n in 0..MAX_LOGINS {
        desk.enqueue(Uuid::from_u128(n as u128), 0).unwrap();
    }
    assert_eq!(desk.enqueue(Uuid::from_u128(u128::MAX), 0), Err(Full));
}

#[test]
fn a_desk_keeps_no_more_logins_than_its_origins_keep_up_with() {
    let mut desk = desk_with(&[("a", 10)]);
    let login = |n: usize| Uuid::from_u128(n as u128);
    let mut next = 0;
    let fill = |desk: &mut Desk, next: &mut usize, now| {
        let before = *next;
        while desk.enqueue(login(*next), now).is_ok() {
            *next += 1;
        }
        *next - before
    };
    assert_eq!(fill(&mut desk, &mut next, 0), 10 + SHORT_QUEUE);
    // 400 a second settle for a while, so 200 may wait beside what is leased.
    let mut done = 0;
    for now in (0..5_000).step_by(5) {
        for _ in 0..2 {
            desk.settle(login(done), now);
            done += 1;
            if desk.enqueue(login(next), now).is_ok() {
                next += 1;
            }
        }
    }
    fill(&mut desk, &mut next, 5_000);
    let kept = desk.logins.len();
    assert!((200..=211).contains(&kept), "{kept}");
    // Without an origin they wait for one to come back.
    desk.close_link("a", 5_000);
    assert!(desk.enqueue(login(next), 5_000).is_ok());
}
