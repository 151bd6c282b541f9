//! The tables of the experiment.

use super::{Measured, OPTIONS, WAYS};
use crate::runner::results::Spread;

const GIB: f64 = (1 << 30) as f64;

type Figure = (&'static str, fn(&Measured) -> f64);

const FIGURES: [Figure; 10] = [
    ("CPU ms", |m| m.taken.cpu_ns as f64 / 1e6),
    ("ms", |m| m.taken.wall_ns as f64 / 1e6),
    ("receiver's CPU ms", |m| m.received.cpu.as_secs_f64() * 1e3),
    ("calls", |m| m.taken.calls as f64),
    ("EAGAIN", |m| m.taken.full as f64),
    ("polls", |m| m.taken.polls as f64),
    ("sender slept", |m| m.taken.voluntary as f64),
    ("preempted", |m| m.taken.involuntary as f64),
    ("receiver woken", |m| m.received.sleeps as f64),
    ("receives", |m| m.received.calls as f64),
];

/// Fits the CPU time to the receiver's wake-ups, by least squares over a table's samples.
pub fn print_wakeups(measured: &[Vec<Measured>]) {
    let samples = measured.iter().flatten();
    let per_gib = |m: &Measured, figure: f64| figure * GIB / m.bytes as f64;
    let points: Vec<(f64, f64)> = samples
        .map(|m| {
            let woken = per_gib(m, m.received.sleeps as f64);
            (woken, per_gib(m, m.taken.cpu_ns as f64 / 1e3))
        })
        .collect();
    let count = points.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / count;
    let (x, y) = (mean(|point| point.0), mean(|point| point.1));
    let sum = |of: &dyn Fn(f64, f64) -> f64| -> f64 {
        points.iter().map(|point| of(point.0 - x, point.1 - y)).sum()
    };
    let (xx, yy, xy) = (sum(&|x, _| x * x), sum(&|_, y| y * y), sum(&|x, y| x * y));
    let slope = xy / xx;
    println!(
        "\nCPU per GiB is about {:.0} ms and {slope:.1} µs for each wake-up of the receiver \
         (r² {:.2}, {count} samples).",
        (y - slope * x) / 1e3,
        xy * xy / (xx * yy)
    );
}

/// Writes medians per GiB. The CPU time has its quartiles.
pub fn print(measured: &[Vec<Measured>]) {
    let titles: Vec<&str> = FIGURES.iter().map(|(title, _)| *title).collect();
    println!("\n| a step, per GiB | socket | {} |", titles.join(" | "));
    println!("|---|---|{}", "---|".repeat(FIGURES.len()));
    for (place, samples) in measured.iter().enumerate() {
        let way = WAYS[place / OPTIONS.len()].name;
        let (option, ..) = OPTIONS[place % OPTIONS.len()];
        let cells = FIGURES.iter().enumerate().map(|(column, (_, figure))| {
            let each = samples.iter();
            let spread = Spread::of(each.map(|m| figure(m) * GIB / m.bytes as f64));
            let Spread { low, median, high } = spread;
            match column {
                0 => format!("**{median:.0}** ({low:.0} to {high:.0})"),
                _ => format!("{median:.0}"),
            }
        });
        let cells: Vec<String> = cells.collect();
        println!("| {way} | {option} | {} |", cells.join(" | "));
    }
}
