//! Requests: from received bytes to the facts that the server needs.
//!
//! Every refusal here ends the connection. After bytes that are no request, or whose end is in
//! doubt, the start of the next request is unknown. A proxy in front may see another end, and take
//! the bytes between the two ends for something else: smuggling. The server reads no body, so a
//! request with a body is the last of its connection too. So is CONNECT: its client may send bytes
//! of a tunnel.

use httparse::{EMPTY_HEADER, Error, Header};

use crate::authority;
use crate::request_line::{RequestLine, Version, without_empty_lines};
use crate::status::Status;
use crate::target::Target;

/// The longest request that is read, without its body.
pub(crate) const MOST: usize = 16 << 10;

/// The longest target.
const MOST_TARGET: usize = 8 << 10;

const MOST_FIELDS: usize = 100;

/// A request.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) method: Method,
    pub(crate) target: String,
    /// The path that the target names. `None` for `*`, and for the authority that CONNECT has.
    pub(crate) resource: Option<Target>,
    pub(crate) accept: Option<String>,
    pub(crate) accept_encoding: Option<String>,
    pub(crate) range: Option<String>,
    pub(crate) conditions: Conditions,
    /// True if another request may follow on the connection.
    pub(crate) keep_alive: bool,
    /// True if the client may send more although no other request may follow.
    pub(crate) is_followed: bool,
    pub(crate) client: ClientSays,
}

/// The fields of RFC 9110, section 13.1.
#[derive(Debug)]
pub(crate) struct Conditions {
    pub(crate) if_match: Option<String>,
    pub(crate) if_none_match: Option<String>,
    pub(crate) if_modified_since: Option<String>,
    pub(crate) if_unmodified_since: Option<String>,
    pub(crate) if_range: Option<String>,
}

/// Fields that only the log shows.
#[derive(Default, Debug)]
pub(crate) struct ClientSays {
    pub(crate) forwarded_for: Option<String>,
    pub(crate) referer: Option<Vec<u8>>,
    pub(crate) user_agent: Option<Vec<u8>>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Method {
    Get,
    Head,
    Options,
    Connect,
    /// A method that exists and is not allowed here.
    Known,
    Unknown,
}

/// The result of reading received bytes.
#[derive(Debug)]
pub(crate) enum Parsed {
    /// The beginning of a request that is right so far.
    Beginning,
    /// A request and its length. The next request begins after it.
    Request(Box<Request>, usize),
    /// No request. The start of the next one is unknown.
    Refused(Status),
}

/// Reads the request that `bytes` begin with.
///
/// The result does not depend on the pieces that a request comes in: more bytes change nothing but
/// [`Parsed::Beginning`].
pub(crate) fn parse(bytes: &[u8]) -> Parsed {
    let (bytes, limit) = within_limits(bytes);
    match read(bytes) {
        Ok(Some((request, len))) => Parsed::Request(request, len),
        Ok(None) => limit.map_or(Parsed::Beginning, Parsed::Refused),
        Err(status) => Parsed::Refused(status),
    }
}

/// Returns the request and its length, or `None` if it is unfinished.
fn read(bytes: &[u8]) -> Result<Option<(Box<Request>, usize)>, Status> {
    let Some((line, line_len)) = RequestLine::read(bytes)? else {
        return Ok(None);
    };
    let mut fields = [EMPTY_HEADER; MOST_FIELDS];
    match httparse::parse_headers(&bytes[line_len..], &mut fields) {
        Ok(httparse::Status::Complete((len, fields))) => {
            let request = Request::of(&line, &Fields(fields))?;
            Ok(Some((Box::new(request), line_len + len)))
        }
        Ok(httparse::Status::Partial) => Ok(None),
        Err(Error::TooManyHeaders) => Err(Status::HEADER_TOO_LARGE),
        Err(_) => Err(Status::BAD_REQUEST),
    }
}

/// Cuts the bytes at the limits. Returns the status for a request that is unfinished there.
fn within_limits(bytes: &[u8]) -> (&[u8], Option<Status>) {
    let line = without_empty_lines(bytes);
    let before = bytes.len() - line.len();
    let mut words = line.split(u8::is_ascii_whitespace);
    let method = words.next().unwrap_or_default();
    let target = words.next().unwrap_or_default();
    if target.len() > MOST_TARGET {
        let len = before + method.len() + 1 + MOST_TARGET;
        return (&bytes[..len.min(MOST)], Some(Status::URI_TOO_LONG));
    }
    match bytes.get(..MOST) {
        Some(bytes) => (bytes, Some(Status::HEADER_TOO_LARGE)),
        None => (bytes, None),
    }
}

/// Returns the first line that is not empty, without its end.
pub(crate) fn first_line(bytes: &[u8]) -> &[u8] {
    let bytes = without_empty_lines(bytes);
    let line = bytes.split(|&byte| byte == b'\n').next();
    let line = line.unwrap_or_default();
    // A blank in front of the line stays. Without it, the log would show another line.
    line.strip_suffix(b"\r").unwrap_or(line)
}

impl Request {
    fn of(line: &RequestLine<'_>, fields: &Fields<'_>) -> Result<Request, Status> {
        let is_1_0 = line.version == Version::Http10;
        check_host(fields, is_1_0)?;
        let resource = resource(line)?;
        let has_body = has_body(fields, is_1_0)?;
        check_expectation(fields)?;
        let method = Method::of(line.method);
        let is_followed = has_body || method == Method::Connect;
        let persistent = !is_1_0 || fields.has_token("connection", "keep-alive");
        Ok(Request {
            method,
            target: line.target.to_owned(),
            resource,
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
            keep_alive: persistent && !fields.has_token("connection", "close") && !is_followed,
            is_followed,
            client: ClientSays {
                forwarded_for: fields.list("x-forwarded-for"),
                referer: fields.single_bytes("referer").map(<[u8]>::to_vec),
                user_agent: fields.single_bytes("user-agent").map(<[u8]>::to_vec),
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
            "POST" | "PUT" | "DELETE" | "PATCH" | "TRACE" => Method::Known,
            "CONNECT" => Method::Connect,
            _ => Method::Unknown,
        }
    }
}

/// Reads the target. Only OPTIONS may have `*` (RFC 9112, section 3.2). CONNECT is refused with
/// any.
fn resource(line: &RequestLine<'_>) -> Result<Option<Target>, Status> {
    match (line.method, line.target) {
        ("OPTIONS", "*") => Ok(None),
        ("CONNECT", _) => Ok(None),
        (_, target) => match Target::decode(target) {
            Some(target) => Ok(Some(target)),
            None => Err(Status::BAD_REQUEST),
        },
    }
}

/// RFC 9112, section 3.2: exactly one host, which may be empty. HTTP/1.0 may have none.
fn check_host(fields: &Fields<'_>, is_1_0: bool) -> Result<(), Status> {
    let mut hosts = fields.all("host");
    let is_right = match (hosts.next(), hosts.next()) {
        (None, _) => is_1_0,
        (Some(host), None) => host.is_empty() || authority::is_valid(host.trim_ascii()),
        (Some(_), Some(_)) => false,
    };
    if is_right { Ok(()) } else { Err(Status::BAD_REQUEST) }
}

/// Returns whether a body follows. Refuses a request whose end is in doubt (RFC 9112, section 6.3).
fn has_body(fields: &Fields<'_>, is_1_0: bool) -> Result<bool, Status> {
    let lengths: Vec<&[u8]> = fields.all("content-length").map(<[u8]>::trim_ascii).collect();
    if let Some(codings) = fields.list("transfer-encoding") {
        return match check_codings(&codings) {
            Ok(()) if !lengths.is_empty() || is_1_0 => Err(Status::BAD_REQUEST),
            checked => checked.map(|()| true),
        };
    }
    let Some(first) = lengths.first() else {
        return Ok(false);
    };
    let is_number = !first.is_empty() && first.iter().all(u8::is_ascii_digit);
    if !is_number || lengths.iter().any(|length| length != first) {
        return Err(Status::BAD_REQUEST);
    }
    Ok(first.iter().any(|&digit| digit != b'0'))
}

/// Accepts exactly one `chunked` (RFC 9112, sections 6.1 and 6.3). If other codings stand in front
/// of it, the end of the body is clear and its content is not. With anything else, the end is in
/// doubt.
fn check_codings(codings: &str) -> Result<(), Status> {
    let is_chunked = |coding: &str| coding.trim_ascii().eq_ignore_ascii_case("chunked");
    let (others, last) = codings.rsplit_once(',').unwrap_or(("", codings));
    match others {
        _ if !is_chunked(last) => Err(Status::BAD_REQUEST),
        "" if last.len() == codings.len() => Ok(()),
        _ if others.split(',').any(is_chunked) => Err(Status::BAD_REQUEST),
        _ => Err(Status::NOT_IMPLEMENTED),
    }
}

/// Accepts `100-continue` alone. The client gets the response at once, and need not send its body.
fn check_expectation(fields: &Fields<'_>) -> Result<(), Status> {
    let is_known = |token: &[u8]| token.eq_ignore_ascii_case(b"100-continue");
    fields.tokens("expect").all(is_known).then_some(()).ok_or(Status::EXPECTATION_FAILED)
}

pub(crate) struct Fields<'a>(pub(crate) &'a [Header<'a>]);

impl<'a> Fields<'a> {
    /// Returns the values of all fields of this name, in their order.
    pub(crate) fn all(&self, name: &'static str) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let named = self.0.iter();
        let named = named.filter(move |field| field.name.eq_ignore_ascii_case(name));
        named.map(|field| field.value)
    }

    /// Returns the value of a field that stands there once. Two fields contradict each other.
    pub(crate) fn single(&self, name: &'static str) -> Option<String> {
        self.single_bytes(name).map(text)
    }

    fn single_bytes(&self, name: &'static str) -> Option<&'a [u8]> {
        let mut values = self.all(name);
        values.next().filter(|_| values.next().is_none())
    }

    /// Returns the value of a list. Several fields of one name are one list, with commas between.
    pub(crate) fn list(&self, name: &'static str) -> Option<String> {
        let mut values = self.all(name);
        let mut list = text(values.next()?);
        for value in values {
            list.push_str(", ");
            list.push_str(&text(value));
        }
        Some(list)
    }

    /// Returns the elements of a list that are not empty.
    fn tokens(&self, name: &'static str) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let tokens = self.all(name).flat_map(|value| value.split(|&byte| byte == b','));
        tokens.map(<[u8]>::trim_ascii).filter(|token| !token.is_empty())
    }

    pub(crate) fn has_token(&self, name: &'static str, token: &str) -> bool {
        self.tokens(name).any(|found| found.eq_ignore_ascii_case(token.as_bytes()))
    }
}

/// The server writes only UTF-8. With replacements, other bytes still compare unequal to it.
fn text(value: &[u8]) -> String {
    String::from_utf8_lossy(value).into_owned()
}
