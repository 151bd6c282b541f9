//! One loop: accepts clients, serves them, and ends.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::pin::pin;
use std::rc::Rc;
use std::sync::{Arc, Barrier};
use std::time::Duration;

use futures_util::future::select;
use rustix::net::acceptfrom;
use rustix::process::Signal;
use sendloop::{Address, Loop, LoopHandle, PromiseFuture, Socket};

use crate::access_log::{Log, LogFile};
use crate::cache::Cache;
use crate::clients::{self, Client, Clients, Seat};
use crate::connection::Connection;
use crate::dates::Clock;
use crate::descriptors;
use crate::options::Patience;
use crate::pages::Pages;
use crate::report;
use crate::request;
use crate::root::Root;
use crate::rules::Rules;
use crate::site::Site;

/// The rest of the listener after an error. Out of descriptors, accept(2) fails at once while
/// clients wait. Retries would take the time in which connections end and free descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// The longest wait for the access log at the end. It may be a pipe without a reader.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// The parts of a worker. It builds itself from them on its thread.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) root: Arc<Root>,
    pub(crate) rules: Arc<Rules>,
    pub(crate) patience: Patience,
    pub(crate) most_clients: usize,
    pub(crate) max_cached: usize,
    pub(crate) grace: Duration,
    pub(crate) log: Option<LogFile>,
    /// Passed when every loop is ready and handles signals.
    pub(crate) ready: Arc<Barrier>,
}

/// Serves until a signal ends it. Calls `begin` when everything is ready.
///
/// # Errors
///
/// Any error of creating the loop, and any error of `begin`.
pub(crate) fn run(
    listener: OwnedFd,
    plan: Plan,
    begin: impl FnOnce() -> io::Result<()>,
) -> io::Result<()> {
    // Not `sendloop::run`, which waits for the executor: a disk that hangs must not keep the
    // process.
    let event_loop = Loop::new()?;
    event_loop.set_exception_handler(|context| report(format_args!("{context:?}")));
    let handle = event_loop.handle();
    event_loop.run_until_complete(async {
        let ending = pin!(end_requested(&handle)?);
        Log::reopen_at_hangup(&handle, plan.log.clone())?;
        let listener = Socket::new(listener)?;
        let site = Rc::new(Site {
            pages: Pages::new(handle.clone(), plan.root.clone(), plan.rules.clone()),
            root: plan.root,
            rules: plan.rules,
            cache: Cache::new(handle.clone(), plan.max_cached),
            received: RefCell::new(vec![0; request::MOST].into()),
            patience: plan.patience,
            clients: Rc::new(Clients::new(plan.most_clients)),
            clock: Clock::default(),
            log: plan.log.map(|file| Log::new(handle.clone(), file)),
            event_loop: handle.clone(),
        });
        plan.ready.wait();
        begin()?;
        let waiting = Cell::new(None);
        select(pin!(accept(&site, &listener, &waiting)), ending).await;
        if let Some(accepted) = waiting.take() {
            welcome(&site, accepted);
        }
        close(&site, listener);
        end(&site, plan.grace).await;
        Ok(())
    })
}

/// A connection, and its peer's address if that is one of the internet.
type Accepted = (Socket<OwnedFd>, Option<SocketAddr>);

/// Accepts clients. A client without a place is in `waiting`, so that the end does not forget it.
async fn accept(site: &Rc<Site>, listener: &Socket<OwnedFd>, waiting: &Cell<Option<Accepted>>) {
    let mut is_well = true;
    loop {
        match site.event_loop.sock_accept(listener).await {
            Ok((socket, peer)) => {
                is_well = true;
                let peer = match peer {
                    Address::Ip(peer) => Some(peer),
                    _ => None,
                };
                waiting.set(Some((socket, peer)));
                while site.clients.is_full() {
                    // Nothing else wakes it when an unfinished request has had its time.
                    let room = site.clients.room();
                    let _ = site.event_loop.wait_for(room, clients::ENOUGH).await;
                }
                if let Some(accepted) = waiting.take() {
                    welcome(site, accepted);
                }
            }
            Err(error) => {
                if descriptors::are_exhausted(&error) {
                    if site.cache.clear() {
                        continue;
                    }
                    descriptors::report_exhausted(&error);
                    if site.clients.evict_idle().await {
                        continue;
                    }
                } else if is_well {
                    report(format_args!("cannot accept: {error}"));
                }
                is_well = false;
                site.event_loop.sleep(PAUSE).await;
            }
        }
    }
}

/// Creates the task of a client, which handles its errors.
fn welcome(site: &Rc<Site>, (socket, peer): Accepted) {
    let number = site.clients.next_number();
    let client = Rc::new(Client::new(socket, peer.map(|peer| peer.ip())));
    let connection = Connection::new(site.clone(), client.clone());
    let seat = Seat { clients: site.clients.clone(), number };
    let life = async move {
        let _seat = seat;
        match connection.serve().await {
            Err(error) if !is_departure(&error) => match peer {
                Some(peer) => report(format_args!("{peer}: {error}")),
                None => report(format_args!("a client of the Unix socket: {error}")),
            },
            _ => {}
        }
    };
    // Boxed: rustc keeps the place from which a future was moved into the one that awaits it, which
    // would take a KiB more for each connection (rust-lang/rust#62958).
    let task = site.event_loop.create_task(Box::pin(life));
    site.clients.add(number, client, task);
}

/// Closes the listener. The clients in its queue may have sent a request, and get their response.
fn close(site: &Rc<Site>, listener: Socket<OwnedFd>) {
    while let Ok((socket, peer)) = acceptfrom(&listener) {
        let peer = peer.and_then(|peer| SocketAddr::try_from(peer).ok());
        if let Ok(socket) = Socket::new(socket) {
            welcome(site, (socket, peer));
        }
    }
}

async fn end(site: &Site, grace: Duration) {
    site.clients.ask_all_to_leave();
    let event_loop = &site.event_loop;
    if event_loop.wait_for(site.clients.all_gone(), grace).await.is_err() {
        site.clients.cut();
    }
    if let Some(log) = &site.log {
        let _ = event_loop.wait_for(log.flush(), LAST_WORDS).await;
    }
}

/// Clients often leave in the middle of a response, or take nothing of it. That is not worth a
/// line.
fn is_departure(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, NotConnected, TimedOut};
    matches!(error.kind(), BrokenPipe | ConnectionReset | NotConnected | TimedOut)
}

const ENDING: [Signal; 2] = [Signal::INT, Signal::TERM];

/// Returns a future that is ready at the first signal. The second signal ends the process at once.
///
/// # Errors
///
/// Any error of adding a signal handler, such as a lack of descriptors.
fn end_requested(event_loop: &LoopHandle) -> io::Result<PromiseFuture<()>> {
    let (promise, future) = event_loop.create_future();
    let promise = Rc::new(Cell::new(Some(promise)));
    for signal in ENDING {
        let (handle, promise) = (event_loop.clone(), promise.clone());
        event_loop.add_signal_handler(signal.as_raw(), move || {
            for signal in ENDING {
                handle.remove_signal_handler(signal.as_raw());
            }
            let _ = promise.take().map(|promise| promise.set_result(()));
        })?;
    }
    Ok(future)
}
