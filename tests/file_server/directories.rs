//! Directories: the index, the listing and redirects to the trailing slash.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;

use rustix::fs::{CWD, FileType, Mode, mknodat};

use super::client::{Client, get};
use super::server::Server;

#[track_caller]
fn listing(server: &Server, target: &str) -> String {
    let response = get(server, target);
    assert_eq!(response.status, 200, "{target}");
    assert_eq!(response.field("content-type"), "text/html; charset=utf-8");
    assert_eq!(response.field("x-content-type-options"), "nosniff");
    assert!(response.field("content-security-policy").starts_with("default-src 'none'"));
    String::from_utf8(response.body).expect("text")
}

/// Returns whether the page links to this target.
fn links(page: &str, to: &str) -> bool {
    page.contains(&format!("href=\"{to}\""))
}

#[test]
fn a_directory_without_an_index_has_a_listing() {
    let server = Server::start();
    fs::create_dir_all(server.path("d/inner")).expect("a directory");
    server.add("d/a b.txt", 10);
    server.add(OsStr::from_bytes(b"d/<\"\xff"), 10);
    for target in ["/", "http://host", "http://host?query"] {
        let page = listing(&server, target);
        assert!(links(&page, "./d/") && !links(&page, "../"), "{page}");
    }
    let page = listing(&server, "/d/?query");
    for link in ["./inner/", "./a%20b.txt", "./%3C%22%FF", "../"] {
        assert!(links(&page, link), "no {link} in {page}");
    }
    assert!(!page.contains("<\""), "an unescaped name in {page}");
}

#[test]
fn head_of_a_listing_has_the_length_of_get() {
    let server = Server::start();
    let whole = get(&server, "/");
    let mut client = Client::connect(&server);
    client.send("HEAD / HTTP/1.1\r\nHost: t\r\n\r\n");
    let head = client.head();
    assert_eq!(head.field("content-length"), whole.body.len().to_string());
    client.send("GET / HTTP/1.1\r\nHost: t\r\n\r\n");
    assert_eq!(client.response().body, whole.body);
}

/// A listing has each entry that the server serves, and no other.
#[test]
fn a_listing_shows_what_is_served() {
    let server = Server::start();
    fs::create_dir(server.path("d")).expect("a directory");
    fs::write(server.outside("secret"), "secret").expect("a file outside");
    server.add("file", 10);
    server.add(".hidden", 10);
    let link = |to: &str, name: &str| symlink(to, server.path(name)).expect("a link");
    link("file", "to-file");
    link("d", "to-directory");
    link("../secret", "to-secret");
    link("..", "up");
    link("gone", "dangling");
    link("/etc/passwd", "absolute");
    mknodat(CWD, server.path("fifo"), FileType::Fifo, Mode::RUSR, 0).expect("a FIFO");
    let page = listing(&server, "/");
    for shown in ["./d/", "./file", "./to-file", "./to-directory/"] {
        assert!(links(&page, shown), "no {shown} in {page}");
        assert_eq!(get(&server, &shown[1..]).status, 200);
    }
    let hidden = [".hidden", "to-secret", "up", "dangling", "absolute", "fifo"];
    for hidden in hidden {
        let shown = page.contains(&format!("href=\"./{hidden}"));
        assert!(!shown, "{hidden} in {page}");
    }
}

#[test]
fn a_directory_redirects_to_its_trailing_slash() {
    let server = Server::start();
    fs::create_dir_all(server.path("d/e f")).expect("directories");
    fs::create_dir(server.path("ü\r\nX: y")).expect("a directory");
    fs::create_dir(server.path("d/x:y")).expect("a directory");
    for (target, location) in [
        ("/d", "d/"),
        ("/d?", "d/?"),
        ("/d?a=b&c=%20#f", "d/?a=b&c=%20"),
        ("/d?<script>\"'", "d/?%3Cscript%3E%22'"),
        ("/d/e%20f", "e%20f/"),
        ("http://host/d?q", "d/?q"),
        ("//d", "d/"),
        ("///.//d?q", "d/?q"),
        // Without `./`, the part before the colon would be a scheme.
        ("/d/x:y", "./x:y/"),
        ("/d/x%3Ay?q", "./x:y/?q"),
        ("/%C3%BC%0D%0AX:%20y", "./%C3%BC%0D%0AX:%20y/"),
    ] {
        let response = get(&server, target);
        assert_eq!(response.status, 301, "{target}");
        assert_eq!(response.field("location"), location, "{target}");
        assert!(!response.has("x"), "{response:?}");
    }
    server.add("d/index.html", 10);
    assert_eq!(get(&server, "/d").status, 301);
    assert_eq!(get(&server, "/d/").body.len(), 10);
}

/// A browser counts an empty segment as a level when it resolves `../`. The links of a listing do
/// not.
#[test]
fn a_listing_redirects_to_a_path_without_empty_segments() {
    let server = Server::start();
    fs::create_dir_all(server.path("d/e f")).expect("directories");
    server.add("d/a", 10);
    for (target, location) in [
        ("//", "../"),
        ("///?q", "../../?q"),
        ("//d/", "../../d/"),
        ("/d//e%20f/", "../../../d/e%20f/"),
        ("/./d/.//e%20f/.?a", "../../../d/e%20f/?a"),
        ("http://host//d/#x", "../../d/"),
    ] {
        let response = get(&server, target);
        assert_eq!(response.status, 301, "{target}");
        assert_eq!(response.field("location"), location, "{target}");
    }
    for target in ["/", "/.", "/./", "/%2e/d/", "/d/./e%20f/", "http://host", "//d//a"] {
        assert_eq!(get(&server, target).status, 200, "{target}");
    }
    server.add("d/index.html", 10);
    assert_eq!(get(&server, "//d/").status, 200);
}

/// A listing instead of the index would hide the mistake.
#[test]
fn an_index_that_leads_outside_is_not_replaced_by_a_listing() {
    let server = Server::start();
    fs::write(server.outside("secret"), "secret").expect("a file outside");
    symlink("../secret", server.path("index.html")).expect("a link");
    assert_eq!(get(&server, "/").status, 404);
    fs::remove_file(server.path("index.html")).expect("the link");
    fs::create_dir(server.path("index.html")).expect("a directory");
    assert!(links(&listing(&server, "/"), "./index.html/"));
}
