//! Counts of the operations that sendloop completed in this process. They prove that a test used
//! it.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use pyo3::prelude::*;

static COUNTS: Mutex<BTreeMap<&str, u64>> = Mutex::new(BTreeMap::new());

pub fn add(name: &'static str, number: u64) {
    let mut counts = COUNTS.lock().unwrap_or_else(PoisonError::into_inner);
    *counts.entry(name).or_default() += number;
}

/// Returns the count of each operation that sendloop completed, by name.
#[pyfunction]
pub fn counts() -> BTreeMap<&'static str, u64> {
    COUNTS.lock().unwrap_or_else(PoisonError::into_inner).clone()
}
