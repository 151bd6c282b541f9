//! hyper's server in the role of a proxy in front. It and the example must find the same requests
//! in the same bytes, or a request could be smuggled.

use std::cell::RefCell;
use std::convert::Infallible;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::http::uri::Authority;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode, Uri};

use crate::fuzz::request::{End, Seen};
use crate::request::Method;

/// Compares the requests that the example found with those that hyper finds.
///
/// # Panics
///
/// Panics if the two find different requests. Each may refuse a request that the other accepts: it
/// then reads nothing after that request.
pub(crate) fn compare(bytes: &[u8], ours: &Seen) {
    let theirs = requests(bytes);
    let shown = String::from_utf8_lossy(bytes);
    for ((our, _), (method, uri)) in ours.requests.iter().zip(&theirs.requests) {
        assert!(is_same_method(our.method, method), "{our:?}, {method}: {shown}");
        let target: Uri = our.target.parse().expect("hyper could parse it");
        assert_eq!(&target, uri, "{shown}");
        if our.resource.is_some() {
            let authority = uri.authority().map(Authority::as_str);
            authority.into_iter().for_each(check_authority);
        }
    }
    // If hyper found fewer requests, it must have refused one. If it found more, the example must
    // have.
    let only_ours = ours.requests.get(theirs.requests.len());
    let only_ours = only_ours.filter(|_| !theirs.refused);
    assert!(only_ours.is_none(), "only the example finds {only_ours:?} in {shown}");
    let is_whole = ours.end != End::Open || theirs.requests.len() <= ours.requests.len();
    assert!(is_whole, "only hyper finds {:?} in {shown}", theirs.requests.last());
}

fn is_same_method(ours: Method, theirs: &str) -> bool {
    match ours {
        Method::Get => theirs == "GET",
        Method::Head => theirs == "HEAD",
        Method::Options => theirs == "OPTIONS",
        Method::Connect => theirs == "CONNECT",
        Method::Known | Method::Unknown => !matches!(theirs, "GET" | "HEAD" | "OPTIONS"),
    }
}

/// Asserts that hyper parses an authority that the example accepts, and finds one host and a valid
/// port in it. Skips authorities with encoded characters, and with an IP address of a future version,
/// in which hyper allows too few colons.
pub(crate) fn check_authority(text: &str) {
    if text.contains('%') || text.starts_with("[v") || text.starts_with("[V") {
        return;
    }
    let authority: Authority = text.parse().expect("hyper could parse it");
    let host = authority.host();
    let port = text.strip_prefix(host).expect("no user");
    assert!(!host.is_empty() && !host.contains(['@', '/']), "{text}");
    match port.split_at_checked(1) {
        None | Some((":", "")) => {}
        Some((":", digits)) => {
            let number = format!("0{}", digits.trim_start_matches('0'));
            assert!(number.parse::<u16>().is_ok(), "{text}");
        }
        Some(_) => panic!("{text}"),
    }
}

struct HyperRequests {
    requests: Vec<(String, Uri)>,
    refused: bool,
}

/// Returns the requests that hyper finds. Its service reads every body, so no body is taken for a
/// request.
fn requests(bytes: &[u8]) -> HyperRequests {
    let seen = Rc::<RefCell<Vec<_>>>::default();
    let service = service_fn(|request| respond(request, seen.clone()));
    let served = http1::Builder::new()
        .header_read_timeout(None::<Duration>)
        .serve_connection(Memory(bytes.to_vec(), 0), service);
    // Reads and writes in memory are always ready, so hyper is pending only after it woke itself.
    let mut served = pin!(served);
    let mut cx = Context::from_waker(Waker::noop());
    let mut polled = Poll::Pending;
    for _ in 0..=bytes.len() + 64 {
        polled = served.as_mut().poll(&mut cx);
        if polled.is_ready() {
            break;
        }
    }
    let refused = match polled {
        Poll::Ready(ended) => ended.is_err(),
        Poll::Pending => panic!("hyper does not end with {}", String::from_utf8_lossy(bytes)),
    };
    let requests = seen.take();
    HyperRequests { requests, refused }
}

async fn respond(
    request: Request<Incoming>,
    seen: Rc<RefCell<Vec<(String, Uri)>>>,
) -> Result<Response<Empty<Bytes>>, Infallible> {
    let request_line = (request.method().to_string(), request.uri().clone());
    seen.borrow_mut().push(request_line);
    let _ = request.into_body().collect().await;
    // The example gives CONNECT the same status: no tunnel begins, and the next request follows.
    let mut response = Response::new(Empty::new());
    *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
    Ok(response)
}

/// A connection in memory whose peer has sent all bytes and has closed it.
struct Memory(Vec<u8>, usize);

impl Read for Memory {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        mut buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let len = buffer.remaining().min(self.0.len() - self.1);
        buffer.put_slice(&self.0[self.1..self.1 + len]);
        self.1 += len;
        Poll::Ready(Ok(()))
    }
}

impl Write for Memory {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
