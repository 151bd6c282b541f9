//! The page of a directory: a pure function from its entries to HTML.
//!
//! One file without scripts and without anything to load from elsewhere, made for a phone as for a desk. Names are anything but
//! `/` and NUL, and whoever may write to the tree chooses them, so they meet HTML in two forms only: [`Text`] to be read and
//! [`Link`] to be followed. Links are relative, and stay right behind a proxy that serves the tree below a prefix.

use std::ffi::OsString;
use std::fmt::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::time::SystemTime;

use bytesize::ByteSize;
use jiff::Timestamp;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};

/// What a directory holds.
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

/// The page of a directory. `path` is the decoded request path of the directory, with a slash at both ends ("/" is the root).
/// Puts the entries into the order of the page.
pub(crate) fn page(path: &[u8], entries: &mut [Entry]) -> String {
    entries.sort_by_cached_key(|entry| (entry.kind, natural_key(entry), entry.name.clone()));
    let names: usize = entries.iter().map(|entry| entry.name.len()).sum();
    let mut html = String::with_capacity(6144 + 4 * path.len() + 224 * entries.len() + 3 * names);
    write!(html, "{}", Page { path, entries }).expect("a String takes everything");
    html
}

/// Names as people count: "9" before "10", and "a" beside "A". In front of each number stands its length, so that comparing
/// bytes compares numbers: a total order by construction, which rules that compare name with name seldom are.
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
    key
}

struct Page<'a> {
    path: &'a [u8],
    entries: &'a [Entry],
}

impl fmt::Display for Page<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let title = Text(self.path);
        write!(
            f,
            "<!DOCTYPE html>\n<html lang=en>\n<meta charset=utf-8>\n\
             <meta name=viewport content=\"width=device-width, initial-scale=1\">\n\
             <link rel=icon href=\"data:,\">\n<title>Index of {title}</title>\n<style>\n{STYLE}</style>\n"
        )?;
        write!(f, "{}", Trail(self.path))?;
        write!(f, "<main>\n{}<ul role=list>\n", Summary(self.entries))?;
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

/// The way from the root to here, each folder on it a link but the last.
struct Trail<'a>(&'a [u8]);

impl fmt::Display for Trail<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // An empty name, as in "/a//b/", is a level of the address all the same, and "../" goes up by one such level.
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

/// How much there is.
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
        write!(
            f,
            "<li{class}><a href=\"{link}{slash}\"><bdi>{text}{slash}</bdi></a>"
        )?;
        if entry.kind == Kind::File {
            let size = entry.size;
            let human = ByteSize::b(size);
            write!(
                f,
                "<data value={size} title=\"{size} bytes\">{human}</data>"
            )?;
        }
        if let Some(modified) = entry.modified.and_then(timestamp) {
            let exact = modified.strftime("%FT%TZ");
            let text = modified.strftime("%F %R");
            write!(f, "<time datetime={exact} title=\"{exact}\">{text}</time>")?;
        }
        f.write_str("\n")
    }
}

/// `None` for what no calendar reaches: the time of a file may be any number.
fn timestamp(time: SystemTime) -> Option<Timestamp> {
    Timestamp::try_from(time).ok()
}

/// A name or a path to be read, as text and between double quotes.
///
/// What is no text shows as U+FFFD, and so do the characters that turn the direction of what follows: with them
/// "gpj.exe" reads "exe.jpg", and they reach beyond an element that isolates its text. Control characters get their pictures.
struct Text<'a>(&'a [u8]);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for char in String::from_utf8_lossy(self.0).chars() {
            match char {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => f.write_char('\u{fffd}')?,
                _ => f.write_char(picture(char))?,
            }
        }
        Ok(())
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

/// A name as a link from the page of its directory. Without the dot "javascript:alert(1)" would have a scheme.
struct Link<'a>(&'a [u8]);

/// All but what RFC 3986 calls unreserved.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

impl fmt::Display for Link<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "./{}", percent_encode(self.0, ENCODED))
    }
}
