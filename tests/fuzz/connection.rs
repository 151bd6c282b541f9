//! Whole connections: each request gets the response that it asks for, however the bytes are split.

use std::cell::RefCell;

use crate::fuzz::request::{End, requests};
use crate::fuzz::responses::{Response, find};
use crate::fuzz::server::Server;
use crate::fuzz::tree::{SECRET, Tree};
use crate::request::{Method, Request, first_line};

thread_local! {
    static SERVER: RefCell<Option<Server>> = const { RefCell::new(None) };
}

/// Checks the responses to the bytes after the first one, which sets the length of the pieces in
/// which the client sends them.
///
/// # Panics
///
/// Panics if a response is wrong, or differs from the one to the undivided bytes.
pub fn check_bytes(bytes: &[u8]) {
    if let Some((&len, sent)) = bytes.split_first() {
        let len = usize::from(len).max(1).max(sent.len() / 64);
        let whole = check(sent);
        compare(&whole, sent, responses(sent, sent.chunks(len)));
    }
}

/// Sends all bytes at once and returns the responses.
///
/// # Panics
///
/// Panics if a response is wrong.
pub(crate) fn check(sent: &[u8]) -> Vec<Response> {
    responses(sent, [sent].into_iter())
}

/// Sends the bytes in two pieces.
///
/// # Panics
///
/// Panics if the responses differ from those to the undivided bytes.
#[cfg(test)]
pub(crate) fn check_split(whole: &[Response], sent: &[u8], at: usize) {
    let (first, second) = sent.split_at(at);
    compare(whole, sent, responses(sent, [first, second].into_iter()));
}

fn compare(whole: &[Response], sent: &[u8], pieces: Vec<Response>) {
    let shown = String::from_utf8_lossy(sent);
    assert!(whole == pieces, "{whole:?} to the whole, {pieces:?} to the pieces of {shown:?}");
}

fn responses<'a>(sent: &[u8], pieces: impl Iterator<Item = &'a [u8]>) -> Vec<Response> {
    // After a failed check the server is not used again.
    let server = SERVER.take().unwrap_or_else(Server::new);
    let received = server.respond_to(pieces.filter(|piece| !piece.is_empty()));
    let shown = String::from_utf8_lossy(sent);
    assert!(find(&received, SECRET).is_none(), "the server sent the secret to {shown:?}");
    let seen = requests(sent);
    let mut rest = &received[..];
    let mut at = 0;
    let mut responses = Vec::new();
    for (request, len) in &seen.requests {
        let (response, after) = Response::read(rest, request.method == Method::Head);
        check_response(request, &response);
        responses.push(response);
        rest = after;
        at += len;
    }
    if seen.end == End::Refused {
        let is_head = first_line(&sent[at..]).starts_with(b"HEAD ");
        let (response, after) = Response::read(rest, is_head);
        assert!(matches!(response.status, 400 | 414 | 417 | 431 | 501 | 505), "{shown:?}");
        assert_eq!(response.field("connection"), Some("close"), "{shown:?}");
        responses.push(response);
        rest = after;
    }
    assert!(rest.is_empty(), "more responses than requests: {shown:?}");
    SERVER.set(Some(server));
    responses.iter_mut().for_each(Response::normalise);
    responses
}

fn check_response(request: &Request, response: &Response) {
    let connection = match request.keep_alive {
        true => "keep-alive",
        false => "close",
    };
    assert_eq!(response.field("connection"), Some(connection), "{request:?}");
    let statuses: &[u16] = match request.method {
        Method::Get => &[200, 206, 301, 304, 404, 406, 412, 416],
        Method::Head => &[200, 301, 304, 404, 406, 412],
        Method::Options => &[204],
        Method::Connect | Method::Known => &[405],
        Method::Unknown => &[501],
    };
    assert!(statuses.contains(&response.status), "{response:?} to {request:?}");
    if request.method == Method::Head {
        return;
    }
    match response.status {
        200 if response.field("etag").is_some() => {
            let size = response.body.len() as u64;
            assert!(Tree::shared().of_size(size) == Some(&response.body[..]), "{request:?}");
        }
        206 => check_ranges(request, response),
        416 => assert!(response.field("content-range").is_some(), "{request:?}"),
        _ => {}
    }
}

/// Asserts that each part has the bytes of its range, and that the parts together are not larger
/// than the file.
fn check_ranges(request: &Request, response: &Response) {
    let several = response.parts().unwrap_or_else(|| {
        let content_range = response.field("content-range").expect("a range");
        vec![(content_range.to_owned(), response.body.clone())]
    });
    let mut total = 0;
    let mut file_size = 0;
    for (content_range, bytes) in &several {
        let content_range = content_range.strip_prefix("bytes ").expect("bytes");
        let (range, size) = content_range.split_once('/').expect("a size");
        let (first, last) = range.split_once('-').expect("two ends");
        let number = |text: &str| text.parse::<usize>().expect("a number");
        let (first, last, size) = (number(first), number(last), number(size));
        let file = Tree::shared().of_size(size as u64).expect("a file");
        assert!(bytes == &file[first..=last], "{request:?}: the content differs");
        total += bytes.len();
        file_size = size;
    }
    assert!(total <= file_size, "{request:?}: {total} bytes of a file of {file_size}");
}
