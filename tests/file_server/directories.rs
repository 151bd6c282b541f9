//! Directories: their index, their page, and the way to them.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;

use rustix::fs::{CWD, FileType, Mode, mknodat};

use super::client::{Client, get};
use super::server::Server;

#[track_caller]
fn page(server: &Server, target: &str) -> String {
    let response = get(server, target);
    assert_eq!(response.status, 200, "{target}");
    assert_eq!(response.field("content-type"), "text/html; charset=utf-8");
    assert_eq!(response.field("x-content-type-options"), "nosniff");
    assert!(
        response
            .field("content-security-policy")
            .starts_with("default-src 'none'")
    );
    String::from_utf8(response.body).expect("text")
}

/// Whether the page has a link to this.
fn links(page: &str, to: &str) -> bool {
    page.contains(&format!("href=\"{to}\""))
}

#[test]
fn a_directory_without_an_index_has_a_page() {
    let server = Server::start();
    fs::create_dir_all(server.path("d/inner")).expect("a directory");
    server.add("d/a b.txt", 10);
    server.add(OsStr::from_bytes(b"d/<\"\xff"), 10);
    for target in ["/", "http://host", "http://host?query"] {
        let page = page(&server, target);
        assert!(links(&page, "./d/") && !links(&page, "../"), "{page}");
    }
    let page = page(&server, "/d/?query");
    for link in ["./inner/", "./a%20b.txt", "./%3C%22%FF", "../"] {
        assert!(links(&page, link), "no {link} in {page}");
    }
    assert!(!page.contains("<\""), "a name is markup in {page}");
}

#[test]
fn head_of_a_page_is_that_of_get() {
    let server = Server::start();
    let whole = get(&server, "/");
    let mut client = Client::connect(&server);
    client.send("HEAD / HTTP/1.1\r\nHost: t\r\n\r\n");
    let head = client.head();
    assert_eq!(head.field("content-length"), whole.body.len().to_string());
    client.send("GET / HTTP/1.1\r\nHost: t\r\n\r\n");
    assert_eq!(client.response().body, whole.body);
}

/// What a page shows can be had, and what cannot be had it does not show.
#[test]
fn a_page_shows_what_is_served() {
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
    let page = page(&server, "/");
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
fn a_directory_is_found_at_its_slash() {
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
        // Without the dot the name would be a scheme.
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

/// A browser counts an empty name as a level, and the links of a page do not.
#[test]
fn a_page_has_an_address_without_empty_names() {
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
    for target in [
        "/",
        "/.",
        "/./",
        "/%2e/d/",
        "/d/./e%20f/",
        "http://host",
        "//d//a",
    ] {
        assert_eq!(get(&server, target).status, 200, "{target}");
    }
    server.add("d/index.html", 10);
    assert_eq!(get(&server, "//d/").status, 200);
}

/// Showing the page instead would hide the mistake.
#[test]
fn an_index_that_leads_outside_is_not_replaced_by_a_page() {
    let server = Server::start();
    fs::write(server.outside("secret"), "secret").expect("a file outside");
    symlink("../secret", server.path("index.html")).expect("a link");
    assert_eq!(get(&server, "/").status, 404);
    fs::remove_file(server.path("index.html")).expect("the link");
    fs::create_dir(server.path("index.html")).expect("a directory");
    assert!(links(&page(&server, "/"), "./index.html/"));
}
