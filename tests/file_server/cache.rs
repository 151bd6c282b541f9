//! The cache is never stale: the next request sees every kind of change.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, SystemTime};

use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

use super::client::{Client, Response};
use super::server::Server;

/// Changes in a batch. `SENDLOOP_CACHE_CHANGES` sets the total number of changes.
const CHANGES: u64 = 2000;

/// Targets that one change may affect in different ways.
const TARGETS: [&str; 9] =
    ["/d/a", "/d/large", "/l/a", "/s", "/d/", "/d/page", "/hard", "/x.js", "/new"];

/// Calls a test with the number of each batch of changes. A server lasts for one batch.
fn in_batches(test: impl Fn(u64)) {
    let wanted = std::env::var("SENDLOOP_CACHE_CHANGES").ok();
    let changes = wanted.map_or(CHANGES, |wanted| wanted.parse().expect("a number"));
    (0..changes.div_ceil(CHANGES)).for_each(test);
}

/// A site whose root is a symbolic link to one of two versions.
struct Site {
    server: Server,
    changes: u64,
}

impl Site {
    fn new() -> Site {
        let server = Server::start();
        fs::remove_dir(server.path("")).expect("an empty root");
        let mut site = Site { server, changes: 0 };
        for version in ["v1", "v2"] {
            let version = site.server.outside(version);
            for directory in ["", "d", "e"] {
                fs::create_dir(version.join(directory)).expect("a directory");
            }
            for file in ["d/a", "d/large", "d/index.html", "d/page.html", "e/a", "x.js"] {
                site.write(&version.join(file));
            }
            fs::hard_link(version.join("d/a"), version.join("hard")).expect("linked");
            symlink("d", version.join("l")).expect("linked");
            symlink("d/a", version.join("s")).expect("linked");
        }
        site.switch(&site.root(), "v1");
        site
    }

    fn root(&self) -> PathBuf {
        self.server.outside("site")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root().join(name)
    }

    /// Returns content that no earlier file had. The server sends a large file by sendfile.
    fn content(&mut self, path: &Path) -> Vec<u8> {
        self.changes += 1;
        let len = if path.ends_with("large") { 40_000 } else { 300 };
        let mut content = format!("{:08}", self.changes).into_bytes();
        content.resize(len + self.changes as usize % 3, b'.');
        content
    }

    fn write(&mut self, path: &Path) {
        let content = self.content(path);
        fs::write(path, content).expect("written");
    }

    /// Writes without changing the length.
    fn write_in_place(&mut self, path: &Path) {
        let content = self.content(path);
        let file = File::options().write(true).open(path).expect("opened");
        file.write_all_at(&content[..200], 0).expect("written");
    }

    fn replace(&mut self, path: &Path) {
        let new = self.server.outside("replacement");
        self.write(&new);
        fs::rename(new, path).expect("renamed");
    }

    /// Replaces a symbolic link atomically.
    fn switch(&self, link: &Path, target: &str) {
        let new = self.server.outside("link");
        symlink(target, &new).expect("linked");
        fs::rename(new, link).expect("renamed");
    }
}

/// Returns the status and the content that a client that accepts gzip must get now.
fn expected(site: &Site, target: &str) -> (u16, Option<Vec<u8>>) {
    if !site.root().is_dir() {
        return (503, None);
    }
    let name = match target {
        "/d/" => "d/index.html",
        "/d/page" if !site.path("d/page").exists() => "d/page.html",
        target => &target[1..],
    };
    if target == "/x.js" {
        let modified =
            |name| fs::metadata(site.path(name)).and_then(|metadata| metadata.modified());
        if let (Ok(of), Ok(variant)) = (modified("x.js"), modified("x.js.gz")) {
            if variant >= of {
                return (200, fs::read(site.path("x.js.gz")).ok());
            }
        }
    }
    match fs::read(site.path(name)) {
        Ok(content) => (200, Some(content)),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => (403, None),
        // The server sends a listing for a directory without an index.
        Err(_) if target == "/d/" && site.path("d").is_dir() => (200, None),
        Err(_) => (404, None),
    }
}

fn ask(client: &mut Client, target: &str) -> Response {
    client.send(format!("GET {target} HTTP/1.1\r\nHost: t\r\nAccept-Encoding: gzip\r\n\r\n"));
    client.response()
}

/// Requests every target twice: the first request fills the cache, the second one uses it.
#[track_caller]
fn check(site: &Site, client: &mut Client, change: &str) {
    for target in TARGETS.iter().chain(&TARGETS) {
        let (status, content) = expected(site, target);
        let response = ask(client, target);
        let is_same = content.is_none_or(|content| content == response.body);
        assert!(
            response.status == status && is_same,
            "{target} after {change}: {} instead of {status}: {:?}",
            response.status,
            String::from_utf8_lossy(&response.body[..response.body.len().min(20)]),
        );
    }
}

/// Unmounts also if the test fails.
struct Mounted(PathBuf);

impl Mounted {
    /// `None` if this user may not mount.
    fn over(path: PathBuf) -> Option<Mounted> {
        mount("none", &path, "tmpfs", MountFlags::empty(), None).ok()?;
        Some(Mounted(path))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = unmount(&self.0, UnmountFlags::DETACH);
    }
}

/// Makes one change and returns its name. It undoes some kinds of change after a check.
fn change(site: &mut Site, client: &mut Client, kind: u64) -> &'static str {
    let a = site.path("d/a");
    match kind {
        0 => site.write_in_place(&a),
        1 => site.write(&a),
        2 => site.replace(&a),
        3 => site.write_in_place(&site.path("d/large")),
        4 => site.replace(&site.path("d/large")),
        5 => {
            let file = File::options().write(true).open(&a);
            file.and_then(|file| file.set_len(100)).expect("truncated");
        }
        6 => {
            fs::remove_file(&a).expect("removed");
            check(site, client, "a file was removed");
            site.write(&a);
        }
        7 => {
            let away = site.path("away");
            fs::rename(site.path("d"), &away).expect("renamed");
            check(site, client, "a directory was renamed");
            fs::rename(site.path("e"), site.path("d")).expect("renamed");
            check(site, client, "another directory took its name");
            fs::rename(site.path("d"), site.path("e")).expect("renamed");
            fs::rename(away, site.path("d")).expect("renamed");
        }
        8 => site.switch(&site.path("l"), "e"),
        9 => site.switch(&site.path("l"), "./e/../d"),
        10 => site.switch(&site.path("s"), "e/a"),
        11 => site.switch(&site.path("s"), "l/a"),
        12 => site.switch(&site.root(), "v2"),
        13 => {
            let absolute = site.server.outside("v1");
            site.switch(&site.root(), absolute.to_str().expect("UTF-8"));
        }
        14 => {
            let hard = site.path("hard");
            fs::remove_file(&hard).expect("removed");
            fs::hard_link(&a, &hard).expect("linked");
            check(site, client, "a hard link was made");
            site.write_in_place(&hard);
        }
        15 => {
            let mode = |mode| fs::set_permissions(&a, fs::Permissions::from_mode(mode));
            mode(0).expect("changed");
            check(site, client, "reading was forbidden");
            mode(0o644).expect("changed");
        }
        16 => site.write(&site.path("x.js.gz")),
        17 => {
            let variant = File::options().append(true).open(site.path("x.js.gz"));
            if let Ok(variant) = variant {
                let old = SystemTime::now() - Duration::from_secs(1000);
                variant.set_modified(old).expect("an older time");
            }
        }
        18 => drop(fs::remove_file(site.path("x.js.gz"))),
        19 => {
            let index = site.path("d/index.html");
            fs::remove_file(&index).expect("removed");
            check(site, client, "the index was removed");
            site.write(&index);
        }
        20 => {
            let page = site.path("d/page");
            site.write(&page);
            check(site, client, "a page without a suffix was created");
            fs::remove_file(page).expect("removed");
        }
        21 => {
            site.write(&site.path("new"));
            check(site, client, "a file was created");
            fs::remove_file(site.path("new")).expect("removed");
        }
        22 => {
            let above = site.server.outside("");
            let away = above.with_extension("away");
            fs::rename(&above, &away).expect("renamed");
            check(site, client, "a directory above the root was renamed");
            fs::rename(&away, &above).expect("renamed");
        }
        23 => {
            let mounted = Mounted::over(site.path("d"));
            check(site, client, "something was mounted");
            drop(mounted);
        }
        _ => {
            let (one, other) = (site.path("d/a"), site.path("e/a"));
            let flags = rustix::fs::RenameFlags::EXCHANGE;
            let cwd = rustix::fs::CWD;
            rustix::fs::renameat_with(cwd, one, cwd, other, flags).expect("exchanged");
        }
    }
    NAMES[kind as usize]
}

const NAMES: [&str; 25] = [
    "a write in place",
    "a write",
    "a replacement",
    "a write in place of a large file",
    "a replacement of a large file",
    "a truncation",
    "a file was created again",
    "a directory came back",
    "a link was switched",
    "a link was switched to a path with dots",
    "a link to a file was switched",
    "a link to a file was switched to a path through a link",
    "the root was switched",
    "the root was switched back",
    "a write through a hard link",
    "reading was allowed again",
    "a variant was written",
    "a variant got an older time",
    "a variant was removed",
    "the index came back",
    "a page without a suffix was removed",
    "a created file was removed",
    "a directory above the root came back",
    "something was unmounted",
    "two files were exchanged",
];

#[test]
fn the_next_request_sees_each_kind_of_change() {
    in_batches(all_kinds);
}

fn all_kinds(seed: u64) {
    let mut site = Site::new();
    let mut client = Client::connect(&site.server);
    check(&site, &mut client, "the start");
    fastrand::seed(seed);
    for number in 0..CHANGES / 4 {
        let kinds = NAMES.len() as u64;
        let kind = if number < kinds { number } else { fastrand::u64(..kinds) };
        let name = change(&mut site, &mut client, kind);
        check(&site, &mut client, name);
    }
}

/// One thread changes the file and then publishes the version. A client must not get an older
/// version than the one that was published before its request.
#[test]
fn no_response_is_older_than_a_change_before_its_request() {
    in_batches(|_| from_several_clients());
}

fn from_several_clients() {
    let server = Server::start();
    for directory in ["one", "two"] {
        fs::create_dir(server.path(directory)).expect("a directory");
    }
    let (published, is_over) = (AtomicU64::new(0), AtomicBool::new(false));
    let version = |text: &[u8]| -> u64 {
        let digits = std::str::from_utf8(&text[..8]).expect("digits");
        digits.parse().expect("a version")
    };
    change_version(&server, 0);
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let mut client = Client::connect(&server);
                while !is_over.load(Ordering::Relaxed) {
                    let expected = published.load(Ordering::SeqCst);
                    let response = ask(&mut client, "/link/a");
                    assert_eq!(response.status, 200);
                    let got = version(&response.body);
                    assert!(got >= expected, "got version {got} after {expected} was published");
                }
            });
        }
        let changing = scope.spawn(|| {
            for number in 1..=CHANGES {
                change_version(&server, number);
                published.store(number, Ordering::SeqCst);
                // Gives the clients time for requests that the cache can answer.
                for _ in 0..fastrand::u32(..20) {
                    thread::yield_now();
                }
            }
        });
        let changed = changing.join();
        is_over.store(true, Ordering::Relaxed);
        changed.expect("all changes");
    });
}

/// Puts a version where `link/a` points, in one of four ways.
fn change_version(server: &Server, number: u64) {
    let content = format!("{number:08}");
    let (link, new) = (server.path("link"), server.outside("new"));
    let present = fs::read_link(&link).unwrap_or_else(|_| "two".into());
    let present = server.path(present).join("a");
    let replace = |path: PathBuf| {
        fs::write(&new, &content).expect("written");
        fs::rename(&new, path).expect("renamed");
    };
    match number % 4 {
        1 => {
            let file = File::options().write(true).open(present);
            let written = file.and_then(|file| file.write_all_at(content.as_bytes(), 0));
            written.expect("written");
        }
        2 => replace(present),
        3 => {
            let hard = server.outside("hard");
            fs::hard_link(present, &hard).expect("linked");
            let file = File::options().write(true).open(&hard);
            let written = file.and_then(|file| file.write_all_at(content.as_bytes(), 0));
            written.expect("written");
            fs::remove_file(hard).expect("removed");
        }
        _ => {
            let other = if number % 8 == 0 { "one" } else { "two" };
            replace(server.path(other).join("a"));
            symlink(other, &new).expect("linked");
            fs::rename(&new, &link).expect("renamed");
        }
    }
}

/// Requests all names until the server has this many descriptors open. It repeats the requests
/// because any mount on this machine empties the cache.
#[track_caller]
fn ask_until_open(server: &Server, client: &mut Client, names: &[String], expected: usize) {
    for _ in 0..2000 {
        for name in names {
            ask(client, &format!("/{name}"));
        }
        if server.descriptors() == expected {
            return;
        }
        thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(server.descriptors(), expected, "open descriptors");
}

fn add_files(server: &Server, count: usize, len: usize) -> Vec<String> {
    let names = (0..count).map(|number| format!("f{number}"));
    names.inspect(|name| drop(server.add(name, len))).collect()
}

#[test]
fn a_cached_file_stays_open_for_a_while() {
    let server = Server::start();
    let mut client = Client::connect(&server);
    ask(&mut client, "/missing");
    let before = server.descriptors();
    let names = add_files(&server, 100, 1000);
    ask_until_open(&server, &mut client, &names, before + 100);
}

#[test]
fn no_cache_keeps_no_file_open() {
    let server = Server::start_without_log(&["--no-cache"]);
    let mut client = Client::connect(&server);
    ask(&mut client, "/missing");
    let before = server.descriptors();
    for name in add_files(&server, 100, 1000) {
        for _ in 0..3 {
            ask(&mut client, &format!("/{name}"));
        }
    }
    assert_eq!(server.descriptors(), before);
}

/// The application answers any path, so clients could make the server remember long ones.
#[test]
fn a_long_path_is_not_cached() {
    let server = Server::start_without_log(&["--spa", "app.html"]);
    server.add("app.html", 1000);
    let mut client = Client::connect(&server);
    ask(&mut client, "/app.html");
    let before = server.descriptors();
    let directory = format!("/{}", "x".repeat(200));
    for number in 0..10 {
        ask(&mut client, &format!("/{number}{}", directory.repeat(30)));
    }
    assert_eq!(server.descriptors(), before);
    ask_until_open(&server, &mut client, &["short".into()], before + 1);
}

/// The file system frees the blocks of a removed file only after the server has closed it.
#[test]
fn a_removed_file_is_closed() {
    let server = Server::start();
    let mut client = Client::connect(&server);
    ask(&mut client, "/missing");
    let before = server.descriptors();
    let names = add_files(&server, 1, 100_000);
    ask_until_open(&server, &mut client, &names, before + 1);
    fs::remove_file(server.path(&names[0])).expect("removed");
    server.expect_descriptors(before);
}

/// The test causes more events than the server reads at once, and more than the kernel queues.
#[test]
fn a_flood_of_events_loses_no_change() {
    let server = Server::start();
    let mut client = Client::connect(&server);
    for round in 0..3 {
        let content = server.add("a", 1000 + round);
        assert!(ask(&mut client, "/a").body == content);
        assert!(ask(&mut client, "/a").body == content);
        for number in 0..10_000 {
            let path = server.path(format!("file{number}"));
            File::create(&path).expect("created");
            fs::remove_file(path).expect("removed");
        }
        fs::remove_file(server.path("a")).expect("removed");
        assert_eq!(ask(&mut client, "/a").status, 404);
    }
}
