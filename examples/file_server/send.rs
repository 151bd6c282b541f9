//! Sends responses.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering;

use sendloop::Socket;

use crate::access_log::Line;
use crate::clients::Client;
use crate::find::Opened;
use crate::range::{Multipart, Part};
use crate::response::Body;
use crate::site::Site;

/// The bytes of a text, or of a small file, that a client must take within the stall timeout. For
/// other files one byte is enough.
const PIECE: usize = 16 << 10;

/// Larger parts of files are sent corked.
const CORKED: u64 = 1 << 20;

/// Larger parts of files are probed in the page cache each time. The probe costs little beside
/// them, and the disk would hold the loop for longer.
const PROBED_ALWAYS: u64 = 256 << 10;

/// The seconds for which a smaller file that was sent whole counts as in memory.
const PROBE_INTERVAL: u64 = 10;

/// Makes the kernel send only full segments until it is dropped, as nginx's `tcp_nopush` does.
///
/// A large transfer goes in pieces, and each piece ends in a segment that is not full. TCP_NODELAY
/// would send that segment at once. 1 GiB over loopback takes 112 ms of CPU time with the cork and
/// 136 ms without it. Dropping it sends the rest.
struct Cork<'a>(&'a Socket<OwnedFd>);

impl Cork<'_> {
    fn new(socket: &Socket<OwnedFd>) -> Cork<'_> {
        set_cork(socket, true);
        Cork(socket)
    }
}

impl Drop for Cork<'_> {
    fn drop(&mut self) {
        set_cork(self.0, false);
    }
}

/// It fails if the connection has ended, and then it is not needed.
#[cfg(target_os = "linux")]
pub(crate) fn set_cork(socket: &Socket<OwnedFd>, is_on: bool) {
    let _ = rustix::net::sockopt::set_tcp_cork(socket, is_on);
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn set_cork(_: &Socket<OwnedFd>, _: bool) {}

pub(crate) struct Sender<'a> {
    pub(crate) site: &'a Site,
    pub(crate) client: &'a Client,
    pub(crate) line: Option<&'a Line>,
}

impl Sender<'_> {
    /// Sends a header and a body. Returns `false` if the file has become shorter.
    ///
    /// # Errors
    ///
    /// Any error of the connection and the file; `TimedOut` if the client takes nothing.
    pub(crate) async fn send(&self, head: String, body: Body) -> io::Result<bool> {
        let mut head = head.into_bytes();
        let body_begins = head.len();
        match body {
            Body::Part(opened, part) if part.count > 0 => {
                if !opened.append_to(&mut head, part) {
                    return self.send_file(&head, &opened, part).await;
                }
            }
            Body::Page(page) => {
                let all = Part { offset: 0, count: page.len };
                return self.send_part(&head, &page.file, all, (0, false)).await;
            }
            // Rare and large: boxed, so that other responses take less memory.
            Body::Parts(opened, multipart) => {
                return Box::pin(self.send_parts(head, &opened.file, &multipart)).await;
            }
            Body::Text(text) => head.extend_from_slice(text.as_bytes()),
            Body::None | Body::Part(..) => {}
        }
        self.send_text(&head, body_begins).await?;
        Ok(true)
    }

    async fn send_text(&self, text: &[u8], body_begins: usize) -> io::Result<()> {
        let event_loop = &self.site.event_loop;
        let mut sent = 0;
        for piece in text.chunks(PIECE) {
            let sending = event_loop.sock_sendall(&self.client.socket, piece);
            let limit = self.site.patience.stall;
            let in_time = event_loop.wait_for(sending, limit).await;
            in_time.map_err(|_| io::ErrorKind::TimedOut)??;
            sent += piece.len();
            self.note(sent.saturating_sub(body_begins) as u64);
        }
        Ok(())
    }

    /// Sends a part of a file. Probes the page cache for a smaller file now and then.
    async fn send_file(&self, head: &[u8], opened: &Opened, part: Part) -> io::Result<bool> {
        let second = self.site.clock.second();
        let probed = opened.in_memory.load(Ordering::Relaxed);
        let is_known = second.abs_diff(probed) < PROBE_INTERVAL;
        let prefetch = part.count > PROBED_ALWAYS || !is_known;
        let sent = self.send_part(head, &opened.file, part, (0, prefetch));
        let is_all = sent.await?;
        if is_all && prefetch && part.count == opened.metadata.len() {
            opened.in_memory.store(second, Ordering::Relaxed);
        }
        Ok(is_all)
    }

    /// Sends `head` and a part of the file together. `before` is the number of body bytes that were
    /// sent before.
    async fn send_part(
        &self,
        head: &[u8],
        file: &File,
        part: Part,
        (before, prefetch): (u64, bool),
    ) -> io::Result<bool> {
        let sending = self.site.event_loop.sock_sendfile(&self.client.socket, file);
        let _cork = self.is_corked(part).then(|| Cork::new(&self.client.socket));
        let mut sending = sending
            .offset(part.offset)
            .count(part.count)
            .header(head)
            .prefetch(prefetch)
            .update_position(false)
            .stall_timeout(self.site.patience.stall);
        if let Some(line) = self.line {
            sending = sending.progress(move |sent| line.sent(before + sent));
        }
        Ok(sending.await? == part.count)
    }

    async fn send_parts(
        &self,
        mut head: Vec<u8>,
        file: &File,
        multipart: &Multipart,
    ) -> io::Result<bool> {
        let mut sent = 0;
        for &part in &multipart.parts {
            let own = multipart.head(part);
            sent += own.len() as u64;
            head.extend_from_slice(own.as_bytes());
            if !self.send_part(&head, file, part, (sent, true)).await? {
                return Ok(false);
            }
            sent += part.count;
            head.clear();
        }
        let tail = multipart.tail();
        self.send_text(tail.as_bytes(), 0).await?;
        self.note(sent + tail.len() as u64);
        Ok(true)
    }

    fn is_corked(&self, part: Part) -> bool {
        self.client.ip.is_some() && part.count > CORKED
    }

    fn note(&self, body_bytes: u64) {
        if let Some(line) = self.line {
            line.sent(body_bytes);
        }
    }
}
