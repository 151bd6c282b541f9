//! Counts of outcomes by name.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;

#[derive(Default)]
pub(super) struct Tally(RefCell<BTreeMap<String, u64>>);

impl Tally {
    pub(super) fn count(&self, what: &str) {
        self.add(what, 1);
    }

    pub(super) fn add(&self, what: &str, n: u64) {
        let mut counts = self.0.borrow_mut();
        match counts.get_mut(what) {
            Some(count) => *count += n,
            None => drop(counts.insert(what.to_owned(), n)),
        }
    }

    pub(super) fn get(&self, what: &str) -> u64 {
        self.0.borrow().get(what).copied().unwrap_or(0)
    }

    pub(super) fn sum(&self, whats: &[&str]) -> u64 {
        whats.iter().map(|what| self.get(what)).sum()
    }

    pub(super) fn merge(&self, other: &Tally) {
        for (what, n) in other.0.borrow().iter() {
            self.add(what, *n);
        }
    }

    /// Parses the output of [`lines`](Tally::lines), which may stand among other lines.
    pub(super) fn parse(text: &str) -> Tally {
        let tally = Tally::default();
        for (what, count) in text.lines().filter_map(|line| line.split_once('\t')) {
            tally.add(what, count.parse().expect("a number"));
        }
        tally
    }

    pub(super) fn lines(&self) -> String {
        let counts = self.0.borrow();
        let lines = counts.iter().map(|(what, n)| format!("{what}\t{n}\n"));
        lines.collect()
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = self.0.borrow();
        let lines: Vec<_> = counts.iter().map(|(what, n)| format!("{n} {what}")).collect();
        f.write_str(&lines.join(", "))
    }
}
