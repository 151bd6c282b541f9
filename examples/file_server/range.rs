//! The `Range` field (RFC 9110, section 14.2).

use std::hash::{BuildHasher, RandomState};

/// The most ranges in a field. No honest client asks for more.
const MOST: usize = 32;

/// Two ranges become one if fewer bytes than this lie between them. The header of a part is longer
/// (section 15.3.7.2).
const GAP: u64 = 128;

/// The parts that a field asks for, of a file whose size is known.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Range {
    Whole,
    One(Part),
    /// At least two, apart from each other, in the order of the field.
    Several(Vec<Part>),
    /// All ranges are past the end of the file.
    PastTheEnd,
}

/// A range of a file: at least one byte.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Part {
    pub(crate) offset: u64,
    pub(crate) count: u64,
}

impl Part {
    pub(crate) fn end(self) -> u64 {
        self.offset + self.count
    }

    /// Returns the value of `Content-Range`.
    pub(crate) fn place(self, size: u64) -> String {
        format!("bytes {}-{}/{size}", self.offset, self.end() - 1)
    }

    fn touches(self, other: Part) -> bool {
        self.offset < other.end().saturating_add(GAP)
            && other.offset < self.end().saturating_add(GAP)
    }

    fn united(self, other: Part) -> Part {
        let offset = self.offset.min(other.offset);
        Part { offset, count: self.end().max(other.end()) - offset }
    }
}

impl Range {
    /// Reads the field's value. Ignores the field if a range is wrong, or if there are too many.
    pub(crate) fn parse(value: &str, size: u64) -> Range {
        read(value, size).unwrap_or(Range::Whole)
    }
}

fn read(value: &str, size: u64) -> Option<Range> {
    let (unit, list) = value.split_once('=')?;
    if !unit.eq_ignore_ascii_case("bytes") {
        return None;
    }
    let ranges = list.split(',').map(|range| range.trim_matches([' ', '\t']));
    // Section 5.6.1.2: empty elements are ignored, but one element must stand there.
    let mut ranges = ranges.filter(|range| !range.is_empty()).peekable();
    ranges.peek()?;
    let mut parts = Vec::new();
    for (number, range) in ranges.enumerate() {
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

/// Adds a part. Unites it with the parts that it touches, so that all together are never more than
/// the file.
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

/// Returns the last `count` bytes. No range can say that an empty file has none, so that is sent
/// whole.
fn suffix(count: u64, size: u64) -> Asked {
    let count = count.min(size);
    match (count, size) {
        (_, 0) => Asked::All,
        (0, _) => Asked::Nothing,
        _ => Asked::Part(Part { offset: size - count, count }),
    }
}

/// Returns the bytes from `first` to `last`, both included.
fn between(first: u64, last: u64, size: u64) -> Asked {
    if first >= size {
        return Asked::Nothing;
    }
    Asked::Part(Part { offset: first, count: last.min(size - 1) - first + 1 })
}

/// Reads digits; `parse` alone takes a sign too. A number beyond `u64` is past the end of every
/// file.
fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(u64::MAX))
}

#[derive(Debug)]
pub(crate) struct Multipart {
    /// The text between the parts, which no part may contain.
    boundary: String,
    content_type: String,
    /// The size of the whole file.
    size: u64,
    pub(crate) parts: Vec<Part>,
}

impl Multipart {
    pub(crate) fn new(parts: Vec<Part>, content_type: String, size: u64) -> Multipart {
        Multipart { boundary: boundary(), content_type, size, parts }
    }

    /// Returns the type of the response.
    pub(crate) fn media_type(&self) -> String {
        format!("multipart/byteranges; boundary={}", self.boundary)
    }

    /// Returns the header of a part.
    pub(crate) fn head(&self, part: Part) -> String {
        format!(
            "\r\n--{}\r\nContent-Type: {}\r\nContent-Range: {}\r\n\r\n",
            self.boundary,
            self.content_type,
            part.place(self.size),
        )
    }

    /// Returns the end of the body.
    pub(crate) fn tail(&self) -> String {
        format!("\r\n--{}--\r\n", self.boundary)
    }

    /// Returns the length of the body.
    pub(crate) fn len(&self) -> u64 {
        let parts = self.parts.iter();
        let parts: u64 = parts.map(|&part| self.head(part).len() as u64 + part.count).sum();
        parts + self.tail().len() as u64
    }
}

/// Returns 128 random bits. No writer of a file can know them.
fn boundary() -> String {
    let random = || RandomState::new().hash_one(());
    format!("{:016x}{:016x}", random(), random())
}
