//! One client's visit: its request and its behaviour.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::process::exit;
use std::time::Duration;

use fastrand::Rng;
use futures_util::future::join;
use sendloop::{LoopHandle, Socket};
use socket2::SockRef;

use super::plan::Pace;
use super::reply::{Outcome, Reply};
use super::request::{HEAD, LEN, Request, What};

/// The number of pauses of a slow client.
const PAUSES: usize = 3;

const PIECE: usize = 16 << 10;

/// More than the server's time limit plus the time in the queue.
const LONG_TIME_LIMIT: Duration = Duration::from_secs(30);

pub(super) struct Visit<'a> {
    event_loop: &'a LoopHandle,
    sock: Socket<TcpStream>,
    seed: u64,
    rng: Rng,
    pace: Pace,
}

/// The name of the outcome, and the number of correct bytes.
pub(super) type Counted = (&'static str, usize);

impl<'a> Visit<'a> {
    /// Connects. The seed decides the behaviour.
    pub(super) async fn begin(
        event_loop: &'a LoopHandle,
        addr: SocketAddr,
        pace: Pace,
        seed: u64,
    ) -> io::Result<Visit<'a>> {
        let mut rng = Rng::with_seed(seed);
        let sock = Socket::tcp(&addr)?;
        if rng.bool() {
            SockRef::from(&sock).set_recv_buffer_size(4096)?;
        }
        event_loop.sock_connect(&sock, &addr).await?;
        Ok(Visit { event_loop, sock, seed, rng, pace })
    }

    /// Makes the visit. It fails if the connection ends before the client has its reply.
    pub(super) async fn make(&mut self) -> io::Result<Counted> {
        match self.rng.u8(..100) {
            0..18 => self.read_all(false, false).await,
            18..28 => self.read_all(true, false).await,
            28..34 => self.read_all(false, true).await,
            34..44 => self.stall().await,
            44..54 => self.leave_midway(true).await,
            54..62 => self.leave_midway(false).await,
            62..67 => self.send_nothing().await,
            67..71 => self.send_too_little().await,
            71..76 => self.turn_back(),
            76..90 => self.chat().await,
            90..95 => self.upload().await,
            _ => self.let_server_cancel().await,
        }
    }

    /// Prints the problem and ends the process, because the other visits no longer matter.
    fn fail(&self, what: &str) -> ! {
        eprintln!("seed {}: {what}", self.seed);
        exit(1);
    }

    fn random_request(&mut self) -> Request {
        let what = [What::Memory, What::File, What::File][self.rng.usize(..3)];
        Request::random(&mut self.rng, what)
    }

    async fn ask(&self, request: &Request) -> io::Result<Reply> {
        let bytes = request.encode();
        self.event_loop.sock_sendall(&self.sock, &bytes).await?;
        Ok(Reply::to(request))
    }

    async fn pause(&mut self) {
        let pause = self.pace.pause(&mut self.rng);
        self.event_loop.sleep(pause).await;
    }

    /// Reads up to `enough` bytes or the end.
    ///
    /// At the end it returns whether that was a reset.
    async fn read(&mut self, reply: &mut Reply, enough: usize) -> Option<bool> {
        while reply.received() < enough {
            match self.event_loop.sock_recv(&self.sock, PIECE).await {
                Ok(piece) if piece.is_empty() => return Some(false),
                Ok(piece) if reply.take(&piece) => {}
                Ok(_) => self.fail("other bytes than were asked for"),
                Err(_) => return Some(true),
            }
        }
        None
    }

    /// Reads as `read` does, with pauses.
    async fn read_slowly(&mut self, reply: &mut Reply, enough: usize) -> Option<bool> {
        for n in 1..=PAUSES {
            let end = self.read(reply, enough * n / (PAUSES + 1)).await;
            if end.is_some() {
                return end;
            }
            self.pause().await;
        }
        self.read(reply, enough).await
    }

    /// Reads everything, up to the end of the stream.
    async fn read_to_end(&mut self, reply: &mut Reply) -> Outcome {
        let was_reset = self.read(reply, usize::MAX).await;
        reply.outcome(was_reset == Some(true))
    }

    async fn read_all(&mut self, slowly: bool, half_closes: bool) -> io::Result<Counted> {
        let request = self.random_request().that_must_arrive();
        let mut reply = self.ask(&request).await?;
        if half_closes {
            self.sock.get_ref().shutdown(Shutdown::Write)?;
        }
        if slowly {
            self.read_slowly(&mut reply, HEAD.len() + request.bytes().len()).await;
        }
        let what = match self.read_to_end(&mut reply).await {
            Outcome::Whole => "whole",
            Outcome::Refused => "refused",
            Outcome::Cut => "cut",
            Outcome::TurnedAway => "turned away",
        };
        Ok((what, reply.received()))
    }

    /// Reads a little, and then nothing until the server's time-out.
    async fn stall(&mut self) -> io::Result<Counted> {
        let request = self.random_request().of_all();
        let mut reply = self.ask(&request).await?;
        let enough = self.rng.usize(..4096);
        self.read(&mut reply, enough).await;
        self.event_loop.sleep(self.pace.time_limit).await;
        self.pause().await;
        let what = match self.read_to_end(&mut reply).await {
            Outcome::Whole => "stalled with all in the buffers",
            _ => "stalled and cut",
        };
        Ok((what, reply.received()))
    }

    async fn leave_midway(&mut self, by_reset: bool) -> io::Result<Counted> {
        let request = self.random_request();
        let mut reply = self.ask(&request).await?;
        let enough = self.rng.usize(..=HEAD.len() + request.bytes().len());
        self.read_slowly(&mut reply, enough).await;
        if by_reset {
            SockRef::from(&self.sock).set_linger(Some(Duration::ZERO))?;
        }
        let what = if by_reset { "aborted" } else { "left midway" };
        Ok((what, reply.received()))
    }

    /// Sends nothing and waits for the server's time-out.
    ///
    /// With a SYN cookie, the server's kernel may drop its half in a full queue. Only a client that
    /// sends something learns of that.
    async fn send_nothing(&mut self) -> io::Result<Counted> {
        let end = self.event_loop.sock_recv(&self.sock, 1);
        match self.event_loop.wait_for(end, LONG_TIME_LIMIT).await {
            Ok(end) => match end?.as_slice() {
                [] => Ok(("silent", 0)),
                _ => self.fail("an answer to no question"),
            },
            Err(_) => Ok(("never noticed", 0)),
        }
    }

    async fn send_too_little(&mut self) -> io::Result<Counted> {
        let bytes = self.random_request().encode();
        let some = &bytes[..self.rng.usize(1..LEN)];
        self.event_loop.sock_sendall(&self.sock, some).await?;
        self.pause().await;
        Ok(("fragments", 0))
    }

    fn turn_back(&self) -> io::Result<Counted> {
        SockRef::from(&self.sock).set_linger(Some(Duration::ZERO))?;
        Ok(("turned back", 0))
    }

    /// Sends bytes with pauses, and reads them back.
    async fn chat(&mut self) -> io::Result<Counted> {
        let request = Request::random(&mut self.rng, What::Echo).that_must_arrive();
        self.ask(&request).await?;
        let all = request.bytes();
        for piece in all.chunks(all.len() / 8 + 1) {
            self.pause().await;
            let sent = self.event_loop.sock_sendall(&self.sock, piece);
            let (sent, received) = join(sent, self.read_once(piece)).await;
            sent.and(received)?;
        }
        self.sock.get_ref().shutdown(Shutdown::Write)?;
        match self.send_nothing().await? {
            ("silent", _) => Ok(("echoed", all.len())),
            unended => Ok(unended),
        }
    }

    async fn read_once(&self, expected: &[u8]) -> io::Result<()> {
        let mut rest = expected;
        while !rest.is_empty() {
            let piece = self.event_loop.sock_recv(&self.sock, rest.len()).await?;
            match rest.strip_prefix(piece.as_slice()) {
                _ if piece.is_empty() => return Err(io::ErrorKind::UnexpectedEof.into()),
                Some(after) => rest = after,
                None => self.fail("another echo"),
            }
        }
        Ok(())
    }

    async fn upload(&mut self) -> io::Result<Counted> {
        let request = Request::random(&mut self.rng, What::Upload).that_must_arrive();
        self.ask(&request).await?;
        let all = request.bytes();
        self.event_loop.sock_sendall(&self.sock, all).await?;
        self.read_once(HEAD).await?;
        Ok(("uploaded", all.len()))
    }

    /// Requests a transfer that the server cancels in the middle.
    async fn let_server_cancel(&mut self) -> io::Result<Counted> {
        let millis = self.rng.u16(1..50);
        let request = Request::random(&mut self.rng, What::File).cancel_after(millis);
        let mut reply = self.ask(&request).await?;
        self.read_slowly(&mut reply, HEAD.len() + request.bytes().len()).await;
        let what = match self.read_to_end(&mut reply).await {
            Outcome::Whole => "just in time",
            _ => "given up",
        };
        Ok((what, reply.received()))
    }
}
