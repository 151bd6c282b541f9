//! The structure that docs/DESIGN.md describes.
//!
//! Imports point down, and only the lowest layer uses unsafe code and target conditions.

use std::fs;
use std::path::{Path, PathBuf};

/// The layers from the bottom up. A module may import only from lower layers and from itself.
const LAYERS: [&[&str]; 8] = [
    &["slots", "sys", "sync"],
    &["clock", "nesting", "error", "exceptions", "wait_queue"],
    &["oneshot", "run_queue", "remote"],
    &["reactor", "timers", "task", "pool"],
    &["event_loop"],
    &["socket", "write_lock", "ready_io", "executor"],
    &["sock"],
    &["sendfile"],
];

/// The allowed imports inside one layer: the importing module, and the imported one.
const WITHIN: [(&str, &str); 7] = [
    ("exceptions", "nesting"),
    ("error", "nesting"),
    ("exceptions", "error"),
    ("remote", "run_queue"),
    ("socket", "write_lock"),
    ("ready_io", "socket"),
    ("sync", "sys"),
];

fn sources(under: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(under).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(path);
        }
    }
}

/// Each source file but the crate's root, with the name of its top module.
fn modules() -> Vec<(String, PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    sources(&root, &mut found);
    assert!(found.len() > 20, "found {} source files in src, expected more than 20", found.len());
    let named = found.into_iter().filter_map(|path| {
        let below = path.strip_prefix(&root).expect("below src").to_owned();
        // Unit tests may import from every layer.
        if below.iter().any(|part| part == "tests" || part == "tests.rs" || part == "loom_tests.rs")
        {
            return None;
        }
        let first = below.components().next()?.as_os_str().to_str()?.to_owned();
        let name = first.trim_end_matches(".rs").to_owned();
        let text = fs::read_to_string(&path).expect("readable");
        (name != "lib").then_some((name, below, text))
    });
    named.collect()
}

fn layer(module: &str) -> usize {
    let place = LAYERS.iter().position(|modules| modules.contains(&module));
    place.unwrap_or_else(|| panic!("{module} is in no layer"))
}

/// Returns the numbered lines of code in a file, without comments and unit tests.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = text.lines().take_while(|line| !line.starts_with("#[cfg(test)]"));
    let numbered = lines.enumerate().map(|(n, line)| (n + 1, line));
    numbered.filter(|(_, line)| !line.trim_start().starts_with("//"))
}

/// The modules that a line names by `crate::`.
fn imports(line: &str) -> impl Iterator<Item = &str> {
    line.split("crate::").skip(1).map(|rest| {
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_');
        &rest[..end.unwrap_or(rest.len())]
    })
}

#[test]
fn imports_point_down() {
    for (module, path, text) in modules() {
        for (number, line) in code(&text) {
            for import in imports(line) {
                let at = format!("src/{}:{number}: {module} imports {import}", path.display());
                assert!(!import.is_empty(), "{at}: a group hides what it imports");
                let down = layer(import) < layer(&module);
                let meant = WITHIN.contains(&(module.as_str(), import));
                assert!(down || import == module || meant, "{at}, which is not below it");
            }
            assert!(
                !line.contains("super::super"),
                "src/{}:{number}: write crate:: instead of super::super",
                path.display()
            );
        }
    }
}

#[test]
fn only_sys_has_unsafe_code_and_target_conditions() {
    for (module, path, text) in modules() {
        for (number, line) in code(&text).filter(|_| module != "sys") {
            for word in ["unsafe ", "unsafe{", "target_os", "target_vendor", "allow(unsafe"] {
                assert!(
                    !line.contains(word),
                    "src/{}:{number}: {word:?} belongs in src/sys alone",
                    path.display()
                );
            }
        }
    }
}

#[test]
fn every_unsafe_block_has_a_safety_comment() {
    for (_, path, text) in modules() {
        let lines: Vec<&str> = text.lines().collect();
        for (n, line) in lines.iter().enumerate() {
            if line.contains("unsafe {") && !line.trim_start().starts_with("//") {
                let above = &lines[n.saturating_sub(4)..n];
                let has_comment = above.iter().any(|line| line.contains("SAFETY:"));
                assert!(
                    has_comment,
                    "src/{}:{}: no SAFETY comment in the four lines above",
                    path.display(),
                    n + 1
                );
            }
        }
    }
}

/// rustfmt wraps no comments. Rows of tables may be longer.
#[test]
fn lines_have_at_most_100_columns() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    sources(&root, &mut found);
    for path in found {
        let text = fs::read_to_string(&path).expect("readable");
        for (n, line) in text.lines().enumerate() {
            let is_row = line.trim_start().starts_with("//! |");
            let columns = line.chars().count();
            assert!(
                columns <= 100 || is_row,
                "{}:{}: {columns} columns instead of 100; rustfmt wraps no comments",
                path.display(),
                n + 1
            );
        }
    }
}

/// The names of the modules that the floor plan of docs/DESIGN.md has a line for.
fn planned() -> Vec<String> {
    let page = include_str!("../../docs/DESIGN.md");
    let plan = page.split("```").nth(1).expect("the floor plan");
    let named = plan.lines().filter_map(|line| {
        // The name follows the layer, or the indentation.
        let line = line.trim_start_matches(|c: char| c == 'L' || c.is_ascii_digit());
        let is_top = line.starts_with("  ") && line.len() - line.trim_start().len() <= 4;
        let name = line.split_whitespace().next()?.trim_end_matches('/');
        is_top.then(|| name.to_owned())
    });
    named.collect()
}

#[test]
fn the_floor_plan_names_every_module() {
    let mut planned = planned();
    let mut present: Vec<_> = modules().into_iter().map(|(name, _, _)| name).collect();
    planned.sort_unstable();
    present.sort_unstable();
    present.dedup();
    assert_eq!(planned, present, "docs/DESIGN.md, the floor plan, and src/");
}
