//! Requests as they come in: in pieces, several at once, or never.

use std::io;

use crate::clients::Client;
use crate::request::{self, Parsed, Request};
use crate::site::Site;
use crate::status::Status;

/// What the client sent, with the line that it began with.
pub(crate) enum Received {
    Request(Box<Request>, Vec<u8>),
    Refused(Status, Vec<u8>),
    /// Nothing more.
    End,
}

/// What was received of the requests that are not answered yet.
#[derive(Default)]
pub(crate) struct Receiver {
    unread: Vec<u8>,
}

impl Receiver {
    /// Takes the next request, from what came with the one before or from the socket.
    ///
    /// # Errors
    ///
    /// What the system says of the connection.
    pub(crate) async fn receive(&mut self, site: &Site, client: &Client) -> io::Result<Received> {
        let event_loop = &site.event_loop;
        if self.unread.is_empty() {
            site.clients.set_idle(client, event_loop.time());
            let some = self.receive_some(site, client);
            let came = event_loop.wait_for(some, site.patience.idle).await;
            if !came.unwrap_or(Ok(false))? {
                return Ok(Received::End);
            }
        }
        client.set_busy();
        // One limit for the whole header: who sends a byte now and then does not get more time by it.
        let rest = self.receive_rest(site, client);
        let received = event_loop.wait_for(rest, site.patience.header).await;
        received.unwrap_or_else(|_| Ok(self.too_late()))
    }

    async fn receive_rest(&mut self, site: &Site, client: &Client) -> io::Result<Received> {
        loop {
            match request::parse(&self.unread) {
                Parsed::Refused(status) => return Ok(Received::Refused(status, self.line())),
                Parsed::Request(request, len) => {
                    let line = self.line();
                    self.take(len);
                    return Ok(Received::Request(request, line));
                }
                Parsed::Beginning => {}
            }
            if !self.receive_some(site, client).await? {
                return Ok(Received::End);
            }
        }
    }

    /// Says whether there was anything.
    async fn receive_some(&mut self, site: &Site, client: &Client) -> io::Result<bool> {
        let bytes = site.event_loop.sock_recv(&client.socket, request::MOST);
        let bytes = bytes.await?;
        self.unread.extend_from_slice(&bytes);
        Ok(!bytes.is_empty())
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
