//! Connections to a host by its name, by a race between its addresses (RFC 8305).

use std::error::Error;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::pin::Pin;
use std::task::{Poll, ready};
use std::time::Duration;

use crate::event_loop::LoopHandle;
use crate::socket::Socket;

/// The time between two attempts, RFC 8305's Connection Attempt Delay, with its recommended value.
const HEAD_START: Duration = Duration::from_millis(250);

/// The length of the longest DNS name, without a final dot (RFC 1035).
const MAX_HOST: usize = 253;

impl LoopHandle {
    /// Connects to a port of a host, and returns the connected TCP socket.
    ///
    /// `host` is a name or an IP address without brackets. The executor resolves a name. The loop
    /// tries the addresses in the resolver's order, but alternates between IPv4 and IPv6. It begins
    /// the next attempt when one fails, or 250 ms after the last attempt began, by the loop's
    /// [`Clock`]. The first connection wins, and the loop closes the other attempts at once.
    ///
    /// The method is asyncio's `create_connection` with `happy_eyeballs_delay=0.25`, but without a
    /// transport. To set a time limit, use [`wait_for`](LoopHandle::wait_for). If TCP connects a
    /// socket to itself, the attempt counts as refused.
    ///
    /// The future is `'static`, so it can be a task. It does nothing before its first poll.
    ///
    /// [`Clock`]: crate::Clock
    ///
    /// # Errors
    ///
    /// - `InvalidInput` if `host` is empty, has a zero byte, or is longer than 253 bytes.
    /// - The error of [`getaddrinfo`](LoopHandle::getaddrinfo) if the resolver fails.
    /// - If every address fails, an error of the kind of the first address's error, such as
    ///   `ConnectionRefused`, `TimedOut` or `NetworkUnreachable`. Its text names the host, and each
    ///   address with its error. Its source is the first address's error, with `raw_os_error`.
    /// - [`LoopClosedError`](crate::LoopClosedError) if the call would have to wait on a closed
    ///   loop.
    ///
    /// # Cancel safety
    ///
    /// If you drop the future, it closes every attempt. If a thread is resolving the name, the
    /// thread finishes on its own.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::io::{Error, ErrorKind};
    /// use std::net::TcpListener;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// # sendloop::run(async |event_loop| {
    /// let listener = TcpListener::bind("127.0.0.1:0")?;
    /// let port = listener.local_addr()?.port();
    /// let sock = event_loop.connect("localhost", port).await?;
    /// event_loop.sock_sendall(&sock, b"hello").await?;
    ///
    /// drop((sock, listener));
    /// let error = event_loop.connect("127.0.0.1", port).await.unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    /// let first = error.get_ref().and_then(|error| error.source());
    /// let first: &Error = first.and_then(|error| error.downcast_ref()).unwrap();
    /// assert_eq!(first.raw_os_error(), Some(libc::ECONNREFUSED));
    /// # Ok::<(), Error>(())
    /// # })?
    /// # }
    /// ```
    #[doc(alias = "TcpStream")]
    #[doc(alias = "connect_tcp")]
    #[doc(alias = "create_connection")]
    #[doc(alias = "open_connection")]
    #[doc(alias = "happy_eyeballs")]
    #[doc(alias = "happy eyeballs")]
    pub fn connect(
        &self,
        host: &str,
        port: u16,
    ) -> impl Future<Output = io::Result<Socket<TcpStream>>> + use<> {
        let (event_loop, host) = (self.clone(), host.to_owned());
        async move {
            poll_fn(|cx| event_loop.poll_proceed(cx)).await;
            let addrs = interleave(&addresses(&event_loop, &host, port).await?);
            let raced = race(&event_loop, &addrs, |addr| attempt(&event_loop, addr)).await;
            raced.map_err(|failures| {
                let closed = event_loop.check_closed().err();
                closed.unwrap_or_else(|| all_failed(&host, port, &addrs, failures))
            })
        }
    }
}

async fn addresses(event_loop: &LoopHandle, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    let bare = host.strip_suffix('.').unwrap_or(host);
    let problem = match host {
        "" => "the host name is empty",
        _ if host.contains('\0') => "the host name has a zero byte",
        _ if bare.len() > MAX_HOST => "the host name is longer than 253 bytes",
        _ => match host.parse::<IpAddr>() {
            Ok(ip) => return Ok(vec![SocketAddr::new(ip, port)]),
            Err(_) => return event_loop.getaddrinfo(host, port).await,
        },
    };
    let what = format!("cannot connect to {host:?}: {problem}");
    Err(io::Error::new(io::ErrorKind::InvalidInput, what))
}

/// Alternates between the addresses of the two families, beginning with the first one's family.
fn interleave(addrs: &[SocketAddr]) -> Vec<SocketAddr> {
    let is_ipv6_first = addrs.first().is_some_and(SocketAddr::is_ipv6);
    let mut first = addrs.iter().filter(|addr| addr.is_ipv6() == is_ipv6_first);
    let mut second = addrs.iter().filter(|addr| addr.is_ipv6() != is_ipv6_first);
    let pairs = addrs.iter().map(|_| [first.next(), second.next()]);
    pairs.flatten().flatten().copied().collect()
}

async fn attempt(event_loop: &LoopHandle, addr: SocketAddr) -> io::Result<Socket<TcpStream>> {
    let sock = Socket::tcp(&addr)?;
    event_loop.sock_connect(&sock, &addr).await?;
    refuse_itself(sock)
}

/// Fails if the socket is connected to itself.
///
/// If no program listens on a port of this machine, the kernel may choose that port as the local
/// one. TCP then connects the socket to itself.
fn refuse_itself(sock: Socket<TcpStream>) -> io::Result<Socket<TcpStream>> {
    let stream = sock.get_ref();
    let (local, peer) = (stream.local_addr().ok(), stream.peer_addr().ok());
    if local.is_some() && local == peer {
        return Err(io::Error::from_raw_os_error(libc::ECONNREFUSED));
    }
    Ok(sock)
}

/// Races one attempt for each address, and returns the first success or all failures.
///
/// The attempts start one after the other. On success, the other attempts are dropped.
async fn race<S, A: Future<Output = io::Result<S>>>(
    event_loop: &LoopHandle,
    addrs: &[SocketAddr],
    start: impl Fn(SocketAddr) -> A,
) -> Result<S, Vec<io::Error>> {
    // The attempts so far. Each runs or has failed.
    let mut attempts: Vec<io::Result<Pin<Box<A>>>> = Vec::new();
    let mut head_start = event_loop.sleep(Duration::ZERO);
    let success = poll_fn(|cx| {
        loop {
            let (mut is_running, mut has_failed) = (false, false);
            for attempt in &mut attempts {
                let Ok(running) = attempt else { continue };
                match running.as_mut().poll(cx) {
                    Poll::Ready(Ok(success)) => return Poll::Ready(Some(success)),
                    Poll::Ready(Err(error)) => (*attempt, has_failed) = (Err(error), true),
                    Poll::Pending => is_running = true,
                }
            }
            match addrs.get(attempts.len()) {
                Some(_) if is_running && !has_failed => ready!(Pin::new(&mut head_start).poll(cx)),
                Some(_) => {}
                None if is_running => return Poll::Pending,
                None => return Poll::Ready(None),
            }
            attempts.push(Ok(Box::pin(start(addrs[attempts.len()]))));
            head_start = event_loop.sleep(HEAD_START);
        }
    });
    let success = success.await;
    success.ok_or_else(|| attempts.into_iter().filter_map(Result::err).collect())
}

fn all_failed(host: &str, port: u16, addrs: &[SocketAddr], failures: Vec<io::Error>) -> io::Error {
    let each = addrs.iter().zip(&failures);
    let each: Vec<_> = each.map(|(addr, error)| format!("{addr}: {error}")).collect();
    let text = format!("cannot connect to port {port} of {host}: {}", each.join("; "));
    match failures.into_iter().next() {
        Some(first) => io::Error::new(first.kind(), AllFailed { text, first }),
        None => io::Error::new(io::ErrorKind::NotFound, text + "it has no address"),
    }
}

/// The error of a host whose addresses have all failed.
#[derive(Debug)]
struct AllFailed {
    text: String,
    /// The error of the first address.
    first: io::Error,
}

impl fmt::Display for AllFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Error for AllFailed {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.first)
    }
}

#[cfg(test)]
mod tests;
