//! Request targets: from the request line to a path below the root, and back.

use std::ffi::OsString;
use std::fmt::Write;
use std::hash::{Hash, Hasher};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};

use percent_encoding::{
    AsciiSet, CONTROLS, NON_ALPHANUMERIC, percent_decode_str, percent_encode, utf8_percent_encode,
};

use crate::authority;

/// All but RFC 3986's unreserved characters, and the colon, which may stand behind a dot and a
/// slash.
const IN_NAME: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b':');

/// The characters that no query may contain. The percent sign stays, as the query is encoded.
const IN_QUERY: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'<').add(b'>').add(b'`').add(b'\\');

/// The path that a target names.
#[derive(Clone, Eq, Debug)]
pub(crate) struct Target {
    /// Relative to the root, without empty names and dots; `.` is the root itself. A slash at the
    /// end stays: only a directory may be asked for like that.
    pub(crate) path: PathBuf,
    /// True if it ends in a slash.
    pub(crate) is_directory: bool,
}

/// Compares bytes. [`Path`] compares name by name, which takes longer.
impl PartialEq for Target {
    fn eq(&self, other: &Target) -> bool {
        self.path.as_os_str() == other.path.as_os_str()
    }
}

impl Hash for Target {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.path.as_os_str().hash(state);
    }
}

impl Target {
    /// Returns the path of a target, or `None` if it can be no path of the site.
    ///
    /// It ignores a query and a fragment. It refuses paths that may mean another path to the file
    /// system or to a proxy: with `..`, an encoded slash, or a NUL, in any encoding. Odd requests
    /// fail early this way. [`Root`](crate::root::Root) keeps clients in the root, whatever comes
    /// out of here.
    pub(crate) fn decode(target: &str) -> Option<Target> {
        let path = path_of(target)?.split(['?', '#']).next()?;
        if path.contains('%') && path.to_ascii_lowercase().contains("%2f") {
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
        let mut path = Vec::with_capacity(decoded.len() + 1);
        for name in names.clone().filter(is_name) {
            if !path.is_empty() {
                path.push(b'/');
            }
            path.extend_from_slice(name);
        }
        let is_directory = !names.clone().next_back().is_some_and(|last| is_name(&last));
        match path.is_empty() {
            true => path.push(b'.'),
            false if is_directory => path.push(b'/'),
            false => {}
        }
        Target { path: OsString::from_vec(path).into(), is_directory }
    }
}

/// Returns a reference, with the query, to the directory that a target names without the slash at
/// its end.
///
/// It is relative to the target, so it is also right behind a proxy that serves the tree below a
/// prefix. With a colon in it, a name alone would be read as a scheme.
pub(crate) fn directory(path: &Path, target: &str) -> String {
    let name = path.file_name().unwrap_or_default().as_bytes();
    let here = if name.contains(&b':') { "./" } else { "" };
    let name = percent_encode(name, IN_NAME);
    with_query(format!("{here}{name}/"), target)
}

/// Returns a reference from a directory's target with empty names, as `/a//b/`, to the target
/// without. Returns `None` if there are none, or over 64 names. The links of a listing need it.
pub(crate) fn without_empty_names(path: &Path, target: &str) -> Option<String> {
    let asked = path_of(target)?.split(['?', '#']).next()?;
    let is_dot = |name: &&str| matches!(*name, "." | "%2e" | "%2E");
    let depth = match asked.strip_prefix('/')?.rsplit_once('/') {
        Some((above, _)) => above.split('/').filter(|name| !is_dot(name)).count(),
        None => 0,
    };
    let names = path.components().filter(|part| matches!(part, Component::Normal(_)));
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

/// Returns the query, still encoded.
pub(crate) fn query(target: &str) -> Option<&str> {
    let target = target.split('#').next().unwrap_or_default();
    target.split_once('?').map(|(_, query)| query)
}

/// Returns the path and query of a target in origin form (`/path`) or absolute form
/// (`http://host/path`).
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
