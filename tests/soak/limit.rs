//! The process's limit of descriptors.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// A changed limit. Dropping it restores the former one.
pub(super) struct Limit {
    before: Rlimit,
}

impl Limit {
    /// Sets the limit as near to `wanted` as the system allows.
    pub(super) fn set(wanted: u64) -> Limit {
        let before = getrlimit(Resource::Nofile);
        let most = before.maximum.unwrap_or(u64::MAX);
        let limit = Rlimit { current: Some(wanted.min(most)), maximum: before.maximum };
        setrlimit(Resource::Nofile, limit).expect("below the maximum");
        Limit { before }
    }

    pub(super) fn now() -> u64 {
        getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
    }
}

impl Drop for Limit {
    fn drop(&mut self) {
        setrlimit(Resource::Nofile, self.before).expect("the former limit");
    }
}
