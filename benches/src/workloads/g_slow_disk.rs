//! G: cold files on a slow disk: an ext4 image whose reads the kernel limits for the measured
//! processes.

use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::Scale;
use super::download;
use super::g_cold::files::Cold;
use super::g_cold::lateness::in_process;
use crate::Options;
use crate::runner::results;
use crate::runner::rounds::{Peer, Plan};
use crate::runner::side::Side;
use crate::servers::content;
use crate::storage::{Limit, Mounted, Throttle, ext4_image, page_cache};

const MIB: u64 = 1 << 20;

/// The kernel allows 2 reads in each slice of 100 ms and delays others to the next.
const READS_PER_SECOND: u64 = 20;
/// The distance of two missing pages, in pages.
const HOLE_DISTANCE: u64 = (256 << 10) / page_cache::PAGE;
const HOLED_SIZE: u64 = 3 * MIB;

const BYTES_PER_SECOND: u64 = 100_000_000;
const LIMITED: u64 = 200 * MIB;

pub fn run(options: &Options) -> Result<()> {
    let folder = options.folder.join("slow-disk");
    let disk = match ext4_image(&folder, 2 * LIMITED) {
        Ok(disk) => disk,
        Err(error) => {
            eprintln!("G on a slow disk is left out: {error:#}");
            return Ok(());
        }
    };
    holes(options, &disk)?;
    throughput(options, &disk)
}

/// Returns the limit, or prints why there is none.
fn limit(disk: &Mounted, limit: Limit) -> Option<Throttle> {
    match Throttle::new(&disk.point, limit) {
        Ok(throttle) => Some(throttle),
        Err(error) => {
            eprintln!("G on a slow disk is left out: {error:#}");
            None
        }
    }
}

/// A file that lacks one page in every 256 KiB, another one each time.
struct Holed {
    path: PathBuf,
    offset: Cell<u64>,
    step: u64,
}

impl Cold for Holed {
    fn name(&self) -> &'static str {
        "holes"
    }

    fn title(&self) -> String {
        let size = HOLED_SIZE / MIB;
        format!("{size} MiB of a slow disk, a page missing every 256 KiB")
    }

    fn path(&self) -> &Path {
        &self.path
    }

    fn url(&self) -> String {
        unreachable!("no server sends it")
    }

    fn size(&self) -> u64 {
        HOLED_SIZE
    }

    fn cool(&self) -> Result<()> {
        let offset = self.offset.get();
        page_cache::with_holes(&self.path, |page| page % HOLE_DISTANCE == offset)
    }
}

/// Measures the worst lateness for every position of the missing page.
fn holes(options: &Options, disk: &Mounted) -> Result<()> {
    let Some(throttle) = limit(disk, Limit::ReadsPerSecond(READS_PER_SECOND)) else {
        return Ok(());
    };
    let holed = Holed {
        path: disk.point.join("holed"),
        offset: Cell::new(0),
        step: if options.quick { 5 } else { 1 },
    };
    fs::write(&holed.path, content(0, HOLED_SIZE))?;
    page_cache::evict(&holed.path)?;
    let mut peers = vec![
        Peer::new("sendloop", Side::own("cold-sendloop", &[])?),
        Peer::new("tokio, sendfile", Side::own("cold-tokio", &[])?),
    ];
    for peer in &peers {
        throttle.add(peer.side.id())?;
    }
    let title = format!("{}: a ticker of 1 ms on the loop that sends", holed.title());
    let plan = Plan {
        key: "G holes",
        title: &title,
        unit: "transfer",
        rounds: HOLE_DISTANCE.div_ceil(holed.step) as usize,
    };
    let turns = peers.len() as u64;
    let turn = Cell::new(0);
    let table = plan.run_samples(&mut peers, |peer| {
        // All peers get each offset in turn. The first transfer of each is the warm-up.
        holed.offset.set(turn.get() / turns * holed.step % HOLE_DISTANCE);
        turn.set(turn.get() + 1);
        let mut sample = in_process(peer, &holed)?;
        sample.other.insert("offset".into(), holed.offset.get() as f64);
        Ok(sample)
    })?;
    results::save(options, &table)
}

/// Measures the speed of a cold file from a disk that is slower than the network.
fn throughput(options: &Options, disk: &Mounted) -> Result<()> {
    let Some(throttle) = limit(disk, Limit::BytesPerSecond(BYTES_PER_SECOND)) else {
        return Ok(());
    };
    let size = Scale::of(options).units(LIMITED);
    let files = disk.point.join("files");
    download::make_in(&files, size)?;
    let mut peers = Vec::new();
    for peer in ["sendloop", "blocking"] {
        peers.push(download::start_in(&files, peer, peer, size)?);
    }
    for peer in &peers {
        throttle.add(peer.side.id())?;
    }
    let path = files.join(size.to_string());
    let plan = Plan {
        key: "G limited",
        title: "a cold file from a disk of 100 MB/s over one connection",
        unit: "MiB",
        rounds: Scale::of(options).rounds,
    };
    let table = plan.run_samples(&mut peers, |peer| {
        page_cache::evict(&path)?;
        crate::runner::rounds::sample(peer, &mut |peer: &mut Peer| {
            let mut client = download::Client::connect(peer.side.port)?;
            Ok(client.fetch(size, 1)? as f64 / MIB as f64)
        })
    })?;
    results::save(options, &table)
}
