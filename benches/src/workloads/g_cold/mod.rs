//! G: the lateness of a loop while it sends a file that is not in memory.
//!
//! A ticker on the same loop measures a library. Small requests over another connection, one each
//! millisecond, measure a server. The figure `late` is the worst of one transfer; `late_own` leaves
//! out the time in which other threads had the core.

pub mod files;
pub mod lateness;

use anyhow::Result;

use super::Scale;
use crate::Options;
use crate::runner::results;
use crate::runner::rounds::{Peer, Plan};
use crate::runner::side::Side;
use crate::servers::{Site, Variant};
use files::{Cold, OnDisk, Slow};
use lateness::{in_process, of_server};

/// sendloop with its defaults, and its peers.
fn libraries() -> Result<Vec<Peer>> {
    Ok(vec![
        Peer::new("sendloop", Side::own("cold-sendloop", &[])?),
        Peer::new("asyncio", lateness::asyncio()?),
        Peer::new("tokio, sendfile", Side::own("cold-tokio", &[])?),
    ])
}

fn servers(site: &Site) -> Result<Vec<Peer>> {
    Ok(vec![
        site.file_server()?,
        site.nginx("nginx", Variant::Plain)?,
        site.nginx("nginx aio threads", Variant::Threads)?,
    ])
}

pub fn run(options: &Options) -> Result<()> {
    let site = Site::new(&options.folder)?;
    site.file(lateness::SMALL)?;
    let mut libraries = libraries()?;
    let mut servers = servers(&site)?;
    let on_disk = OnDisk::new(&site, Scale::of(options).units(64 << 20))?;
    measure(options, &on_disk, &mut libraries, &mut servers)?;
    match Slow::mount(&site)? {
        Some(slow) => measure(options, &slow, &mut libraries, &mut servers),
        None => Ok(()),
    }
}

fn measure(
    options: &Options,
    cold: &dyn Cold,
    libraries: &mut [Peer],
    servers: &mut [Peer],
) -> Result<()> {
    let rounds = Scale::of(options).rounds;
    let (name, what) = (cold.name(), cold.title());
    let plan = Plan {
        key: &format!("G {name}"),
        title: &format!("{what}: a ticker of 1 ms on the loop that sends"),
        unit: "transfer",
        rounds,
    };
    let table = plan.run_samples(libraries, |peer| in_process(peer, cold))?;
    results::save(options, &table)?;
    let plan = Plan {
        key: &format!("G {name} http"),
        title: &format!("{what}: a small request each ms to the worker that sends"),
        unit: "transfer",
        rounds,
    };
    let table = plan.run_samples(servers, |peer| of_server(peer, cold))?;
    results::save(options, &table)
}
