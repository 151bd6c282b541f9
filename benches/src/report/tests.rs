//! A run of one workload replaces its part of the page and nothing else.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::goals::GOALS;
use super::sections::SECTIONS;
use super::write;
use crate::Options;
use crate::runner::before::BEFORE;
use crate::runner::results::{Results, Sample, Series, Table, save};

fn options(name: &str) -> Options {
    let folder =
        std::env::temp_dir().join(format!("sendloop-benches-{name}-{}", std::process::id()));
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    Options { only: Vec::new(), quick: false, folder: folder.clone(), docs: folder }
}

const FIGURES: [&str; 13] = [
    "all",
    "bytes_read",
    "growth",
    "kilobytes",
    "late",
    "mappings_of_file",
    "p50",
    "p99",
    "rss",
    "rss_per_connection",
    "seconds",
    "sendfile",
    "offset",
];

fn table(key: &str, peers: &[&str], cpu: f64) -> Table {
    let sample = |round: usize| Sample {
        units: 10.0,
        // Few digits survive the file exactly.
        cpu: (cpu * 100.0 + round as f64) / 100.0,
        wall: 0.5,
        other: FIGURES.map(|name| (name.to_string(), 0.125)).into(),
    };
    let series =
        |peer: &&str| Series { peer: peer.to_string(), samples: (0..15).map(sample).collect() };
    Table {
        key: key.to_string(),
        title: format!("title of {key}"),
        unit: "unit".to_string(),
        series: peers.iter().map(series).collect(),
    }
}

/// A table for every key that the page names, with the peers of its goals.
fn all_tables() -> Vec<Table> {
    let mut peers: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for case in SECTIONS.iter().flat_map(|section| section.grids).flat_map(|grid| grid.cases) {
        peers.entry(case.key).or_default();
    }
    for goal in GOALS {
        let known = peers.entry(goal.key).or_default();
        for peer in std::iter::once(goal.ours).chain(goal.peers.iter().copied()) {
            if !known.contains(&peer) {
                known.push(peer);
            }
        }
    }
    for known in peers.values_mut().filter(|known| known.is_empty()) {
        known.push("sendloop");
    }
    let table = |(key, peers): (&str, Vec<&str>)| table(key, &peers, 0.25);
    peers.into_iter().map(table).collect()
}

fn plots(folder: &Path) -> BTreeMap<PathBuf, String> {
    let entries = fs::read_dir(folder.join("benchmarks")).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let paths = paths.filter(|path| path.extension().is_some_and(|extension| extension == "svg"));
    paths.map(|path| (path.clone(), fs::read_to_string(path).unwrap())).collect()
}

/// The parts of the page by their headings.
fn sections(options: &Options) -> BTreeMap<String, String> {
    let page = fs::read_to_string(options.docs.join("BENCHMARKS.md")).unwrap();
    let parts = page.split("\n## ").map(|part| {
        let (heading, text) = part.split_once('\n').unwrap();
        (heading.to_string(), text.to_string())
    });
    parts.collect()
}

#[test]
fn run_of_one_workload_keeps_the_rest_of_the_page() {
    let options = options("page");
    for table in all_tables() {
        save(&options, &table).unwrap();
    }
    write(&options).unwrap();
    let (before, plots_before) = (sections(&options), plots(&options.docs));
    assert_eq!(plots_before.len(), 9, "drawn plots");

    let again = Options { only: vec!["D".to_string()], ..options };
    save(&again, &table("D yield_many", &["sendloop", "tokio", "smol"], 0.75)).unwrap();
    write(&again).unwrap();
    let (after, plots_after) = (sections(&again), plots(&again.docs));

    assert_eq!(before.keys().collect::<Vec<_>>(), after.keys().collect::<Vec<_>>());
    for (heading, text) in &before {
        let is_kept = &after[heading] == text;
        match heading.as_str() {
            "D. Tasks, timers and threads" => {
                assert!(!is_kept, "the new figures are not on the page")
            }
            "Targets" => assert_eq!(text.lines().count(), after[heading].lines().count()),
            _ => assert!(is_kept, "{heading} changed"),
        }
    }
    for (path, plot) in &plots_before {
        let is_d = path.ends_with("d.svg");
        assert_eq!(&plots_after[path] == plot, !is_d, "{}", path.display());
    }
    fs::remove_dir_all(&again.folder).unwrap();
}

#[test]
fn loss_against_an_earlier_commit_is_listed() {
    let options = options("before");
    let mut slower = table("D create", &["sendloop", "tokio"], 0.75);
    slower.series.extend(table("", &[BEFORE], 0.5).series);
    let mut equal = table("C echo 64", &["sendloop"], 0.5);
    equal.series.extend(table("", &[BEFORE], 0.5).series);
    save(&options, &slower).unwrap();
    save(&options, &equal).unwrap();
    write(&options).unwrap();
    let targets = &sections(&options)["Targets"];
    assert!(targets.contains("≤1.03 in 1 of 2 tables"), "{targets}");
    assert!(targets.contains("- title of D create: 1.4"), "{targets}");
    fs::remove_dir_all(&options.folder).unwrap();
}

#[test]
fn page_shows_every_goal_and_every_case() {
    let options = options("goals");
    for table in all_tables() {
        save(&options, &table).unwrap();
    }
    write(&options).unwrap();
    let sections = sections(&options);
    let rows = sections["Targets"].lines().filter(|line| line.starts_with("| "));
    // The heads of the tables, and the goal that the worst sample decides.
    assert_eq!(rows.count(), 3 + GOALS.len() + 1);
    for section in &SECTIONS {
        for grid in section.grids {
            let title = format!("**{}**", grid.title);
            let is_there = sections.values().any(|text| text.contains(&title));
            assert!(is_there, "{title}");
        }
    }
    fs::remove_dir_all(&options.folder).unwrap();
}

#[test]
fn peer_with_larger_buffers_has_a_column_and_no_row() {
    let options = options("parts");
    let peers = ["sendloop", "mio", "sendloop_64k", "mio_64k"];
    save(&options, &table("I proxy", &peers, 0.25)).unwrap();
    write(&options).unwrap();
    let section = &sections(&options)["I. Short connections, datagrams, a proxy"];
    let rows: Vec<_> = section.lines().filter(|line| line.starts_with("| ")).collect();
    let [_, ours, theirs] = rows[..] else {
        panic!("{rows:?}");
    };
    assert!(ours.starts_with("| sendloop | ") && theirs.starts_with("| mio | "), "{rows:?}");
    // CPU time by 8 and 64 KiB, and MiB in a second by both.
    assert_eq!(theirs.matches("(1.00)").count(), 2, "{theirs}");
    assert_eq!(theirs.matches(" 20.0 ").count(), 2, "{theirs}");
    fs::remove_dir_all(&options.folder).unwrap();
}

#[test]
fn results_survive_the_file() {
    let options = options("file");
    let kept = table("A large file", &["sendloop", "blocking"], 0.25);
    save(&options, &kept).unwrap();
    save(&options, &table("D create", &["smol"], 0.5)).unwrap();
    let results = Results::load(&options.plots()).unwrap();
    assert_eq!(results.tables.len(), 2);
    assert!(results.tables["A large file"] == kept);
    fs::remove_dir_all(&options.folder).unwrap();
}
