//! Requests: the example finds the same requests however the bytes are split, and hyper finds them
//! too.

use crate::fuzz::peer;
use crate::request::{Parsed, Request, parse};

/// The most prefixes that the check parses. All prefixes of a long input would take quadratic time.
const MAX_PREFIXES: usize = 400;

/// Checks the requests that the example finds in the bytes.
///
/// # Panics
///
/// Panics if a prefix of the bytes gives other requests, if a request breaks RFC 9112, or if hyper
/// finds another request.
pub fn check(bytes: &[u8]) {
    check_prefixes(bytes);
    let seen = requests(bytes);
    let mut rest = bytes;
    for (request, len) in &seen.requests {
        check_grammar(&rest[..*len], request);
        rest = &rest[*len..];
    }
    peer::compare(bytes, &seen);
}

/// The requests that the example finds in all bytes of a client, with their lengths.
pub(crate) struct Seen {
    pub(crate) requests: Vec<(Box<Request>, usize)>,
    pub(crate) end: End,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The last request ends the connection.
    Closed,
    Refused,
    /// No bytes are left, or the beginning of a request.
    Open,
}

pub(crate) fn requests(bytes: &[u8]) -> Seen {
    let mut rest = bytes;
    let mut requests = Vec::new();
    let end = loop {
        match parse(rest) {
            Parsed::Beginning => break End::Open,
            Parsed::Refused(_) => break End::Refused,
            Parsed::Request(request, len) => {
                let goes_on = request.keep_alive;
                requests.push((request, len));
                rest = &rest[len..];
                if !goes_on {
                    break End::Closed;
                }
            }
        }
    };
    Seen { requests, end }
}

/// Asserts that a prefix of the bytes is either incomplete or parses as all bytes do.
fn check_prefixes(bytes: &[u8]) {
    let whole = format!("{:?}", parse(bytes));
    let step = bytes.len().div_ceil(MAX_PREFIXES).max(1);
    for len in (0..bytes.len()).step_by(step) {
        match parse(&bytes[..len]) {
            Parsed::Beginning => {}
            parsed => assert_eq!(format!("{parsed:?}"), whole, "of the first {len} bytes"),
        }
    }
}

/// Checks a request line by line, strictly at each point in which two parsers could differ.
fn check_grammar(bytes: &[u8], request: &Request) {
    let shown = String::from_utf8_lossy(bytes);
    let start = bytes.iter().position(|byte| !b"\r\n".contains(byte));
    let bytes = &bytes[start.expect("a request")..];
    let lines = bytes.split(|&byte| byte == b'\n');
    let mut lines = lines.map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let line = lines.next().unwrap_or_default();
    let words: Vec<&[u8]> = line.split(|&byte| byte == b' ').collect();
    let [method, target, version] = words[..] else {
        panic!("not three words: {shown}");
    };
    assert!(is_token(method), "{shown}");
    assert_eq!(target, request.target.as_bytes(), "{shown}");
    let minor = version.strip_prefix(b"HTTP/1.");
    let is_minor = |minor: &[u8]| minor.len() == 1 && minor[0].is_ascii_digit();
    assert!(minor.is_some_and(is_minor), "{shown}");
    let fields: Vec<(Vec<u8>, &[u8])> =
        lines.take_while(|line| !line.is_empty()).map(|line| field(line, &shown)).collect();
    check_framing(&fields, version == b"HTTP/1.0", request, &shown);
}

fn field<'a>(line: &'a [u8], shown: &str) -> (Vec<u8>, &'a [u8]) {
    let colon = line.iter().position(|&byte| byte == b':');
    let (name, value) = line.split_at(colon.unwrap_or_else(|| panic!("no colon: {shown}")));
    assert!(is_token(name), "{shown}");
    let is_in_value = |byte: &u8| *byte == b'\t' || (*byte >= b' ' && *byte != 0x7f);
    assert!(value.iter().all(is_in_value), "{shown}");
    (name.to_ascii_lowercase(), value[1..].trim_ascii())
}

/// Checks the fields that set the end of the request and its host.
fn check_framing(fields: &[(Vec<u8>, &[u8])], is_1_0: bool, request: &Request, shown: &str) {
    let all = |name: &str| -> Vec<&[u8]> {
        let named = fields.iter().filter(|(other, _)| other == name.as_bytes());
        named.map(|(_, value)| *value).collect()
    };
    let hosts = all("host");
    assert!(hosts.len() == 1 || (is_1_0 && hosts.is_empty()), "{shown}");
    for host in hosts.into_iter().filter(|host| !host.is_empty()) {
        peer::check_authority(std::str::from_utf8(host).expect("text"));
    }
    let lengths = all("content-length");
    let codings = all("transfer-encoding").join(&b","[..]);
    let is_number = |value: &&[u8]| !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    assert!(lengths.iter().all(is_number), "{shown}");
    assert!(lengths.windows(2).all(|two| two[0] == two[1]), "{shown}");
    if !all("transfer-encoding").is_empty() {
        assert!(codings.eq_ignore_ascii_case(b"chunked"), "{shown}");
        assert!(lengths.is_empty() && !is_1_0, "{shown}");
        assert!(!request.keep_alive, "{shown}");
    }
    let has_length = |value: &&[u8]| value.iter().any(|&digit| digit != b'0');
    if lengths.iter().any(has_length) {
        assert!(!request.keep_alive, "{shown}");
    }
    let connection = all("connection").join(&b","[..]).to_ascii_lowercase();
    let mut tokens = connection.split(|&byte| byte == b',');
    if tokens.any(|token| token.trim_ascii() == b"close") {
        assert!(!request.keep_alive, "{shown}");
    }
}

fn is_token(bytes: &[u8]) -> bool {
    let is_in_token =
        |&byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !bytes.is_empty() && bytes.iter().all(is_in_token)
}
