//! The listing of a directory: a pure function from its entries to HTML or JSON.
//!
//! The page is one file without scripts and loads nothing from elsewhere. Names are any bytes but
//! `/` and NUL, and any writer of the tree chooses them. So they enter HTML in two forms only:
//! [`Text`] and [`Link`]. Links are relative, and work behind a proxy that serves the tree below a
//! prefix.

use std::cmp::Ordering;
use std::ffi::OsString;
use std::fmt::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::time::SystemTime;

use bytesize::ByteSize;
use jiff::Timestamp;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};

/// An entry of a directory.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) name: OsString,
    pub(crate) kind: Kind,
    pub(crate) size: u64,
    pub(crate) modified: Option<SystemTime>,
}

/// In the order in which the page shows them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Kind {
    Directory,
    File,
}

/// The order of the entries, in which directories always come first.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Order {
    pub(crate) by: By,
    pub(crate) descending: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) enum By {
    #[default]
    Name,
    Size,
    Date,
}

impl By {
    const ALL: [By; 3] = [By::Name, By::Size, By::Date];

    fn name(self) -> &'static str {
        match self {
            By::Name => "name",
            By::Size => "size",
            By::Date => "date",
        }
    }
}

impl Order {
    /// Reads `sort=name`, `sort=-size` and the like from a query; anything else is the order of
    /// names.
    pub(crate) fn read(query: &str) -> Order {
        let values = query.split('&').filter_map(|part| part.strip_prefix("sort="));
        let order = |value: &str| {
            let name = value.strip_prefix('-').unwrap_or(value);
            let by = By::ALL.into_iter().find(|by| by.name() == name)?;
            let descending = name.len() < value.len();
            Some(Order { by, descending })
        };
        values.filter_map(order).next().unwrap_or_default()
    }
}

/// Puts the entries into an order. Those that are equal in it are sorted by their names.
pub(crate) fn sort(entries: &mut [Entry], order: Order) {
    entries.sort_by_cached_key(natural_key);
    if order.by == By::Name && order.descending {
        entries.reverse();
    }
    entries.sort_by(|a, b| {
        let within = match order.by {
            By::Size if a.kind == Kind::File => a.size.cmp(&b.size),
            By::Date => a.modified.cmp(&b.modified),
            _ => Ordering::Equal,
        };
        let within = match order.descending {
            true => within.reverse(),
            false => within,
        };
        a.kind.cmp(&b.kind).then(within)
    });
}

/// Returns a key that sorts names as people count: "9" before "10", and "a" beside "A".
///
/// The length of each number stands in front of it. So a comparison of bytes compares numbers, and
/// the order is total.
fn natural_key(entry: &Entry) -> Vec<u8> {
    let name = entry.name.to_string_lossy().to_lowercase();
    let runs = name.as_bytes();
    let runs = runs.chunk_by(|a, b| a.is_ascii_digit() == b.is_ascii_digit());
    let mut key = Vec::with_capacity(name.len() + 8);
    for run in runs {
        if run[0].is_ascii_digit() {
            let zeros = run.iter().take_while(|&&digit| digit == b'0').count();
            let number = &run[zeros..];
            key.extend([b'0', u8::try_from(number.len()).unwrap_or(u8::MAX)]);
            key.extend(number);
        } else {
            key.extend(run);
        }
    }
    key.push(0);
    key.extend(entry.name.as_bytes());
    key
}

/// The page of a directory with sorted entries.
pub(crate) struct IndexPage<'a> {
    /// The path of the directory, decoded, with a slash at both ends: "/" is the root.
    pub(crate) path: &'a [u8],
    pub(crate) entries: &'a [Entry],
    pub(crate) order: Order,
}

impl fmt::Display for IndexPage<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let title = Text(self.path);
        write!(
            f,
            "<!DOCTYPE html>\n<html lang=en>\n<meta charset=utf-8>\n\
             <meta name=viewport content=\"width=device-width, initial-scale=1\">\n\
             <link rel=icon href=\"data:,\">\n<title>Index of {title}</title>\n<style>\n{STYLE}</style>\n"
        )?;
        write!(f, "{}", Trail(self.path))?;
        write!(f, "<main>\n{}", Summary(self.entries))?;
        if !self.entries.is_empty() {
            write!(f, "{}", SortButtons(self.order))?;
        }
        f.write_str("<ul role=list>\n")?;
        if self.path != b"/" {
            f.write_str("<li class=u><a href=\"../\">Parent folder</a>\n")?;
        }
        for entry in self.entries {
            write!(f, "{}", Row(entry))?;
        }
        f.write_str("</ul>\n</main>\n")
    }
}

const STYLE: &str = include_str!("index.css");

/// The path from the root, with a link to each folder above.
struct Trail<'a>(&'a [u8]);

impl fmt::Display for Trail<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // An empty name, as in "/a//b/", is a level of the address too, and "../" goes up by one.
        let names: Vec<&[u8]> = self.0.split(|&byte| byte == b'/').collect();
        let last = names.len().saturating_sub(2);
        f.write_str("<nav aria-label=\"Path\"><h1>")?;
        for (level, name) in names[..=last].iter().enumerate() {
            let name = if level == 0 { b"Home" } else { *name };
            match (name.is_empty(), last - level) {
                (true, _) => {}
                (_, 0) => write!(f, "<bdi aria-current=page>{}</bdi>", Text(name))?,
                (_, up) => {
                    let up = "../".repeat(up);
                    let name = Text(name);
                    write!(f, "<a href=\"{up}\"><bdi>{name}</bdi></a><i>/</i>")?;
                }
            }
        }
        f.write_str("</h1></nav>\n")
    }
}

/// Buttons and not links, as programs that mirror a site follow links.
struct SortButtons(Order);

impl fmt::Display for SortButtons {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<form>Sort by")?;
        for by in By::ALL {
            let is_present = by == self.0.by;
            let minus = if is_present && !self.0.descending { "-" } else { "" };
            let pressed = if is_present { " aria-pressed=true" } else { "" };
            let name = by.name();
            write!(f, " <button name=sort value={minus}{name}{pressed}>{name}</button>")?;
        }
        f.write_str(" · times are in UTC</form>\n")
    }
}

/// The number of folders and files, and the size of the files.
struct Summary<'a>(&'a [Entry]);

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let files = || self.0.iter().filter(|entry| entry.kind == Kind::File);
        let count = files().count();
        match (self.0.len() - count, count) {
            (0, 0) => return f.write_str("<p>This folder is empty.</p>\n"),
            (folders, 0) => write!(f, "<p>{}", Count(folders, "folder"))?,
            (0, files) => write!(f, "<p>{}", Count(files, "file"))?,
            (folders, files) => {
                let folders = Count(folders, "folder");
                write!(f, "<p>{folders}, {}", Count(files, "file"))?;
            }
        }
        if count > 0 {
            let bytes = files().fold(0, |sum: u64, file| sum.saturating_add(file.size));
            write!(f, ", {}", ByteSize::b(bytes))?;
        }
        f.write_str("</p>\n")
    }
}

struct Count(usize, &'static str);

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Count(count, what) = self;
        let plural = if *count == 1 { "" } else { "s" };
        write!(f, "{count} {what}{plural}")
    }
}

struct Row<'a>(&'a Entry);

impl fmt::Display for Row<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let entry = self.0;
        let name = entry.name.as_bytes();
        let (class, slash) = match entry.kind {
            Kind::Directory => (" class=d", "/"),
            Kind::File => ("", ""),
        };
        let (link, text) = (Link(name), Text(name));
        write!(f, "<li{class}><a href=\"{link}{slash}\"><bdi>{text}{slash}</bdi></a>")?;
        if entry.kind == Kind::File {
            let size = entry.size;
            let human = ByteSize::b(size);
            write!(f, "<data value={size} title=\"{size} bytes\">{human}</data>")?;
        }
        if let Some(modified) = entry.modified.and_then(timestamp) {
            let exact = modified.to_string();
            let (date, time) = exact.split_once('T').unwrap_or_default();
            let minutes = time.get(..5).unwrap_or_default();
            write!(f, "<time datetime={exact} title=\"{exact}\">{date} {minutes}</time>")?;
        }
        f.write_str("\n")
    }
}

/// The entries as a list of objects, like nginx's. The link also works if the name is no text.
pub(crate) struct Json<'a>(pub(crate) &'a [Entry]);

impl fmt::Display for Json<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('[')?;
        for (number, entry) in self.0.iter().enumerate() {
            let name = entry.name.as_bytes();
            let (kind, slash) = match entry.kind {
                Kind::Directory => ("directory", "/"),
                Kind::File => ("file", ""),
            };
            let comma = if number == 0 { "" } else { "," };
            let (text, link) = (JsonText(name), Link(name));
            write!(f, "{comma}\n{{\"name\":\"{text}\",\"type\":\"{kind}\"")?;
            write!(f, ",\"href\":\"{link}{slash}\"")?;
            if entry.kind == Kind::File {
                write!(f, ",\"size\":{}", entry.size)?;
            }
            if let Some(modified) = entry.modified.and_then(timestamp) {
                write!(f, ",\"mtime\":\"{}\"", modified)?;
            }
            f.write_char('}')?;
        }
        f.write_str("\n]\n")
    }
}

/// A name between the quotes of a JSON string.
struct JsonText<'a>(&'a [u8]);

impl fmt::Display for JsonText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for char in String::from_utf8_lossy(self.0).chars() {
            match char {
                '"' | '\\' => write!(f, "\\{char}")?,
                ..' ' | '\x7f' => write!(f, "\\u{:04x}", u32::from(char))?,
                _ => f.write_char(char)?,
            }
        }
        Ok(())
    }
}

/// Returns whole seconds, or `None` if no calendar has the time.
fn timestamp(time: SystemTime) -> Option<Timestamp> {
    let exact = Timestamp::try_from(time).ok()?;
    let whole = exact.as_nanosecond().div_euclid(1_000_000_000);
    Timestamp::from_second(i64::try_from(whole).ok()?).ok()
}

/// A name or a path as HTML, in text and between double quotes.
///
/// Bytes that are no text show as U+FFFD. So do the characters that change the direction of text:
/// with them "gpj.exe" reads "exe.jpg", and they act beyond an element that isolates its text.
/// Control characters get their pictures.
struct Text<'a>(&'a [u8]);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = String::from_utf8_lossy(self.0);
        let mut rest = &*text;
        while let Some(at) = rest.find(is_special) {
            f.write_str(&rest[..at])?;
            let mut chars = rest[at..].chars();
            match chars.next().unwrap_or_default() {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                char if char.is_ascii() => f.write_char(picture(char))?,
                _ => f.write_char('\u{fffd}')?,
            }
            rest = chars.as_str();
        }
        f.write_str(rest)
    }
}

/// Returns whether a character is shown as something else.
fn is_special(char: char) -> bool {
    match char {
        '&' | '<' | '>' | '"' | '\'' => true,
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => true,
        _ => char.is_ascii_control(),
    }
}

/// The picture that Unicode has for each of ASCII's control characters.
fn picture(char: char) -> char {
    match char {
        '\0'..='\x1f' => char::from_u32(0x2400 + u32::from(char)).unwrap_or(char),
        '\x7f' => '\u{2421}',
        _ => char,
    }
}

/// A name as a link from the page of its directory. Without the dot "javascript:alert(1)" would
/// have a scheme.
struct Link<'a>(&'a [u8]);

/// All but what RFC 3986 calls unreserved.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

impl fmt::Display for Link<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "./{}", percent_encode(self.0, ENCODED))
    }
}
