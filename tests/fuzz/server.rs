//! A loop that runs the server and its client, over real connections.

use std::cell::RefCell;
use std::io;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join;
use sendloop::{Loop, Socket};
use socket2::SockRef;

use crate::cache::Cache;
use crate::clients::{Client, Clients, Seat};
use crate::connection::Connection;
use crate::dates::Clock;
use crate::fuzz::tree::Tree;
use crate::options::Patience;
use crate::pages::Pages;
use crate::request;
use crate::rules::Rules;
use crate::site::Site;

/// Much longer than any case takes.
const TIMEOUT: Duration = Duration::from_secs(20);

/// Iterations between two pieces, so that the server has read and answered the first one.
const ITERATIONS: usize = 3;

pub(crate) struct Server {
    event_loop: Loop,
    site: Rc<Site>,
    listener: TcpListener,
}

/// Binds a listener with TCP_NODELAY, which its connections inherit.
fn listen() -> TcpListener {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let set = SockRef::from(&listener).set_tcp_nodelay(true);
    set.expect("a TCP socket");
    listener
}

impl Server {
    pub(crate) fn new() -> Server {
        let event_loop = Loop::new().expect("a loop");
        let (root, rules) = (Tree::shared().root.clone(), Arc::<Rules>::default());
        let site = Site {
            event_loop: event_loop.handle(),
            pages: Pages::new(event_loop.handle(), root.clone(), rules.clone()),
            root,
            rules,
            cache: Cache::new(event_loop.handle(), 64),
            received: RefCell::new(vec![0; request::MOST].into()),
            patience: Patience { header: TIMEOUT, idle: TIMEOUT, stall: TIMEOUT },
            clients: Rc::new(Clients::new(8)),
            clock: Clock::default(),
            log: None,
        };
        Server { event_loop, site: Rc::new(site), listener: listen() }
    }

    /// Sends the pieces one by one and then the end, and returns all bytes that the client
    /// receives.
    pub(crate) fn respond_to<'a>(&self, pieces: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
        let addr = self.listener.local_addr().expect("bound");
        let near = TcpStream::connect(addr).expect("a connection");
        near.set_nodelay(true).expect("a TCP socket");
        let near = Socket::new(near).expect("non-blocking");
        let (far, peer) = self.listener.accept().expect("a connection");
        let far = Socket::new(far.into()).expect("non-blocking");
        let serving = self.serve(Client::new(far, Some(peer.ip())));
        let talking = join(self.send(&near, pieces), self.receive(&near));
        let all = self.event_loop.wait_for(join(serving, talking), TIMEOUT);
        let ended = self.event_loop.run_until_complete(all);
        let (served, ((), received)) = ended.expect("the end of the connection in time");
        if let Err(error) = served {
            panic!("{error}");
        }
        received
    }

    async fn serve(&self, client: Client) -> io::Result<()> {
        let client = Rc::new(client);
        let _seat =
            Seat { clients: self.site.clients.clone(), number: self.site.clients.next_number() };
        Connection::new(self.site.clone(), client).serve().await
    }

    /// Sends the pieces until the server closes the connection, which it may do before the last
    /// one.
    async fn send<'a>(&self, near: &Socket<TcpStream>, pieces: impl Iterator<Item = &'a [u8]>) {
        for piece in pieces {
            if self.event_loop.sock_sendall(near, piece).await.is_err() {
                return;
            }
            for _ in 0..ITERATIONS {
                self.event_loop.sleep(Duration::ZERO).await;
            }
        }
        let _ = near.get_ref().shutdown(Shutdown::Write);
    }

    async fn receive(&self, near: &Socket<TcpStream>) -> Vec<u8> {
        let mut all = Vec::new();
        loop {
            let some = self.event_loop.sock_recv(near, 64 << 10).await;
            match some.expect("no reset: the last response may be lost by one") {
                some if some.is_empty() => return all,
                some => all.extend(some),
            }
        }
    }
}
