//! Checks the tables of `docs/ASYNCIO.md` against asyncio, `src/` and `tests/`.
//!
//! - Every asyncio name has a row.
//! - Every function that the page names is public.
//! - The page mentions every public method of the loop.
//! - Every row that says "same" names a test that exists.
//!
//! The file `tests/docs/names.txt` lists asyncio's names; `names.py` beside it records
//! them.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const PAGE: &str = include_str!("../../docs/ASYNCIO.md");
const NAMES: &str = include_str!("names.txt");

/// The owners that the first cell of a row about asyncio may begin with.
const OF_ASYNCIO: [&str; 6] = ["loop", "Handle", "TimerHandle", "Future", "Task", "asyncio"];

/// A row of the page's tables about names of asyncio.
struct Row {
    line: &'static str,
    asyncio: Vec<&'static str>,
    verdict: &'static str,
    tests: Vec<&'static str>,
}

/// Returns the words of a text between backquotes.
fn quoted(text: &'static str) -> Vec<&'static str> {
    text.split('`').skip(1).step_by(2).collect()
}

fn row(line: &'static str) -> Option<Row> {
    let cells: Vec<&str> = line.strip_prefix('|')?.split('|').map(str::trim).collect();
    let asyncio = quoted(cells[0]);
    let (owner, _) = asyncio.first()?.split_once('.')?;
    if !OF_ASYNCIO.contains(&owner) {
        return None;
    }
    // The last cell is the text after the closing bar.
    assert_eq!(cells.len(), 6, "a row has five cells: {line}");
    Some(Row { line, asyncio, verdict: cells[2], tests: quoted(cells[4]) })
}

fn rows() -> Vec<Row> {
    PAGE.lines().filter_map(row).collect()
}

fn here(below: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(below)
}

fn sources(under: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(under).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(fs::read_to_string(path).expect("readable"));
        }
    }
}

/// Returns the name at the start of a text.
fn name(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_');
    &text[..end.unwrap_or(text.len())]
}

/// Returns the type of an inherent `impl`, which rustfmt begins at the left margin.
fn implemented(line: &str) -> Option<&str> {
    let rest = line.strip_prefix("impl")?;
    let rest = match rest.strip_prefix('<') {
        Some(generics) => generics.split_once("> ")?.1,
        None => rest.strip_prefix(' ')?,
    };
    Some(if rest.contains(" for ") { "" } else { name(rest) })
}

fn public_function(line: &str) -> Option<&str> {
    let rest = line.trim_start().strip_prefix("pub ")?;
    let rest = rest.strip_prefix("const ").unwrap_or(rest);
    let rest = rest.strip_prefix("async ").unwrap_or(rest);
    Some(name(rest.strip_prefix("fn ")?))
}

/// Returns all public functions of the sources: `Type::method`, or `sendloop::function` without a
/// type.
fn public() -> BTreeSet<String> {
    let mut texts = Vec::new();
    sources(&here("src"), &mut texts);
    let mut found = BTreeSet::new();
    for text in &texts {
        let mut owner = "sendloop";
        for line in text.lines() {
            if line == "}" {
                owner = "sendloop";
            }
            owner = implemented(line).unwrap_or(owner);
            if let Some(function) = public_function(line) {
                found.insert(format!("{owner}::{function}"));
            }
        }
    }
    assert!(found.len() > 60, "found only these functions in src: {found:?}");
    found
}

/// Returns the functions that the page names as ours, outside its examples.
///
/// They have the form `Type::method` or `sendloop::function`.
fn mentioned() -> BTreeSet<&'static str> {
    let mut in_example = false;
    let text = PAGE.lines().filter(|line| {
        in_example ^= line.starts_with("```");
        !in_example && !line.starts_with("```")
    });
    let words = text.flat_map(quoted);
    let paths = words.filter(|word| {
        let parts = word.split_once("::");
        parts.is_some_and(|(_, last)| {
            last.starts_with(|c: char| c.is_ascii_lowercase()) && name(last) == last
        })
    });
    paths.collect()
}

#[test]
fn every_asyncio_name_has_exactly_one_row() {
    let rows = rows();
    let mut on_page: Vec<_> = rows.iter().flat_map(|row| row.asyncio.clone()).collect();
    let mut recorded: Vec<_> = NAMES.lines().collect();
    on_page.sort_unstable();
    recorded.sort_unstable();
    let missing: Vec<_> = recorded.iter().filter(|n| !on_page.contains(n)).collect();
    assert!(missing.is_empty(), "names of asyncio without a row: {missing:?}");
    let unknown: Vec<_> = on_page.iter().filter(|n| !recorded.contains(n)).collect();
    assert!(
        unknown.is_empty(),
        "rows for names that asyncio does not have; these belong in the table \"What asyncio does not \
         have\": {unknown:?}"
    );
    assert_eq!(on_page, recorded, "a name has two rows");
}

#[test]
fn rows_of_the_asyncio_tables_begin_with_a_name_of_asyncio() {
    let tables = PAGE.split("\n\n").map(str::trim_start);
    for table in tables.filter(|text| text.starts_with("| asyncio |")) {
        for line in table.lines().skip(2) {
            assert!(
                row(line).is_some(),
                "no name of asyncio; a method of ours alone belongs in the table \"What asyncio \
                 does not have\": {line}"
            );
        }
    }
}

#[test]
fn every_function_on_the_page_is_public() {
    let public = public();
    let mentioned = mentioned();
    assert!(mentioned.len() > 50, "found only these functions on the page: {mentioned:?}");
    let missing: Vec<_> = mentioned.iter().filter(|n| !public.contains(**n)).collect();
    assert!(missing.is_empty(), "on the page but not public in src: {missing:?}");
}

#[test]
fn every_public_method_of_the_loop_is_on_the_page() {
    let mentioned = mentioned();
    let public = public();
    let ours = public.iter().filter(|name| {
        let (owner, _) = name.split_once("::").expect("a path");
        [
            "Loop",
            "LoopHandle",
            "Handle",
            "TimerHandle",
            "Task",
            "TaskGroup",
            "CancelHandle",
            "Promise",
            "Remote",
        ]
        .contains(&owner)
    });
    let missing: Vec<_> = ours.filter(|name| !mentioned.contains(&***name)).collect();
    assert!(
        missing.is_empty(),
        "docs/ASYNCIO.md does not name these. Add a row to the table of the subject if asyncio has \
         the method, and otherwise to \"What asyncio does not have\": {missing:?}"
    );
}

#[test]
fn a_verdict_is_one_of_three_words() {
    for row in rows() {
        let known = ["same", "different", "absent"].contains(&row.verdict);
        assert!(known, "{:?}: {}", row.verdict, row.line);
    }
}

/// Returns true if one of the files `texts` has the test, or if it is a parity scenario.
fn is_there(test: &str, texts: &[String], traces: &str) -> bool {
    if test.contains('/') {
        let start = format!("{test}: ");
        return traces.lines().any(|line| line.starts_with(&start));
    }
    let function = format!("fn {test}(");
    texts.iter().any(|text| text.contains(&function))
}

#[test]
fn named_tests_exist_and_same_rows_name_one() {
    let traces =
        fs::read_to_string(here("tests/parity/traces.txt")).expect("the parity tests' traces");
    for row in rows() {
        let (files, tests): (Vec<_>, Vec<_>) =
            row.tests.iter().partition(|word| word.starts_with("tests/"));
        let read = |file: &&str| fs::read_to_string(here(file));
        let texts: Result<Vec<_>, _> = files.iter().map(read).collect();
        let texts = texts.unwrap_or_else(|error| panic!("{error}: {}", row.line));
        for test in tests {
            assert!(is_there(test, &texts, &traces), "no {test}: {}", row.line);
        }
        assert!(row.verdict != "same" || !files.is_empty(), "no test: {}", row.line);
    }
}
