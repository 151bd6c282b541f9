//! Receives requests: in pieces, several at once, or never.

use std::future::poll_fn;
use std::io;
use std::rc::Rc;

use crate::clients::Client;
use crate::request::{self, Parsed, Request};
use crate::site::Site;
use crate::status::Status;

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
                self.take(len);
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

    /// Removes a request. Gives its memory back, as the response may take long.
    fn take(&mut self, len: usize) {
        let rest = self.unread.split_off(len);
        self.unread = rest;
    }
}
