//! The page as it was before a run of some works: what these works do not make anew is kept.

use std::fs;
use std::path::Path;

/// The earlier page, or nothing if all works were run.
#[derive(Default)]
pub struct Earlier {
    lines: Vec<String>,
}

impl Earlier {
    pub fn read(page: &Path) -> Earlier {
        let text = fs::read_to_string(page).unwrap_or_default();
        Earlier {
            lines: text.lines().map(str::to_string).collect(),
        }
    }

    /// The row of a table whose first cell is this.
    pub fn row(&self, first: &str) -> Option<&str> {
        let start = format!("| {first} |");
        let mut lines = self.lines.iter();
        lines
            .find(|line| line.starts_with(&start))
            .map(String::as_str)
    }

    /// The tables under a heading whose titles `section` does not have.
    pub fn tables_missing_in(&self, heading: &str, section: &str) -> String {
        let heading = format!("## {heading}");
        let lines = self.lines.iter().skip_while(|line| **line != heading);
        let lines = lines.skip(1).take_while(|line| !line.starts_with("## "));
        let mut kept = String::new();
        let mut is_missing = false;
        for line in lines {
            if line.starts_with("**") {
                is_missing = !section.lines().any(|new| new == line);
                if is_missing {
                    kept.push_str(&format!("\n{line}\n\n"));
                }
            } else if is_missing && line.starts_with('|') {
                kept.push_str(&format!("{line}\n"));
            }
        }
        kept
    }
}
