//! Requests: from received bytes to what the server needs to know.
//!
//! What is refused here is refused for good: after bytes that are no request, or whose end is in doubt, nobody can say where
//! the next request would begin. A proxy in front may see another end, and what lies between the two ends would be a request that
//! it never checked: smuggling. So every refusal, and every request with a body (none is read), is the last of its connection.

use httparse::{EMPTY_HEADER, Error};

use crate::fields::Fields;
use crate::status::Status;

/// The longest request, body aside, that is read.
pub(crate) const MOST: usize = 16 << 10;

/// The longest target.
const MOST_TARGET: usize = 8 << 10;

const MOST_FIELDS: usize = 100;

/// What a request asks for.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) method: Method,
    pub(crate) target: String,
    pub(crate) accept: Option<String>,
    pub(crate) accept_encoding: Option<String>,
    pub(crate) range: Option<String>,
    pub(crate) conditions: Conditions,
    /// Whether another request may follow on the connection.
    pub(crate) keep_alive: bool,
    pub(crate) client: ClientSays,
}

/// The fields that RFC 9110 has in section 13.1.
#[derive(Debug)]
pub(crate) struct Conditions {
    pub(crate) if_match: Option<String>,
    pub(crate) if_none_match: Option<String>,
    pub(crate) if_modified_since: Option<String>,
    pub(crate) if_unmodified_since: Option<String>,
    pub(crate) if_range: Option<String>,
}

/// What is worth a place in the log and nothing else.
#[derive(Default, Debug)]
pub(crate) struct ClientSays {
    pub(crate) forwarded_for: Option<String>,
    pub(crate) referer: Option<String>,
    pub(crate) user_agent: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Method {
    Get,
    Head,
    Options,
    /// One that means something, and not here.
    Known,
    Unknown,
}

/// What some received bytes are.
#[derive(Debug)]
pub(crate) enum Parsed {
    /// The beginning of a request, as far as one can see.
    Beginning,
    /// A request, and how many of the bytes it took: the next begins there.
    Request(Box<Request>, usize),
    /// No request. Where the next one would begin cannot be known.
    Refused(Status),
}

/// Reads the request that `bytes` begin with.
///
/// What it says of the first bytes it says of all that begin with them, unless that was that more must come: the answer does not
/// depend on the pieces that a request comes in.
pub(crate) fn parse(bytes: &[u8]) -> Parsed {
    let (bytes, limit) = within_limits(bytes);
    let mut fields = [EMPTY_HEADER; MOST_FIELDS];
    let mut parser = httparse::Request::new(&mut fields);
    let parsed = match parser.parse(bytes) {
        // Of another version only the whole line says whether it is one.
        Err(Error::Version) if !is_line_whole(bytes) => Ok(httparse::Status::Partial),
        parsed => parsed,
    };
    match parsed {
        Ok(httparse::Status::Complete(len)) => match Request::of(&parser) {
            Ok(request) => Parsed::Request(Box::new(request), len),
            Err(status) => Parsed::Refused(status),
        },
        Ok(httparse::Status::Partial) => limit.map_or(Parsed::Beginning, Parsed::Refused),
        Err(Error::TooManyHeaders) => Parsed::Refused(Status::HeaderTooLarge),
        Err(Error::Version) if names_a_version(bytes) => {
            Parsed::Refused(Status::VersionNotSupported)
        }
        Err(_) => Parsed::Refused(Status::BadRequest),
    }
}

/// As much of it as is read, and what to say where that is only the beginning of a request and no more will be read.
fn within_limits(bytes: &[u8]) -> (&[u8], Option<Status>) {
    let line = without_empty_lines(bytes);
    let before = bytes.len() - line.len();
    let mut words = line.split(u8::is_ascii_whitespace);
    let method = words.next().unwrap_or_default();
    let target = words.next().unwrap_or_default();
    if target.len() > MOST_TARGET {
        let len = before + method.len() + 1 + MOST_TARGET;
        return (&bytes[..len.min(MOST)], Some(Status::UriTooLong));
    }
    match bytes.get(..MOST) {
        Some(bytes) => (bytes, Some(Status::HeaderTooLarge)),
        None => (bytes, None),
    }
}

/// The first line, without the empty ones that may stand before it, and without its end.
pub(crate) fn first_line(bytes: &[u8]) -> &[u8] {
    let bytes = without_empty_lines(bytes);
    let line = bytes.split(|&byte| byte == b'\n').next();
    let line = line.unwrap_or_default();
    // No more than that: what stands before a blank must not look as if there were none.
    line.strip_suffix(b"\r").unwrap_or(line)
}

fn without_empty_lines(mut bytes: &[u8]) -> &[u8] {
    while let Some(rest) = bytes.strip_prefix(b"\r\n").or(bytes.strip_prefix(b"\n")) {
        bytes = rest;
    }
    bytes
}

/// Whether the request line has come to its end.
fn is_line_whole(bytes: &[u8]) -> bool {
    without_empty_lines(bytes).contains(&b'\n')
}

/// Whether the request line ends with some version of HTTP, which we then do not speak.
fn names_a_version(bytes: &[u8]) -> bool {
    let mut words = first_line(bytes).rsplit(|&byte| byte == b' ');
    let version = words.next().and_then(|word| word.strip_prefix(b"HTTP/"));
    matches!(version, Some([major, b'.', minor]) if major.is_ascii_digit() && minor.is_ascii_digit())
}

impl Request {
    fn of(parser: &httparse::Request<'_, '_>) -> Result<Request, Status> {
        let fields = Fields(parser.headers);
        let is_1_0 = parser.version == Some(0);
        check_host(&fields, is_1_0)?;
        let has_body = has_body(&fields, is_1_0)?;
        check_expectation(&fields)?;
        let persistent = !is_1_0 || fields.has_token("connection", "keep-alive");
        Ok(Request {
            method: Method::of(parser.method.unwrap_or_default()),
            target: parser.path.unwrap_or_default().to_owned(),
            accept: fields.list("accept"),
            accept_encoding: fields.list("accept-encoding"),
            range: fields.single("range"),
            conditions: Conditions {
                if_match: fields.list("if-match"),
                if_none_match: fields.list("if-none-match"),
                if_modified_since: fields.single("if-modified-since"),
                if_unmodified_since: fields.single("if-unmodified-since"),
                if_range: fields.list("if-range"),
            },
            keep_alive: persistent && !fields.has_token("connection", "close") && !has_body,
            client: ClientSays {
                forwarded_for: fields.list("x-forwarded-for"),
                referer: fields.single("referer"),
                user_agent: fields.single("user-agent"),
            },
        })
    }
}

impl Method {
    fn of(name: &str) -> Method {
        match name {
            "GET" => Method::Get,
            "HEAD" => Method::Head,
            "OPTIONS" => Method::Options,
            "POST" | "PUT" | "DELETE" | "PATCH" | "CONNECT" | "TRACE" => Method::Known,
            _ => Method::Unknown,
        }
    }
}

/// RFC 9112, section 3.2: one host, and one that is a host; HTTP/1.0 did not know it.
fn check_host(fields: &Fields<'_>, is_1_0: bool) -> Result<(), Status> {
    let mut hosts = fields.all("host");
    let is_right = match (hosts.next(), hosts.next()) {
        (None, _) => is_1_0,
        (Some(host), None) => is_host(host.trim_ascii()),
        (Some(_), Some(_)) => false,
    };
    if is_right {
        Ok(())
    } else {
        Err(Status::BadRequest)
    }
}

/// A name or an address, and a port where there is a colon behind it. An address with colons in it stands in brackets.
fn is_host(host: &[u8]) -> bool {
    let (is_right, port) = match host.strip_prefix(b"[") {
        Some(rest) => {
            let mut parts = rest.splitn(2, |&byte| byte == b']');
            let address = parts.next().unwrap_or_default();
            let is_address = address.iter().all(|&byte| byte == b':' || is_in_name(byte));
            (is_address, parts.next())
        }
        None => {
            let colon = host.iter().position(|&byte| byte == b':');
            let (name, port) = host.split_at(colon.unwrap_or(host.len()));
            (name.iter().copied().all(is_in_name), Some(port))
        }
    };
    let is_port = |port: &[u8]| match port.split_first() {
        None => true,
        Some((colon, digits)) => *colon == b':' && digits.iter().all(u8::is_ascii_digit),
    };
    is_right && port.is_some_and(is_port)
}

fn is_in_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=".contains(&byte)
}

/// Whether a body follows; RFC 9112, section 6.3, has what is no answer to that.
fn has_body(fields: &Fields<'_>, is_1_0: bool) -> Result<bool, Status> {
    let lengths: Vec<&[u8]> = fields
        .all("content-length")
        .map(<[u8]>::trim_ascii)
        .collect();
    if let Some(codings) = fields.all("transfer-encoding").last() {
        // Only chunks tell where they end, and only where nothing is around them.
        let last = codings.rsplit(|&byte| byte == b',').next();
        let last = last.unwrap_or_default().trim_ascii();
        let is_chunked = last.eq_ignore_ascii_case(b"chunked");
        let is_clear = is_chunked && lengths.is_empty() && !is_1_0;
        return if is_clear {
            Ok(true)
        } else {
            Err(Status::BadRequest)
        };
    }
    let Some(first) = lengths.first() else {
        return Ok(false);
    };
    let is_number = !first.is_empty() && first.iter().all(u8::is_ascii_digit);
    if !is_number || lengths.iter().any(|length| length != first) {
        return Err(Status::BadRequest);
    }
    Ok(first.iter().any(|&digit| digit != b'0'))
}

/// Who waits for "100 Continue" before sending a body gets the response instead, and need not send it. Nothing else can be expected.
fn check_expectation(fields: &Fields<'_>) -> Result<(), Status> {
    let mut expected = fields.all("expect");
    if expected.all(|value| value.eq_ignore_ascii_case(b"100-continue")) {
        Ok(())
    } else {
        Err(Status::ExpectationFailed)
    }
}
