//! The clients of a loop, their limit, and how the server asks them to leave.
//!
//! To ask a client to leave, the server shuts down the receiving side of its socket. It can still
//! read and answer a request that was sent before. Then it reads the end, as if the client had
//! closed.

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

/// The time for which a client with an unfinished request need not leave for another. A request of
/// two packets takes less. Clients that send nothing more must not lock others out, and neither must
/// those whose bytes are discarded after their last response.
pub(crate) const ENOUGH: Duration = Duration::from_secs(1);

/// The part of a connection that other tasks use.
pub(crate) struct Client {
    pub(crate) socket: Socket<OwnedFd>,
    /// `None` if it came by a Unix socket.
    pub(crate) ip: Option<IpAddr>,
    state: Cell<State>,
    leaving: Cell<bool>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Busy,
    /// It has no request. The number is its place among those that could leave for another.
    Idle(u64),
    /// Its request is unfinished, or its bytes are discarded. This is its place among those.
    Unfinished(u64),
    /// It has no request, and its receiving side is shut down.
    Going,
}

impl Client {
    pub(crate) fn new(socket: Socket<OwnedFd>, ip: Option<IpAddr>) -> Client {
        Client { socket, ip, state: Cell::new(State::Busy), leaving: Cell::new(false) }
    }

    /// Returns whether its next response is its last.
    pub(crate) fn is_leaving(&self) -> bool {
        self.leaving.get()
    }

    fn shut(&self) {
        self.leaving.set(true);
        self.state.set(State::Going);
        // An error means that the connection has ended.
        let _ = self.socket.shutdown(Shutdown::Read);
    }

    /// Discards the bytes that the client did not take when the connection ends. The kernel would
    /// keep them for minutes.
    pub(crate) fn reset_at_end(&self) {
        let _ = SockRef::from(&self.socket).set_linger(Some(Duration::ZERO));
    }
}

struct Present {
    client: Rc<Client>,
    task: Task<()>,
}

#[derive(Default)]
pub(crate) struct Clients {
    most: usize,
    next: Cell<u64>,
    /// The clients that could leave for another. The first has been idle for the longest.
    idle: RefCell<BTreeMap<u64, Rc<Client>>>,
    /// The clients whose request is unfinished, each with the time since when.
    unfinished: RefCell<BTreeMap<u64, (Instant, Rc<Client>)>>,
    /// The number of clients that are [`State::Going`].
    going: Cell<usize>,
    /// The number of clients that have gone.
    gone: Cell<u64>,
    /// In the order in which they came.
    present: RefCell<BTreeMap<u64, Present>>,
    /// The tasks that wait for a client to go or to become idle.
    waiting: RefCell<Vec<Waker>>,
}

impl Clients {
    pub(crate) fn new(most: usize) -> Clients {
        Clients { most, ..Clients::default() }
    }

    /// Adds a client. Its task must hold a [`Seat`] of this number, and must not have run yet.
    pub(crate) fn add(&self, number: u64, client: Rc<Client>, task: Task<()>) {
        let present = Present { client, task };
        self.present.borrow_mut().insert(number, present);
    }

    pub(crate) fn next_number(&self) -> u64 {
        self.next.replace(self.next.get() + 1)
    }

    /// Returns whether there is no place for one more.
    pub(crate) fn is_full(&self) -> bool {
        self.present.borrow().len() >= self.most
    }

    /// Waits until there is a place for one more.
    ///
    /// The client that has been idle for the longest leaves for it. Without one, it is the client
    /// whose request has been unfinished for the longest, if that is over [`ENOUGH`]. If all are
    /// busy, new clients wait in the listener's queue until one leaves or has its response.
    pub(crate) async fn room(&self) {
        while self.is_full() {
            self.ask_longest_idle();
            self.change().await;
        }
    }

    /// Frees a descriptor: asks the client that has been idle for the longest to leave, and waits
    /// until a client has gone. Returns `false` if none is idle.
    pub(crate) async fn evict_idle(&self) -> bool {
        let gone = self.gone.get();
        // Each waiting task asks one, as each needs a descriptor.
        self.shut_longest_idle();
        while self.gone.get() == gone {
            if !self.ask_longest_idle() {
                return false;
            }
            self.change().await;
        }
        true
    }

    /// Returns whether an idle client is leaving, this one or one that was asked before.
    fn ask_longest_idle(&self) -> bool {
        self.going.get() > 0 || self.shut_longest_idle() || self.shut_longest_unfinished()
    }

    fn shut_longest_unfinished(&self) -> bool {
        let mut unfinished = self.unfinished.borrow_mut();
        let first = unfinished.first_entry();
        let Some(first) = first.filter(|first| first.get().0.elapsed() >= ENOUGH) else {
            return false;
        };
        let (_, client) = first.remove();
        self.shut(&client);
        true
    }

    fn shut_longest_idle(&self) -> bool {
        let first = self.idle.borrow_mut().pop_first();
        if let Some((_, client)) = &first {
            self.shut(client);
        }
        first.is_some()
    }

    fn shut(&self, client: &Client) {
        client.shut();
        self.going.set(self.going.get() + 1);
    }

    /// Marks a client that waits for a request.
    pub(crate) fn set_idle(&self, client: &Rc<Client>) {
        if client.is_leaving() {
            self.shut(client);
        } else {
            let place = self.next_number();
            client.state.set(State::Idle(place));
            self.idle.borrow_mut().insert(place, client.clone());
        }
        self.wake();
    }

    /// Marks a client whose request has come in part, or whose bytes are discarded.
    pub(crate) fn set_unfinished(&self, client: &Rc<Client>, since: Instant) {
        let place = self.next_number();
        client.state.set(State::Unfinished(place));
        let mut unfinished = self.unfinished.borrow_mut();
        unfinished.insert(place, (since, client.clone()));
    }

    /// Marks a client that has sent something, or is about to go.
    pub(crate) fn set_busy(&self, client: &Client) {
        match client.state.replace(State::Busy) {
            State::Busy => {}
            State::Idle(place) => drop(self.idle.borrow_mut().remove(&place)),
            State::Unfinished(place) => drop(self.unfinished.borrow_mut().remove(&place)),
            State::Going => {
                self.going.set(self.going.get() - 1);
                // It may go only after a long response, so another has to leave in its place.
                self.wake();
            }
        }
    }

    /// Waits until a client has gone or become idle. May return early, so the caller checks again.
    async fn change(&self) {
        let mut is_over = false;
        poll_fn(|cx| {
            if mem::replace(&mut is_over, true) {
                return Poll::Ready(());
            }
            self.waiting.borrow_mut().push(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }

    fn wake(&self) {
        self.waiting.take().into_iter().for_each(Waker::wake);
    }

    pub(crate) fn ask_all_to_leave(&self) {
        while self.shut_longest_idle() {}
        for present in self.present.borrow().values() {
            present.client.leaving.set(true);
        }
    }

    pub(crate) async fn all_gone(&self) {
        while !self.present.borrow().is_empty() {
            self.change().await;
        }
    }

    /// Ends the clients that are left, also in the middle of a response.
    pub(crate) fn cut(&self) {
        self.idle.take();
        self.unfinished.take();
        // A cancelled task drops its seat, which borrows `present`.
        let present = self.present.take();
        for present in present.into_values() {
            present.client.reset_at_end();
            present.task.cancel();
        }
    }
}

/// A client's place. Dropping it with the client's task gives the place back.
pub(crate) struct Seat<C: AsRef<Clients>> {
    pub(crate) clients: C,
    pub(crate) number: u64,
}

impl<C: AsRef<Clients>> Drop for Seat<C> {
    fn drop(&mut self) {
        let clients = self.clients.as_ref();
        let gone = clients.present.borrow_mut().remove(&self.number);
        drop(gone);
        clients.gone.set(clients.gone.get() + 1);
        clients.wake();
    }
}
