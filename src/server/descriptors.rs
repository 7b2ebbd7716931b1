//! The process's file descriptors: their limit in, how many are whose out.
//!
//! A connection of a client may need one to an upstream, others are kept for the next request, and
//! some are for all else: the admin API, files, the store, probes, names, hooks. Nobody may take
//! another's, or the process could not even say that it has run out.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// For all else: of few descriptors an eighth, of many no more than can be needed.
const ELSE: (usize, usize) = (32, 512);

/// How the descriptors are shared out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shares {
    /// How many there are.
    pub limit: usize,
    /// Connections of clients.
    pub clients: usize,
    /// Connections to upstreams that are kept for the next request.
    pub kept: usize,
    /// Connections to the admin API.
    pub admin: usize,
}

impl Shares {
    /// The shares of this many, when no more than `kept` connections are worth keeping.
    pub fn of(limit: usize, kept: usize) -> Shares {
        let others = (limit / 8).clamp(ELSE.0, ELSE.1);
        let left = limit.saturating_sub(others);
        let kept = kept.min(left / 4);
        // One to the client and one to the upstream.
        let clients = (left.saturating_sub(kept) / 2).max(1);
        Shares { limit, clients, kept, admin: others / 4 }
    }
}

/// The limit that we were given; none if it is not known.
pub fn given() -> Option<u64> {
    getrlimit(Resource::RLIMIT_NOFILE).ok().map(|(soft, _)| soft)
}

/// Raises the limit as far as the process may by itself, and answers with it. The usual 1,024 is for
/// programs that would not bear more, and is no bound on anything else.
pub fn raise() -> usize {
    let (soft, hard) = match getrlimit(Resource::RLIMIT_NOFILE) {
        Ok(limits) => limits,
        Err(error) => {
            tracing::warn!(%error, "the limit of file descriptors is not known");
            return 1_024;
        }
    };
    let raised = match setrlimit(Resource::RLIMIT_NOFILE, hard, hard) {
        Ok(()) => hard,
        // A sandbox may forbid it.
        Err(error) => {
            tracing::info!(%error, limit = soft, "the limit of file descriptors stays as it is");
            soft
        }
    };
    usize::try_from(raised).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_never_add_up_to_more_than_there_are() {
        for limit in (64..5_000).chain([65_536, 524_288, 1 << 30]) {
            let shares = Shares::of(limit, 1_024);
            let Shares { clients, kept, admin, .. } = shares;
            let others = limit - 2 * clients - kept;
            assert!(others >= 32 && admin <= others / 4 && clients > 0, "{shares:?}");
        }
        let Shares { clients, kept, .. } = Shares::of(65_536, 1_024);
        assert_eq!((clients, kept), (32_000, 1_024));
        assert_eq!(Shares::of(8, 1_024).clients, 1, "it serves whatever happens");
    }
}
