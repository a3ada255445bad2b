//! Who is told what happens to a user while a way is run.

use std::time::Duration;

use super::{Plan, attempt::Attempt, edge_client::Offer, way::Way};

/// A moment of the story.
#[derive(Debug)]
pub enum Moment<'a> {
    /// The user logs in.
    LogsIn,
    /// The ticket is there.
    HasTicket,
    /// The user does something else for a while.
    Thinks(Duration),
    /// The user asks for the offer.
    Asks,
    /// The offer is there.
    HasOffer(&'a Offer),
}

/// Hears what happens, as it happens.
pub trait Listener: Sync {
    /// Hears that a way begins, for the `round`th time of the plan, counted from 1.
    fn begins(&self, way: Way, round: u32, plan: &Plan);
    /// Hears that something happened, so long after the user logged in.
    fn tells(&self, after: Duration, moment: Moment<'_>);
    /// Hears that a way ended.
    fn ended(&self, attempt: &Attempt);
}

/// Hears nothing.
#[derive(Debug)]
pub struct Silent;

impl Listener for Silent {
    fn begins(&self, _: Way, _: u32, _: &Plan) {}
    fn tells(&self, _: Duration, _: Moment<'_>) {}
    fn ended(&self, _: &Attempt) {}
}
