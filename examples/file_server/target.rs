//! Request targets: from the request line to a path below the root, and back.

use std::ffi::OsString;
use std::fmt::Write;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};

use percent_encoding::{
    AsciiSet, CONTROLS, NON_ALPHANUMERIC, percent_decode_str, percent_encode, utf8_percent_encode,
};

use crate::authority;

/// All but RFC 3986's unreserved characters, and the colon, which may stand behind a dot and a
/// slash.
const IN_NAME: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b':');

/// What no query may contain. A percent sign stays: the query is encoded already.
const IN_QUERY: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'<')
    .add(b'>')
    .add(b'`')
    .add(b'\\');

/// The path that a target names.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Target {
    /// Relative to the root, without empty names and dots; `.` is the root itself. A slash at the
    /// end stays: only a directory may be asked for like that.
    pub(crate) path: PathBuf,
    /// Whether it ends in a slash.
    pub(crate) is_directory: bool,
}

impl Target {
    /// What a target names; `None` where it can name nothing of ours.
    ///
    /// A query and a fragment are ignored. Refused is everything that might mean one path here and
    /// another to the file system or to a proxy in front of us: `..`, an encoded slash, a NUL, in
    /// any encoding. This makes odd requests fail early and is not what keeps clients in the root:
    /// that is [`Root`](crate::root::Root)'s work, whatever comes out of here.
    pub(crate) fn decode(target: &str) -> Option<Target> {
        let path = path_of(target)?.split(['?', '#']).next()?;
        if path.to_ascii_lowercase().contains("%2f") {
            return None;
        }
        let decoded: Vec<u8> = percent_decode_str(path).collect();
        let mut names = decoded.split(|&byte| byte == b'/');
        if decoded.contains(&0) || names.any(|name| name == b"..") {
            return None;
        }
        Some(Target::of(&decoded))
    }

    fn of(decoded: &[u8]) -> Target {
        let names = decoded.split(|&byte| byte == b'/');
        let is_name = |name: &&[u8]| !name.is_empty() && *name != b".";
        let mut path = names
            .clone()
            .filter(is_name)
            .collect::<Vec<_>>()
            .join(&b'/');
        let is_directory = !names.clone().next_back().is_some_and(|last| is_name(&last));
        match path.is_empty() {
            true => path.push(b'.'),
            false if is_directory => path.push(b'/'),
            false => {}
        }
        Target {
            path: OsString::from_vec(path).into(),
            is_directory,
        }
    }
}

/// A reference to the directory that some target names without the slash at its end, with its
/// query.
///
/// It is relative to the target, so it is also right behind a proxy that serves the tree below a
/// prefix. With a colon in it, a name alone would be read as a scheme.
pub(crate) fn directory(path: &Path, target: &str) -> String {
    let name = path.file_name().unwrap_or_default().as_bytes();
    let here = if name.contains(&b':') { "./" } else { "" };
    let name = percent_encode(name, IN_NAME);
    with_query(format!("{here}{name}/"), target)
}

/// A reference from a directory's target with empty names, as `/a//b/`, to the one without; `None`
/// if there are none. The links of a listing count on it. So many names that nobody means them
/// count as none.
pub(crate) fn without_empty_names(path: &Path, target: &str) -> Option<String> {
    let asked = path_of(target)?.split(['?', '#']).next()?;
    let is_dot = |name: &&str| matches!(*name, "." | "%2e" | "%2E");
    let depth = match asked.strip_prefix('/')?.rsplit_once('/') {
        Some((above, _)) => above.split('/').filter(|name| !is_dot(name)).count(),
        None => 0,
    };
    let names = path
        .components()
        .filter(|part| matches!(part, Component::Normal(_)));
    let names: Vec<_> = names.map(|name| name.as_os_str().as_bytes()).collect();
    if depth == names.len() || depth > 64 {
        return None;
    }
    let mut reference = "../".repeat(depth);
    for name in names {
        let _ = write!(reference, "{}/", percent_encode(name, IN_NAME));
    }
    Some(with_query(reference, target))
}

fn with_query(reference: String, target: &str) -> String {
    match query(target) {
        Some(query) => format!("{reference}?{}", utf8_percent_encode(query, IN_QUERY)),
        None => reference,
    }
}

/// What stands behind the question mark, still encoded.
pub(crate) fn query(target: &str) -> Option<&str> {
    let target = target.split('#').next().unwrap_or_default();
    target.split_once('?').map(|(_, query)| query)
}

/// The path and query of a target in origin form (`/path`) or absolute form (`http://host/path`, as
/// proxies are asked).
fn path_of(target: &str) -> Option<&str> {
    if target.starts_with('/') {
        return Some(target);
    }
    let (scheme, rest) = target.split_once("://")?;
    if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
        return None;
    }
    let (host, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    if !authority::is_valid(host.as_bytes()) {
        return None;
    }
    Some(if path.starts_with('/') { path } else { "/" })
}
