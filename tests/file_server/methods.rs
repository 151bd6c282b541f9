//! Methods: the allowed ones, and the responses to others.

use super::client::{Client, ask, get};
use super::server::Server;

const METHODS: &str = "GET, HEAD, OPTIONS";

#[test]
fn options_lists_the_allowed_methods() {
    let server = Server::start();
    server.add("a", 10);
    let mut client = Client::connect(&server);
    for target in ["*", "/a", "/none", "http://host/a"] {
        client.send(format!("OPTIONS {target} HTTP/1.1\r\nHost: t\r\n\r\n"));
        let response = client.response();
        assert_eq!(response.status, 204, "{target}");
        assert_eq!(response.field("allow"), METHODS);
        assert!(!response.has("content-length"));
    }
}

#[test]
fn an_unknown_method_is_not_implemented() {
    let server = Server::start();
    server.add("a", 10);
    let mut client = Client::connect(&server);
    for method in ["get", "BREW", "PROPFIND", "G"] {
        client.send(format!("{method} /a HTTP/1.1\r\nHost: t\r\n\r\n"));
        let response = client.response();
        assert_eq!((response.status, response.field("allow")), (501, METHODS));
    }
    client.send("GET /a HTTP/1.1\r\nHost: t\r\n\r\n");
    assert_eq!(client.response().status, 200);
}

/// The bytes that follow may be meant for the tunnel.
#[test]
fn connect_is_refused_and_ends_the_connection() {
    let server = Server::start();
    server.add("a", 10);
    for target in ["host:443", "[::1]:443", "host", "/a", "*"] {
        let mut client = Client::connect(&server);
        client.send(format!("CONNECT {target} HTTP/1.1\r\nHost: host:443\r\n\r\n"));
        client.send("GET /a HTTP/1.1\r\nHost: t\r\n\r\n");
        let response = client.response();
        assert_eq!((response.status, response.field("allow")), (405, METHODS));
        assert_eq!(response.field("connection"), "close");
        client.expect_end();
    }
}

/// The client waits for a response before it sends its body.
#[test]
fn a_request_that_expects_100_continue_is_answered_at_once() {
    let server = Server::start();
    server.add("a", 10);
    for (method, expected) in [("PUT", 405), ("GET", 200)] {
        let mut client = Client::connect(&server);
        client.send(format!(
            "{method} /a HTTP/1.1\r\nHost: t\r\nContent-Length: 9\r\nExpect: 100-Continue\r\n\r\n"
        ));
        let response = client.response();
        assert_eq!((response.status, response.field("connection")), (expected, "close"));
        client.expect_end();
    }
    let response = ask(&server, "GET /a HTTP/1.1\r\nHost: t\r\nExpect: tea\r\n\r\n");
    assert_eq!(response.status, 417);
    // Empty elements of a list mean nothing.
    for expected in ["", ", 100-continue,", "100-continue, 100-continue"] {
        let request = format!("GET /a HTTP/1.1\r\nHost: t\r\nExpect: {expected}\r\n\r\n");
        assert_eq!(ask(&server, request).status, 200, "{expected}");
    }
}

#[test]
fn responses_do_not_name_the_server_and_forbid_sniffing() {
    let server = Server::start();
    server.add("a.svg", 10);
    let response = get(&server, "/a.svg");
    assert!(!response.has("server"));
    assert_eq!(response.field("x-content-type-options"), "nosniff");
    assert_eq!(response.field("content-type"), "image/svg+xml");
}
