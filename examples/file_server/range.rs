//! The `Range` field (RFC 9110, section 14.2).

/// More ranges than this are not asked for in earnest.
const MOST: usize = 32;

/// What lies between two ranges is sent along where it is less than what a part of its own would cost (section 15.3.7.2).
const GAP: u64 = 128;

/// Which parts of a file of a known size are asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Range {
    Whole,
    One(Part),
    /// At least two, apart from each other, in the order in which they were asked for.
    Several(Vec<Part>),
    /// Nothing of it is in the file.
    PastTheEnd,
}

/// Bytes of a file; at least one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Part {
    pub(crate) offset: u64,
    pub(crate) count: u64,
}

impl Part {
    pub(crate) fn end(self) -> u64 {
        self.offset + self.count
    }

    /// Its place, as `Content-Range` has it.
    pub(crate) fn place(self, size: u64) -> String {
        format!("bytes {}-{}/{size}", self.offset, self.end() - 1)
    }

    fn touches(self, other: Part) -> bool {
        self.offset < other.end().saturating_add(GAP)
            && other.offset < self.end().saturating_add(GAP)
    }

    fn united(self, other: Part) -> Part {
        let offset = self.offset.min(other.offset);
        Part {
            offset,
            count: self.end().max(other.end()) - offset,
        }
    }
}

impl Range {
    /// Reads the field's value. A server may ignore any range; this ignores what it does not understand, and too many.
    pub(crate) fn parse(value: &str, size: u64) -> Range {
        read(value, size).unwrap_or(Range::Whole)
    }
}

fn read(value: &str, size: u64) -> Option<Range> {
    let (unit, list) = value.split_once('=')?;
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return None;
    }
    let mut parts = Vec::new();
    for (number, range) in list.split(',').map(str::trim).enumerate() {
        if number == MOST {
            return None;
        }
        match one(range, size)? {
            Asked::Nothing => {}
            Asked::Part(part) => add(&mut parts, part),
            Asked::All => return Some(Range::Whole),
        }
    }
    Some(match parts[..] {
        [] => Range::PastTheEnd,
        [part] => Range::One(part),
        _ => Range::Several(parts),
    })
}

/// Takes a part in, united with those that it overlaps or nearly does: so all parts together are never more than the file.
fn add(parts: &mut Vec<Part>, mut part: Part) {
    let mut place = parts.len();
    while let Some(other) = parts.iter().position(|&other| other.touches(part)) {
        part = part.united(parts.remove(other));
        place = place.min(other);
    }
    parts.insert(place.min(parts.len()), part);
}

/// One of the ranges.
enum Asked {
    Part(Part),
    Nothing,
    All,
}

fn one(range: &str, size: u64) -> Option<Asked> {
    let (first, last) = range.split_once('-')?;
    if first.is_empty() {
        return Some(suffix(number(last)?, size));
    }
    let first = number(first)?;
    let last = match last {
        "" => u64::MAX,
        last => number(last)?,
    };
    (first <= last).then(|| between(first, last, size))
}

/// The last `count` bytes. An empty file has none, and "none" cannot be written as a range: it is sent whole.
fn suffix(count: u64, size: u64) -> Asked {
    let count = count.min(size);
    match (count, size) {
        (_, 0) => Asked::All,
        (0, _) => Asked::Nothing,
        _ => Asked::Part(Part {
            offset: size - count,
            count,
        }),
    }
}

/// The bytes from `first` to `last`, both included.
fn between(first: u64, last: u64, size: u64) -> Asked {
    if first >= size {
        return Asked::Nothing;
    }
    Asked::Part(Part {
        offset: first,
        count: last.min(size - 1) - first + 1,
    })
}

/// Digits and nothing else: `parse` alone takes a sign too. A number beyond `u64` is past the end of every file.
fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(u64::MAX))
}
