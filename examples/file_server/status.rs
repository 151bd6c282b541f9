//! The statuses that the server sends.

/// A code and its reason.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Status(&'static str);

impl Status {
    pub(crate) const OK: Status = Status("200 OK");
    pub(crate) const NO_CONTENT: Status = Status("204 No Content");
    pub(crate) const PARTIAL_CONTENT: Status = Status("206 Partial Content");
    pub(crate) const MOVED_PERMANENTLY: Status = Status("301 Moved Permanently");
    pub(crate) const NOT_MODIFIED: Status = Status("304 Not Modified");
    pub(crate) const BAD_REQUEST: Status = Status("400 Bad Request");
    pub(crate) const FORBIDDEN: Status = Status("403 Forbidden");
    pub(crate) const NOT_FOUND: Status = Status("404 Not Found");
    pub(crate) const NOT_ALLOWED: Status = Status("405 Method Not Allowed");
    pub(crate) const NOT_ACCEPTABLE: Status = Status("406 Not Acceptable");
    pub(crate) const REQUEST_TIMEOUT: Status = Status("408 Request Timeout");
    pub(crate) const PRECONDITION_FAILED: Status = Status("412 Precondition Failed");
    pub(crate) const URI_TOO_LONG: Status = Status("414 URI Too Long");
    pub(crate) const NOT_SATISFIABLE: Status = Status("416 Range Not Satisfiable");
    pub(crate) const EXPECTATION_FAILED: Status = Status("417 Expectation Failed");
    pub(crate) const HEADER_TOO_LARGE: Status = Status("431 Request Header Fields Too Large");
    pub(crate) const INTERNAL: Status = Status("500 Internal Server Error");
    pub(crate) const NOT_IMPLEMENTED: Status = Status("501 Not Implemented");
    pub(crate) const UNAVAILABLE: Status = Status("503 Service Unavailable");
    pub(crate) const VERSION_NOT_SUPPORTED: Status = Status("505 HTTP Version Not Supported");

    /// Returns the code and the reason.
    pub(crate) fn line(self) -> &'static str {
        self.0
    }

    pub(crate) fn code(self) -> &'static str {
        &self.0[..3]
    }
}
