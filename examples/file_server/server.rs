//! The process: starts a thread for each loop.

use std::fmt;
use std::io;
use std::path::Path;
use std::process;
use std::sync::{Arc, Barrier};
use std::thread;

use crate::access_log::LogFile;
use crate::descriptors;
use crate::listen::{self, Listening};
use crate::options::{Destination, Options};
use crate::root::Root;
use crate::worker::{self, Plan};
use crate::{print, report};

/// Serves until a signal ends it.
///
/// # Errors
///
/// Any error of opening the root, the address, or the log.
pub(crate) fn run(options: Options) -> io::Result<()> {
    let threads = options.threads;
    let limit = descriptors::raise_limit();
    let root = Root::new(&options.root, options.rules.follow_links)
        .map_err(because(format_args!("cannot serve {}", options.root.display())))?;
    let plan = Plan {
        root: Arc::new(root),
        rules: Arc::new(options.rules),
        patience: options.patience,
        most_clients: descriptors::connections(options.limit.get(), limit, threads),
        max_cached: match options.cache {
            true => descriptors::cached_files(limit, threads),
            false => 0,
        },
        grace: options.grace,
        log: open_log(&options.log)?,
        ready: Arc::new(Barrier::new(threads.get())),
    };
    let listening = listen::listen(&options.address, threads, options.socket_mode);
    let Listening { mut listeners, name, socket_file: _socket_file } =
        listening.map_err(because(format_args!("cannot listen on {}", options.address)))?;
    let own = listeners.remove(0);
    descriptors::report_lowered(options.limit.get(), plan.most_clients * threads.get());
    thread::scope(|scope| {
        serve(|| {
            for listener in listeners {
                let plan = plan.clone();
                let work = move || serve(|| worker::run(listener, plan, || Ok(())));
                thread::Builder::new().spawn_scoped(scope, work)?;
            }
            worker::run(own, plan, || announce(&name))
        });
    });
    Ok(())
}

/// Ends the process if a loop cannot start. Its listener would take its share of the connections,
/// and they would get no response.
fn serve(work: impl FnOnce() -> io::Result<()>) {
    if let Err(error) = work() {
        report(format_args!("file_server: cannot start: {error}"));
        process::exit(1);
    }
}

fn open_log(destination: &Destination) -> io::Result<Option<LogFile>> {
    let opened = LogFile::open(destination);
    let name = match destination {
        Destination::File(path) => path.as_path(),
        Destination::Stdout | Destination::Off => Path::new("-"),
    };
    opened.map_err(because(format_args!("cannot open the log {}", name.display())))
}

/// Puts what failed in front of the reason.
fn because(what: fmt::Arguments<'_>) -> impl FnOnce(io::Error) -> io::Error {
    move |error| io::Error::new(error.kind(), format!("{what}: {error}"))
}

/// Prints the address, also for a program that asked for any free port and reads it from a pipe.
fn announce(name: &str) -> io::Result<()> {
    let written = print(&format!("listening on {name}\n"));
    written.map_err(because(format_args!("cannot write to the standard output")))
}
