//! Plots: bars of CPU time, and lines of growth.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use plotters::prelude::*;

use super::Tables;
use super::figures::digits;
use super::labels::{OURS, is_ours, label};
use crate::runner::before::BEFORE;
use crate::runner::results::{Series, Table};

const WIDTH: u32 = 860;
/// The space that the labels take.
const LEFT: i32 = 230;
const OUR_COLOR: RGBColor = RGBColor(214, 84, 31);
const THEIR_COLOR: RGBColor = RGBColor(120, 144, 168);

struct Bar {
    name: String,
    length: f64,
    is_ours: bool,
}

/// Bars under a title. The longest one fills the width.
struct Group {
    title: String,
    bars: Vec<Bar>,
}

struct Chart<'a> {
    file: &'a str,
    title: &'a str,
    /// The height of a bar with its gap.
    bar: u32,
    groups: Vec<Group>,
}

/// A workload in the plot of the README: its title, its table, and the peers that a reader would
/// choose.
type Chosen = (&'static str, &'static str, &'static [&'static str]);

const SUMMARY: [Chosen; 5] = [
    (
        "A file of 1 GiB over one connection",
        "A large file",
        &["sendloop", "blocking", "tokio_copy", "asyncio"],
    ),
    (
        "A file of 1 KiB over HTTP",
        "E 1 KiB",
        &["file_server", "nginx open_file_cache", "nginx", "static-web-server"],
    ),
    (
        "Echo of 64 bytes, 64 connections",
        "C echo 64",
        &["sendloop", "mio", "tokio", "smol", "uvloop"],
    ),
    ("Create and join a task", "D create", &["sendloop", "tokio", "smol"]),
    ("Fire a timer, a million at once in random order", "D timer_random", &["sendloop", "tokio"]),
];

/// The other plots of bars: a file, a title, the tables, and the figure.
type Bars = (&'static str, &'static str, &'static [&'static str], fn(&Series) -> f64);

const BARS: [Bars; 7] = [
    ("a.svg", "One file of 1 GiB: µs of CPU for a MiB", &["A large file"], microseconds),
    (
        "b.svg",
        "Small files: µs of CPU for a send",
        &["B 4 KiB", "B 64 KiB", "B many files"],
        microseconds,
    ),
    (
        "c.svg",
        "Echo of 64 bytes: µs of CPU for a request",
        &["C echo 1", "C echo 64", "C echo 1000"],
        microseconds,
    ),
    (
        "d.svg",
        "Tasks, timers and threads: µs of CPU for an operation",
        &[
            "D create",
            "D create_one",
            "D yield_many",
            "D wake",
            "D thread",
            "D timer_drop",
            "D timer_random",
            "D executor",
            "D executor_many",
        ],
        microseconds,
    ),
    (
        "e.svg",
        "HTTP on one core: requests in a second",
        &["E 1 KiB", "E 64 KiB", "E 1 MiB", "E close 1 KiB"],
        rate,
    ),
    (
        "g.svg",
        "Cold files: the worst lateness of a ticker of 1 ms, in ms",
        &["G disk", "G fuse", "G holes"],
        late,
    ),
    (
        "i.svg",
        "Short connections, datagrams, a proxy: µs of CPU for one, or for a MiB",
        &["I churn", "I udp 64", "I udp 1400", "I proxy"],
        microseconds,
    ),
];

fn microseconds(series: &Series) -> f64 {
    series.cost().median * 1e6
}

fn rate(series: &Series) -> f64 {
    series.rate().median
}

fn late(series: &Series) -> f64 {
    series.other("late").median * 1e3
}

/// Returns CPU time divided by ours.
fn relative_to_ours(table: &Table, peer: &str) -> f64 {
    let ours = OURS.iter().find(|name| table.series(name).is_some());
    let ratio = ours.and_then(|ours| table.ratio(peer, ours));
    ratio.map_or(f64::NAN, |ratio| ratio.median)
}

pub fn draw(folder: &Path, tables: &Tables) -> Result<()> {
    draw_bars(folder, &summary(tables))?;
    for (file, title, keys, figure) in BARS {
        let tables = keys.iter().filter_map(|key| tables.get(*key));
        let group = |table: &Table| Group {
            title: table.title.clone(),
            bars: (table.series.iter())
                .filter(|series| series.peer != BEFORE)
                .map(|series| bar(&series.peer, figure(series)))
                .collect(),
        };
        let chart = Chart { file, title, bar: 24, groups: tables.map(group).collect() };
        draw_bars(folder, &chart)?;
    }
    growth(folder, tables)
}

fn bar(peer: &str, length: f64) -> Bar {
    Bar { name: label(peer), length, is_ours: is_ours(peer) }
}

/// The plot of the README: it fits one screen.
fn summary(tables: &Tables) -> Chart<'static> {
    let group = |(title, key, peers): Chosen| {
        let table = tables.get(key)?;
        let measured = peers.iter().filter(|peer| table.series(peer).is_some());
        let bars = measured.map(|peer| bar(peer, relative_to_ours(table, peer)));
        let (title, bars) = (title.to_string(), bars.collect());
        Some(Group { title, bars })
    };
    Chart {
        file: "summary.svg",
        title: "CPU time relative to sendloop: shorter is better",
        bar: 19,
        groups: SUMMARY.into_iter().filter_map(group).collect(),
    }
}

/// Defines the page's images: by file for the page itself, and inline in `plots.md` for rustdoc,
/// which copies no files.
pub fn define(page: &mut String, folder: &Path) -> Result<()> {
    let mut inline = String::new();
    page.push('\n');
    for path in svg_files(folder)? {
        let name = path.file_stem().and_then(|name| name.to_str());
        let name = name.context("a name in UTF-8")?;
        writeln!(page, "[plot-{name}]: benchmarks/{name}.svg")?;
        let svg = percent_encoded(&fs::read(&path)?);
        writeln!(inline, "[plot-{name}]: data:image/svg+xml,{svg}")?;
    }
    Ok(fs::write(folder.join("plots.md"), inline)?)
}

fn svg_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder)?.map(|entry| Ok(entry?.path()));
    let mut paths = entries.collect::<Result<Vec<_>>>()?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "svg"));
    paths.sort();
    Ok(paths)
}

fn percent_encoded(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, &byte| {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'=' | b'/' | b',' => {
                text.push(char::from(byte));
            }
            _ => text.push_str(&format!("%{byte:02X}")),
        }
        text
    })
}

fn draw_bars(folder: &Path, chart: &Chart<'_>) -> Result<()> {
    // A group has a title above its bars and a gap below them.
    let rows: usize = chart.groups.iter().map(|group| group.bars.len() + 2).sum();
    if rows == 0 {
        return Ok(());
    }
    let file = folder.join(chart.file);
    let root = SVGBackend::new(&file, (WIDTH, 50 + chart.bar * rows as u32)).into_drawing_area();
    root.fill(&WHITE).map_err(to_error)?;
    text(&root, chart.title, (12, 12), 20)?;
    let mut top = 50;
    for group in &chart.groups {
        text(&root, &group.title, (12, top), 15)?;
        top += chart.bar as i32;
        let longest = group.bars.iter().map(|bar| bar.length).fold(0.0, f64::max);
        for bar in &group.bars {
            draw_bar(&root, bar, longest, (top, chart.bar as i32))?;
            top += chart.bar as i32;
        }
        top += chart.bar as i32;
    }
    root.present().map_err(to_error)
}

type Root<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;

fn draw_bar(root: &Root<'_>, bar: &Bar, longest: f64, (top, height): (i32, i32)) -> Result<()> {
    let room = f64::from(WIDTH as i32 - LEFT - 90);
    let right = LEFT + (bar.length / longest * room).max(1.0) as i32;
    let color = if bar.is_ours { OUR_COLOR } else { THEIR_COLOR };
    let shape = Rectangle::new([(LEFT, top), (right, top + height - 6)], color.filled());
    root.draw(&shape).map_err(to_error)?;
    text(root, &bar.name, (24, top + 1), 14)?;
    text(root, &digits(bar.length), (right + 8, top + 1), 14)
}

fn text(root: &Root<'_>, words: &str, at: (i32, i32), size: u32) -> Result<()> {
    let style = ("sans-serif", size).into_font().color(&BLACK);
    root.draw_text(words, &style, at).map_err(to_error)
}

/// Lines of the CPU time of an echo by the number of connections.
fn growth(folder: &Path, tables: &Tables) -> Result<()> {
    let sizes: Vec<(f64, &Table)> = [10, 100, 1_000, 10_000]
        .into_iter()
        .filter_map(|size| Some((f64::from(size), tables.get(&format!("F echo {size}"))?)))
        .collect();
    let Some((_, first)) = sizes.first() else {
        return Ok(());
    };
    let file = folder.join("f.svg");
    let root = SVGBackend::new(&file, (WIDTH, 360)).into_drawing_area();
    root.fill(&WHITE).map_err(to_error)?;
    let points = |peer: &str| -> Vec<(f64, f64)> {
        let point =
            |(size, table): &(f64, &Table)| Some((size.log10(), microseconds(table.series(peer)?)));
        sizes.iter().filter_map(point).collect()
    };
    let all = first.series.iter().flat_map(|series| points(&series.peer));
    let most = all.map(|(_, cost)| cost).fold(0.0, f64::max) * 1.1;
    let mut chart = ChartBuilder::on(&root)
        .caption("Echo: µs of CPU for a request, by connections", ("sans-serif", 20))
        .margin(16)
        .x_label_area_size(30)
        .y_label_area_size(50)
        .build_cartesian_2d(1.0..4.0, 0.0..most)
        .map_err(to_error)?;
    let mut mesh = chart.configure_mesh();
    mesh.x_labels(4)
        .x_label_formatter(&|power| format!("{}", 10_f64.powf(*power).round()))
        .draw()
        .map_err(to_error)?;
    let colors = [THEIR_COLOR, OUR_COLOR, RGBColor(84, 130, 53), BLACK];
    let shown = first.series.iter().filter(|series| series.peer != BEFORE);
    for (series, color) in shown.zip(colors) {
        let line = LineSeries::new(points(&series.peer), color.stroke_width(2));
        let drawn = chart.draw_series(line).map_err(to_error)?;
        drawn
            .label(label(&series.peer))
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 20, y)], color));
    }
    let mut labels = chart.configure_series_labels();
    labels.background_style(WHITE).border_style(BLACK).draw().map_err(to_error)?;
    root.present().map_err(to_error)
}

/// The errors of plotters may borrow the drawing area.
fn to_error(error: impl std::fmt::Display) -> anyhow::Error {
    anyhow!("{error}")
}
