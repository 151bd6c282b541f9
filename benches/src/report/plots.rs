//! Plots: bars of CPU time beside ours, and lines of growth.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use plotters::prelude::*;

use super::Tables;
use super::sections::of;
use crate::runner::results::Table;

const WIDTH: u32 = 860;
const BAR: u32 = 24;
const OURS: RGBColor = RGBColor(214, 84, 31);
const THEIRS: RGBColor = RGBColor(120, 144, 168);

/// One bar: whose, of what group, how long.
struct Bar {
    name: String,
    length: f64,
    label: String,
}

struct Chart<'a> {
    file: &'a str,
    title: &'a str,
    keys: &'a [&'a str],
    /// The figure, and how it is written.
    figure: fn(&Table, &str) -> f64,
    ours: &'a [&'a str],
}

fn cost_in_microseconds(table: &Table, peer: &str) -> f64 {
    table
        .series(peer)
        .map_or(f64::NAN, |series| series.cost().median * 1e6)
}

fn rate(table: &Table, peer: &str) -> f64 {
    table
        .series(peer)
        .map_or(f64::NAN, |series| series.rate().median)
}

fn late(table: &Table, peer: &str) -> f64 {
    table
        .series(peer)
        .map_or(f64::NAN, |series| series.other("late").median * 1e3)
}

/// CPU time beside that of ours.
fn beside_ours(table: &Table, peer: &str) -> f64 {
    let ours = OUR_NAMES.iter().find(|name| table.series(name).is_some());
    let ratio = ours.and_then(|ours| table.ratio(peer, ours));
    ratio.map_or(f64::NAN, |ratio| ratio.median)
}

const OUR_NAMES: &[&str] = &[
    "sendloop",
    "sendloop_noprefetch",
    "sendloop_noposition",
    "sendloop_noposition_noprefetch",
    "file_server",
];

pub fn draw(folder: &Path, tables: &Tables) -> Result<()> {
    let cost = cost_in_microseconds;
    let charts = [
        Chart {
            file: "summary.svg",
            title: "CPU time beside that of sendloop, which is 1: shorter is better",
            keys: &[
                "A ",
                "B 64",
                "C echo 64",
                "D yield_many",
                "D timer_fire",
                "E 1 KiB",
            ],
            figure: beside_ours,
            ours: OUR_NAMES,
        },
        Chart {
            file: "a.svg",
            title: "One file of 1 GiB: µs of CPU for a MiB",
            keys: &["A "],
            figure: cost,
            ours: OUR_NAMES,
        },
        Chart {
            file: "b.svg",
            title: "Small files: µs of CPU for a send",
            keys: &["B "],
            figure: cost,
            ours: OUR_NAMES,
        },
        Chart {
            file: "c.svg",
            title: "Echo of 64 bytes: µs of CPU for a request",
            keys: &["C echo"],
            figure: cost,
            ours: OUR_NAMES,
        },
        Chart {
            file: "d.svg",
            title: "Tasks and timers: µs of CPU for one",
            keys: &["D "],
            figure: cost,
            ours: OUR_NAMES,
        },
        Chart {
            file: "e.svg",
            title: "HTTP: requests in a second, on one core",
            keys: &["E 1 KiB", "E 1 MiB", "E 64 KiB"],
            figure: rate,
            ours: OUR_NAMES,
        },
        Chart {
            file: "g.svg",
            title: "Cold files: how many ms a ticker is late at worst",
            keys: &["G disk", "G fuse", "G holes"],
            figure: late,
            ours: OUR_NAMES,
        },
    ];
    for chart in &charts {
        for_chart(folder, tables, chart)?;
    }
    growth(folder, tables)
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

/// Bars in groups, one for each table. In each group the longest fills the width, for the groups are of different size.
fn for_chart(folder: &Path, tables: &Tables, chart: &Chart<'_>) -> Result<()> {
    let groups: Vec<&Table> = chart
        .keys
        .iter()
        .flat_map(|keys| of(tables, keys))
        .collect();
    let rows: usize = groups.iter().map(|table| table.series.len() + 2).sum();
    if rows == 0 {
        return Ok(());
    }
    let file = folder.join(chart.file);
    let root = SVGBackend::new(&file, (WIDTH, 50 + BAR * rows as u32)).into_drawing_area();
    root.fill(&WHITE).map_err(say)?;
    text(&root, chart.title, (12, 12), 20)?;
    let mut top = 50;
    for table in groups {
        text(&root, &table.title, (12, top), 15)?;
        top += BAR as i32;
        let bars: Vec<Bar> = (table.series.iter())
            .map(|series| (chart.figure)(table, &series.peer))
            .zip(&table.series)
            .map(|(length, series)| Bar {
                name: series.peer.clone(),
                length,
                label: super::figures::digits(length),
            })
            .collect();
        let longest = bars.iter().map(|bar| bar.length).fold(0.0, f64::max);
        for bar in &bars {
            let is_ours = chart.ours.contains(&bar.name.as_str());
            draw_bar(&root, bar, longest, is_ours, top)?;
            top += BAR as i32;
        }
        top += BAR as i32;
    }
    root.present().map_err(say)
}

type Root<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;

fn draw_bar(root: &Root<'_>, bar: &Bar, longest: f64, is_ours: bool, top: i32) -> Result<()> {
    let (left, room) = (200, WIDTH as f64 - 200.0 - 90.0);
    let right = left + (bar.length / longest * room).max(1.0) as i32;
    let color = if is_ours { OURS } else { THEIRS };
    let shape = Rectangle::new([(left, top), (right, top + BAR as i32 - 6)], color.filled());
    root.draw(&shape).map_err(say)?;
    text(root, &bar.name, (24, top + 1), 14)?;
    text(root, &bar.label, (right + 8, top + 1), 14)
}

fn text(root: &Root<'_>, words: &str, at: (i32, i32), size: u32) -> Result<()> {
    let style = ("sans-serif", size).into_font().color(&BLACK);
    root.draw_text(words, &style, at).map_err(say)
}

/// CPU of a request by connections, each beside its own at the fewest.
fn growth(folder: &Path, tables: &Tables) -> Result<()> {
    let sizes = of(tables, "F echo ");
    let Some(first) = sizes.first() else {
        return Ok(());
    };
    let file = folder.join("f.svg");
    let root = SVGBackend::new(&file, (WIDTH, 360)).into_drawing_area();
    root.fill(&WHITE).map_err(say)?;
    let points = |peer: &str| -> Vec<(f64, f64)> {
        let count = |table: &Table| {
            table
                .key
                .rsplit(' ')
                .next()
                .and_then(|n| n.parse::<f64>().ok())
        };
        let point =
            |table: &&Table| Some((count(table)?.log10(), cost_in_microseconds(table, peer)));
        sizes.iter().filter_map(point).collect()
    };
    let most = first
        .series
        .iter()
        .flat_map(|series| points(&series.peer))
        .map(|(_, cost)| cost);
    let most = most.fold(0.0, f64::max) * 1.1;
    let mut chart = ChartBuilder::on(&root)
        .caption(
            "Echo: µs of CPU for a request, by connections",
            ("sans-serif", 20),
        )
        .margin(16)
        .x_label_area_size(30)
        .y_label_area_size(50)
        .build_cartesian_2d(1.0..4.0, 0.0..most)
        .map_err(say)?;
    let mut mesh = chart.configure_mesh();
    mesh.x_labels(4)
        .x_label_formatter(&|power| format!("{}", 10_f64.powf(*power).round()))
        .draw()
        .map_err(say)?;
    let colors = [OURS, THEIRS, RGBColor(84, 130, 53), BLACK];
    for (series, color) in first.series.iter().zip(colors) {
        let line = LineSeries::new(points(&series.peer), color.stroke_width(2));
        let drawn = chart.draw_series(line).map_err(say)?;
        drawn
            .label(&series.peer)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 20, y)], color));
    }
    let mut labels = chart.configure_series_labels();
    labels
        .background_style(WHITE)
        .border_style(BLACK)
        .draw()
        .map_err(say)?;
    root.present().map_err(say)
}

/// The drawing's errors may borrow what is drawn on.
fn say(error: impl std::fmt::Display) -> anyhow::Error {
    anyhow!("{error}")
}
