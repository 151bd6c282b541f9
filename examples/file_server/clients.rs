//! Who is connected to a loop: how many may be, and how they are asked to leave.
//!
//! To ask a client to leave, its socket's receiving side is shut down. What it has sent by then can still be read, so a
//! request that was on its way is answered; behind that the connection sees its end, as if the client had closed.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::mem;
use std::net::{IpAddr, Shutdown};
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use sendloop::{Socket, Task};
use socket2::SockRef;

/// A connection, as far as others than its own task have to do with it.
pub(crate) struct Client {
    pub(crate) socket: Socket<OwnedFd>,
    /// `None` if it came by a Unix socket.
    pub(crate) ip: Option<IpAddr>,
    /// Since when it has been without a request.
    idle: Cell<Option<Instant>>,
    leaving: Cell<bool>,
}

impl Client {
    pub(crate) fn new(socket: Socket<OwnedFd>, ip: Option<IpAddr>) -> Client {
        Client {
            socket,
            ip,
            idle: Cell::new(None),
            leaving: Cell::new(false),
        }
    }

    /// Whether its next response is its last.
    pub(crate) fn is_leaving(&self) -> bool {
        self.leaving.get()
    }

    /// It waits for a request from now on.
    fn set_idle(&self, since: Instant) {
        self.idle.set(Some(since));
        if self.is_leaving() {
            self.shut();
        }
    }

    pub(crate) fn set_busy(&self) {
        self.idle.set(None);
    }

    fn ask_to_leave(&self) {
        self.leaving.set(true);
        if self.idle.get().is_some() {
            self.shut();
        }
    }

    fn shut(&self) {
        // What fails is a connection that has ended.
        let _ = SockRef::from(&self.socket).shutdown(Shutdown::Read);
    }

    /// Has the end of the connection throw away what the client did not take: the kernel would keep it for minutes.
    pub(crate) fn reset_at_end(&self) {
        let _ = SockRef::from(&self.socket).set_linger(Some(Duration::ZERO));
    }
}

struct Present {
    client: Rc<Client>,
    task: Task<()>,
}

pub(crate) struct Clients {
    most: usize,
    next: Cell<u64>,
    /// In the order in which they came.
    present: RefCell<BTreeMap<u64, Present>>,
    /// Whoever waits for one to go: the loop's main task, and nobody else.
    waiting: Cell<Option<Waker>>,
}

impl Clients {
    pub(crate) fn new(most: usize) -> Clients {
        Clients {
            most,
            next: Cell::new(0),
            present: RefCell::default(),
            waiting: Cell::default(),
        }
    }

    /// Takes a client in. Its task must hold a [`Seat`] of this number, and must not have run yet.
    pub(crate) fn add(&self, number: u64, client: Rc<Client>, task: Task<()>) {
        let present = Present { client, task };
        self.present.borrow_mut().insert(number, present);
    }

    pub(crate) fn next_number(&self) -> u64 {
        self.next.replace(self.next.get() + 1)
    }

    /// Waits for there to be a place for one more.
    ///
    /// The client that has had nothing to ask for the longest has to go for it: keeping its connection is a favour, and one that
    /// has a question comes first. Where all are busy, the next one waits, and those behind it in the listener's queue, until one
    /// goes or has its answer.
    pub(crate) async fn room(&self) {
        while self.present.borrow().len() >= self.most {
            if !self.is_one_going() {
                if let Some(client) = self.longest_idle() {
                    client.ask_to_leave();
                }
            }
            self.change().await;
        }
    }

    /// A client waits for a request from now on.
    pub(crate) fn set_idle(&self, client: &Client, since: Instant) {
        client.set_idle(since);
        self.wake();
    }

    /// Whether one that was asked to leave is about to.
    fn is_one_going(&self) -> bool {
        let present = self.present.borrow();
        let mut clients = present.values().map(|present| &present.client);
        clients.any(|client| client.idle.get().is_some() && client.is_leaving())
    }

    fn longest_idle(&self) -> Option<Rc<Client>> {
        let present = self.present.borrow();
        let clients = present.values().map(|present| &present.client);
        let idle = clients.filter(|client| client.idle.get().is_some() && !client.is_leaving());
        idle.min_by_key(|client| client.idle.get()).cloned()
    }

    /// Waits until a client has gone or has become idle, or for less: who calls it has to look.
    async fn change(&self) {
        let mut is_over = false;
        poll_fn(|cx| {
            if mem::replace(&mut is_over, true) {
                return Poll::Ready(());
            }
            self.waiting.set(Some(cx.waker().clone()));
            Poll::Pending
        })
        .await;
    }

    fn wake(&self) {
        if let Some(waker) = self.waiting.take() {
            waker.wake();
        }
    }

    pub(crate) fn ask_all_to_leave(&self) {
        for present in self.present.borrow().values() {
            present.client.ask_to_leave();
        }
    }

    pub(crate) async fn all_gone(&self) {
        while !self.present.borrow().is_empty() {
            self.change().await;
        }
    }

    /// Ends what is left, in the middle of whatever it is.
    pub(crate) fn cut(&self) {
        // Ending a task drops its seat, which looks at what is present.
        let present = self.present.take();
        for present in present.into_values() {
            present.client.reset_at_end();
            present.task.cancel();
        }
    }
}

/// A client's place, given back when it is dropped with the client's task.
pub(crate) struct Seat<C: AsRef<Clients>> {
    pub(crate) clients: C,
    pub(crate) number: u64,
}

impl<C: AsRef<Clients>> Drop for Seat<C> {
    fn drop(&mut self) {
        let clients = self.clients.as_ref();
        let gone = clients.present.borrow_mut().remove(&self.number);
        drop(gone);
        clients.wake();
    }
}
