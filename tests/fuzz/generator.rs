//! Generates the bytes of clients: several requests that are nearly valid, with a few wrong bytes.

use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any};
use proptest::sample::{Index, select};
use proptest::{prop_oneof, string};

static METHODS: [&str; 8] = ["GET", "GET", "GET", "HEAD", "OPTIONS", "POST", "get", "CONNECT"];

static TARGETS: [&str; 29] = [
    "/",
    "/a",
    "/a",
    "/a.html",
    "/large.js",
    "/d",
    "/d/",
    "/d?x=y",
    "/list/",
    "/d/e/x%20y",
    "/out",
    "/d/up/secret",
    "/list/../a",
    "http://u@h/a",
    "http://h:65536/a",
    "http://[::1]:80/a",
    "http://[::1/a",
    "h:443",
    "/%2e%2e/secret",
    "/a%2f",
    "//a",
    "/absolute/etc/passwd",
    "/loop",
    "/fifo",
    "*",
    "http://h/a",
    "http://h",
    "http:///a",
    "a",
];

static VERSIONS: [&str; 8] = [
    "HTTP/1.1",
    "HTTP/1.1",
    "HTTP/1.1",
    "HTTP/1.0",
    "HTTP/1.2",
    "b HTTP/1.1",
    "HTTP/2.0",
    "HTTP/1.1 ",
];

static ENDS: [&str; 6] = ["\r\n", "\r\n", "\r\n", "\n", "\r", "\r\r\n"];

static FIELDS: [&str; 48] = [
    "Host: t",
    "Host: t:80",
    "Host: a b",
    "Host: u@h",
    "Host: [::1]:65535",
    "Host: h:65536",
    "Host: a%2",
    "Transfer-Encoding: chunked, chunked",
    "Transfer-Encoding: ,chunked",
    "Connection: close",
    "Connection: keep-alive",
    "Connection: x, Close",
    "Content-Length: 0",
    "Content-Length: 30",
    "Content-Length: 00",
    "Content-Length: +5",
    "Content-Length: 5, 5",
    "Content-Length : 5",
    "Transfer-Encoding: chunked",
    "Transfer-Encoding: gzip, chunked",
    "Transfer-Encoding: identity",
    "Transfer-Encoding:\tchunked",
    "Transfer-Encoding : chunked",
    " folded",
    "\tfolded",
    ": x",
    "no colon",
    "X: \u{e9}",
    "Expect: 100-continue",
    "Expect: x",
    "Range: bytes=0-4",
    "Range: bytes=0-4,400-",
    "Range: bytes=-1,0-0,600-",
    "Range: bytes=9999-",
    "Range: bytes=,0-1, ,",
    "If-Modified-Since: Thu, 01 Jan 1970 00:00:60 GMT",
    "Range: bytes=5-2",
    "Range: lines=0-1",
    "If-Range: \"x\"",
    "If-None-Match: *",
    "If-Match: \"x\", W/\"y\"",
    "If-Modified-Since: Wed, 25 Nov 2026 04:48:45 GMT",
    "If-Unmodified-Since: Sun, 06 Nov 1994 08:49:37 GMT",
    "If-Range: Tue, 14 Nov 2023 22:13:20 GMT",
    "Accept-Encoding: br;q=0.5, gzip",
    "Accept-Encoding: identity;q=0",
    "Accept-Encoding: *;q=0",
    "X: ",
];

static BODIES: [&str; 6] =
    ["", "", "", "0\r\n\r\n", "5\r\nGET /\r\n0\r\n\r\n", "GET /a HTTP/1.1\r\nHost: t\r\n\r\n"];

/// Generates all bytes that a client sends on one connection.
pub(crate) fn stream() -> impl Strategy<Value = Vec<u8>> {
    let requests = vec(prop_oneof![4 => valid_request(), 2 => request()], 1..4);
    let wrong = vec((any::<Index>(), change()), 0..3);
    (requests, prop_oneof![Just(Vec::new()), wrong]).prop_map(|(requests, wrong)| {
        let mut bytes = requests.concat().into_bytes();
        for (index, change) in wrong {
            change.apply(&mut bytes, index);
        }
        bytes
    })
}

fn valid_request() -> impl Strategy<Value = String> {
    let fields = vec(select(&FIELDS[30..]), 0..3);
    (select(&METHODS[..5]), select(&TARGETS[..]), fields).prop_map(|(method, target, fields)| {
        let fields: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
        format!("{method} {target} HTTP/1.1\r\nHost: t\r\n{fields}\r\n")
    })
}

fn request() -> impl Strategy<Value = String> {
    let line = (select(&METHODS[..]), select(&TARGETS[..]), select(&VERSIONS[..]));
    let fields = vec((select(&FIELDS[..]), select(&ENDS[..])), 0..5);
    let rest = (select(&ENDS[..]), select(&ENDS[..]), select(&BODIES[..]));
    let before = select(&["", "", "", "\r\n", "\n", " "][..]);
    (before, line, fields, rest).prop_map(|(before, line, fields, (first, last, body))| {
        let (method, target, version) = line;
        let fields: String = fields.iter().map(|(field, end)| format!("{field}{end}")).collect();
        format!("{before}{method} {target} {version}{first}Host: t{first}{fields}{last}{body}")
    })
}

#[derive(Clone, Debug)]
enum Change {
    Insert(u8),
    Replace(u8),
    Remove,
    /// Inserts a run of bytes, also beyond the limits of targets and headers.
    Stretch(usize),
}

fn change() -> impl Strategy<Value = Change> {
    let byte = || prop_oneof![any::<u8>(), select(&b"\r\n \t:,;=/%.?#*\0\x7f\xff0a"[..])];
    let stretch = select(&[100, 8100, 8192, 16_300, 16_384][..]);
    prop_oneof![
        6 => byte().prop_map(Change::Insert),
        6 => byte().prop_map(Change::Replace),
        6 => Just(Change::Remove),
        1 => (stretch, 0..90usize).prop_map(|(len, more)| Change::Stretch(len + more)),
    ]
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>, index: Index) {
        if bytes.is_empty() {
            return;
        }
        let at = index.index(bytes.len());
        match *self {
            Change::Insert(byte) => bytes.insert(at, byte),
            Change::Replace(byte) => bytes[at] = byte,
            Change::Remove => drop(bytes.remove(at)),
            Change::Stretch(len) => drop(bytes.splice(at..at, std::iter::repeat_n(b'x', len))),
        }
    }
}

/// Generates targets from pieces that matter to the decoder.
pub(crate) fn target() -> impl Strategy<Value = String> {
    let alphabet = "(/|\\.|\\.\\.|%2[eEfF]|%00|%5c|%|a|d|e|up|out|in|list|loop|fifo|absolute|x%20y|\\?|#|\\\\|:|http://h|\u{e9}){0,12}";
    let pattern = || string::string_regex(alphabet).expect("a pattern");
    prop_oneof![pattern().prop_map(|rest| format!("/{rest}")), pattern()]
}

/// Generates conditional fields: lists of tags and dates that are nearly valid.
pub(crate) fn conditions() -> impl Strategy<Value = String> {
    let tag = select(&["\"x\"", "W/\"x\"", "\"y,z\"", "*", "\"x", "x", "w/\"x\"", "\"\"", ""][..]);
    let comma = select(&[",", ", ", ",,", " ,\t", ";", " "][..]);
    let tags = vec((tag, comma), 1..4);
    let tags =
        tags.prop_map(|tags| tags.iter().map(|(tag, comma)| format!("{tag}{comma}")).collect());
    let value = prop_oneof![2 => tags, 1 => date()];
    let name = select(&CONDITIONS[..]);
    let field = (name, value).prop_map(|(name, value)| format!("{name}: {value}\r\n"));
    vec(field, 0..4).prop_map(|fields: Vec<String>| fields.concat())
}

static CONDITIONS: [&str; 6] =
    ["If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since", "If-Range", "Range"];

/// Generates dates in all formats: many near the file's time, and some invalid ones.
pub(crate) fn date() -> impl Strategy<Value = String> {
    let year = prop_oneof![3 => 1994..=1994, 1 => 0..=9999, 1 => 1890..=2080];
    let month = prop_oneof![3 => Just("Nov"), 1 => select(&MONTHS[..])];
    let day = prop_oneof![3 => 5..=7, 1 => 0..=32];
    let time = (
        prop_oneof![3 => Just(8), 1 => 0..=24],
        prop_oneof![3 => Just(49), 1 => 0..=60],
        prop_oneof![3 => 36..=38, 1 => 0..=61],
    );
    let format = 0..4;
    (year, month, day, time, format).prop_map(|(year, month, day, time, format)| {
        let (hour, minute, second) = time;
        let time = format!("{hour:02}:{minute:02}:{second:02}");
        match format {
            0 => format!("Sunday, {day:02}-{month}-{:02} {time} GMT", year % 100),
            1 => format!("Sun {month} {day:2} {time} {year:04}"),
            _ => format!("Sun, {day:02} {month} {year:04} {time} GMT"),
        }
    })
}

static MONTHS: [&str; 13] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec", "Foo"];

/// Generates a `Range` field and the size of a file.
pub(crate) fn range() -> impl Strategy<Value = (String, u64)> {
    let number = prop_oneof![
        3 => (0..1000u64).prop_map(|n| n.to_string()),
        1 => select(&["", "+1", "0", "007", "18446744073709551615", "18446744073709551616", "x"][..]).prop_map(str::to_owned),
    ];
    let range = (number.clone(), number, select(&["-", "-", "-", "--", ""][..]));
    let range = range.prop_map(|(first, last, between)| format!("{first}{between}{last}"));
    let one = prop_oneof![
        4 => (0..1000u64, 0..200u64).prop_map(|(first, more)| format!("{first}-{}", first + more)),
        1 => range,
    ];
    let size = prop_oneof![0..1200u64, select(&[0, 1, u64::MAX, i64::MAX as u64][..])];
    let list = (vec(one, 1..36), select(&[",", ",", ", ", "\t,", ",,", ", ,"][..]));
    let unit = select(&["bytes=", "bytes=", "bytes=", "Bytes =", "byte=", "bytes"][..]);
    (unit, list, size)
        .prop_map(|(unit, (ranges, comma), size)| (format!("{unit}{}", ranges.join(comma)), size))
}
