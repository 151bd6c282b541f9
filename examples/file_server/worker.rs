//! One loop, from the first client to the last.

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
use sendloop::{Address, Loop, Socket};

use crate::access_log::{Log, LogFile};
use crate::clients::{Client, Clients, Seat};
use crate::connection::Connection;
use crate::options::Patience;
use crate::pages::Pages;
use crate::recent::Recent;
use crate::report;
use crate::request;
use crate::root::Root;
use crate::rules::Rules;
use crate::shutdown;
use crate::site::Site;

/// How long to leave the listener alone after an error. Without descriptors accept(2) fails at once as long as clients wait,
/// and trying again at once would take the time in which connections end and give theirs back.
const PAUSE: Duration = Duration::from_millis(100);

/// How long the end waits for the access log, which may be a pipe that nobody reads.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// What a worker is made from, on its thread.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) root: Arc<Root>,
    pub(crate) rules: Arc<Rules>,
    pub(crate) patience: Patience,
    pub(crate) most_clients: usize,
    pub(crate) grace: Duration,
    pub(crate) log: Option<LogFile>,
    /// Passed when every loop has what it needs, and knows of a signal that comes.
    pub(crate) ready: Arc<Barrier>,
}

/// Serves until a signal ends it. Calls `begin` when everything is ready.
///
/// # Errors
///
/// What the system says where no loop can be made, and what `begin` gives.
pub(crate) fn run(
    listener: OwnedFd,
    plan: Plan,
    begin: impl FnOnce() -> io::Result<()>,
) -> io::Result<()> {
    // Not `sendloop::run`: that waits for the executor, and a disk that does not answer is no reason not to end.
    let event_loop = Loop::new()?;
    event_loop.set_exception_handler(|context| report(format_args!("{context:?}")));
    let handle = event_loop.handle();
    event_loop.run_until_complete(async {
        let ending = pin!(shutdown::requested(&handle)?);
        Log::reopen_at_hangup(&handle, plan.log.clone())?;
        let listener = Socket::new(listener)?;
        let site = Rc::new(Site {
            pages: Pages::new(handle.clone(), plan.root.clone(), plan.rules.clone()),
            root: plan.root,
            rules: plan.rules,
            recent: Rc::new(Recent::new(handle.clone())),
            received: RefCell::new(vec![0; request::MOST].into()),
            patience: plan.patience,
            clients: Rc::new(Clients::new(plan.most_clients)),
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

/// The client that there is no room for yet is in `waiting`: the end must not forget it.
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
                site.clients.room().await;
                if let Some(accepted) = waiting.take() {
                    welcome(site, accepted);
                }
            }
            Err(error) => {
                if is_well {
                    report(format_args!("cannot accept: {error}"));
                }
                is_well = false;
                site.event_loop.sleep(PAUSE).await;
            }
        }
    }
}

/// Gives the client a task of its own, whose errors end there.
fn welcome(site: &Rc<Site>, (socket, peer): Accepted) {
    let number = site.clients.next_number();
    let client = Rc::new(Client::new(socket, peer.map(|peer| peer.ip())));
    let connection = Connection::new(site.clone(), client.clone());
    let seat = Seat {
        clients: site.clients.clone(),
        number,
    };
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
    // Boxed, as rustc keeps the place from which a future was moved into the one that awaits it: unboxed, each connection would
    // take a KiB more (rust-lang/rust#62958).
    let task = site.event_loop.create_task(Box::pin(life));
    site.clients.add(number, client, task);
}

/// Closes the listener. Those in its queue are connected, as far as they can tell, and may have sent a request: they get their answer.
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
    if event_loop
        .wait_for(site.clients.all_gone(), grace)
        .await
        .is_err()
    {
        site.clients.cut();
    }
    if let Some(log) = &site.log {
        let _ = event_loop.wait_for(log.flush(), LAST_WORDS).await;
    }
}

/// Clients that leave in the middle of an answer, or take nothing of it, are everyday life and not worth a line.
fn is_departure(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, NotConnected, TimedOut};
    matches!(
        error.kind(),
        BrokenPipe | ConnectionReset | NotConnected | TimedOut
    )
}
