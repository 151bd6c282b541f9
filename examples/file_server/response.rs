//! Responses: their status, fields and body.

use std::fmt::{Arguments, Write};
use std::io;
use std::sync::Arc;

use rustix::io::Errno;

use crate::conditional::{Validators, Verdict};
use crate::dates::Clock;
use crate::find::{Found, MAX_COPIED, Opened};
use crate::pages::{Format, Page};
use crate::range::{Multipart, Part, Range};
use crate::request::{Method, Request};
use crate::status::Status;
use crate::target;

const METHODS: &str = "GET, HEAD, OPTIONS";

/// The fields that a script may read, beside those that it always may.
const EXPOSED: &str = "Accept-Ranges, Content-Encoding, Content-Range, ETag";

#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: Status,
    /// Its own fields, each with its line's end. [`Response::head`] adds those of all responses.
    fields: String,
    /// Set if all of this file is sent. Its fields are formatted once, and stand in front.
    whole: Option<Arc<Opened>>,
    pub(crate) body: Body,
}

#[derive(Debug)]
pub(crate) enum Body {
    /// The status allows none.
    None,
    Text(String),
    Page(Arc<Page>),
    Part(Arc<Opened>, Part),
    Parts(Arc<Opened>, Box<Multipart>),
}

impl Body {
    fn len(&self) -> Option<u64> {
        match self {
            Body::None => None,
            Body::Text(text) => Some(text.len() as u64),
            Body::Page(page) => Some(page.len),
            Body::Part(_, part) => Some(part.count),
            Body::Parts(_, multipart) => Some(multipart.len()),
        }
    }
}

impl Response {
    fn new(status: Status, body: Body) -> Response {
        Response { status, fields: String::new(), whole: None, body }
    }

    /// Creates a response whose text is its status.
    pub(crate) fn plain(status: Status) -> Response {
        let mut response = Response::new(status, Body::Text(format!("{}\n", status.line())));
        response.content_type("text/plain; charset=utf-8");
        if let Status::NOT_ALLOWED | Status::NOT_IMPLEMENTED = status {
            response.field("Allow", format_args!("{METHODS}"));
        }
        if let Status::UNAVAILABLE = status {
            response.field("Retry-After", format_args!("1"));
        }
        response
    }

    /// Creates the response to OPTIONS.
    pub(crate) fn options() -> Response {
        let mut response = Response::new(Status::NO_CONTENT, Body::None);
        response.field("Allow", format_args!("{METHODS}"));
        response
    }

    /// Judges the conditions of a request for a listing, which has no tag and no date. Returns the
    /// response if they exclude the listing.
    pub(crate) fn instead_of_listing(request: &Request) -> Option<Response> {
        match Validators::default().judge(request) {
            Verdict::Failed => Some(Response::plain(Status::PRECONDITION_FAILED)),
            Verdict::NotModified => {
                let mut response = Response::new(Status::NOT_MODIFIED, Body::None);
                response.varies("Accept");
                Some(response)
            }
            Verdict::Send | Verdict::SendWhole => None,
        }
    }

    /// Creates the response for the result of a search.
    pub(crate) fn of(request: &Request, found: io::Result<Found>) -> Response {
        match found {
            Ok(Found::File(opened)) => Response::file(request, &opened),
            Ok(Found::Missing(opened)) => Response::missing(&opened),
            Ok(Found::Listing(_)) => Response::plain(Status::NOT_FOUND),
            Ok(Found::Directory(path)) => {
                Response::moved(&target::directory(&path, &request.target))
            }
            Ok(Found::NotAcceptable) => {
                let mut response = Response::plain(Status::NOT_ACCEPTABLE);
                response.varies("Accept-Encoding");
                response
            }
            Err(error) => Response::error(&error),
        }
    }

    pub(crate) fn error(error: &io::Error) -> Response {
        let mut response = Response::plain(status_of(error));
        if response.status == Status::NOT_FOUND {
            // A page for it may exist in codings that this client refuses.
            response.varies("Accept-Encoding");
        }
        response
    }

    /// Lets scripts of all origins read the response, and its fields.
    pub(crate) fn allow_origins(&mut self, is_preflight: bool) {
        self.field("Access-Control-Allow-Origin", format_args!("*"));
        if is_preflight {
            self.field("Access-Control-Allow-Methods", format_args!("{METHODS}"));
            self.field("Access-Control-Allow-Headers", format_args!("*"));
            self.field("Access-Control-Max-Age", format_args!("86400"));
        } else {
            self.field("Access-Control-Expose-Headers", format_args!("{EXPOSED}"));
        }
    }

    /// Creates the response with the page for a 404. It has no ranges and no tag.
    fn missing(opened: &Arc<Opened>) -> Response {
        let mut response = Response::whole(opened);
        response.status = Status::NOT_FOUND;
        response.whole = None;
        response.content_type(&opened.media_type());
        if let Some(coding) = opened.coding {
            response.field("Content-Encoding", format_args!("{}", coding.name()));
        }
        response.varies("Accept-Encoding");
        response
    }

    /// Creates the response with a listing.
    pub(crate) fn page(page: Arc<Page>) -> Response {
        let format = page.format;
        let mut response = Response::new(Status::OK, Body::Page(page));
        response.varies("Accept");
        if format == Format::Json {
            response.content_type("application/json");
            return response;
        }
        response.content_type("text/html; charset=utf-8");
        // Names are escaped in it. If one were not, it could still run and load nothing.
        response.field(
            "Content-Security-Policy",
            format_args!("default-src 'none'; style-src 'unsafe-inline'; img-src data:"),
        );
        response
    }

    pub(crate) fn moved(location: &str) -> Response {
        let mut response = Response::plain(Status::MOVED_PERMANENTLY);
        response.field("Location", format_args!("{location}"));
        response
    }

    fn file(request: &Request, opened: &Arc<Opened>) -> Response {
        let validators = opened.validators();
        let mut response = match validators.judge(request) {
            Verdict::Failed => Response::plain(Status::PRECONDITION_FAILED),
            Verdict::NotModified => Response::new(Status::NOT_MODIFIED, Body::None),
            Verdict::SendWhole => return Response::whole(opened),
            Verdict::Send => match range(request, opened.metadata.len()) {
                Range::Whole => return Response::whole(opened),
                range => Response::content(opened, range),
            },
        };
        response.describe(opened);
        response
    }

    /// Creates the response with all of a file.
    fn whole(opened: &Arc<Opened>) -> Response {
        let whole = Part { offset: 0, count: opened.metadata.len() };
        Response {
            whole: Some(opened.clone()),
            ..Response::new(Status::OK, Body::Part(opened.clone(), whole))
        }
    }

    /// Adds the fields that tell this state of the file from another.
    fn describe(&mut self, opened: &Opened) {
        let validators = opened.validators();
        if let Some(etag) = &validators.etag {
            self.field("ETag", format_args!("{etag}"));
        }
        if let Some(modified) = &validators.last_modified {
            self.field("Last-Modified", format_args!("{modified}"));
        }
        // A cache must not keep a failure, which it would send to other clients.
        let is_error = matches!(self.status, Status::PRECONDITION_FAILED | Status::NOT_SATISFIABLE);
        if let Some(value) = opened.rules.cache_control(&opened.path).filter(|_| !is_error) {
            self.field("Cache-Control", format_args!("{value}"));
        }
        // Also if this file has no precompressed variant: it may get one.
        self.varies("Accept-Encoding");
    }

    fn content(opened: &Arc<Opened>, range: Range) -> Response {
        let size = opened.metadata.len();
        let media_type = &opened.media_type();
        let mut response = match range {
            Range::PastTheEnd => {
                let mut response = Response::plain(Status::NOT_SATISFIABLE);
                response.field("Content-Range", format_args!("bytes */{size}"));
                return response;
            }
            Range::Whole => Response::whole(opened).of_type(media_type),
            Range::One(part) => {
                let body = Body::Part(opened.clone(), part);
                let mut response = Response::new(Status::PARTIAL_CONTENT, body);
                response.field("Content-Range", format_args!("{}", part.place(size)));
                response.of_type(media_type)
            }
            Range::Several(parts) => {
                let multipart = Multipart::new(parts, media_type.to_owned(), size);
                let of_all = multipart.media_type();
                let body = Body::Parts(opened.clone(), Box::new(multipart));
                Response::new(Status::PARTIAL_CONTENT, body).of_type(&of_all)
            }
        };
        response.field("Accept-Ranges", format_args!("bytes"));
        if let Some(coding) = opened.coding {
            response.field("Content-Encoding", format_args!("{}", coding.name()));
        }
        response
    }

    fn of_type(mut self, media_type: &str) -> Response {
        self.content_type(media_type);
        self
    }

    /// Adds the type. `nosniff` keeps browsers from finding a script in a picture.
    fn content_type(&mut self, media_type: &str) {
        self.field("Content-Type", format_args!("{media_type}"));
        self.field("X-Content-Type-Options", format_args!("nosniff"));
    }

    /// Names the field of the request on which the response depends.
    fn varies(&mut self, by: &str) {
        self.field("Vary", format_args!("{by}"));
    }

    fn field(&mut self, name: &str, value: Arguments<'_>) {
        // Writing to a string cannot fail.
        let _ = write!(self.fields, "{name}: {value}\r\n");
    }

    /// Returns the status line and all fields, with the empty line that ends them. The string has
    /// room for a small body.
    pub(crate) fn head(&self, clock: &Clock, keep_alive: bool) -> String {
        let len = self.body.len();
        let room = len.filter(|len| *len <= MAX_COPIED).unwrap_or(0) as usize;
        let mut head = String::with_capacity(room + self.fields.len() + 768);
        head.push_str("HTTP/1.1 ");
        head.push_str(self.status.line());
        head.push_str("\r\nDate: ");
        clock.push_date(&mut head);
        head.push_str("\r\n");
        if let Some(opened) = &self.whole {
            head.push_str(opened.fields.get_or_init(|| Response::fields_of(opened)));
        }
        head.push_str(&self.fields);
        if let Some(len) = len.filter(|_| self.whole.is_none()) {
            // Writing to a string cannot fail.
            let _ = write!(head, "Content-Length: {len}\r\n");
        }
        head.push_str(match keep_alive {
            true => "Connection: keep-alive\r\n\r\n",
            false => "Connection: close\r\n\r\n",
        });
        head
    }

    /// Formats the fields of a response with all of a file.
    fn fields_of(opened: &Arc<Opened>) -> String {
        let mut response = Response::content(opened, Range::Whole);
        response.describe(opened);
        response.field("Content-Length", format_args!("{}", opened.metadata.len()));
        response.fields
    }
}

/// Returns the range that the request asks for. Only GET has ranges.
fn range(request: &Request, size: u64) -> Range {
    match &request.range {
        Some(value) if request.method == Method::Get => Range::parse(value, size),
        _ => Range::Whole,
    }
}

/// Returns the status for a file that cannot be opened. A lack of descriptors passes, and so does a
/// root that is missing while it is built anew.
fn status_of(error: &io::Error) -> Status {
    match (error.kind(), Errno::from_io_error(error)) {
        (io::ErrorKind::NotFound, _) => Status::NOT_FOUND,
        (io::ErrorKind::PermissionDenied, _) => Status::FORBIDDEN,
        (io::ErrorKind::QuotaExceeded, _) => Status::UNAVAILABLE,
        (_, Some(Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::AGAIN | Errno::STALE)) => {
            Status::UNAVAILABLE
        }
        _ => Status::INTERNAL,
    }
}
