//! Room for many connections: the system lets a process have only so many files open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Files beside the connections of subscribers: the publisher's, the runtime's, standard ones.
const OTHERS: u64 = 64;

/// So many connections cannot be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "{needed} files must be open at once, and this process may have {allowed}: raise its limit (`ulimit -Hn`), or take fewer subscribers"
)]
pub struct TooFew {
    /// How many are needed.
    pub needed: u64,
    /// How many may be open.
    pub allowed: u64,
}

/// Raises the process's soft limit to its hard one, where so many connections need it.
///
/// # Errors
/// [`TooFew`], where the hard limit does not allow them.
pub fn make_room(connections: usize) -> Result<(), TooFew> {
    let needed = connections as u64 + OTHERS;
    let limit = getrlimit(Resource::Nofile);
    let allows = |limit: Option<u64>| limit.is_none_or(|limit| limit >= needed);
    if allows(limit.current) {
        return Ok(());
    }
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    if !allows(limit.maximum) || setrlimit(Resource::Nofile, raised).is_err() {
        return Err(TooFew {
            needed,
            allowed: limit.maximum.or(limit.current).unwrap_or_default(),
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_system_allows_is_refused_with_what_is_needed() {
        assert_eq!(make_room(1), Ok(()));
        let hard = getrlimit(Resource::Nofile).maximum;
        let refused = make_room(usize::MAX / 2);
        // A system without a limit allows anything.
        assert_eq!(refused.is_err(), hard.is_some());
    }
}
