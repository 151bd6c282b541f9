//! Conditional requests (RFC 9110, section 13), against what a file's validators are now.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use httpdate::{fmt_http_date, parse_http_date};

use crate::request::{Conditions, Method, Request};

/// What tells one state of a file from another.
#[derive(Debug)]
pub(crate) struct Validators {
    /// With its quotes.
    pub(crate) etag: String,
    /// In whole seconds, as dates have.
    modified: Option<SystemTime>,
    /// The same, as it is written.
    pub(crate) last_modified: Option<String>,
}

/// What the conditions come to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Verdict {
    /// To be sent, whole or in part.
    Send,
    /// To be sent whole: what the client has a part of is no more.
    SendWhole,
    NotModified,
    Failed,
}

impl Validators {
    /// A date is never later than now, which RFC 9110 forbids; and left out for what lies before the dates that `httpdate` can write.
    pub(crate) fn new(etag: String, modified: Option<SystemTime>) -> Validators {
        let modified = modified.map(|modified| modified.min(SystemTime::now()));
        let modified = modified.and_then(whole_seconds);
        Validators {
            etag,
            modified,
            last_modified: modified.map(fmt_http_date),
        }
    }

    /// The order is that of section 13.2.2.
    pub(crate) fn judge(&self, request: &Request) -> Verdict {
        let conditions = &request.conditions;
        if !self.precondition_holds(conditions) {
            return Verdict::Failed;
        }
        if self.is_known(conditions) {
            return Verdict::NotModified;
        }
        match &conditions.if_range {
            // Ranges are a matter of GET alone.
            Some(validator) if request.method == Method::Get && !self.is_same(validator) => {
                Verdict::SendWhole
            }
            _ => Verdict::Send,
        }
    }

    /// `If-Match`; only without that, `If-Unmodified-Since`.
    fn precondition_holds(&self, conditions: &Conditions) -> bool {
        match (&conditions.if_match, &conditions.if_unmodified_since) {
            (Some(tags), _) => tags.trim() == "*" || listed(tags).any(|tag| tag == self.etag),
            (None, Some(date)) => self.is_unmodified_since(date).unwrap_or(true),
            (None, None) => true,
        }
    }

    /// `If-None-Match`, which compares weakly; only without that, `If-Modified-Since`.
    fn is_known(&self, conditions: &Conditions) -> bool {
        match (&conditions.if_none_match, &conditions.if_modified_since) {
            (Some(tags), _) => {
                let strong = |tag: &'_ str| tag.strip_prefix("W/").unwrap_or(tag) == self.etag;
                tags.trim() == "*" || listed(tags).any(strong)
            }
            (None, Some(date)) => self.is_unmodified_since(date).unwrap_or(false),
            (None, None) => false,
        }
    }

    /// `None` where either date is not known.
    fn is_unmodified_since(&self, date: &str) -> Option<bool> {
        Some(self.modified? <= parse_http_date(date).ok()?)
    }

    /// `If-Range`: a tag, compared strongly, or a date, which must be the very one that we gave (section 13.1.5).
    fn is_same(&self, validator: &str) -> bool {
        let validator = validator.trim();
        if validator.starts_with(['"', 'W']) && validator.ends_with('"') {
            return validator == self.etag;
        }
        self.modified.is_some() && parse_http_date(validator).ok() == self.modified
    }
}

fn whole_seconds(time: SystemTime) -> Option<SystemTime> {
    let since = time.duration_since(UNIX_EPOCH).ok()?;
    Some(UNIX_EPOCH + Duration::from_secs(since.as_secs()))
}

/// The tags of a list, each with its quotes and its `W/`. A tag may have commas in it. The list ends where it is none.
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
