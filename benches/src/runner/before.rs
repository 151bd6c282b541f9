//! The sendloop of an earlier commit, measured in the same rounds as the present one.

use std::path::PathBuf;
use std::sync::OnceLock;

use anyhow::{Context, Result};

/// The name of the peer.
pub const BEFORE: &str = "sendloop@before";
const MARK: &str = "@before";

/// This program, built at the earlier commit.
static PROGRAM: OnceLock<PathBuf> = OnceLock::new();

pub fn set(program: PathBuf) -> Result<()> {
    let program = program.canonicalize().context("the program of --before")?;
    PROGRAM.get_or_init(|| program);
    Ok(())
}

/// Returns the peers, and the earlier sendloop if there is one and sendloop is a peer.
pub fn with_before<'a>(peers: &[&'a str]) -> Vec<&'a str> {
    let has_both = PROGRAM.get().is_some() && peers.contains(&"sendloop");
    let before = has_both.then_some(BEFORE);
    peers.iter().copied().chain(before).collect()
}

/// Returns the program of a side, and the name of the side there.
pub fn program_of(side: &str) -> Result<(PathBuf, &str)> {
    match side.strip_suffix(MARK) {
        Some(name) => Ok((PROGRAM.get().context("--before")?.clone(), name)),
        None => Ok((std::env::current_exe()?, side)),
    }
}
