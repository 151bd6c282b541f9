//! The request line (RFC 9112, section 3): a method, a target and a version, one space apart.

use crate::status::Status;

/// A request line, taken apart.
#[derive(Debug)]
pub(crate) struct RequestLine<'a> {
    pub(crate) method: &'a str,
    pub(crate) target: &'a str,
    pub(crate) version: Version,
}

/// A version that the server speaks. RFC 9110, section 2.5: a later minor version is read as 1.1.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Version {
    Http10,
    Http11,
}

impl RequestLine<'_> {
    /// Reads the line that `bytes` begin with, after empty lines, and returns it with their length.
    ///
    /// Returns `None` if the line is unfinished and right so far.
    ///
    /// # Errors
    ///
    /// `BadRequest` at the first wrong byte; `VersionNotSupported` if the line is right and its
    /// major version is not 1.
    pub(crate) fn read(bytes: &[u8]) -> Result<Option<(RequestLine<'_>, usize)>, Status> {
        let line = without_empty_lines(bytes);
        if line == b"\r" {
            return Ok(None);
        }
        let Some((method, rest)) = word(line, is_in_token)? else {
            return Ok(None);
        };
        let Some((target, rest)) = word(rest, is_in_target)? else {
            return Ok(None);
        };
        let Some((version, rest)) = version(rest)? else {
            return Ok(None);
        };
        let line = RequestLine { method, target, version };
        Ok(Some((line, bytes.len() - rest.len())))
    }
}

/// Removes the empty lines that may stand in front of a request.
pub(crate) fn without_empty_lines(mut bytes: &[u8]) -> &[u8] {
    while let Some(rest) = bytes.strip_prefix(b"\r\n").or(bytes.strip_prefix(b"\n")) {
        bytes = rest;
    }
    bytes
}

/// Reads a word that ends in a space, and returns it with the bytes after the space.
fn word(bytes: &[u8], is_in_word: fn(u8) -> bool) -> Result<Option<(&str, &[u8])>, Status> {
    let Some(len) = bytes.iter().position(|&byte| !is_in_word(byte)) else {
        return Ok(None);
    };
    match (std::str::from_utf8(&bytes[..len]), &bytes[len..]) {
        (Ok(word), [b' ', rest @ ..]) if len > 0 => Ok(Some((word, rest))),
        _ => Err(Status::BAD_REQUEST),
    }
}

/// Reads the version and the end of the line, and returns the bytes after it.
fn version(bytes: &[u8]) -> Result<Option<(Version, &[u8])>, Status> {
    let is_expected = |(&byte, expected): (&u8, u8)| match expected {
        b'0' => byte.is_ascii_digit(),
        expected => byte == expected,
    };
    if !bytes.iter().zip(*b"HTTP/0.0").all(is_expected) {
        return Err(Status::BAD_REQUEST);
    }
    let Some((version, end)) = bytes.split_at_checked(8) else {
        return Ok(None);
    };
    let rest = match end {
        [] | [b'\r'] => return Ok(None),
        [b'\n', rest @ ..] | [b'\r', b'\n', rest @ ..] => rest,
        _ => return Err(Status::BAD_REQUEST),
    };
    match (version[5], version[7]) {
        (b'1', b'0') => Ok(Some((Version::Http10, rest))),
        (b'1', _) => Ok(Some((Version::Http11, rest))),
        _ => Err(Status::VERSION_NOT_SUPPORTED),
    }
}

fn is_in_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Browsers send some characters that they should encode. Only bytes that could end a target are
/// refused.
fn is_in_target(byte: u8) -> bool {
    byte > b' ' && byte != 0x7f
}
