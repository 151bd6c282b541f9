//! The options that choose which files the server serves, and how.

use std::fs;
use std::os::unix::fs::symlink;

use super::client::{Client, Response, ask, get, get_with};
use super::server::Server;

#[track_caller]
fn options(server: &Server) -> Response {
    let mut client = Client::connect(server);
    client.send("OPTIONS /a HTTP/1.1\r\nHost: t\r\nOrigin: http://x\r\n\r\n");
    client.response()
}

#[test]
fn spa_serves_the_application_for_every_unknown_path() {
    let server = Server::start_without_log(&["--spa", "/app.html"]);
    let app = server.add("app.html", 100);
    let file = server.add("a.css", 50);
    server.add(".secret", 10);
    fs::create_dir(server.path("d")).expect("a directory");
    for target in ["/users/7", "/none?q", "/a.css/x", "/.secret"] {
        let response = get(&server, target);
        assert_eq!((response.status, &response.body), (200, &app), "{target}");
        assert_eq!(response.field("content-type"), "text/html");
        let tag = response.field("etag").to_owned();
        let again = get_with(&server, target, &format!("If-None-Match: {tag}\r\n"));
        assert_eq!(again.status, 304, "{target}");
    }
    assert_eq!(get(&server, "/a.css").body, file);
    assert_eq!(get(&server, "/d").status, 301);
    assert_eq!(get(&server, "/..").status, 400);
    fs::remove_file(server.path("app.html")).expect("the application");
    assert_eq!(get(&server, "/users/7").status, 404);
}

#[test]
fn a_page_can_be_the_body_of_not_found() {
    for (name, options) in [("404.html", &[][..]), ("e.html", &["--not-found", "e.html"])] {
        let server = Server::start_without_log(options);
        assert_eq!(get(&server, "/none").body, b"404 Not Found\n");
        let page = server.add(name, 20_000);
        for fields in ["", "Range: bytes=0-1\r\n", "If-None-Match: *\r\n"] {
            let response = get_with(&server, "/none", fields);
            assert_eq!((response.status, &response.body), (404, &page));
            assert_eq!(response.field("content-type"), "text/html");
            assert!(!response.has("etag") && !response.has("accept-ranges"));
        }
        let mut client = Client::connect(&server);
        client.send("HEAD /none HTTP/1.1\r\nHost: t\r\n\r\n");
        assert_eq!(client.head().field("content-length"), "20000");
        // Under its own name the page is an ordinary file.
        assert_eq!(get(&server, &format!("/{name}")).status, 200);
        assert_eq!(get(&server, "/..").body, b"400 Bad Request\n");
    }
}

#[test]
fn a_page_that_cannot_be_sent_does_not_change_the_status() {
    let server = Server::start();
    server.add("404.html", 10);
    let fields = "Accept-Encoding: identity;q=0\r\n";
    let response = get_with(&server, "/none", fields);
    assert_eq!((response.status, &response.body[..]), (404, &b"404 Not Found\n"[..]));
    // A cache must not give it to other clients.
    assert_eq!(response.field("vary"), "Accept-Encoding");
}

#[test]
fn an_html_page_is_found_without_its_suffix() {
    let server = Server::start();
    let page = server.add("page.html", 100);
    let packed = server.add("page.html.gz", 50);
    let response = get(&server, "/page?q");
    assert_eq!((response.status, &response.body), (200, &page));
    assert_eq!(response.field("content-type"), "text/html");
    assert_eq!(get_with(&server, "/page", "Accept-Encoding: gzip\r\n").body, packed);
    assert_eq!(get(&server, "/page/").status, 404);
    assert_eq!(get(&server, "/page.html").body, page);
    // A file with the exact name takes precedence.
    let file = server.add("page", 10);
    assert_eq!(get(&server, "/page").body, file);
    fs::remove_file(server.path("page")).expect("the file");
    fs::create_dir(server.path("page")).expect("a directory");
    assert_eq!(get(&server, "/page").status, 301);
    fs::create_dir(server.path("x.html")).expect("a directory");
    assert_eq!(get(&server, "/x").status, 404);
}

#[test]
fn the_first_matching_pattern_sets_cache_control() {
    let server = Server::start_without_log(&[
        "--cache-control",
        "/assets/*.js: public, max-age=31536000, immutable",
        "--cache-control",
        "*.js:max-age=60",
        "--cache-control",
        "i*x.html:no-cache",
        "--cache-control",
        "404.html: no-store",
        "--cache-control",
        "/c.css: no-transform",
    ]);
    fs::create_dir_all(server.path("assets/deep")).expect("directories");
    for (name, value) in [
        ("assets/a.js", Some("public, max-age=31536000, immutable")),
        ("assets/deep/a.js", Some("public, max-age=31536000, immutable")),
        ("a.js", Some("max-age=60")),
        ("index.html", Some("no-cache")),
        ("a.jsx", None),
        ("a.css", None),
        ("c.css", Some("no-transform")),
        ("assets/c.css", None),
    ] {
        server.add(name, 10);
        let response = get(&server, &format!("/{name}"));
        let found = response.has("cache-control").then(|| response.field("cache-control"));
        assert_eq!(found, value, "{name}");
        let fields = format!("If-None-Match: {}\r\n", response.field("etag"));
        let again = get_with(&server, &format!("/{name}"), &fields);
        assert_eq!((again.status, again.has("cache-control")), (304, value.is_some()));
        let part = get_with(&server, &format!("/{name}"), "Range: bytes=0-1\r\n");
        assert_eq!((part.status, part.has("cache-control")), (206, value.is_some()));
    }
    assert_eq!(get(&server, "/").field("cache-control"), "no-cache");
    assert!(!get(&server, "/none").has("cache-control"));
    let all = Server::start_without_log(&["--cache-control", "no-store"]);
    all.add("a", 10);
    assert_eq!(get(&all, "/a").field("cache-control"), "no-store");
}

#[test]
fn a_pattern_with_a_slash_matches_the_index_of_the_root_alone() {
    let server = Server::start_without_log(&["--cache-control", "/index.html: no-cache"]);
    fs::create_dir(server.path("d")).expect("a directory");
    for name in ["index.html", "d/index.html"] {
        server.add(name, 10);
    }
    for (target, is_matched) in
        [("/", true), ("/index.html", true), ("/d/", false), ("/d/index.html", false)]
    {
        assert_eq!(get(&server, target).has("cache-control"), is_matched, "{target}");
    }
}

/// A cache would send the failure of one client's condition or range to all clients.
#[test]
fn a_failed_condition_or_range_gets_no_cache_control() {
    let server = Server::start_without_log(&["--cache-control", "max-age=60"]);
    server.add("a", 10);
    for (fields, status) in [("If-Match: \"x\"\r\n", 412), ("Range: bytes=10-\r\n", 416)] {
        let response = get_with(&server, "/a", fields);
        assert_eq!(response.status, status);
        assert!(!response.has("cache-control") && response.has("etag"));
    }
}

/// Matching a pattern with many stars must not take exponential time.
#[test]
fn a_pattern_that_nearly_matches_costs_little() {
    let pattern = format!("{}b: no-cache", "*a".repeat(100));
    let server = Server::start_without_log(&["--cache-control", &pattern]);
    let name = "a".repeat(250);
    server.add(&name, 10);
    assert!(!get(&server, &format!("/{name}")).has("cache-control"));
}

#[test]
fn cors_lets_scripts_of_other_origins_read() {
    let server = Server::start_without_log(&["--cors"]);
    server.add("a", 100);
    for (target, status) in [("/a", 200), ("/", 200), ("/none", 404), ("/..", 400)] {
        let response = get(&server, target);
        assert_eq!(response.status, status, "{target}");
        assert_eq!(response.field("access-control-allow-origin"), "*");
    }
    let part = get_with(&server, "/a", "Range: bytes=0-1\r\n");
    assert!(part.field("access-control-expose-headers").contains("Content-Range"));
    let preflight = options(&server);
    assert_eq!(preflight.status, 204);
    assert_eq!(preflight.field("access-control-allow-origin"), "*");
    assert_eq!(preflight.field("access-control-allow-methods"), "GET, HEAD, OPTIONS");
    assert_eq!(preflight.field("access-control-allow-headers"), "*");

    let without = Server::start();
    without.add("a", 100);
    assert!(!get(&without, "/a").has("access-control-allow-origin"));
    assert!(!options(&without).has("access-control-allow-origin"));
}

#[test]
fn hidden_names_are_not_found_without_the_option() {
    let names = [".env", ".git/config", "d/.htpasswd", "d/.x/y", ".well-known/.env"];
    for (options, status) in [(&[][..], 404), (&["--hidden"], 200)] {
        let server = Server::start_without_log(options);
        for directory in [".git", "d/.x", ".well-known"] {
            fs::create_dir_all(server.path(directory)).expect("directories");
        }
        for name in names {
            server.add(name, 10);
            for target in [format!("/{name}"), format!("//./{}", name.replace('.', "%2e"))] {
                assert_eq!(get(&server, &target).status, status, "{target}");
            }
        }
        let is_redirect = get(&server, "/.git").status == 301;
        assert_eq!(is_redirect, status == 200);
        let page = get(&server, "/").body;
        let page = String::from_utf8(page).expect("text");
        assert_eq!(page.contains(".env"), status == 200);
        assert!(!page.contains("\"./../\"") && !page.contains("\"././\""), "{page}");
        let bytes = server.add(".well-known/security.txt", 20);
        assert_eq!(get(&server, "/.well-known/security.txt").body, bytes);
        assert_eq!(get(&server, "/.well-known/").status, 200);
    }
}

#[test]
fn links_out_of_the_root_are_followed_only_with_the_option() {
    for (options, is_followed) in [(&[][..], false), (&["--follow-links"], true)] {
        let server = Server::start_without_log(options);
        fs::write(server.outside("file"), "outside").expect("a file");
        fs::create_dir(server.outside("directory")).expect("a directory");
        fs::write(server.outside("directory/a"), "within").expect("a file");
        symlink("../file", server.path("relative")).expect("a link");
        symlink(server.outside("file"), server.path("absolute")).expect("a link");
        symlink("../directory", server.path("d")).expect("a link");
        symlink("/proc/self/root", server.path("magic")).expect("a link");
        let page = String::from_utf8(get(&server, "/").body).expect("text");
        for (target, content) in
            [("/relative", &b"outside"[..]), ("/absolute", b"outside"), ("/d/a", b"within")]
        {
            let response = get(&server, target);
            assert_eq!(response.body == content, is_followed, "{target}");
            assert_eq!(response.status, if is_followed { 200 } else { 404 });
        }
        for name in ["relative", "absolute", "d/"] {
            assert_eq!(page.contains(&format!("\"./{name}\"")), is_followed, "{name}");
        }
        assert_eq!(get(&server, "/magic/etc/passwd").status, 404);
        assert_eq!(ask(&server, "GET /d/../file HTTP/1.1\r\nHost: t\r\n\r\n").status, 400);
    }
}
