//! Media types and charsets.

use super::client::{get, get_with};
use super::server::Server;

#[test]
fn files_have_the_types_of_iana() {
    let server = Server::start();
    for (name, media_type) in [
        ("a.html", "text/html"),
        ("a.css", "text/css"),
        ("a.js", "text/javascript"),
        ("a.mjs", "text/javascript"),
        ("a.txt", "text/plain"),
        ("a.md", "text/markdown"),
        ("a.json", "application/json"),
        ("a.svg", "image/svg+xml"),
        ("a.wasm", "application/wasm"),
        ("a.rpm", "application/x-redhat-package-manager"),
        ("a.deb", "application/vnd.debian.binary-package"),
        ("seg.ts", "video/mp2t"),
        ("a.m3u8", "application/vnd.apple.mpegurl"),
        ("A.MKV", "video/matroska"),
        ("a.woff", "font/woff"),
        ("a.woff2", "font/woff2"),
        ("a.otf", "font/otf"),
        ("a.ttf", "font/ttf"),
        ("a.zst", "application/zstd"),
        ("a.tar.gz", "application/gzip"),
        ("a.yaml", "application/yaml"),
        ("a.vtt", "text/vtt; charset=utf-8"),
        ("a.stl", "model/stl"),
        ("README", "text/plain"),
        ("LICENSE", "text/plain"),
        ("LICENSE-MIT", "text/plain"),
        ("Makefile", "text/plain"),
        ("program", "application/octet-stream"),
        ("a.unknown", "application/octet-stream"),
    ] {
        server.add(name, 10);
        let response = get(&server, &format!("/{name}"));
        assert_eq!(response.field("content-type"), media_type, "{name}");
        assert!(!response.has("content-encoding"), "{name}");
    }
}

#[test]
fn texts_have_the_charset_of_the_option() {
    let server = Server::start_without_log(&["--charset", "iso-8859-1"]);
    for (name, media_type) in [
        ("a.html", "text/html; charset=iso-8859-1"),
        ("README", "text/plain; charset=iso-8859-1"),
        ("a.vtt", "text/vtt; charset=utf-8"),
        ("a.json", "application/json"),
        ("a.png", "image/png"),
    ] {
        server.add(name, 10);
        let response = get(&server, &format!("/{name}"));
        assert_eq!(response.field("content-type"), media_type, "{name}");
    }
}

/// An `.svgz` file is a gzipped SVG by definition. A client gets it without `Accept-Encoding` too.
#[test]
fn an_svgz_is_an_svg_with_the_gzip_coding() {
    let server = Server::start();
    let bytes = server.add("a.svgz", 100);
    server.add("a.svgz.gz", 50);
    for fields in ["", "Accept-Encoding: gzip\r\n", "Accept-Encoding: br\r\n"] {
        let response = get_with(&server, "/a.svgz", fields);
        assert_eq!(response.field("content-type"), "image/svg+xml");
        assert_eq!(response.field("content-encoding"), "gzip");
        assert!(response.body == bytes);
    }
}
