//! The `Range` field (RFC 9110, section 14.2), for one range of bytes.

/// Which part of a file of a known size is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Range {
    Whole,
    Part {
        offset: u64,
        count: u64,
    },
    /// Nothing of it is in the file.
    PastTheEnd,
}

impl Range {
    /// Reads the field's value. A server may ignore any range; this ignores what it does not understand, and several at once.
    pub(crate) fn parse(value: &str, size: u64) -> Range {
        read(value, size).unwrap_or(Range::Whole)
    }
}

fn read(value: &str, size: u64) -> Option<Range> {
    let (unit, range) = value.split_once('=')?;
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return None;
    }
    let (first, last) = range.trim().split_once('-')?;
    if first.is_empty() {
        return Some(suffix(number(last)?, size));
    }
    let first = number(first)?;
    let last = match last {
        "" => u64::MAX,
        last => number(last)?,
    };
    if last < first {
        return None;
    }
    Some(between(first, last, size))
}

/// The last `count` bytes. An empty file has none, and "none" cannot be written as a range: it is sent whole.
fn suffix(count: u64, size: u64) -> Range {
    let count = count.min(size);
    match (count, size) {
        (_, 0) => Range::Whole,
        (0, _) => Range::PastTheEnd,
        _ => Range::Part {
            offset: size - count,
            count,
        },
    }
}

/// The bytes from `first` to `last`, both included.
fn between(first: u64, last: u64, size: u64) -> Range {
    if first >= size {
        return Range::PastTheEnd;
    }
    Range::Part {
        offset: first,
        count: last.min(size - 1) - first + 1,
    }
}

/// Digits and nothing else: `parse` alone takes a sign too. A number beyond `u64` is past the end of every file.
fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(u64::MAX))
}
