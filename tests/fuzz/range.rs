//! `Range` fields: what is sent for them is what a reader that knows no shortcuts finds in them.

use crate::range::{Part, Range};

/// As the server has them.
const MOST: usize = 32;
const GAP: u128 = 128;

/// The first eight bytes are the size of the file, the rest is the field's value.
pub fn check_bytes(bytes: &[u8]) {
    if let Some((size, value)) = bytes.split_first_chunk() {
        let size = u64::from_le_bytes(*size);
        check(&String::from_utf8_lossy(value), size);
    }
}

/// # Panics
///
/// Where the field is not read as it should be.
pub(crate) fn check(value: &str, size: u64) {
    let range = Range::parse(value, size);
    let expected = match asked(value, size) {
        None => Range::Whole,
        Some(asked) => answer(&asked),
    };
    assert_eq!(range, expected, "{value:?} of {size}");
    if let Range::Several(parts) = &range {
        check_several(parts, size);
    }
}

/// What must hold whatever the reader below thinks: parts are in the file, apart, and together never more than it.
fn check_several(parts: &[Part], size: u64) {
    assert!((2..=MOST).contains(&parts.len()));
    assert!(
        parts
            .iter()
            .all(|part| part.count > 0 && part.end() <= size)
    );
    let mut sorted = parts.to_vec();
    sorted.sort_by_key(|part| part.offset);
    assert!(sorted.is_sorted_by(|a, b| a.end() < b.offset), "{parts:?}");
}

/// First and last byte of each range that is in the file, in the order of the list; `None` where the field is to be ignored.
fn asked(value: &str, size: u64) -> Option<Vec<(u128, u128)>> {
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
    let mut asked = Vec::new();
    for (n, range) in ranges.iter().enumerate() {
        let (first, last) = range.split_once('-').filter(|_| n < MOST)?;
        let (first, last) = match (number(first), number(last)) {
            // The server answers with the whole as soon as it comes to this.
            (Some(None), Some(Some(_))) if size == 0 => return None,
            (Some(None), Some(Some(count))) if count > 0 => (size.saturating_sub(count), size),
            (Some(None), Some(Some(_))) => (size, size),
            (Some(Some(first)), Some(None)) => (first, size),
            (Some(Some(first)), Some(Some(last))) if first <= last => (first, last),
            _ => return None,
        };
        if first < size {
            asked.push((first, last.min(size - 1)));
        }
    }
    Some(asked)
}

/// The outer is `None` where it is no number, the inner where nothing stands there. What is larger than all files is one size.
fn number(text: &str) -> Option<Option<u128>> {
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let digits = text.trim_start_matches('0');
    let value = digits.parse().unwrap_or(u128::MAX);
    let value = if digits.is_empty() { 0 } else { value };
    Some((!text.is_empty()).then_some(value.min(u128::from(u64::MAX))))
}

/// Unites from the lowest byte on, and puts what comes of it where its first member stood.
fn answer(asked: &[(u128, u128)]) -> Range {
    let mut sorted: Vec<(u128, u128, usize)> = Vec::new();
    for (n, &(first, last)) in asked.iter().enumerate() {
        sorted.push((first, last, n));
    }
    sorted.sort_unstable();
    let mut united: Vec<(u128, u128, usize)> = Vec::new();
    for (first, last, n) in sorted {
        match united.last_mut() {
            Some((_, end, place)) if first < *end + 1 + GAP => {
                *end = last.max(*end);
                *place = n.min(*place);
            }
            _ => united.push((first, last, n)),
        }
    }
    united.sort_by_key(|&(.., n)| n);
    let part = |&(first, last, _): &(u128, u128, usize)| Part {
        offset: first as u64,
        count: (last - first + 1) as u64,
    };
    let parts: Vec<Part> = united.iter().map(part).collect();
    match parts[..] {
        [] => Range::PastTheEnd,
        [part] => Range::One(part),
        _ => Range::Several(parts),
    }
}
