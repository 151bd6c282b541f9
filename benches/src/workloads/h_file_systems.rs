//! H: the same cached file on several file systems, and whether its transfer makes a copy.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Result;

use super::download::{self, Crowd, GREETING, Segment};
use super::{Scale, b_small_sends};
use crate::Options;
use crate::runner::results::{self, Sample, Series, Table};
use crate::runner::rounds::{Peer, Plan};
use crate::runner::strace;
use crate::storage::{FileSystem, Mounted, folder_on_ext4};

const MIB: u64 = 1 << 20;
const SIZE: u64 = 1 << 30;
/// The file whose reads strace counts.
const TRACED: u64 = 64 * MIB;
/// More than the buffers of a connection take.
const STALLED_SIZE: u64 = 4 * MIB;
const STALLED_CONNECTIONS: usize = 10_000;
/// Few rounds, because ten thousand connections take long.
const STALLED_ROUNDS: usize = 3;

/// A folder with the same files, and the name of its file system.
struct Place {
    name: &'static str,
    files: PathBuf,
    _mounted: Option<Mounted>,
}

pub fn run(options: &Options) -> Result<()> {
    let size = Scale::of(options).units(SIZE / MIB) * MIB;
    let folder = options.folder.join("file-systems");
    let (base, _image) = match folder_on_ext4(&folder, 2 * SIZE) {
        Ok(base) => base,
        Err(error) => {
            eprintln!("H is left out: there is no ext4: {error:#}");
            return Ok(());
        }
    };
    let places = places(&base, size)?;
    warm(options, &places, size)?;
    reads(options, &places)?;
    stalled(options, &places)
}

/// Returns ext4 and each file system that can be mounted here.
fn places(base: &Path, size: u64) -> Result<Vec<Place>> {
    let files = base.join("files");
    let small = b_small_sends::SIZES.map(|(size, ..)| size);
    let sizes = [&[size, TRACED, STALLED_SIZE, GREETING], &small[..]].concat();
    keep_only(&files, &sizes)?;
    for size in &sizes {
        download::make_in(&files, *size)?;
    }
    let mut places = vec![Place { name: "ext4", files: files.clone(), _mounted: None }];
    for file_system in FileSystem::ALL {
        let name = file_system.name();
        match file_system.mount(&files, base) {
            Ok(mounted) => {
                places.push(Place { name, files: mounted.point.clone(), _mounted: Some(mounted) })
            }
            Err(error) => eprintln!("H {name} is left out: {error:#}"),
        }
    }
    for place in &places {
        for size in &sizes {
            download::warm(&place.files.join(size.to_string()))?;
        }
    }
    Ok(places)
}

/// Removes the files of other runs, which would make the images larger.
fn keep_only(files: &Path, sizes: &[u64]) -> Result<()> {
    let Ok(entries) = std::fs::read_dir(files) else {
        return Ok(());
    };
    for entry in entries {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        let size = name.and_then(|name| name.parse().ok());
        if !size.is_some_and(|size| sizes.contains(&size)) {
            std::fs::remove_file(path)?;
        }
    }
    Ok(())
}

/// Measures the CPU time of a large file, by sendloop and by a bare loop on every file system.
fn warm(options: &Options, places: &[Place], size: u64) -> Result<()> {
    let mut peers = Vec::new();
    for peer in ["sendloop", "blocking"] {
        for place in places {
            let name = format!("{peer} on {}", place.name);
            peers.push(download::start_in(&place.files, peer, &name, size)?);
        }
    }
    let plan = Plan {
        key: "H warm",
        title: "a file of 1 GiB from the page cache over one connection",
        unit: "MiB",
        rounds: Scale::of(options).rounds,
    };
    let table = plan.run(&mut peers, |peer| {
        let mut client = download::Client::connect(peer.side.port)?;
        Ok((client.fetch(size, 1)? / MIB) as f64)
    })?;
    results::save(options, &table)
}

/// Counts the bytes of a file that the process reads into its memory.
fn reads(options: &Options, places: &[Place]) -> Result<()> {
    let mut series = Vec::new();
    for place in places {
        let program = download::program_in(&place.files, "sendloop")?;
        let folders = (place.files.as_path(), options.folder.as_path());
        let read = strace::bytes_read(&program, folders, |side| {
            download::Client::connect(side.port)?.fetch(TRACED, 1)?;
            Ok(())
        })?;
        eprintln!("H reads on {}: {read} bytes of {TRACED}", place.name);
        series.push(Series {
            peer: format!("sendloop on {}", place.name),
            samples: vec![Sample {
                units: TRACED as f64,
                cpu: 0.0,
                wall: 0.0,
                other: [("bytes_read".to_string(), read as f64)].into(),
            }],
        });
    }
    let table = Table {
        key: "H reads".to_string(),
        title: "bytes of a file of 64 MiB that the process reads into its memory".to_string(),
        unit: "byte".to_string(),
        series,
    };
    results::save(options, &table)
}

/// Measures the memory of transfers whose clients do not read.
fn stalled(options: &Options, places: &[Place]) -> Result<()> {
    let places = places.iter().filter(|place| ["ext4", "overlayfs"].contains(&place.name));
    let places: Vec<&Place> = places.collect();
    let mut series: Vec<Series> = Vec::new();
    for place in &places {
        let peer = format!("sendloop on {}", place.name);
        let samples = Vec::new();
        series.push(Series { peer, samples });
    }
    let rounds = if options.quick { 1 } else { STALLED_ROUNDS };
    for _ in 0..rounds {
        for (place, series) in places.iter().zip(&mut series) {
            let sample = measure_stalled(&place.files, &series.peer)?;
            eprintln!("H stalled {}: {:?}", series.peer, sample.other);
            series.samples.push(sample);
        }
    }
    let table = Table {
        key: "H stalled".to_string(),
        title: "10,000 transfers whose peers do not read".to_string(),
        unit: "transfer".to_string(),
        series,
    };
    results::save(options, &table)
}

/// Measures stalled transfers in a new side, because freed memory stays with a process.
fn measure_stalled(files: &Path, name: &str) -> Result<Sample> {
    let peer = download::start_in(files, "sendloop", name, GREETING)?;
    let side = &peer.side;
    let (before, mappings, begin) = (side.resident()?, mappings(&peer)?, Instant::now());
    let crowd = Crowd::connect(side.port, STALLED_CONNECTIONS, Segment::Ethernet)?;
    let cpu = side.cpu.now()?;
    crowd.order(STALLED_SIZE, 1)?;
    let stalled = side.resident_at_rest()?;
    let cpu = side.cpu.since(cpu)?.as_secs_f64();
    let after = self::mappings(&peer)?;
    let each = (stalled as f64 - before as f64) / STALLED_CONNECTIONS as f64;
    Ok(Sample {
        units: STALLED_CONNECTIONS as f64,
        cpu,
        wall: begin.elapsed().as_secs_f64(),
        other: BTreeMap::from([
            ("rss_per_connection".to_string(), each),
            ("mappings".to_string(), after.all as f64 - mappings.all as f64),
            ("mappings_of_file".to_string(), after.of_file as f64),
        ]),
    })
}

/// Returns the number of all mappings of a process, and of those of the file.
struct Mappings {
    all: usize,
    of_file: usize,
}

fn mappings(peer: &Peer) -> Result<Mappings> {
    let text = std::fs::read_to_string(format!("/proc/{}/maps", peer.side.id()))?;
    let file = format!("/{STALLED_SIZE}");
    Ok(Mappings {
        all: text.lines().count(),
        of_file: text.lines().filter(|line| line.ends_with(&file)).count(),
    })
}
