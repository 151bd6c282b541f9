//! Conditions and their dates: the server evaluates them in the steps of RFC 9110.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use crate::conditional::{Validators, Verdict};
use crate::dates;
use crate::request::{Conditions, Parsed, Request, parse};

/// The modification time of the file: Sun, 06 Nov 1994 08:49:37 GMT.
const MODIFIED: i64 = 784_111_777;

/// The time at which the dates are parsed, in 2026.
const NOW: i64 = 1_795_910_400;

/// Checks the bytes as fields of a request for a file with the tag `"x"`.
///
/// # Panics
///
/// Panics if the server's verdict differs from that of the steps in section 13.2.2.
pub fn check_bytes(bytes: &[u8]) {
    let beginning = b"GET /a HTTP/1.1\r\nHost: t\r\n";
    let Parsed::Request(request, _) = parse(&[beginning, bytes, b"\r\n\r\n"].concat()) else {
        return;
    };
    let modified = UNIX_EPOCH + Duration::from_secs(MODIFIED as u64);
    for (etag, modified) in [
        (Some("\"x\""), Some(modified)),
        (Some("\"x\""), Some(UNIX_EPOCH)),
        (Some("\"x\""), None),
        (None, None),
    ] {
        let validators = match etag {
            Some(etag) => Validators::new(etag.to_owned(), modified),
            None => Validators::default(),
        };
        let time = modified.filter(|&time| time > UNIX_EPOCH);
        let expected = judge(&request, etag, time.map(|_| MODIFIED));
        assert_eq!(validators.judge(&request), expected, "{request:?}");
    }
    let conditions = &request.conditions;
    let dates =
        [&conditions.if_modified_since, &conditions.if_unmodified_since, &conditions.if_range];
    dates.into_iter().flatten().for_each(|date| check_date(date));
}

fn judge(request: &Request, etag: Option<&str>, modified: Option<i64>) -> Verdict {
    let Conditions { if_match, if_none_match, if_modified_since, if_unmodified_since, if_range } =
        &request.conditions;
    let matches = |list: &str, strong: bool| {
        let is_same =
            |(weak, tag): &(bool, String)| Some(tag.as_str()) == etag && !(strong && *weak);
        list.trim() == "*" || tags(list).iter().any(is_same)
    };
    let since = |date: &Option<String>| Some((modified?, read(date.as_deref()?)?));
    // Steps 1 and 2.
    match (if_match, since(if_unmodified_since)) {
        (Some(list), _) if !matches(list, true) => return Verdict::Failed,
        (None, Some((modified, date))) if modified > date => return Verdict::Failed,
        _ => {}
    }
    // Steps 3 and 4.
    match (if_none_match, since(if_modified_since)) {
        (Some(list), _) if matches(list, false) => return Verdict::NotModified,
        (None, Some((modified, date))) if modified <= date => return Verdict::NotModified,
        _ => {}
    }
    // Step 5.
    match if_range {
        None => Verdict::Send,
        Some(tag) if tag.ends_with('"') && Some(tag.as_str()) == etag => Verdict::Send,
        Some(date) if modified.is_some() && read(date) == modified => Verdict::Send,
        Some(_) => Verdict::SendWhole,
    }
}

/// Parses tags character by character, until one is malformed.
fn tags(list: &str) -> Vec<(bool, String)> {
    let mut tags = Vec::new();
    let mut chars = list.chars().peekable();
    loop {
        while chars.next_if(|char| ", \t".contains(*char)).is_some() {}
        let weak = chars.next_if_eq(&'W').is_some();
        if weak && chars.next() != Some('/') || chars.next() != Some('"') {
            return tags;
        }
        let mut tag = String::from('"');
        loop {
            match chars.next() {
                None => return tags,
                Some('"') => break,
                Some(char) => tag.push(char),
            }
        }
        tags.push((weak, tag + "\""));
    }
}

fn read(date: &str) -> Option<i64> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    dates::parse(date, now.expect("a clock after 1970").as_secs() as i64)
}

/// Compares the server's parser of dates with a calendar.
///
/// # Panics
///
/// Panics if the server parses a date to another time, or accepts an invalid date.
pub fn check_date(date: &str) {
    let expected = ["%a, %d %b %Y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y", "%a %b %d %H:%M:%S %Y"];
    let found = dates::parse(date, NOW);
    let Some(found) = found else {
        // httpdate parses some invalid dates, but formats only valid ones.
        let theirs = httpdate::parse_http_date(date).map(httpdate::fmt_http_date);
        assert!(theirs.ok().as_deref() != Some(date), "{date:?}");
        return;
    };
    // The calendar has no leap seconds, so the second before stands for one.
    let is_leap = date.contains(":60");
    let time = Timestamp::from_second(found - i64::from(is_leap)).expect("a time");
    let time: DateTime = TimeZone::UTC.to_datetime(time);
    let written = |format: &str| {
        let written = time.strftime(format).to_string();
        if is_leap { written.replace(":59 ", ":60 ") } else { written }
    };
    let is_written = expected.iter().any(|format| written(format)[3..] == date[3..]);
    let short = written(", %d-%b-%y %H:%M:%S GMT");
    let is_short = date.split_once("day").is_some_and(|(_, rest)| rest == short);
    assert!(is_written || is_short, "{date:?} is {time}");
    let half_a_century = 50 * 31_556_952;
    let is_near = (NOW - half_a_century - 31_622_400..=NOW + half_a_century).contains(&found);
    assert!(is_written || is_near, "{date:?} is {time}");
}
