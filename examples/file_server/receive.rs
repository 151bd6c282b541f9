//! Requests as they come in: in pieces, several at once, or never.

use std::future::poll_fn;
use std::io;

use crate::clients::Client;
use crate::request::{self, Parsed, Request};
use crate::site::Site;
use crate::status::Status;

/// What the client sent, with the line that it began with.
pub(crate) enum Received {
    Request(Arrived),
    Refused(Status, Vec<u8>),
    /// Nothing more.
    End,
}

pub(crate) struct Arrived {
    pub(crate) request: Box<Request>,
    /// For the log; empty where there is none.
    pub(crate) line: Vec<u8>,
    /// Whether the poller has told of it in this turn, so that it was sent before.
    pub(crate) is_announced: bool,
}

/// What was received of the requests that are not answered yet.
#[derive(Default)]
pub(crate) struct Receiver {
    unread: Vec<u8>,
    /// The turn in which the first of that was announced.
    announced: Option<u64>,
}

impl Receiver {
    /// Takes the next request, from what came with the one before or from the socket.
    ///
    /// # Errors
    ///
    /// What the system says of the connection.
    pub(crate) async fn receive(&mut self, site: &Site, client: &Client) -> io::Result<Received> {
        let event_loop = &site.event_loop;
        self.announced = None;
        if self.unread.is_empty() {
            site.clients.set_idle(client, event_loop.time());
            let before = site.recent.turn();
            let some = self.receive_some(site, client);
            let came = event_loop.wait_for(some, site.patience.idle).await;
            if !came.unwrap_or(Ok(false))? {
                return Ok(Received::End);
            }
            self.announced = Some(site.recent.turn()).filter(|&now| now != before);
        }
        client.set_busy();
        if let Some(received) = self.take_request(site) {
            return Ok(received);
        }
        // One limit for the whole header: who sends a byte now and then does not get more time by it.
        let rest = self.receive_rest(site, client);
        let received = event_loop.wait_for(rest, site.patience.header).await;
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

    /// The request that is there, or what is wrong with it; nothing where more must come.
    fn take_request(&mut self, site: &Site) -> Option<Received> {
        match request::parse(&self.unread) {
            Parsed::Refused(status) => Some(Received::Refused(status, self.line())),
            Parsed::Request(request, len) => {
                let line = match site.log {
                    Some(_) => self.line(),
                    None => Vec::new(),
                };
                self.take(len);
                let is_announced = self.announced == Some(site.recent.turn());
                Some(Received::Request(Arrived {
                    request,
                    line,
                    is_announced,
                }))
            }
            Parsed::Beginning => None,
        }
    }

    /// Says whether there was anything.
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

    /// Who has sent nothing but empty lines has asked nothing.
    fn too_late(&self) -> Received {
        match self.line() {
            line if line.is_empty() => Received::End,
            line => Received::Refused(Status::RequestTimeout, line),
        }
    }

    fn line(&self) -> Vec<u8> {
        request::first_line(&self.unread).to_vec()
    }

    /// Gives the memory back too, but for what is left: the response may take long.
    fn take(&mut self, len: usize) {
        let rest = self.unread.split_off(len);
        self.unread = rest;
    }
}
