//! The process: what its loops share, and a thread for each.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::process;
use std::sync::{Arc, Barrier};
use std::thread;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::access_log::LogFile;
use crate::listen;
use crate::options::Options;
use crate::report;
use crate::root::Root;
use crate::worker::{self, Plan};

/// Serves until a signal ends it.
///
/// # Errors
///
/// What the system says of the root, the address, or the log.
pub(crate) fn run(options: &Options) -> io::Result<()> {
    raise_descriptor_limit();
    let threads = options.threads;
    let plan = Plan {
        root: Arc::new(Root::new(&options.root)?),
        patience: options.patience,
        most_clients: options.limit.get().div_ceil(threads.get()),
        grace: options.grace,
        log: LogFile::open(&options.log)?,
        ready: Arc::new(Barrier::new(threads.get())),
    };
    let mut listeners = listen::listeners(options.addr, threads)?;
    let own = listeners.remove(0);
    let addr = own.local_addr()?;
    thread::scope(|scope| {
        for listener in listeners {
            let plan = plan.clone();
            scope.spawn(move || serve(|| worker::run(listener, plan, || Ok(()))));
        }
        serve(|| worker::run(own, plan, || announce(addr)));
    });
    Ok(())
}

/// A loop that cannot be made, for want of descriptors, is the end of all: its listener would take its share of the connections
/// and nobody would answer.
fn serve(work: impl FnOnce() -> io::Result<()>) {
    if let Err(error) = work() {
        report(format_args!("file_server: {error}"));
        process::exit(1);
    }
}

/// Every connection takes a descriptor and every file another; the usual soft limit of 1024 is there for select(2) alone.
/// Where it cannot be raised, fewer are served at a time.
fn raise_descriptor_limit() {
    let maximum = getrlimit(Resource::Nofile).maximum;
    let raised = Rlimit {
        current: maximum,
        maximum,
    };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        report(format_args!("the descriptor limit stays: {error}"));
    }
}

/// Says where the server is to be found, also to a program that asked for any free port and reads it from a pipe.
fn announce(addr: SocketAddr) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "listening on http://{addr}")?;
    out.flush()
}
