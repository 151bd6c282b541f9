//! Dates in request fields (RFC 9110, section 5.6.7), in seconds since 1970. Earlier ones are
//! negative.

use std::cell::{Cell, RefCell};
use std::time::{SystemTime, UNIX_EPOCH};

use httpdate::fmt_http_date;
use jiff::civil::Date;

/// The present time, formatted once a second.
#[derive(Default)]
pub(crate) struct Clock {
    second: Cell<u64>,
    date: RefCell<String>,
}

impl Clock {
    /// Returns the seconds since 1970.
    pub(crate) fn second(&self) -> u64 {
        let now = SystemTime::now();
        let second = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        if self.second.replace(second) != second || self.date.borrow().is_empty() {
            *self.date.borrow_mut() = fmt_http_date(now);
        }
        second
    }

    /// Appends the value of the `Date` field.
    pub(crate) fn push_date(&self, text: &mut String) {
        self.second();
        text.push_str(&self.date.borrow());
    }

    /// Appends the time in the format of the log: `10/Oct/2000:13:55:36 +0000`.
    pub(crate) fn push_log_time(&self, text: &mut String) {
        self.second();
        // Tue, 10 Oct 2000 13:55:36 GMT
        let date = self.date.borrow();
        let (day, month, year, time) = (&date[5..7], &date[8..11], &date[12..16], &date[17..25]);
        text.extend([day, "/", month, "/", year, ":", time, " +0000"]);
    }
}

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

const DAYS: [&str; 7] =
    ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

/// 50 years of 365.2425 days.
const HALF_A_CENTURY: i64 = 50 * 31_556_952;

/// A day and a time, apart from the year.
#[derive(Clone, Copy)]
struct InYear {
    month: usize,
    day: i64,
    second_of_day: i64,
}

/// Reads a date in any of the three formats. `now` decides about years of two digits.
pub(crate) fn parse(date: &str, now: i64) -> Option<i64> {
    let words: Vec<&str> = date.split(' ').collect();
    match words[..] {
        // Sun, 06 Nov 1994 08:49:37 GMT
        [name, day, month, year, time, "GMT"] if is_short(name.strip_suffix(',')?) => {
            InYear::new(month, digits(day, 2)?, time)?.of(digits(year, 4)?)
        }
        // Sunday, 06-Nov-94 08:49:37 GMT
        [name, date, time, "GMT"] if DAYS.contains(&name.strip_suffix(',')?) => {
            let mut parts = date.splitn(3, '-');
            let (day, month) = (digits(parts.next()?, 2)?, parts.next()?);
            let year = digits(parts.next()?, 2)?;
            InYear::new(month, day, time)?.of_short_year(year, now)
        }
        // Sun Nov  6 08:49:37 1994
        [name, month, "", day, time, year] if is_short(name) => {
            InYear::new(month, digits(day, 1)?, time)?.of(digits(year, 4)?)
        }
        [name, month, day, time, year] if is_short(name) => {
            InYear::new(month, digits(day, 2)?, time)?.of(digits(year, 4)?)
        }
        _ => None,
    }
}

impl InYear {
    /// A second of 60 is a leap second.
    fn new(month: &str, day: i64, time: &str) -> Option<InYear> {
        let mut parts = time.splitn(3, ':');
        let mut part = |most| digits(parts.next()?, 2).filter(|&part| part <= most);
        let (hour, minute, second) = (part(23)?, part(59)?, part(60)?);
        Some(InYear {
            month: MONTHS.iter().position(|&name| name == month)?,
            day,
            second_of_day: (hour * 60 + minute) * 60 + second,
        })
    }

    fn of(self, year: i64) -> Option<i64> {
        let (month, day) = (self.month as i8 + 1, self.day as i8);
        let date = Date::new(i16::try_from(year).ok()?, month, day).ok()?;
        let since = date.duration_since(Date::constant(1970, 1, 1));
        Some(since.as_secs() + self.second_of_day)
    }

    /// A year that seems more than 50 years ahead is the latest one in the past with these digits.
    fn of_short_year(self, year: i64, now: i64) -> Option<i64> {
        let centuries = (0..100).rev();
        let mut dates = centuries.filter_map(|century| self.of(century * 100 + year));
        dates.find(|&date| date <= now + HALF_A_CENTURY)
    }
}

fn is_short(name: &str) -> bool {
    name.len() == 3 && DAYS.iter().any(|day| day.starts_with(name))
}

/// Reads a number of exactly `len` digits.
fn digits(text: &str, len: usize) -> Option<i64> {
    let is_number = text.len() == len && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok()).flatten()
}
