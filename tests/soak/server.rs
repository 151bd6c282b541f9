//! The server: one task per connection, which serves every kind of request.

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::io::{self, Seek};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use rustix::event::PollFlags;
use rustix::fs::{Advice, fadvise};
use sendloop::{LoopHandle, Socket};
use socket2::SockRef;

use super::held::Held;
use super::request::{CONTENT, HEAD, LEN, REFUSED, Request, What};
use super::tally::Tally;
use super::time_limit::{TimeLimit, is_ready, time_out_error, was_ready};

/// The pause of the listener if there is no descriptor.
pub(super) const PAUSE: Duration = Duration::from_millis(50);

/// The send buffer. A connection without a reader holds this much kernel memory.
const SEND_BUFFER: usize = 16 << 10;

/// The listener's queue, as long as the system allows. The kernel loses clients if it is full.
const QUEUE: i32 = 16 << 10;

const PIECE: usize = 4096;

/// The number of problems that the server records.
const MAX_PROBLEMS: usize = 20;

pub(super) struct Server {
    pub(super) event_loop: LoopHandle,
    pub(super) tally: Tally,
    pub(super) peak: Cell<Held>,
    problems: RefCell<Vec<String>>,
    time_limit: TimeLimit,
    listener: Socket<TcpListener>,
    path: PathBuf,
    /// The same file, to evict it from the page cache.
    file: File,
}

impl Server {
    pub(super) fn new(event_loop: LoopHandle, path: PathBuf, time_limit: Duration) -> Server {
        let file = File::open(&path).expect("the file");
        let time_limit = TimeLimit::new(event_loop.clone(), time_limit);
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        SockRef::from(&listener).listen(QUEUE).expect("a longer queue");
        Server {
            event_loop,
            tally: Tally::default(),
            peak: Cell::default(),
            problems: RefCell::default(),
            time_limit,
            listener: Socket::new(listener).expect("non-blocking"),
            path,
            file,
        }
    }

    pub(super) fn addr(&self) -> SocketAddr {
        self.listener.get_ref().local_addr().expect("bound")
    }

    /// Returns the recorded problems.
    pub(super) fn problems(&self) -> Vec<String> {
        self.problems.borrow().clone()
    }

    fn problem(&self, what: String) {
        let mut problems = self.problems.borrow_mut();
        if problems.len() < MAX_PROBLEMS {
            problems.push(what);
        }
    }

    /// Returns whether a client waits in the listener's queue.
    pub(super) fn is_awaited(&self) -> bool {
        is_ready(&self.listener, PollFlags::IN)
    }

    pub(super) async fn serve(self: Rc<Self>) {
        loop {
            match self.event_loop.sock_accept(&self.listener).await {
                Ok((sock, _)) => self.clone().spawn_connection(sock),
                Err(error) => {
                    self.tally.count("times without a descriptor to accept with");
                    if !no_descriptor(&error) {
                        self.problem(format!("accept: {error:?}"));
                    }
                    self.event_loop.sleep(PAUSE).await;
                }
            }
        }
    }

    /// Records the peak of held resources, and evicts the file now and then.
    pub(super) async fn record_peak(self: Rc<Self>) {
        loop {
            let held = Held::now(&self.event_loop);
            self.peak.set(self.peak.get().max(held));
            fadvise(&self.file, 0, None, Advice::DontNeed).expect("a file");
            self.event_loop.sleep(Duration::from_millis(200)).await;
        }
    }

    fn spawn_connection(self: Rc<Self>, sock: Socket<TcpStream>) {
        self.tally.count("accepted");
        let event_loop = self.event_loop.clone();
        event_loop.create_task(Box::pin(async move { self.serve_connection(sock).await }));
    }

    async fn serve_connection(&self, sock: Socket<TcpStream>) {
        SockRef::from(&sock).set_send_buffer_size(SEND_BUFFER).expect("set");
        let request = match self.receive(&sock).await {
            Ok(request) => request,
            Err(error) => return self.note(None, error),
        };
        let served = match request.what {
            What::Echo => self.echo(&sock).await,
            What::Upload => self.take(&sock, &request).await,
            What::Memory => self.send(&sock, &request).await,
            What::File => self.send_file(&sock, &request).await,
        };
        match served {
            Ok(()) => self.tally.count("served"),
            Err(error) => self.note(Some(request), error),
        }
    }

    /// Records an error as expected or as a problem.
    fn note(&self, request: Option<Request>, error: io::Error) {
        let must_arrive = request.is_some_and(|request| request.must_arrive());
        let is_unread = request.is_none();
        if must_arrive || is_unread {
            self.tally.add("too slow, though ready", was_ready(&error).into());
        }
        match error.kind() {
            _ if no_descriptor(&error) => {
                self.tally.count("without a descriptor to read with");
                self.tally.add("cut", (must_arrive || is_unread).into());
            }
            io::ErrorKind::TimedOut if must_arrive => {
                self.tally.count("too slow");
                self.tally.count("cut");
            }
            _ if must_arrive => self.problem(format!("{request:?}: {error:?}")),
            io::ErrorKind::TimedOut if is_unread => self.tally.count("sent nothing in time"),
            io::ErrorKind::TimedOut => self.tally.count("stalled"),
            io::ErrorKind::UnexpectedEof => self.tally.count("asked for nothing"),
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => self.tally.count("left"),
            _ => self.problem(format!("{request:?}: {error:?}")),
        }
    }

    async fn receive(&self, sock: &Socket<TcpStream>) -> io::Result<Request> {
        let mut bytes = [0; LEN];
        let mut len = 0;
        while len < LEN {
            let rest = &mut bytes[len..];
            let receiving = self.event_loop.sock_recv_into(sock, rest);
            match self.time_limit.with(sock, PollFlags::IN, receiving).await? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                received => len += received,
            }
        }
        Ok(Request::decode(&bytes))
    }

    async fn send_all(&self, sock: &Socket<TcpStream>, bytes: &[u8]) -> io::Result<()> {
        let sending = self.event_loop.sock_sendall(sock, bytes);
        self.time_limit.with(sock, PollFlags::OUT, sending).await
    }

    async fn echo(&self, sock: &Socket<TcpStream>) -> io::Result<()> {
        loop {
            let receiving = self.event_loop.sock_recv(sock, PIECE);
            let piece = self.time_limit.with(sock, PollFlags::IN, receiving).await?;
            if piece.is_empty() {
                return Ok(());
            }
            self.send_all(sock, &piece).await?;
        }
    }

    async fn take(&self, sock: &Socket<TcpStream>, request: &Request) -> io::Result<()> {
        let mut rest = request.bytes();
        while !rest.is_empty() {
            let receiving = self.event_loop.sock_recv(sock, PIECE);
            let piece = self.time_limit.with(sock, PollFlags::IN, receiving).await?;
            if piece.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            match rest.strip_prefix(piece.as_slice()) {
                Some(after) => rest = after,
                None => {
                    self.problem(format!("{request:?}: other bytes came"));
                    return Ok(());
                }
            }
        }
        self.send_all(sock, HEAD).await
    }

    async fn send(&self, sock: &Socket<TcpStream>, request: &Request) -> io::Result<()> {
        self.send_all(sock, HEAD).await?;
        for piece in request.bytes().chunks(SEND_BUFFER) {
            self.send_all(sock, piece).await?;
        }
        Ok(())
    }

    fn open(&self, request: &Request) -> io::Result<File> {
        let flags = if request.direct() { libc::O_DIRECT } else { 0 };
        File::options().read(true).custom_flags(flags).open(&self.path)
    }

    async fn send_file(&self, sock: &Socket<TcpStream>, request: &Request) -> io::Result<()> {
        let file = match self.open(request) {
            Err(error) if no_descriptor(&error) => {
                self.tally.count("without a descriptor for a file");
                return self.send_all(sock, REFUSED).await;
            }
            opened => opened?,
        };
        let header = if request.with_header() { HEAD } else { b"" };
        self.send_all(sock, &HEAD[header.len()..]).await?;
        let transfer = self.event_loop.sock_sendfile(sock, &file);
        let transfer = transfer.offset(request.offset()).count(request.count());
        let transfer = transfer.prefetch(request.prefetch()).header(header);
        let transfer = transfer.stall_timeout(self.time_limit.time);
        let result = match request.deadline() {
            None => Some(transfer.await),
            Some(deadline) => self.event_loop.wait_for(transfer, deadline).await.ok(),
        };
        self.check_position(request, &result, &file);
        match result {
            Some(Err(error)) if error.kind() == io::ErrorKind::TimedOut => {
                Err(time_out_error(sock, PollFlags::OUT))
            }
            Some(sent) => sent.map(drop),
            None => {
                self.tally.count("given up");
                Ok(())
            }
        }
    }

    fn check_position(&self, request: &Request, sent: &Option<io::Result<u64>>, mut file: &File) {
        let at = file.stream_position().expect("a position") - request.offset();
        let is_right = match sent {
            Some(Ok(sent)) => *sent == request.count() && at == *sent,
            Some(Err(_)) | None => at <= request.count(),
        };
        if !is_right {
            self.problem(format!("{request:?}: {sent:?}, {at} bytes by the position"));
        }
    }
}

fn no_descriptor(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::EMFILE)
}

/// Creates the file that the server sends.
pub(super) fn file() -> tempfile::NamedTempFile {
    use std::io::Write;
    // The file is on a disk. A file in memory needs no prefetch, and may not support O_DIRECT.
    let mut file = tempfile::NamedTempFile::new_in(env!("CARGO_TARGET_TMPDIR")).expect("a file");
    file.write_all(&CONTENT).expect("room");
    // The kernel cannot evict pages that are not written yet.
    file.as_file().sync_all().expect("written");
    file
}
