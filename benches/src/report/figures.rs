//! Figures as text.

/// Returns a time in the unit that leaves one to three digits before the point.
pub fn seconds(seconds: f64) -> String {
    let (number, unit) = match seconds {
        s if !s.is_finite() => return "–".to_string(),
        s if s < 1e-6 => (s * 1e9, "ns"),
        s if s < 1e-3 => (s * 1e6, "µs"),
        s if s < 1.0 => (s * 1e3, "ms"),
        s => (s, "s"),
    };
    format!("{} {unit}", digits(number))
}

/// The unit of a column of times.
#[derive(Clone, Copy)]
pub enum Unit {
    Seconds,
    Milliseconds,
    Microseconds,
    Nanoseconds,
}

impl Unit {
    /// Returns seconds in this unit, without its name.
    pub fn text(self, seconds: f64) -> String {
        let in_a_second = match self {
            Unit::Seconds => 1.0,
            Unit::Milliseconds => 1e3,
            Unit::Microseconds => 1e6,
            Unit::Nanoseconds => 1e9,
        };
        digits(seconds * in_a_second)
    }
}

/// Returns three digits, or all digits before the point.
pub fn digits(number: f64) -> String {
    match number.abs() {
        n if !n.is_finite() => "–".to_string(),
        n if n < 10.0 => format!("{number:.2}"),
        n if n < 100.0 => format!("{number:.1}"),
        _ => grouped(number.round() as i64),
    }
}

fn grouped(number: i64) -> String {
    let text = number.to_string();
    let bytes = text.as_bytes().rchunks(3).rev();
    let groups: Vec<&str> = bytes.filter_map(|group| std::str::from_utf8(group).ok()).collect();
    groups.join(",")
}

/// A part of one in percent.
pub fn percent(part: f64) -> String {
    format!("{:.0}%", part * 100.0)
}
