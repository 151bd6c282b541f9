//! Fifty clients at once. Each is a curl process.

use std::fs;
use std::ops::Range;
use std::path::PathBuf;
use std::process::{Child, Command};

use super::server::Server;

const SIZE: usize = 16 << 20;
const CLIENTS: usize = 50;

/// A curl process and the part of the file that it fetches.
struct Fetch {
    curl: Child,
    part: Range<usize>,
    to: PathBuf,
}

#[track_caller]
fn fetch(server: &Server, number: usize, part: Range<usize>) -> Fetch {
    let to = server.outside(&format!("fetched {number}"));
    let mut command = Command::new("curl");
    command.args(["--silent", "--show-error", "--fail", "--max-time", "100"]);
    if part.len() < SIZE {
        command.arg("--range");
        command.arg(format!("{}-{}", part.start, part.end - 1));
    }
    command.arg("--output").arg(&to);
    command.arg(format!("http://{}/big", server.addr));
    let curl = command.spawn().expect("curl is installed");
    Fetch { curl, part, to }
}

#[track_caller]
fn check(mut fetch: Fetch, bytes: &[u8]) {
    let status = fetch.curl.wait().expect("a child");
    assert!(status.success(), "{:?}: {status}", fetch.part);
    let fetched = fs::read(&fetch.to).expect("the fetched file");
    fs::remove_file(&fetch.to).expect("the fetched file");
    let same = fetched == bytes[fetch.part.clone()];
    assert!(same, "{:?}: the content differs", fetch.part);
}

#[test]
fn fifty_clients_get_every_byte() {
    let server = Server::start();
    let bytes = server.add("big", SIZE);
    let whole = (0..CLIENTS).map(|_| 0..SIZE);
    let parts = (1..=CLIENTS).map(|n| n * 1009..SIZE - n * 300_007);
    for ranges in [whole.collect::<Vec<_>>(), parts.collect()] {
        let numbered = ranges.into_iter().enumerate();
        let fetches = numbered.map(|(number, part)| fetch(&server, number, part));
        for fetch in fetches.collect::<Vec<_>>() {
            check(fetch, &bytes);
        }
    }
}
