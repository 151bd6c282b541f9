//! Conditional requests (RFC 9110, section 13), judged against the validators of a file.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use httpdate::fmt_http_date;

use crate::dates;
use crate::request::{Conditions, Method, Request};

/// The first modification time that becomes a date. Nix and reproducible builds set times of 0 and
/// 1, which say nothing about the content. Many clients cannot read earlier ones.
const FIRST_TIME: i64 = 2;

/// How old a date must be to stand for one version of a file (RFC 9110, section 8.8.2.2).
const SETTLED: Duration = Duration::from_secs(1);

/// The values that tell one state of a file from another.
#[derive(Debug, Default)]
pub(crate) struct Validators {
    /// With its quotes. A page that the server makes has none.
    pub(crate) etag: Option<String>,
    modified: Option<Modified>,
    /// The modification date in the format of HTTP.
    pub(crate) last_modified: Option<String>,
}

#[derive(Clone, Copy, Debug)]
struct Modified {
    /// In whole seconds since 1970, as in a date.
    seconds: i64,
    exactly: SystemTime,
}

/// The outcome of the conditions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Verdict {
    /// Send it, whole or in part.
    Send,
    /// Send it whole: the client has a part of another version.
    SendWhole,
    NotModified,
    Failed,
}

impl Validators {
    /// Leaves out a date that says nothing. Replaces a later date than now by now, as RFC 9110
    /// demands.
    pub(crate) fn new(etag: String, modified: Option<SystemTime>) -> Validators {
        let now = SystemTime::now();
        let modified =
            modified.map(|exactly| Modified { seconds: seconds(exactly.min(now)), exactly });
        let modified = modified.filter(|modified| modified.seconds >= FIRST_TIME);
        Validators {
            etag: Some(etag),
            modified,
            last_modified: modified.map(|modified| fmt_http_date(modified.exactly.min(now))),
        }
    }

    /// Judges in the order of section 13.2.2.
    pub(crate) fn judge(&self, request: &Request) -> Verdict {
        let conditions = &request.conditions;
        if !self.precondition_holds(conditions) {
            return Verdict::Failed;
        }
        if self.is_known(conditions) {
            return Verdict::NotModified;
        }
        match &conditions.if_range {
            // Only GET has ranges.
            Some(validator) if request.method == Method::Get && !self.is_same(validator) => {
                Verdict::SendWhole
            }
            _ => Verdict::Send,
        }
    }

    /// Reads `If-Match`, and without it `If-Unmodified-Since`.
    fn precondition_holds(&self, conditions: &Conditions) -> bool {
        match (&conditions.if_match, &conditions.if_unmodified_since) {
            (Some(tags), _) => tags.trim() == "*" || listed(tags).any(|tag| self.has_tag(tag)),
            (None, Some(date)) => self.is_unmodified_since(date).unwrap_or(true),
            (None, None) => true,
        }
    }

    /// Reads `If-None-Match`, which compares weakly, and without it `If-Modified-Since`.
    fn is_known(&self, conditions: &Conditions) -> bool {
        match (&conditions.if_none_match, &conditions.if_modified_since) {
            (Some(tags), _) => {
                let strong = |tag: &'_ str| self.has_tag(tag.strip_prefix("W/").unwrap_or(tag));
                tags.trim() == "*" || listed(tags).any(strong)
            }
            (None, Some(date)) => self.is_unmodified_since(date).unwrap_or(false),
            (None, None) => false,
        }
    }

    fn has_tag(&self, tag: &str) -> bool {
        self.etag.as_deref() == Some(tag)
    }

    /// Returns `None` if either date is unknown. The condition is ignored then.
    fn is_unmodified_since(&self, date: &str) -> Option<bool> {
        Some(self.modified?.seconds <= read_date(date)?)
    }

    /// Reads `If-Range` (section 13.1.5). A tag is compared strongly, and a date must be the exact
    /// one.
    fn is_same(&self, validator: &str) -> bool {
        if is_tag(validator) {
            return self.has_tag(validator);
        }
        let date = read_date(validator);
        self.modified.is_some_and(|modified| {
            // Within a second, a file can change twice and keep its date.
            let age = SystemTime::now().duration_since(modified.exactly);
            date == Some(modified.seconds) && age.is_ok_and(|age| age >= SETTLED)
        })
    }
}

impl Conditions {
    /// Returns whether `If-Range` has a date. All codings of a file may share one.
    pub(crate) fn has_range_date(&self) -> bool {
        let validator = self.if_range.as_deref();
        validator.is_some_and(|validator| !is_tag(validator))
    }
}

fn is_tag(validator: &str) -> bool {
    validator.starts_with(['"', 'W']) && validator.ends_with('"')
}

fn read_date(date: &str) -> Option<i64> {
    dates::parse(date, seconds(SystemTime::now()))
}

/// Whole seconds since 1970; negative before.
fn seconds(time: SystemTime) -> i64 {
    match time.duration_since(UNIX_EPOCH) {
        Ok(since) => since.as_secs() as i64,
        Err(before) => -(before.duration().as_secs_f64().ceil() as i64),
    }
}

/// Splits a list into tags, each with its quotes and its `W/`. A tag may contain commas. The first
/// element that is no tag ends the list.
fn listed(list: &str) -> impl Iterator<Item = &str> {
    let mut rest = list;
    std::iter::from_fn(move || {
        rest = rest.trim_start_matches([',', ' ', '\t']);
        let opening = if rest.starts_with("W/\"") { 3 } else { 1 };
        let is_tag = opening == 3 || rest.starts_with('"');
        let closing = is_tag.then(|| rest[opening..].find('"')).flatten()?;
        let (tag, after) = rest.split_at(opening + closing + 1);
        rest = after;
        Some(tag)
    })
}
