//! One client: requests in, responses out, one after the other.

use std::io;
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use sendloop::{LoopHandle, Socket};

use crate::request::{self, Method, Parsed, Request};
use crate::response::{Body, Response, Status};
use crate::root::Root;
use crate::target;

/// How long a request may take to arrive, and a connection to stay unused: a client that sends nothing holds a descriptor.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long a client that was told that the connection ends may take to end it.
const FAREWELL: Duration = Duration::from_secs(2);

/// What the client sent.
enum Received {
    Request(Request),
    Refused(Status),
    /// Nothing more.
    End,
}

/// What is to become of the connection.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    Request,
    /// After the client has seen the last response.
    Close,
    /// At once: nothing can be said any more, or nobody listens.
    Abandon,
}

/// A connection, with what was received of the requests that are not answered yet.
pub(crate) struct Connection {
    event_loop: LoopHandle,
    socket: Socket<TcpStream>,
    root: Arc<Root>,
    unread: Vec<u8>,
}

impl Connection {
    pub(crate) fn new(
        event_loop: LoopHandle,
        socket: Socket<TcpStream>,
        root: Arc<Root>,
    ) -> Connection {
        Connection {
            event_loop,
            socket,
            root,
            unread: Vec::new(),
        }
    }

    /// Serves the client until either side has had enough.
    ///
    /// # Errors
    ///
    /// What the system says of the connection.
    pub(crate) async fn serve(mut self) -> io::Result<()> {
        // The header and the end of a file are small segments, and Nagle's algorithm would hold the second back until the
        // client has acknowledged the first.
        self.socket.get_ref().set_nodelay(true)?;
        loop {
            match self.exchange().await? {
                Next::Request => {}
                Next::Close => return self.say_farewell().await,
                Next::Abandon => return Ok(()),
            }
        }
    }

    /// One request and its response.
    async fn exchange(&mut self) -> io::Result<Next> {
        let event_loop = self.event_loop.clone();
        let received = event_loop.wait_for(self.receive(), PATIENCE).await;
        match received.unwrap_or(Ok(Received::End))? {
            Received::Request(request) => self.answer(&request).await,
            Received::Refused(status) => {
                let response = Response::plain(status);
                let head = response.head(false);
                self.send(head, Some(response.body)).await?;
                Ok(Next::Close)
            }
            Received::End => Ok(Next::Abandon),
        }
    }

    /// Takes the next request, from what came with the one before or from the socket.
    async fn receive(&mut self) -> io::Result<Received> {
        loop {
            match request::parse(&self.unread) {
                Parsed::Refused(status) => return Ok(Received::Refused(status)),
                Parsed::Request(request, len) => {
                    self.unread.drain(..len);
                    return Ok(Received::Request(request));
                }
                Parsed::Beginning => {}
            }
            let bytes = self.event_loop.sock_recv(&self.socket, request::MOST);
            match bytes.await? {
                bytes if bytes.is_empty() => return Ok(Received::End),
                bytes => self.unread.extend(bytes),
            }
        }
    }

    async fn answer(&self, request: &Request) -> io::Result<Next> {
        let response = self.respond(request).await;
        let head = response.head(request.keep_alive);
        let body = (request.method != Method::Head).then_some(response.body);
        let whole = self.send(head, body).await?;
        Ok(match request.keep_alive {
            _ if !whole => Next::Abandon,
            true => Next::Request,
            false => Next::Close,
        })
    }

    async fn respond(&self, request: &Request) -> Response {
        if request.method == Method::Other {
            return Response::plain(Status::NotAllowed);
        }
        let Some(path) = target::decode(&request.target) else {
            return Response::plain(Status::BadRequest);
        };
        let root = self.root.clone();
        match self
            .event_loop
            .run_in_executor(move || root.find(path))
            .await
        {
            Ok(found) => Response::of(request, found),
            Err(_) => Response::plain(Status::Internal),
        }
    }

    /// Sends a response, and says whether it is as long as its header promised. A file that was truncated meanwhile is not, and
    /// all that is left to tell the client is the end of the connection.
    async fn send(&self, mut head: String, body: Option<Body>) -> io::Result<bool> {
        if let Some(Body::Text(text)) = &body {
            head.push_str(text);
        }
        let event_loop = &self.event_loop;
        event_loop
            .sock_sendall(&self.socket, head.as_bytes())
            .await?;
        let Some(Body::Part {
            file,
            offset,
            count,
        }) = body
        else {
            return Ok(true);
        };
        let sending = event_loop.sock_sendfile(&self.socket, &file);
        Ok(sending.offset(offset).count(count).await? == count)
    }

    /// Closes without destroying the last response: a socket that is closed with bytes unread, as those of a body that nobody
    /// wanted, sends a reset, and that may reach the client before it has read what we said. So ours is the first end, and
    /// what still comes is thrown away until the client's.
    async fn say_farewell(&self) -> io::Result<()> {
        self.socket.get_ref().shutdown(Shutdown::Write)?;
        let rest = async {
            while !self
                .event_loop
                .sock_recv(&self.socket, request::MOST)
                .await?
                .is_empty()
            {}
            Ok(())
        };
        let ended = self.event_loop.wait_for(rest, FAREWELL).await;
        ended.unwrap_or(Ok(()))
    }
}
