//! `Range` fields: the server's parser agrees with a simple parser without shortcuts.

use crate::range::{Part, Range};

/// The limits of the server.
const MAX_RANGES: usize = 32;
const GAP: u128 = 128;

/// Checks a field. The first eight bytes are the size of the file, the others the field's value.
pub fn check_bytes(bytes: &[u8]) {
    if let Some((size, value)) = bytes.split_first_chunk() {
        let size = u64::from_le_bytes(*size);
        check(&String::from_utf8_lossy(value), size);
    }
}

/// # Panics
///
/// Panics if the server's parser differs from the simple one.
pub(crate) fn check(value: &str, size: u64) {
    let range = Range::parse(value, size);
    let expected = match parse(value, size) {
        None => Range::Whole,
        Some(ranges) => merge(&ranges),
    };
    assert_eq!(range, expected, "{value:?} of {size}");
    if let Range::Several(parts) = &range {
        check_several(parts, size);
    }
}

/// Asserts properties that do not depend on the simple parser: the parts lie in the file and are
/// disjoint, so together they are not larger than the file.
fn check_several(parts: &[Part], size: u64) {
    assert!((2..=MAX_RANGES).contains(&parts.len()), "{parts:?}");
    assert!(parts.iter().all(|part| part.count > 0 && part.end() <= size), "{parts:?} of {size}");
    let mut sorted = parts.to_vec();
    sorted.sort_by_key(|part| part.offset);
    assert!(sorted.is_sorted_by(|a, b| a.end() < b.offset), "{parts:?}");
}

/// Returns the first and last byte of each range that lies in the file, in the order of the list,
/// or
/// `None` if the server must ignore the field.
fn parse(value: &str, size: u64) -> Option<Vec<(u128, u128)>> {
    let (unit, list) = value.split_once('=')?;
    if !unit.eq_ignore_ascii_case("bytes") {
        return None;
    }
    let blank = |text: &&str| text.chars().all(|char| char == ' ' || char == '\t');
    let ranges = list.split(',').filter(|range| !blank(range));
    let ranges = ranges.map(|range| range.trim_matches([' ', '\t']));
    let ranges: Vec<&str> = ranges.collect();
    if ranges.is_empty() {
        return None;
    }
    let size = u128::from(size);
    let mut parsed = Vec::new();
    for (n, range) in ranges.iter().enumerate() {
        let (first, last) = range.split_once('-').filter(|_| n < MAX_RANGES)?;
        let (first, last) = match (number(first), number(last)) {
            // With a suffix range of an empty file, the server sends the whole file.
            (Some(None), Some(Some(_))) if size == 0 => return None,
            (Some(None), Some(Some(count))) if count > 0 => (size.saturating_sub(count), size),
            (Some(None), Some(Some(_))) => (size, size),
            (Some(Some(first)), Some(None)) => (first, size),
            (Some(Some(first)), Some(Some(last))) if first <= last => (first, last),
            _ => return None,
        };
        if first < size {
            parsed.push((first, last.min(size - 1)));
        }
    }
    Some(parsed)
}

/// Parses a number. The outer option is `None` if the text is no number, the inner one if it is
/// empty. Numbers beyond `u64::MAX` become `u64::MAX`.
fn number(text: &str) -> Option<Option<u128>> {
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let digits = text.trim_start_matches('0');
    let value = digits.parse().unwrap_or(u128::MAX);
    let value = if digits.is_empty() { 0 } else { value };
    Some((!text.is_empty()).then_some(value.min(u128::from(u64::MAX))))
}

/// Merges overlapping and near ranges in ascending order. A merged range takes the place of its
/// first member in the list.
fn merge(ranges: &[(u128, u128)]) -> Range {
    let mut sorted: Vec<(u128, u128, usize)> = Vec::new();
    for (n, &(first, last)) in ranges.iter().enumerate() {
        sorted.push((first, last, n));
    }
    sorted.sort_unstable();
    let mut merged: Vec<(u128, u128, usize)> = Vec::new();
    for (first, last, n) in sorted {
        match merged.last_mut() {
            Some((_, end, place)) if first < *end + 1 + GAP => {
                *end = last.max(*end);
                *place = n.min(*place);
            }
            _ => merged.push((first, last, n)),
        }
    }
    merged.sort_by_key(|&(.., n)| n);
    let part = |&(first, last, _): &(u128, u128, usize)| Part {
        offset: first as u64,
        count: (last - first + 1) as u64,
    };
    let parts: Vec<Part> = merged.iter().map(part).collect();
    match parts[..] {
        [] => Range::PastTheEnd,
        [part] => Range::One(part),
        _ => Range::Several(parts),
    }
}
