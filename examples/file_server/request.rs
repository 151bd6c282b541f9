//! Requests: from received bytes to what the server needs to know.

use httparse::{EMPTY_HEADER, Error, Header};

use crate::response::Status;

/// The longest request, body aside, that is read.
pub(crate) const MOST: usize = 16 << 10;

const MOST_FIELDS: usize = 100;

/// What a request asks for.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) method: Method,
    pub(crate) target: String,
    pub(crate) range: Option<String>,
    pub(crate) if_range: Option<String>,
    /// Whether another request may follow on the connection.
    pub(crate) keep_alive: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Method {
    Get,
    Head,
    Other,
}

/// What some received bytes are.
#[derive(Debug)]
pub(crate) enum Parsed {
    /// The beginning of a request, as far as one can see.
    Beginning,
    /// A request, and how many of the bytes it took: the next begins there.
    Request(Request, usize),
    /// No request. Where the next one would begin cannot be known.
    Refused(Status),
}

/// Reads the request that `bytes` begin with.
pub(crate) fn parse(bytes: &[u8]) -> Parsed {
    let mut fields = [EMPTY_HEADER; MOST_FIELDS];
    let mut parser = httparse::Request::new(&mut fields);
    match parser.parse(bytes) {
        Ok(httparse::Status::Complete(len)) if len <= MOST => {
            Parsed::Request(Request::of(&parser), len)
        }
        Ok(httparse::Status::Partial) if bytes.len() < MOST => Parsed::Beginning,
        Ok(_) | Err(Error::TooManyHeaders) => Parsed::Refused(Status::TooLarge),
        Err(_) => Parsed::Refused(Status::BadRequest),
    }
}

impl Request {
    fn of(parser: &httparse::Request<'_, '_>) -> Request {
        let fields = &*parser.headers;
        let is_1_0 = parser.version == Some(0);
        let persistent = match is_1_0 {
            true => has_token(fields, "connection", "keep-alive"),
            false => true,
        };
        Request {
            method: match parser.method {
                Some("GET") => Method::Get,
                Some("HEAD") => Method::Head,
                _ => Method::Other,
            },
            target: parser.path.unwrap_or_default().to_owned(),
            range: single(fields, "range"),
            if_range: single(fields, "if-range"),
            keep_alive: persistent
                && !has_token(fields, "connection", "close")
                && !has_body(fields),
        }
    }
}

fn values<'a>(fields: &'a [Header<'a>], name: &'a str) -> impl Iterator<Item = &'a [u8]> {
    let named = fields
        .iter()
        .filter(move |field| field.name.eq_ignore_ascii_case(name));
    named.map(|field| field.value)
}

/// The value of a field that stands there once. Two of a kind contradict each other or are a list, and neither is understood.
fn single(fields: &[Header<'_>], name: &str) -> Option<String> {
    let mut values = values(fields, name);
    let value = values.next()?;
    match values.next() {
        None => String::from_utf8(value.to_vec()).ok(),
        Some(_) => None,
    }
}

fn has_token(fields: &[Header<'_>], name: &str, token: &str) -> bool {
    let mut tokens = values(fields, name).flat_map(|value| value.split(|&byte| byte == b','));
    tokens.any(|found| found.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
}

/// Whether a body follows. No body is read here, so that its bytes would be taken for the next request: smuggling one past a
/// proxy works like that. A length that is not plainly 0 counts as a body.
fn has_body(fields: &[Header<'_>]) -> bool {
    values(fields, "transfer-encoding").next().is_some()
        || values(fields, "content-length").any(|value| value.trim_ascii() != b"0")
}
