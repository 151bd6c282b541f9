//! Request targets: from what stands in the request line to a path below the root.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use percent_encoding::percent_decode_str;

/// The path that a target names, relative to the root; `None` where it can name no file of ours.
///
/// A query and a fragment are ignored. Refused is everything that might mean one path here and another to the file system or to
/// a proxy in front of us: `..`, an encoded slash, a NUL, in any encoding. This makes odd requests fail early and is not what
/// keeps clients in the root: that is [`Root`](crate::root::Root)'s work, whatever comes out of here.
pub(crate) fn decode(target: &str) -> Option<PathBuf> {
    let path = path_of(target)?;
    let path = path.split(['?', '#']).next()?;
    if path.to_ascii_lowercase().contains("%2f") {
        return None;
    }
    let decoded: Vec<u8> = percent_decode_str(path).collect();
    if decoded.contains(&0)
        || decoded
            .split(|&byte| byte == b'/')
            .any(|part| part == b"..")
    {
        return None;
    }
    Some(relative(decoded))
}

/// The path and query of a target in origin form (`/path`) or absolute form (`http://host/path`, as proxies are asked).
fn path_of(target: &str) -> Option<&str> {
    if target.starts_with('/') {
        return Some(target);
    }
    let (scheme, rest) = target.split_once("://")?;
    if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
        return None;
    }
    match rest.find(['/', '?', '#']) {
        Some(at) if rest[at..].starts_with('/') => Some(&rest[at..]),
        _ => Some("/"),
    }
}

/// However many slashes it begins with, it is below the root and not the system's root.
fn relative(path: Vec<u8>) -> PathBuf {
    let begin = path.iter().position(|&byte| byte != b'/');
    match begin {
        Some(begin) => OsString::from_vec(path[begin..].to_vec()).into(),
        None => PathBuf::from("."),
    }
}
