//! Responses: what to say to a request, and how it is written.

use std::fmt::Write;
use std::fs::File;
use std::io;
use std::time::{SystemTime, UNIX_EPOCH};

use httpdate::fmt_http_date;

use crate::range::Range;
use crate::request::{Method, Request};
use crate::root::{Found, Opened};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Status {
    Ok,
    PartialContent,
    BadRequest,
    Forbidden,
    NotFound,
    NotAllowed,
    NotSatisfiable,
    TooLarge,
    Internal,
    Unavailable,
}

impl Status {
    fn line(self) -> &'static str {
        match self {
            Status::Ok => "200 OK",
            Status::PartialContent => "206 Partial Content",
            Status::BadRequest => "400 Bad Request",
            Status::Forbidden => "403 Forbidden",
            Status::NotFound => "404 Not Found",
            Status::NotAllowed => "405 Method Not Allowed",
            Status::NotSatisfiable => "416 Range Not Satisfiable",
            Status::TooLarge => "431 Request Header Fields Too Large",
            Status::Internal => "500 Internal Server Error",
            Status::Unavailable => "503 Service Unavailable",
        }
    }
}

#[derive(Debug)]
pub(crate) struct Response {
    status: Status,
    /// Its own fields, each with its line's end; those that all responses have come from [`Response::head`].
    fields: String,
    pub(crate) body: Body,
}

#[derive(Debug)]
pub(crate) enum Body {
    Text(String),
    Part { file: File, offset: u64, count: u64 },
}

impl Body {
    fn len(&self) -> u64 {
        match self {
            Body::Text(text) => text.len() as u64,
            Body::Part { count, .. } => *count,
        }
    }
}

impl Response {
    /// A status that is its own explanation.
    pub(crate) fn plain(status: Status) -> Response {
        let mut fields = String::from("Content-Type: text/plain\r\n");
        if status == Status::NotAllowed {
            fields.push_str("Allow: GET, HEAD\r\n");
        }
        Response {
            status,
            fields,
            body: Body::Text(format!("{}\n", status.line())),
        }
    }

    /// What to say to a request for something that was looked for.
    pub(crate) fn of(request: &Request, found: io::Result<Found>) -> Response {
        match found {
            Ok(Found::File(opened)) => Response::file(request, opened),
            Ok(Found::Directory) => Response::plain(Status::NotFound),
            Err(error) => Response::plain(status_of(&error)),
        }
    }

    fn file(request: &Request, opened: Opened) -> Response {
        let size = opened.size;
        let modified = opened.modified.and_then(last_modified);
        match range(request, size, modified.as_deref()) {
            Range::PastTheEnd => {
                let mut response = Response::plain(Status::NotSatisfiable);
                response.field("Content-Range", format_args!("bytes */{size}"));
                response
            }
            Range::Whole => Response::part(Status::Ok, opened, modified, 0, size),
            Range::Part { offset, count } => {
                let status = Status::PartialContent;
                let mut response = Response::part(status, opened, modified, offset, count);
                let last = offset + count - 1;
                let value = format_args!("bytes {offset}-{last}/{size}");
                response.field("Content-Range", value);
                response
            }
        }
    }

    fn part(
        status: Status,
        opened: Opened,
        modified: Option<String>,
        offset: u64,
        count: u64,
    ) -> Response {
        let mime = mime_guess::from_path(&opened.path).first_or_octet_stream();
        let file = opened.file;
        let mut response = Response {
            status,
            fields: String::from("Accept-Ranges: bytes\r\n"),
            body: Body::Part {
                file,
                offset,
                count,
            },
        };
        response.field("Content-Type", format_args!("{mime}"));
        if let Some(modified) = modified {
            response.field("Last-Modified", format_args!("{modified}"));
        }
        response
    }

    fn field(&mut self, name: &str, value: std::fmt::Arguments<'_>) {
        // Writing to a string cannot fail.
        let _ = write!(self.fields, "{name}: {value}\r\n");
    }

    /// The status line and all fields, with the empty line that ends them.
    pub(crate) fn head(&self, keep_alive: bool) -> String {
        let connection = if keep_alive { "keep-alive" } else { "close" };
        format!(
            "HTTP/1.1 {}\r\nDate: {}\r\n{}Content-Length: {}\r\nConnection: {connection}\r\n\r\n",
            self.status.line(),
            fmt_http_date(SystemTime::now()),
            self.fields,
            self.body.len(),
        )
    }
}

/// Which part the request wants. Ranges are a matter of GET alone; and `If-Range` wants one only of the file as it was when the
/// client got the rest, else of a file that has changed it would put halves together.
fn range(request: &Request, size: u64, modified: Option<&str>) -> Range {
    let unchanged = request.if_range.is_none() || request.if_range.as_deref() == modified;
    match &request.range {
        Some(value) if request.method == Method::Get && unchanged => Range::parse(value, size),
        _ => Range::Whole,
    }
}

/// Never later than `Date`, which RFC 9110 forbids; and left out for what lies before the dates that `httpdate` can write.
fn last_modified(modified: SystemTime) -> Option<String> {
    let modified = modified.min(SystemTime::now());
    (modified >= UNIX_EPOCH).then(|| fmt_http_date(modified))
}

/// What a file that cannot be opened looks like to the client. Too many open files are the server's trouble and pass.
fn status_of(error: &io::Error) -> Status {
    let errno = rustix::io::Errno::from_io_error(error);
    match error.kind() {
        io::ErrorKind::NotFound => Status::NotFound,
        io::ErrorKind::PermissionDenied => Status::Forbidden,
        _ => match errno {
            Some(rustix::io::Errno::MFILE | rustix::io::Errno::NFILE) => Status::Unavailable,
            _ => Status::Internal,
        },
    }
}
