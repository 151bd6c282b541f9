//! A client that sends any bytes, valid requests or not, and reads responses strictly.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use super::server::Server;

/// Much longer than any response takes. A read that waits this long would never return.
const READ_TIMEOUT: Duration = Duration::from_secs(20);

pub(crate) struct Client {
    stream: BufReader<TcpStream>,
}

#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    fields: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Client {
    #[track_caller]
    pub(crate) fn connect(server: &Server) -> Client {
        let stream = TcpStream::connect(server.addr).expect("a connection");
        stream.set_nodelay(true).expect("a TCP socket");
        stream.set_read_timeout(Some(READ_TIMEOUT)).expect("a read timeout");
        let stream = BufReader::new(stream);
        Client { stream }
    }

    #[track_caller]
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let mut stream = self.stream.get_ref();
        stream.write_all(bytes.as_ref()).expect("sending");
    }

    /// Sends some bytes to a server that may have closed the connection before it has them all.
    pub(crate) fn try_send(&mut self, bytes: &[u8]) {
        let _ = self.stream.get_ref().write_all(bytes);
    }

    /// Reads a response to anything but HEAD.
    #[track_caller]
    pub(crate) fn response(&mut self) -> Response {
        let mut response = self.head();
        if !matches!(response.status, 204 | 304) {
            let len = response.field("content-length").parse().expect("a length");
            response.body = self.bytes(len);
        }
        response
    }

    /// Reads a response without a body, whatever its `Content-Length` is.
    #[track_caller]
    pub(crate) fn head(&mut self) -> Response {
        let line = self.line();
        let status = line.strip_prefix("HTTP/1.1 ").expect("a status line");
        let status = status[..3].parse().expect("a status");
        let mut fields = Vec::new();
        loop {
            let line = self.line();
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(": ").expect("a field");
            fields.push((name.to_ascii_lowercase(), value.to_owned()));
        }
        Response { status, fields, body: Vec::new() }
    }

    #[track_caller]
    pub(crate) fn bytes(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.stream.read_exact(&mut bytes).expect("the whole body");
        bytes
    }

    pub(crate) fn stream(&self) -> &TcpStream {
        self.stream.get_ref()
    }

    pub(crate) fn into_stream(self) -> TcpStream {
        self.stream.into_inner()
    }

    /// Returns whether a read would not block: the server has sent bytes or has closed the
    /// connection.
    #[track_caller]
    pub(crate) fn has_input(&self) -> bool {
        let stream = self.stream.get_ref();
        stream.set_nonblocking(true).expect("a socket");
        let peeked = stream.peek(&mut [0]);
        stream.set_nonblocking(false).expect("a socket");
        !peeked.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }

    /// Shuts down the sending direction.
    #[track_caller]
    pub(crate) fn half_close(&self) {
        let stream = self.stream.get_ref();
        stream.shutdown(Shutdown::Write).expect("a connection");
    }

    /// Waits for the end of the connection and ignores what the server sends before it. Returns
    /// whether the server closed or reset the connection.
    pub(crate) fn is_ended(&mut self) -> bool {
        match io::copy(&mut self.stream, &mut io::sink()) {
            Ok(_) => true,
            Err(error) => error.kind() == io::ErrorKind::ConnectionReset,
        }
    }

    /// Asserts that the server closes the connection and sends nothing more.
    #[track_caller]
    pub(crate) fn expect_end(&mut self) {
        let mut rest = Vec::new();
        self.stream.read_to_end(&mut rest).expect("an orderly end");
        assert_eq!(rest, b"", "bytes after the last response");
    }

    #[track_caller]
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.stream.read_line(&mut line).expect("a line in time");
        let line = line.strip_suffix("\r\n").expect("a whole line");
        line.to_owned()
    }
}

impl Response {
    /// Returns the value of a field, which must occur exactly once.
    #[track_caller]
    pub(crate) fn field(&self, name: &str) -> &str {
        let mut values = self.fields.iter().filter(|(other, _)| other == name);
        let value = values.next();
        assert!(values.next().is_none(), "{name} occurs twice: {self:?}");
        &value.unwrap_or_else(|| panic!("no {name} in {self:?}")).1
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.fields.iter().any(|(other, _)| other == name)
    }
}

/// Sends a GET on a new connection. Each of the fields ends with CRLF.
#[track_caller]
pub(crate) fn get_with(server: &Server, target: &str, fields: &str) -> Response {
    let mut client = Client::connect(server);
    client.send(format!("GET {target} HTTP/1.1\r\nHost: test\r\n{fields}\r\n"));
    client.response()
}

#[track_caller]
pub(crate) fn get(server: &Server, target: &str) -> Response {
    get_with(server, target, "")
}

/// Sends any bytes on a new connection and returns the response.
#[track_caller]
pub(crate) fn ask(server: &Server, request: impl AsRef<[u8]>) -> Response {
    let mut client = Client::connect(server);
    client.try_send(request.as_ref());
    client.response()
}
