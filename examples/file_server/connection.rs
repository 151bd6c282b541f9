//! One client: requests in, responses out, one after the other.
//!
//! What waits must be small, as thousands may: a connection without a request has no buffer, and a response that is being
//! sent has its header, its file and nothing of the request any more.

use std::io;
use std::net::Shutdown;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use socket2::SockRef;

use crate::access_log::Line;
use crate::beneath::Wait;
use crate::clients::Client;
use crate::encoding::{self, Acceptable};
use crate::find::{self, Found, Wanted};
use crate::index::Order;
use crate::pages::{Format, Listing};
use crate::receive::{Arrived, Received, Receiver};
use crate::request::{self, ClientSays, Method, Request};
use crate::response::{Body, Response};
use crate::send::Sender;
use crate::site::Site;
use crate::status::Status;
use crate::target::{self, Target};

/// How long a client that was told that the connection ends may take to end it: in all, and without sending anything more.
const FAREWELL: Duration = Duration::from_secs(30);
const SILENCE: Duration = Duration::from_secs(5);

/// What is to become of the connection.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    Request,
    /// After the client has seen the last response.
    Close,
    /// At once: nothing can be said any more, or nobody listens.
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
        Connection {
            site,
            client,
            receiver: Receiver::default(),
        }
    }

    /// Serves the client until either side has had enough.
    ///
    /// # Errors
    ///
    /// What the system says of the connection; `TimedOut` where the client takes nothing of its response.
    pub(crate) async fn serve(mut self) -> io::Result<()> {
        // The end of a file is a small segment, and Nagle's algorithm would hold it back until the client has acknowledged what
        // went before.
        if self.client.ip.is_some() {
            SockRef::from(&self.client.socket).set_tcp_nodelay(true)?;
        }
        loop {
            let Some(reply) = self.next_reply().await? else {
                return Ok(());
            };
            match self.send(reply).await? {
                Next::Request => {}
                Next::Close => return Box::pin(self.say_farewell()).await,
                Next::Abandon => return Ok(()),
            }
        }
    }

    /// Takes a request and makes the response; nothing where no request comes.
    async fn next_reply(&mut self) -> io::Result<Option<Reply>> {
        let received = self.receiver.receive(&self.site, &self.client).await?;
        Ok(match received {
            Received::Request(arrived) => Some(self.reply(arrived).await),
            Received::Refused(status, line) => {
                let response = Response::plain(status);
                let is_head = line.starts_with(b"HEAD ");
                Some(Reply {
                    line: self.line(&response, &line, &ClientSays::default()),
                    head: response.head(false),
                    body: match is_head {
                        true => Body::None,
                        false => response.body,
                    },
                    next: Next::Close,
                })
            }
            Received::End => None,
        })
    }

    async fn reply(&self, arrived: Arrived) -> Reply {
        let mut response = self.respond(&arrived).await;
        if self.site.rules.cors {
            response.allow_origins(arrived.request.method == Method::Options);
        }
        let Arrived { request, line, .. } = arrived;
        let keep_alive = request.keep_alive && !self.client.is_leaving();
        Reply {
            line: self.line(&response, &line, &request.client),
            head: response.head(keep_alive),
            body: match request.method {
                Method::Head => Body::None,
                _ => response.body,
            },
            next: if keep_alive {
                Next::Request
            } else {
                Next::Close
            },
        }
    }

    fn line(&self, response: &Response, request: &[u8], client: &ClientSays) -> Option<Line> {
        let log = self.site.log.clone()?;
        let status = response.status.code();
        let forwarded = client.forwarded_for.as_deref();
        let ip = self.site.rules.proxies.client(self.client.ip, forwarded);
        let mut line = Line::new(log, ip, request, status);
        line.finish(client);
        Some(line)
    }

    async fn respond(&self, arrived: &Arrived) -> Response {
        let request = &arrived.request;
        match request.method {
            Method::Get | Method::Head => {}
            Method::Options if request.target == "*" => return Response::options(),
            Method::Options => {}
            Method::Known => return Response::plain(Status::NotAllowed),
            Method::Unknown => return Response::plain(Status::NotImplemented),
        }
        let Some(target) = Target::decode(&request.target) else {
            return Response::plain(Status::BadRequest);
        };
        if request.method == Method::Options {
            return Response::options();
        }
        let wanted = Wanted {
            target,
            acceptable: Acceptable::read(request.accept_encoding.as_deref()),
        };
        if let (true, Some(opened)) = (arrived.is_announced, self.site.recent.get(&wanted)) {
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

    /// Looks here for what can be had without waiting, and on the executor for the rest.
    async fn find(&self, wanted: Wanted) -> io::Result<Found> {
        let site = &self.site;
        match find::find(&site.root, &site.rules, &wanted, Wait::Never) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            found => {
                if let Ok(Found::File(opened)) = &found {
                    self.site.recent.put(wanted, opened);
                }
                return found;
            }
        }
        let (root, rules) = (self.site.root.clone(), self.site.rules.clone());
        let search = move || find::find(&root, &rules, &wanted, Wait::Allowed);
        let there = self.site.event_loop.run_in_executor(search);
        there
            .await
            .unwrap_or_else(|error| Err(io::Error::other(error.to_string())))
    }

    /// Sends a response. Where it comes out shorter than its header promised, as of a file that was truncated meanwhile, all that
    /// is left to tell the client is the end of the connection.
    async fn send(&self, reply: Reply) -> io::Result<Next> {
        let sender = Sender {
            site: &self.site,
            client: &self.client,
            line: reply.line.as_ref(),
        };
        let sent = sender.send(reply.head, reply.body).await;
        if sent
            .as_ref()
            .is_err_and(|error| error.kind() == io::ErrorKind::TimedOut)
        {
            self.client.reset_at_end();
        }
        Ok(if sent? { reply.next } else { Next::Abandon })
    }

    /// Closes without destroying the last response: a socket that is closed with bytes unread, as those of a body that nobody
    /// wanted, sends a reset, and that may reach the client before it has read what we said. So ours is the first end, and
    /// what still comes is thrown away until the client's.
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
        let ended = event_loop.wait_for(rest, FAREWELL).await;
        ended.unwrap_or(Ok(()))
    }
}
