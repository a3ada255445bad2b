//! Where a publisher keeps its updates until they are delivered: outboxes of its own beside the
//! origin's, `<outbox>.publish-1` and so on.
//!
//! The origin holds the lock of its outbox as long as it serves, and publishers may run side by side,
//! so each takes the first outbox that nobody holds. The files stay, and so do updates in them: each
//! publisher also delivers what it finds in those that nobody holds.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

use headstart_client::clock::now_ms;

use crate::outbox::{EdgeWays, Outbox, OutboxError, Way};

/// Most publishers at a time with the same outbox.
const MOST: usize = 64;

/// The outboxes that one publisher holds.
#[derive(Debug)]
pub struct Spool {
    /// The file of its own outbox.
    pub path: PathBuf,
    /// Its own outbox; it may hold updates of an earlier publisher, which go first.
    pub own: Outbox,
    /// Outboxes of earlier publishers, with updates that they did not deliver.
    pub earlier: Vec<Outbox>,
}

impl Spool {
    /// Takes an outbox beside the one at `base`, and those in which an earlier publisher left something
    /// for `edges`. What is meant for other edges stays in all of them.
    ///
    /// # Errors
    /// [`OutboxError`]; [`OutboxError::InUse`] where too many publish at a time.
    pub async fn open(base: &Path, edges: &[EdgeWays]) -> Result<Self, OutboxError> {
        let mut own: Option<(PathBuf, Outbox)> = None;
        let mut earlier = Vec::new();
        for number in 1..=MOST {
            let path = beside(base, number);
            if own.is_some() && !path.exists() {
                continue;
            }
            let outbox = match Outbox::open_keeping(&path, edges.to_vec()) {
                Ok(outbox) => outbox,
                Err(OutboxError::InUse(_)) => continue,
                Err(error) if own.is_some() => {
                    tracing::error!(%error, "what is in it cannot be delivered");
                    continue;
                }
                Err(error) => return Err(error),
            };
            tidy(&outbox).await?;
            let left = waiting(&outbox, edges).await?;
            if left > 0 {
                tracing::info!(updates = left, file = %path.display(), "going on where a publisher was interrupted");
            }
            if own.is_none() {
                own = Some((path, outbox));
            } else if left > 0 {
                earlier.push(outbox);
            }
        }
        let (path, own) =
            own.ok_or_else(|| OutboxError::InUse(beside(base, 1).display().to_string()))?;
        Ok(Self { path, own, earlier })
    }

    /// Deliveries to these edges that are still to be made.
    ///
    /// # Errors
    /// [`OutboxError`].
    pub async fn waiting(&self, edges: &[EdgeWays]) -> Result<u64, OutboxError> {
        let mut sum = waiting(&self.own, edges).await?;
        for outbox in &self.earlier {
            sum += waiting(outbox, edges).await?;
        }
        Ok(sum)
    }
}

/// Drops what has expired, and forgets what was delivered some time ago: publishers come and go too fast
/// for the purge that runs beside deliveries.
async fn tidy(outbox: &Outbox) -> Result<(), OutboxError> {
    let purged = outbox.purge(now_ms()).await?;
    if purged.undelivered > 0 {
        tracing::warn!(
            updates = purged.undelivered,
            "dropped what had expired before every edge had it"
        );
    }
    Ok(())
}

async fn waiting(outbox: &Outbox, edges: &[EdgeWays]) -> Result<u64, OutboxError> {
    let mut sum = 0;
    for edge in edges {
        sum += outbox.pending(&edge.name, Way::Update).await?;
    }
    Ok(sum)
}

fn beside(base: &Path, number: usize) -> PathBuf {
    let mut name = OsString::from(base);
    name.push(format!(".publish-{number}"));
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{outbox::TopicUpdate, testing::update};

    fn edges() -> Vec<EdgeWays> {
        vec![EdgeWays {
            name: "edge".to_owned(),
            kv: false,
        }]
    }

    #[tokio::test]
    async fn publishers_side_by_side_have_each_their_own_and_the_origin_is_not_in_their_way() {
        let folder = tempfile::tempdir().unwrap();
        let base = folder.path().join("outbox.sqlite3");
        let _origin = Outbox::open(&base, edges()).unwrap();
        let first = Spool::open(&base, &edges()).await.unwrap();
        let second = Spool::open(&base, &edges()).await.unwrap();
        assert_ne!(first.path, second.path);
        assert!(second.earlier.is_empty());
    }

    #[tokio::test]
    async fn what_expired_while_nobody_published_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let base = folder.path().join("outbox.sqlite3");
        let spool = Spool::open(&base, &edges()).await.unwrap();
        let expired = TopicUpdate::new(update("t", "1").event().clone(), now_ms()).unwrap();
        spool.own.commit(expired).await.unwrap();
        spool.own.commit(update("t", "2")).await.unwrap();
        drop(spool);
        let spool = Spool::open(&base, &edges()).await.unwrap();
        assert_eq!(spool.waiting(&edges()).await.unwrap(), 1);
    }

    #[tokio::test]
    async fn what_others_left_is_found_unless_they_still_hold_it() {
        let folder = tempfile::tempdir().unwrap();
        let base = folder.path().join("outbox.sqlite3");
        let first = Spool::open(&base, &edges()).await.unwrap();
        let second = Spool::open(&base, &edges()).await.unwrap();
        first.own.commit(update("t", "1")).await.unwrap();
        second.own.commit(update("t", "2")).await.unwrap();
        drop(first);
        let third = Spool::open(&base, &edges()).await.unwrap();
        assert_eq!(
            third.waiting(&edges()).await.unwrap(),
            1,
            "the first's, as its own"
        );
        drop((second, third));
        let fourth = Spool::open(&base, &edges()).await.unwrap();
        assert_eq!(fourth.earlier.len(), 1);
        assert_eq!(fourth.waiting(&edges()).await.unwrap(), 2);
    }
}
