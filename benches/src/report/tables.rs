//! One table of samples as a table of text.

use std::collections::BTreeSet;
use std::fmt::Write;

use anyhow::Result;

use super::figures::{digits, seconds, spread};
use crate::runner::results::{Series, Spread, Table};

/// The one that the others are compared with.
const OURS: [&str; 4] = [
    "sendloop",
    "file_server",
    "sendloop on ext4",
    "sendloop_noposition",
];

fn ours(table: &Table) -> Option<&str> {
    OURS.into_iter().find(|name| table.series(name).is_some())
}

/// CPU time, that of others beside ours, work per second, and what else was measured.
pub fn of_times(page: &mut String, table: &Table, others: &[(&str, &str)]) -> Result<()> {
    let ours = ours(table);
    write!(
        page,
        "\n**{}**\n\n| | CPU for one {} | beside ours | {}s per second |",
        capital(&table.title),
        table.unit,
        table.unit
    )?;
    others
        .iter()
        .try_for_each(|(_, title)| write!(page, " {title} |"))?;
    writeln!(page, "\n|---|---|---|---|{}", "---|".repeat(others.len()))?;
    for series in &table.series {
        let beside = ours.and_then(|ours| table.ratio(&series.peer, ours));
        let beside = beside.map_or("–".to_string(), |ratio| digits(ratio.median));
        let (cost, rate) = (spread(series.cost(), seconds), digits(series.rate().median));
        write!(page, "| {} | {cost} | {beside} | {rate} |", series.peer)?;
        for (name, _) in others {
            write!(page, " {} |", other(series, name))?;
        }
        writeln!(page)?;
    }
    Ok(())
}

fn other(series: &Series, name: &str) -> String {
    let figure = series.other(name).median;
    match name {
        name if name.starts_with("rss") => digits(figure),
        _ => seconds(figure),
    }
}

/// Figures that are the same each time: system calls by name.
pub fn of_counts(page: &mut String, table: &Table) -> Result<()> {
    let least = 0.01;
    let count = |series: &Series, name: &str| series.other(name).median;
    let names: BTreeSet<&str> = (table.series.iter())
        .flat_map(|series| series.samples.iter().flat_map(|sample| &sample.other))
        .filter(|(_, count)| **count >= least)
        .map(|(name, _)| name.as_str())
        .filter(|name| !["all", "beside polls"].contains(name))
        .collect();
    writeln!(
        page,
        "\n**{}**\n\n| | all | of these |\n|---|---|---|",
        capital(&table.title)
    )?;
    for series in &table.series {
        let all: f64 = names
            .iter()
            .map(|name| count(series, name))
            .filter(|count| *count >= least)
            .sum();
        let calls = names.iter().map(|name| (name, count(series, name)));
        let calls = calls.filter(|(_, count)| *count >= least);
        let calls: Vec<String> = calls
            .map(|(name, count)| format!("{name} {count:.2}"))
            .collect();
        writeln!(
            page,
            "| {} | {all:.2} | {} |",
            series.peer,
            calls.join(", ")
        )?;
    }
    Ok(())
}

/// Figures that are neither times nor calls.
pub fn of_figures(page: &mut String, table: &Table, figures: &[(&str, &str)]) -> Result<()> {
    write!(page, "\n**{}**\n\n| |", capital(&table.title))?;
    figures
        .iter()
        .try_for_each(|(_, title)| write!(page, " {title} |"))?;
    writeln!(page, "\n|---|{}", "---|".repeat(figures.len()))?;
    for series in &table.series {
        write!(page, "| {} |", series.peer)?;
        for (name, _) in figures {
            write!(page, " {} |", digits(series.other(name).median))?;
        }
        writeln!(page)?;
    }
    Ok(())
}

/// How late a ticker was: the worst of each run.
pub fn of_lateness(page: &mut String, table: &Table) -> Result<()> {
    writeln!(
        page,
        "\n**{}**\n\n| | worst lateness | of that its own |\n|---|---|---|",
        capital(&table.title)
    )?;
    for series in &table.series {
        let [late, own] = ["late", "late_own"].map(|name| spread(series.other(name), seconds));
        writeln!(page, "| {} | {late} | {own} |", series.peer)?;
    }
    Ok(())
}

/// One figure of many sizes.
pub fn of_growth(
    page: &mut String,
    title: &str,
    sizes: &[(&str, &Table)],
    figure: impl Fn(&Series) -> Spread,
    write: impl Fn(f64) -> String,
) -> Result<()> {
    write!(page, "\n**{title}**\n\n| |")?;
    sizes
        .iter()
        .try_for_each(|(size, _)| write!(page, " {size} |"))?;
    writeln!(page, "\n|---|{}", "---|".repeat(sizes.len()))?;
    let Some((_, first)) = sizes.first() else {
        return Ok(());
    };
    for series in &first.series {
        write!(page, "| {} |", series.peer)?;
        for (_, table) in sizes {
            let cell = table
                .series(&series.peer)
                .map(|series| write(figure(series).median));
            write!(page, " {} |", cell.unwrap_or_default())?;
        }
        writeln!(page)?;
    }
    Ok(())
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters
        .next()
        .into_iter()
        .flat_map(char::to_uppercase)
        .chain(letters)
        .collect()
}
