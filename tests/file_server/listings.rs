//! Listings: they are complete, sorted, shared and bounded in memory.

use std::fs::{self, File};

use super::client::{Client, get, get_with};
use super::server::Server;

/// Creates empty files with names of equal length, whose order by name is their order by number.
#[track_caller]
fn fill(server: &Server, directory: &str, count: usize) {
    let directory = server.path(directory);
    fs::create_dir_all(&directory).expect("a directory");
    for number in 0..count {
        File::create(directory.join(format!("f{number:06}"))).expect("a file");
    }
}

#[track_caller]
fn ask(server: &Server, target: &str) -> Client {
    let mut client = Client::connect(server);
    client.send(format!("GET {target} HTTP/1.1\r\nHost: t\r\n\r\n"));
    client
}

/// Returns the numbers of the files that a listing links to, in the listing's order.
fn numbers(page: &[u8]) -> Vec<usize> {
    let page = std::str::from_utf8(page).expect("text");
    let links = page.split("href=\"./f").skip(1);
    links.map(|link| link[..6].parse().expect("a number")).collect()
}

#[test]
fn a_listing_has_every_entry() {
    let server = Server::start();
    fill(&server, "d", 5000);
    let response = get(&server, "/d/");
    assert!(numbers(&response.body).into_iter().eq(0..5000));
}

/// The loop answers small requests while the executor reads and renders the directory.
#[test]
fn a_listing_of_100_000_entries_does_not_delay_other_requests() {
    let server = Server::start();
    fill(&server, "d", 100_000);
    server.add("a", 10);
    let mut small = Client::connect(&server);
    let mut listing = ask(&server, "/d/");
    let mut answered = 0;
    while !listing.has_input() {
        small.send("GET /a HTTP/1.1\r\nHost: t\r\n\r\n");
        assert_eq!(small.response().status, 200);
        answered += 1;
    }
    assert!(answered >= 20, "{answered} small responses before the listing, expected 20 or more");
    assert!(numbers(&listing.response().body).into_iter().eq(0..100_000));
}

/// Clients that read nothing cannot make the server keep more and more renderings.
#[test]
fn the_memory_of_all_renderings_is_bounded() {
    let server = Server::start_without_log(&["--stall-timeout", "100"]);
    fs::create_dir(server.path("d")).expect("a directory");
    for number in 0..27_000 {
        let name = format!("d/{number:0240}");
        File::create(server.path(name)).expect("a file");
    }
    let ask_sorted = |order| {
        let mut client = ask(&server, &format!("/d/?sort={order}"));
        (client.head(), client)
    };
    // Three renderings take 50 MiB of the limit of 64 MiB.
    let orders = ["name", "-name", "size", "-size"].map(ask_sorted);
    let statuses = orders.each_ref().map(|(head, _)| head.status);
    assert_eq!(statuses, [200, 200, 200, 503]);
    assert!(orders[3].0.has("retry-after"));
}

#[test]
fn clients_that_read_nothing_share_one_rendering() {
    const CLIENTS: usize = 500;
    let server = Server::start_without_log(&["--stall-timeout", "100"]);
    fill(&server, "d", 5000);
    // The first listing allocates the memory that the server keeps.
    get(&server, "/d/");
    let before = server.resident();
    let mut crowd: Vec<Client> = (0..CLIENTS).map(|_| ask(&server, "/d/")).collect();
    let heads: Vec<_> = crowd.iter_mut().map(Client::head).collect();
    assert!(heads.iter().all(|head| head.status == 200));
    let each = server.resident().saturating_sub(before) / CLIENTS;
    // The listing has more than 500 KiB.
    assert!(each < 16 << 10, "{each} bytes for each client");
    // A file and a socket for each client would be twice as many.
    assert!(server.descriptors() < CLIENTS + 50);
    drop(crowd);
    assert_eq!(get(&server, "/d/").status, 200);
}

/// In an earlier version, each dot was a segment of the path in the listing, and each link to a
/// parent was as long as the path.
#[test]
fn a_long_path_of_dots_does_not_lengthen_the_listing() {
    let server = Server::start();
    fs::create_dir(server.path("d")).expect("a directory");
    let normal = get(&server, "/d/").body;
    let dots = "./".repeat(4000);
    assert!(get(&server, &format!("/{dots}d/")).body == normal);
    assert!(get(&server, &format!("/d/{dots}")).body == normal);
    assert!(get(&server, &format!("/d/{}", "%2e/".repeat(2000))).body == normal);
    let slashes = "/".repeat(8000);
    assert!(get(&server, &format!("{slashes}d/")).body.len() < 2 * normal.len());
    assert!(get(&server, &format!("{slashes}d")).body.len() < 1000);
}

/// Other clients request the same listing all the time.
#[test]
fn a_change_is_in_the_next_listing() {
    let server = Server::start();
    fill(&server, "d", 50);
    let _crowd: Vec<Client> = (0..20).map(|_| ask(&server, "/d/")).collect();
    for number in 50..80 {
        let _other = ask(&server, "/d/");
        File::create(server.path(format!("d/f{number:06}"))).expect("a file");
        assert!(numbers(&get(&server, "/d/").body).into_iter().eq(0..=number));
    }
}

#[test]
fn a_listing_leaves_no_descriptor_open() {
    let server = Server::start();
    fill(&server, "d", 10);
    let mut client = ask(&server, "/a");
    client.response();
    let before = server.descriptors();
    for sort in ["name", "size", "date"] {
        client.send(format!("GET /d/?sort={sort} HTTP/1.1\r\nHost: t\r\n\r\n"));
        assert_eq!(client.response().status, 200);
    }
    server.expect_descriptors(before);
}

#[test]
fn a_listing_is_sorted_as_the_query_says() {
    let server = Server::start();
    fs::create_dir(server.path("d")).expect("a directory");
    for (number, size) in [(0, 5), (1, 9), (2, 1)] {
        server.add(format!("d/f{number:06}"), size);
    }
    for (query, expected) in [
        ("", [0, 1, 2]),
        ("?sort=name", [0, 1, 2]),
        ("?sort=-name", [2, 1, 0]),
        ("?sort=size", [2, 0, 1]),
        ("?a=b&sort=-size#there", [1, 0, 2]),
    ] {
        let response = get(&server, &format!("/d/{query}"));
        assert_eq!(numbers(&response.body), expected, "{query}");
        let page = String::from_utf8(response.body).expect("text");
        assert!(page.contains("UTC"), "{page}");
    }
}

#[test]
fn a_listing_is_json_if_the_client_prefers_it() {
    let server = Server::start();
    fs::create_dir_all(server.path("d/in ner")).expect("a directory");
    server.add("d/a\"b", 10);
    let ask = |accept: &str| get_with(&server, "/d/", &format!("Accept: {accept}\r\n"));
    for accept in [
        "application/json",
        "text/html;q=0.5, application/json",
        "application/json, text/plain, */*",
        "application/json;q=0.5, text/*;q=0.5",
    ] {
        let response = ask(accept);
        assert_eq!(response.field("content-type"), "application/json");
        assert_eq!(response.field("vary"), "Accept");
        let json = String::from_utf8(response.body).expect("text");
        let lines: Vec<&str> = json.lines().collect();
        assert!(
            lines[1].starts_with(r#"{"name":"in ner","type":"directory","href":"./in%20ner/""#)
        );
        let file = r#"{"name":"a\"b","type":"file","href":"./a%22b","size":10,"mtime":"2"#;
        assert!(lines[2].starts_with(file), "{json}");
        assert_eq!((lines[0], lines[3], lines.len()), ("[", "]", 4));
    }
    for accept in [
        "*/*",
        "text/html",
        "application/json;q=0.1, text/html",
        "application/json;q=0.5, */*",
        "application/json;q=0.5, text/*, */*;q=0.1",
        "application/json;q=0",
        "x",
    ] {
        let response = ask(accept);
        assert_eq!(response.field("content-type"), "text/html; charset=utf-8");
        assert_eq!(response.field("vary"), "Accept");
    }
}
