//! The access log, in the Combined Log Format: a line for each response, with the bytes that were
//! sent of its body.
//!
//! A [`Line`] is logged when it is dropped. So a transfer that was cut short has its line too, with
//! the bytes that it sent. The executor writes the lines in batches, as a full pipe or a slow disk
//! would hold the loop. If they come faster than it can write, the log drops and counts lines, so
//! that memory stays bounded.

use std::cell::{Cell, RefCell};
use std::fs::{File, Metadata};
use std::io::{self, IsTerminal, Write};
use std::mem;
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::process::Signal;
use sendloop::{LoopHandle, Task};

use crate::dates::Clock;
use crate::options::Destination;
use crate::report;
use crate::request::ClientSays;

/// The time for which the first line of a batch waits for others.
const BATCH: Duration = Duration::from_millis(100);

/// The most bytes that may wait to be written.
const MOST: usize = 4 << 20;

/// The most bytes of the request line, and of each of the two fields, in a line. A client that
/// waits must not make the server hold more.
const MOST_OF_REQUEST: usize = 1024;
const MOST_OF_FIELD: usize = 256;

/// The destination of all loops. It writes whole batches, one at a time.
#[derive(Clone, Debug)]
pub(crate) struct LogFile(Arc<Mutex<Lines>>);

#[derive(Debug)]
struct Lines {
    file: File,
    /// The path at which it can be opened again; `None` for the standard output.
    path: Option<PathBuf>,
    /// Set if it ends in the middle of a line, because no more could be written.
    is_torn: bool,
}

impl LogFile {
    /// # Errors
    ///
    /// Any OS error from opening the file.
    pub(crate) fn open(destination: &Destination) -> io::Result<Option<LogFile>> {
        let (file, path) = match destination {
            Destination::Off => return Ok(None),
            Destination::Stdout => (io::stdout().as_fd().try_clone_to_owned()?.into(), None),
            // Absolute, as it may be opened again.
            Destination::File(path) => (append_to(path)?, Some(std::path::absolute(path)?)),
        };
        let lines =
            Lines { is_torn: path.as_ref().is_some_and(|path| is_torn(&file, path)), file, path };
        Ok(Some(LogFile(Arc::new(Mutex::new(lines)))))
    }

    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens the file anew: the one that was written so far may have been moved away.
    pub(crate) fn reopen(&self) {
        let mut lines = self.lines();
        let Some(path) = &lines.path else {
            return;
        };
        match append_to(path) {
            Ok(file) => {
                lines.is_torn = is_torn(&file, path);
                lines.file = file;
            }
            Err(error) => {
                report(format_args!("cannot reopen the access log {}: {error}", path.display()))
            }
        }
    }
}

fn append_to(path: &Path) -> io::Result<File> {
    File::options().append(true).create(true).open(path)
}

/// Returns whether an existing file ends in the middle of a line.
fn is_torn(file: &File, path: &Path) -> bool {
    let metadata = file.metadata().ok().filter(Metadata::is_file);
    let last = metadata.and_then(|metadata| metadata.len().checked_sub(1));
    let is_line_end = |last| {
        let mut byte = [b'\n'];
        let read = File::open(path).and_then(|file| file.read_exact_at(&mut byte, last));
        read.is_err() || byte == *b"\n"
    };
    last.is_some_and(|last| !is_line_end(last))
}

impl Lines {
    /// Writes whole lines. If that fails, gives the number of those that are lost with the error.
    fn write(&mut self, lines: &[u8]) -> Result<(), (u64, io::Error)> {
        let mut rest = lines;
        let written = self.mend().and_then(|()| {
            while !rest.is_empty() {
                match self.file.write(rest) {
                    Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                    Ok(len) => rest = &rest[len..],
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
            Ok(())
        });
        let written_part = &lines[..lines.len() - rest.len()];
        if let Some(last) = written_part.last() {
            self.is_torn = *last != b'\n';
        }
        let lost = rest.iter().filter(|byte| **byte == b'\n').count();
        written.map_err(|error| (lost as u64, error))
    }

    /// Ends a torn line, so that the next line begins on its own.
    fn mend(&mut self) -> io::Result<()> {
        if self.is_torn {
            self.file.write_all(b"\n")?;
            self.is_torn = false;
        }
        Ok(())
    }
}

/// The log of one loop.
pub(crate) struct Log {
    event_loop: LoopHandle,
    file: LogFile,
    waiting: RefCell<Vec<u8>>,
    lost: Cell<u64>,
    failing: Cell<bool>,
    writer: RefCell<Option<Task<()>>>,
}

impl Log {
    pub(crate) fn new(event_loop: LoopHandle, file: LogFile) -> Rc<Log> {
        Rc::new(Log {
            event_loop,
            file,
            waiting: RefCell::default(),
            lost: Cell::new(0),
            failing: Cell::new(false),
            writer: RefCell::default(),
        })
    }

    fn add(self: &Rc<Log>, line: &[u8]) {
        let mut waiting = self.waiting.borrow_mut();
        if waiting.len() + line.len() > MOST {
            self.lost.set(self.lost.get() + 1);
            return;
        }
        waiting.extend_from_slice(line);
        let mut writer = self.writer.borrow_mut();
        if writer.as_ref().is_none_or(Task::done) {
            let write = self.clone().write_in_batches();
            *writer = Some(self.event_loop.create_task(write));
        }
    }

    /// Ends when nothing waits any more; the next line begins anew.
    async fn write_in_batches(self: Rc<Log>) {
        loop {
            self.event_loop.sleep(BATCH).await;
            let batch = mem::take(&mut *self.waiting.borrow_mut());
            if batch.is_empty() {
                return;
            }
            let file = self.file.clone();
            let write = move || file.lines().write(&batch);
            let written = self.event_loop.run_in_executor(write);
            self.note(&written.await.unwrap_or(Ok(())));
        }
    }

    /// Reports once that writing fails, not with each batch.
    fn note(&self, written: &Result<(), (u64, io::Error)>) {
        if let Err((lost, error)) = written {
            self.lost.set(self.lost.get() + lost);
            if !self.failing.replace(true) {
                report(format_args!("cannot write the access log: {error}"));
            }
            return;
        }
        self.failing.set(false);
        self.report_lost();
    }

    fn report_lost(&self) {
        match self.lost.take() {
            0 => {}
            lost => report(format_args!("the access log lacks {lost} lines")),
        }
    }

    /// Waits until all lines are written.
    pub(crate) async fn flush(&self) {
        let writer = self.writer.take();
        if let Some(writer) = writer {
            let _ = writer.await;
        }
        self.report_lost();
    }

    /// Opens the file again at SIGHUP, as programs that rotate logs expect. A server on a terminal
    /// still ends with it.
    ///
    /// # Errors
    ///
    /// Any OS error from the signal handler's registration.
    pub(crate) fn reopen_at_hangup(
        event_loop: &LoopHandle,
        file: Option<LogFile>,
    ) -> io::Result<()> {
        let is_file = file.as_ref().is_some_and(|file| file.lines().path.is_some());
        if !is_file && io::stdin().is_terminal() {
            return Ok(());
        }
        let handle = event_loop.clone();
        event_loop.add_signal_handler(Signal::HUP.as_raw(), move || {
            let file = file.clone();
            // Dropping the future does not cancel it, and errors are reported.
            drop(handle.run_in_executor(move || file.iter().for_each(LogFile::reopen)));
        })
    }
}

/// The line of a response that is not finished.
pub(crate) struct Line {
    log: Rc<Log>,
    /// The text before the number of bytes, and from `split` on the text after it.
    text: String,
    split: usize,
    sent: Cell<u64>,
}

impl Line {
    pub(crate) fn new(
        log: Rc<Log>,
        clock: &Clock,
        (ip, client): (Option<IpAddr>, &ClientSays),
        (request, status): (&[u8], &str),
    ) -> Line {
        // As nginx does.
        let ip = ip.map_or("unix:".to_owned(), |ip| ip.to_string());
        let mut text = ip + " - - [";
        clock.push_log_time(&mut text);
        text.push_str("] \"");
        push_escaped(&mut text, request, MOST_OF_REQUEST);
        text.push_str("\" ");
        text.push_str(status);
        let split = text.len();
        for field in [&client.referer, &client.user_agent] {
            text.push_str(" \"");
            push_escaped(&mut text, field.as_deref().unwrap_or(b"-"), MOST_OF_FIELD);
            text.push('"');
        }
        text.shrink_to_fit();
        Line { log, text, split, sent: Cell::new(0) }
    }

    /// Sets the number of body bytes that were sent.
    pub(crate) fn sent(&self, bytes: u64) {
        self.sent.set(bytes);
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let (before, after) = self.text.split_at(self.split);
        let line = match self.sent.get() {
            0 => format!("{before} -{after}\n"),
            sent => format!("{before} {sent}{after}\n"),
        };
        self.log.add(line.as_bytes());
    }
}

/// Writes bytes that are not printable ASCII, or would end the field, as `\xHH`, as nginx does.
///
/// So no client can begin a line, or move the cursor of a terminal that shows the log.
fn push_escaped(text: &mut String, bytes: &[u8], most: usize) {
    for &byte in bytes.iter().take(most) {
        match byte {
            b'"' | b'\\' | ..b' ' | 0x7f.. => {
                text.push_str("\\x");
                let digit = |nibble: u8| char::from(b"0123456789ABCDEF"[usize::from(nibble)]);
                text.extend([digit(byte >> 4), digit(byte & 15)]);
            }
            _ => text.push(char::from(byte)),
        }
    }
    if bytes.len() > most {
        text.push_str("...");
    }
}
