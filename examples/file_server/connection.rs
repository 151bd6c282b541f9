//! One client: receives requests and sends responses, one after the other.
//!
//! A waiting connection must be small, as there may be thousands. Without a request it has no
//! buffer. During a response it has the header and the file, and only the log line of the request.

use std::future::poll_fn;
use std::io;
use std::net::Shutdown;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use rustix::io::{Errno, ioctl_fionread};
use socket2::SockRef;

use crate::access_log::Line;
use crate::beneath::Wait;
use crate::clients::Client;
use crate::descriptors;
use crate::encoding::{self, Acceptable};
use crate::find::{self, Found, Wanted};
use crate::index::Order;
use crate::pages::{Format, Listing};
use crate::request::{self, ClientSays, Method, Parsed, Request};
use crate::response::{Body, Response};
use crate::send::{self, Sender};
use crate::site::Site;
use crate::status::Status;
use crate::target::{self, Target};

/// The longest wait for the client's end after a last response, in all and in silence.
const FAREWELL: Duration = Duration::from_secs(30);
const SILENCE: Duration = Duration::from_secs(5);

/// The attempts of a search, each after an idle client has left and freed its descriptor.
const ATTEMPTS: usize = 16;

/// The next action on the connection.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    Request,
    /// Close at once: the client sends nothing more.
    Close,
    /// Close in stages: the client may send more, and a reset must not destroy the response.
    Linger,
    /// Close at once: the response cannot be finished.
    Abandon,
}

/// A response that is ready to be sent.
struct Reply {
    head: String,
    body: Body,
    line: Option<Line>,
    next: Next,
}

pub(crate) struct Connection {
    site: Rc<Site>,
    client: Rc<Client>,
    receiver: Receiver,
}

impl Connection {
    pub(crate) fn new(site: Rc<Site>, client: Rc<Client>) -> Connection {
        Connection { site, client, receiver: Receiver::default() }
    }

    /// Serves the client until either side ends the connection.
    ///
    /// # Errors
    ///
    /// Any error of the connection; `TimedOut` if the client takes nothing of its response.
    pub(crate) async fn serve(mut self) -> io::Result<()> {
        if !cfg!(target_os = "linux") && self.client.ip.is_some() {
            // On Linux the connection has it from the listener.
            SockRef::from(&self.client.socket).set_tcp_nodelay(true)?;
        }
        loop {
            let Some(reply) = self.next_reply().await? else {
                return Ok(());
            };
            match self.send(reply).await? {
                Next::Request => {}
                Next::Close if !self.has_unread() => return Ok(()),
                Next::Close | Next::Linger => return Box::pin(self.say_farewell()).await,
                Next::Abandon => return Ok(()),
            }
        }
    }

    /// Takes a request and makes the response. Returns `None` if no request comes.
    async fn next_reply(&mut self) -> io::Result<Option<Reply>> {
        let received = self.receiver.receive(&self.site, &self.client).await?;
        Ok(match received {
            Received::Request(arrived) => Some(self.reply(arrived).await),
            Received::Refused(status, line) => {
                let mut response = Response::plain(status);
                if self.site.rules.cors {
                    response.allow_origins(false);
                }
                let is_head = line.starts_with(b"HEAD ");
                Some(Reply {
                    line: self.line(&response, &line, &ClientSays::default()),
                    head: response.head(&self.site.clock, false),
                    body: if is_head { Body::None } else { response.body },
                    next: Next::Linger,
                })
            }
            Received::End => None,
        })
    }

    async fn reply(&self, mut arrived: Arrived) -> Reply {
        let mut response = self.respond(&mut arrived).await;
        if self.site.rules.cors {
            response.allow_origins(arrived.request.method == Method::Options);
        }
        let Arrived { request, line, .. } = arrived;
        let is_malformed = response.status == Status::BAD_REQUEST;
        let keep_alive = request.keep_alive && !is_malformed && !self.client.is_leaving();
        Reply {
            line: self.line(&response, &line, &request.client),
            head: response.head(&self.site.clock, keep_alive),
            body: if request.method == Method::Head { Body::None } else { response.body },
            next: match request.keep_alive || request.is_followed {
                _ if keep_alive => Next::Request,
                true => Next::Linger,
                false => Next::Close,
            },
        }
    }

    fn line(&self, response: &Response, request: &[u8], client: &ClientSays) -> Option<Line> {
        let log = self.site.log.clone()?;
        let status = response.status.code();
        let forwarded = client.forwarded_for.as_deref();
        let ip = self.site.rules.proxies.client(self.client.ip, forwarded);
        Some(Line::new(log, &self.site.clock, (ip, client), (request, status)))
    }

    async fn respond(&self, arrived: &mut Arrived) -> Response {
        let request = &mut arrived.request;
        match request.method {
            Method::Get | Method::Head => {}
            Method::Options => return Response::options(),
            Method::Connect | Method::Known => return Response::plain(Status::NOT_ALLOWED),
            Method::Unknown => return Response::plain(Status::NOT_IMPLEMENTED),
        }
        let Some(target) = request.resource.take() else {
            return Response::plain(Status::BAD_REQUEST);
        };
        let wanted =
            Wanted { target, acceptable: Acceptable::read(request.accept_encoding.as_deref()) };
        let by_date = request.range.is_some() && request.conditions.has_range_date();
        if by_date && self.has_variant(&wanted.target).await {
            request.range = None;
        }
        if let Some(opened) = self.site.cache.get(&wanted) {
            return Response::of(request, Ok(Found::File(opened)));
        }
        match self.find(wanted).await {
            // Rare: boxed, so that not every connection has the room for it.
            Ok(Found::Listing(path)) => Box::pin(self.list(path, request)).await,
            found => Response::of(request, found),
        }
    }

    async fn list(&self, path: PathBuf, request: &Request) -> Response {
        if let Some(reference) = target::without_empty_names(&path, &request.target) {
            return Response::moved(&reference);
        }
        let query = target::query(&request.target).unwrap_or_default();
        if let Some(response) = Response::instead_of_listing(request) {
            return response;
        }
        let listing = Listing {
            path,
            order: Order::read(query),
            format: match encoding::prefers_json(request.accept.as_deref()) {
                true => Format::Json,
                false => Format::Html,
            },
        };
        match self.site.pages.page(listing).await {
            Ok(page) => Response::page(page),
            Err(error) => Response::error(&error),
        }
    }

    /// Returns whether the target has a precompressed variant. It may share its date with the file,
    /// so that a date does not tell which of the two the client has a part of.
    async fn has_variant(&self, target: &Target) -> bool {
        let wanted = Wanted { target: target.clone(), acceptable: Acceptable::read(Some("*")) };
        matches!(self.find(wanted).await, Ok(Found::File(opened)) if opened.coding.is_some())
    }

    /// Finds a file. If no descriptor is left for it, an idle client has to leave.
    async fn find(&self, mut wanted: Wanted) -> io::Result<Found> {
        for _ in 0..ATTEMPTS {
            let (back, error) = match self.search(wanted).await {
                Ok(found) => return Ok(found),
                Err((Some(wanted), error)) if descriptors::are_exhausted(&error) => (wanted, error),
                Err((_, error)) => return Err(error),
            };
            if !self.site.cache.clear() {
                descriptors::report_exhausted(&error);
                if !self.site.clients.evict_idle().await {
                    return Err(error);
                }
            }
            wanted = back;
        }
        Err(Errno::MFILE.into())
    }

    /// Searches on this thread, and on the executor if the search would block. An error comes with
    /// `wanted`, so that the search can be repeated.
    async fn search(&self, wanted: Wanted) -> Result<Found, (Option<Wanted>, io::Error)> {
        let site = &self.site;
        let mut seen = Vec::new();
        match find::find(&site.root, &site.rules, &wanted, Wait::Never, &mut seen) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err((Some(wanted), error)),
            Ok(Found::File(opened)) => {
                site.cache.keep(&site.root, wanted, &seen, &opened);
                return Ok(Found::File(opened));
            }
            Ok(found) => return Ok(found),
        }
        let (root, rules) = (self.site.root.clone(), self.site.rules.clone());
        let there = self.site.event_loop.run_in_executor(move || {
            let found = find::find(&root, &rules, &wanted, Wait::Allowed, &mut Vec::new());
            found.map_err(|error| (Some(wanted), error))
        });
        there.await.unwrap_or_else(|error| Err((None, io::Error::other(error.to_string()))))
    }

    /// Sends a response. If the file was truncated meanwhile, the response is shorter than its
    /// header says. Then only the end of the connection can tell the client.
    async fn send(&self, reply: Reply) -> io::Result<Next> {
        let sender = Sender { site: &self.site, client: &self.client, line: reply.line.as_ref() };
        if reply.next != Next::Request && self.client.ip.is_some() {
            // The last bytes go in one packet with the end of the stream, except those of a large
            // part, which has a cork of its own.
            send::set_cork(&self.client.socket, true);
        }
        let sent = sender.send(reply.head, reply.body).await;
        if sent.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::TimedOut) {
            self.client.reset_at_end();
        }
        Ok(if sent? { reply.next } else { Next::Abandon })
    }

    /// Returns whether the client has sent bytes that are unread. A close would send a reset.
    fn has_unread(&self) -> bool {
        !self.receiver.is_empty() || ioctl_fionread(&self.client.socket) != Ok(0)
    }

    /// Closes in stages (RFC 9112, section 9.6). A close with unread bytes sends a reset, which may
    /// reach the client before it has read the response. So the server ends its side first, and
    /// drops the bytes that come until the client ends its own.
    async fn say_farewell(&self) -> io::Result<()> {
        let event_loop = &self.site.event_loop;
        let socket = &self.client.socket;
        SockRef::from(socket).shutdown(Shutdown::Write)?;
        let rest = async {
            loop {
                let some = event_loop.sock_recv(socket, request::MOST);
                let Ok(some) = event_loop.wait_for(some, SILENCE).await else {
                    return Ok(());
                };
                if some?.is_empty() {
                    return Ok(());
                }
            }
        };
        // The response is sent, so the client must not keep others out.
        self.site.clients.set_unfinished(&self.client, event_loop.time());
        let ended = event_loop.wait_for(rest, FAREWELL).await;
        self.site.clients.set_busy(&self.client);
        ended.unwrap_or(Ok(()))
    }
}

/// The next thing that the client sent.
pub(crate) enum Received {
    Request(Arrived),
    Refused(Status, Vec<u8>),
    /// Nothing more.
    End,
}

pub(crate) struct Arrived {
    pub(crate) request: Box<Request>,
    /// The request line, if there is a log.
    pub(crate) line: Vec<u8>,
}

/// Receives the requests of one connection. Holds the bytes that are not answered yet.
#[derive(Default)]
pub(crate) struct Receiver {
    unread: Vec<u8>,
}

impl Receiver {
    /// Returns whether no byte is left behind the last request.
    pub(crate) fn is_empty(&self) -> bool {
        self.unread.is_empty()
    }

    /// Takes the next request, from the bytes behind the last one or from the socket.
    ///
    /// # Errors
    ///
    /// Any error of the connection.
    pub(crate) async fn receive(
        &mut self,
        site: &Site,
        client: &Rc<Client>,
    ) -> io::Result<Received> {
        let event_loop = &site.event_loop;
        if self.unread.is_empty() {
            site.clients.set_idle(client);
            let some = self.receive_some(site, client);
            let came = event_loop.wait_for(some, site.patience.idle).await;
            site.clients.set_busy(client);
            if !came.unwrap_or(Ok(false))? {
                return Ok(Received::End);
            }
        }
        if let Some(received) = self.take_request(site) {
            return Ok(received);
        }
        // One limit for the whole header: single bytes now and then give no more time.
        site.clients.set_unfinished(client, event_loop.time());
        let rest = self.receive_rest(site, client);
        let received = event_loop.wait_for(rest, site.patience.header).await;
        site.clients.set_busy(client);
        received.unwrap_or_else(|_| Ok(self.too_late()))
    }

    async fn receive_rest(&mut self, site: &Site, client: &Client) -> io::Result<Received> {
        while self.receive_some(site, client).await? {
            if let Some(received) = self.take_request(site) {
                return Ok(received);
            }
        }
        Ok(Received::End)
    }

    /// Takes the request or the refusal. Returns `None` if more must come.
    fn take_request(&mut self, site: &Site) -> Option<Received> {
        match request::parse(&self.unread) {
            Parsed::Refused(status) => Some(Received::Refused(status, self.line())),
            Parsed::Request(request, len) => {
                let line = match site.log {
                    Some(_) => self.line(),
                    None => Vec::new(),
                };
                // A copy of the rest gives the memory back, as the response may take long.
                self.unread = self.unread.split_off(len);
                Some(Received::Request(Arrived { request, line }))
            }
            Parsed::Beginning => None,
        }
    }

    /// Returns whether any byte came.
    async fn receive_some(&mut self, site: &Site, client: &Client) -> io::Result<bool> {
        let received = poll_fn(|cx| {
            let place = &mut *site.received.borrow_mut();
            let polled = site.event_loop.poll_recv(cx, &client.socket, place);
            polled.map_ok(|len| {
                self.unread.extend_from_slice(&place[..len]);
                len
            })
        });
        Ok(received.await? > 0)
    }

    /// Empty lines alone are no request, and need no response.
    fn too_late(&self) -> Received {
        match self.line() {
            line if line.is_empty() => Received::End,
            line => Received::Refused(Status::REQUEST_TIMEOUT, line),
        }
    }

    fn line(&self) -> Vec<u8> {
        request::first_line(&self.unread).to_vec()
    }
}
