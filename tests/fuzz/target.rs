//! Request targets: each names a path below the root, whatever its text is.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path};
use std::sync::Arc;

use crate::beneath::Wait;
use crate::encoding::Acceptable;
use crate::find::{Found, Wanted, find};
use crate::fuzz::peer;
use crate::fuzz::tree::{SECRET, Tree};
use crate::target::{self, Target};

/// Checks the bytes as a path and as a target.
///
/// # Panics
///
/// Panics if a target leads out of the root, if a second decoder decodes it to another path, or if
/// its redirect leads elsewhere.
pub fn check_bytes(bytes: &[u8]) {
    // The lookup must stay in the root, whatever path the decoder returns.
    check_opened(Path::new(OsStr::from_bytes(bytes)));
    if let Ok(target) = std::str::from_utf8(bytes) {
        check(target);
    }
}

fn check(text: &str) {
    let Some(target) = Target::decode(text) else {
        return;
    };
    if !text.starts_with('/') {
        let after_scheme = text.split_once("://").map_or("", |(_, rest)| rest);
        let end = after_scheme.find(['/', '?', '#']);
        let authority = &after_scheme[..end.unwrap_or(after_scheme.len())];
        peer::check_authority(authority);
    }
    check_path(text, &target);
    check_opened(&target.path);
    if !target.is_directory {
        check_redirect(text, &target);
    }
    let wanted = Wanted { target, acceptable: Acceptable::read(Some("br, gzip")) };
    check_found(text, &wanted);
}

/// Compares the path with that of a decoder that works byte by byte.
fn check_path(text: &str, target: &Target) {
    let is_below = |part| matches!(part, Component::Normal(_) | Component::CurDir);
    assert!(target.path.components().all(is_below), "{text:?}");
    let encoded = if text.starts_with('/') {
        text
    } else {
        let after_host = text.split_once("://").map_or("", |(_, rest)| rest);
        let end = after_host.find(['/', '?', '#']);
        end.map_or("", |end| &after_host[end..])
    };
    let path = encoded.split(['?', '#']).next().unwrap_or_default();
    let path = if path.is_empty() { "/" } else { path };
    let decoded = decode(path.as_bytes());
    let names: Vec<&[u8]> = decoded.split(|&byte| byte == b'/').collect();
    assert!(!names.contains(&&b".."[..]), "{text:?}");
    assert!(!decoded.contains(&0), "{text:?}");
    assert_eq!(decoded.first(), Some(&b'/'), "{text:?}");
    let kept = names.iter().filter(|name| !matches!(**name, b"" | b"."));
    let kept: Vec<&[u8]> = kept.copied().collect();
    let path = target.path.as_os_str().as_bytes();
    let in_path: Vec<&[u8]> = path.split(|&byte| byte == b'/').collect();
    let in_path = in_path.into_iter().filter(|name| !matches!(*name, b"" | b"."));
    assert!(in_path.eq(kept), "{text:?}");
    let is_directory = matches!(names.last(), Some(&(b"" | b".")));
    assert_eq!(target.is_directory, is_directory, "{text:?}");
}

fn decode(mut bytes: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::new();
    while let Some((&byte, rest)) = bytes.split_first() {
        let digits = rest.get(..2).and_then(|two| std::str::from_utf8(two).ok());
        let digits = digits.filter(|two| two.bytes().all(|byte| byte.is_ascii_hexdigit()));
        match digits.and_then(|two| u8::from_str_radix(two, 16).ok()) {
            Some(value) if byte == b'%' => {
                decoded.push(value);
                bytes = &rest[2..];
            }
            _ => {
                decoded.push(byte);
                bytes = rest;
            }
        }
    }
    decoded
}

/// Asserts that a redirect stays on this host, is one line, and leads to the same path with a
/// trailing slash.
fn check_redirect(text: &str, target: &Target) {
    let location = target::directory(&target.path, text);
    let first = location.split('/').next().unwrap_or_default();
    assert!(!first.is_empty() && !first.contains([':', '\\']), "{text:?}: {location}");
    assert!(location.bytes().all(|byte| byte.is_ascii_graphic()), "{text:?}: {location}");
    let there = Target::decode(&format!("/{location}")).expect("a valid target");
    assert!(there.is_directory, "{text:?}: {location}");
    let there = target.path.with_file_name("").join(there.path);
    assert!(there == target.path.join(""), "{text:?}: {location}");
    let query = |text: &str| {
        let text = text.split('#').next().unwrap_or_default();
        let query = text.split_once('?').map(|(_, query)| query.to_owned());
        query.map(|query| decode(query.as_bytes()))
    };
    assert_eq!(query(text), query(&location), "{text:?}: {location}");
}

/// Asserts that the descriptor that the lookup opens is in the root, by the name that the kernel
/// gives for it.
fn check_opened(path: &Path) {
    let tree = Tree::shared();
    for wait in [Wait::Never, Wait::Allowed] {
        if let Ok(located) = tree.root.tree(wait).and_then(|root| root.locate(path, wait)) {
            let name = fs::read_link(format!("/proc/self/fd/{}", located.handle.as_raw_fd()));
            let name = name.expect("an open descriptor");
            assert!(tree.holds(&name), "{path:?} is {name:?}");
        }
    }
}

fn check_found(text: &str, wanted: &Wanted) {
    let tree = Tree::shared();
    match find(&tree.root, &Arc::default(), wanted, Wait::Allowed, &mut Vec::new()) {
        Ok(Found::File(opened)) => {
            let name = fs::read_link(format!("/proc/self/fd/{}", opened.file.as_raw_fd()));
            assert!(tree.holds(&name.expect("an open descriptor")), "{text:?}");
            let content = tree.of_size(opened.metadata.len());
            assert!(content.is_some_and(|content| content != SECRET), "{text:?}");
        }
        Ok(Found::Missing(_)) => {
            panic!("{text:?} gets the page of a missing file, and there is no such page")
        }
        Ok(Found::Listing(path) | Found::Directory(path)) => {
            assert!(path == wanted.target.path, "{text:?}")
        }
        Ok(Found::NotAcceptable) => panic!("{text:?} is acceptable in its identity coding"),
        Err(error) => assert_eq!(error.kind(), io::ErrorKind::NotFound, "{text:?}"),
    }
}
