//! The process: starts a thread for each loop.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::process;
use std::sync::{Arc, Barrier};
use std::thread;

use crate::access_log::LogFile;
use crate::descriptors;
use crate::listen;
use crate::options::Options;
use crate::report;
use crate::root::Root;
use crate::worker::{self, Plan};

/// Serves until a signal ends it.
///
/// # Errors
///
/// Any error of opening the root, the address, or the log.
pub(crate) fn run(options: &Options) -> io::Result<()> {
    let threads = options.threads;
    let limit = descriptors::raise_limit();
    let plan = Plan {
        root: Arc::new(Root::new(&options.root)?),
        patience: options.patience,
        most_clients: descriptors::connections(options.limit.get(), limit, threads),
        grace: options.grace,
        log: LogFile::open(&options.log)?,
        ready: Arc::new(Barrier::new(threads.get())),
    };
    let mut listeners = listen::listeners(options.addr, threads)?;
    let own = listeners.remove(0);
    let addr = own.local_addr()?;
    descriptors::report_lowered(options.limit.get(), plan.most_clients * threads.get());
    thread::scope(|scope| {
        for listener in listeners {
            let plan = plan.clone();
            scope.spawn(move || serve(|| worker::run(listener, plan, || Ok(()))));
        }
        serve(|| worker::run(own, plan, || announce(addr)));
    });
    Ok(())
}

/// Ends the process if a loop cannot start. Its listener would take its share of the connections,
/// and they would get no response.
fn serve(work: impl FnOnce() -> io::Result<()>) {
    if let Err(error) = work() {
        report(format_args!("file_server: {error}"));
        process::exit(1);
    }
}

/// Prints the address, also for a program that asked for any free port and reads it from a pipe.
fn announce(addr: SocketAddr) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "listening on http://{addr}")?;
    out.flush()
}
