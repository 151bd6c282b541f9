//! The `sock_*` operations of `EventLoop`.

use std::cell::RefCell;
use std::io;
use std::os::fd::{BorrowedFd, IntoRawFd, OwnedFd, RawFd};
use std::rc::{Rc, Weak};

use pyo3::IntoPyObjectExt;
use pyo3::buffer::PyBuffer;
use pyo3::exceptions::{PyBufferError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::IntoPyDict;
use sendloop::{Address, Socket};

use crate::address;
use crate::errors::to_exception;
use crate::event_loop::EventLoop;
use crate::operation::{self, Operation};

type Started = PyResult<Option<Operation>>;

/// The socket that the operations on one Python socket share, so that its writers take turns.
///
/// It owns a duplicate of Python's descriptor, and lives only while an operation waits. A longer
/// life would keep the connection open after Python closed its socket.
#[pyclass(unsendable)]
pub struct SharedSocket(RefCell<Weak<Socket<OwnedFd>>>);

#[pymethods]
impl SharedSocket {
    #[new]
    fn new() -> SharedSocket {
        SharedSocket(RefCell::default())
    }
}

impl SharedSocket {
    fn open(&self, py: Python<'_>, fd: RawFd) -> PyResult<Rc<Socket<OwnedFd>>> {
        if let Some(socket) = self.0.borrow().upgrade().filter(|_| fd >= 0) {
            return Ok(socket);
        }
        let socket = duplicate(fd).and_then(Socket::new);
        let socket = Rc::new(socket.map_err(|error| to_exception(py, error))?);
        self.0.replace(Rc::downgrade(&socket));
        Ok(socket)
    }
}

fn duplicate(fd: RawFd) -> io::Result<OwnedFd> {
    // Python says -1 for a closed socket. EBADF is 9 on every system.
    if fd < 0 {
        return Err(io::Error::from_raw_os_error(9));
    }
    // SAFETY: `fd` is not -1. If it is closed, the kernel fails with EBADF.
    unsafe { BorrowedFd::borrow_raw(fd) }.try_clone_to_owned()
}

/// A contiguous Python buffer, which stays pinned while an operation uses it.
struct Buffer(PyBuffer<u8>);

impl Buffer {
    fn new(object: &Bound<'_, PyAny>) -> PyResult<Buffer> {
        let buffer = PyBuffer::get(object)?;
        match buffer.is_c_contiguous() {
            true => Ok(Buffer(buffer)),
            false => Err(PyBufferError::new_err("the buffer is not contiguous")),
        }
    }

    fn writable(object: &Bound<'_, PyAny>) -> PyResult<Buffer> {
        let buffer = Buffer::new(object)?;
        match buffer.0.readonly() {
            true => Err(PyTypeError::new_err("the buffer is read-only")),
            false => Ok(buffer),
        }
    }

    fn bytes(&self) -> &[u8] {
        if self.0.len_bytes() == 0 {
            return &[];
        }
        // SAFETY: the buffer protocol keeps `len_bytes` contiguous bytes valid until the release.
        // Python may change them meanwhile, as it may under asyncio: these tests do not.
        unsafe { std::slice::from_raw_parts(self.0.buf_ptr().cast(), self.0.len_bytes()) }
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        if self.0.len_bytes() == 0 {
            return &mut [];
        }
        // SAFETY: as in `bytes`. `writable` made this buffer.
        unsafe { std::slice::from_raw_parts_mut(self.0.buf_ptr().cast(), self.0.len_bytes()) }
    }
}

fn accepted(py: Python<'_>, fd: OwnedFd, peer: &Address) -> PyResult<Py<PyAny>> {
    let peer = address::to_python(py, peer)?;
    let from_fd = [("fileno", fd.into_raw_fd())].into_py_dict(py)?;
    let socket = py.import("socket")?.getattr("socket")?.call((), Some(&from_fd))?;
    socket.call_method1("setblocking", (false,))?;
    (socket, peer).into_py_any(py)
}

impl EventLoop {
    /// Starts an operation on a socket.
    fn start<T: 'static>(
        &self,
        py: Python<'_>,
        name: &'static str,
        future: Py<PyAny>,
        work: impl Future<Output = io::Result<T>> + 'static,
        convert: impl FnOnce(Python<'_>, T) -> PyResult<Py<PyAny>> + 'static,
    ) -> Started {
        operation::start(py, &self.handle, name, future, work, |py, output| {
            output.map_err(|error| to_exception(py, error)).and_then(|value| convert(py, value))
        })
    }
}

#[pymethods]
impl EventLoop {
    fn sock_recv(
        &self,
        py: Python<'_>,
        future: Py<PyAny>,
        socket: &SharedSocket,
        fd: RawFd,
        size: usize,
    ) -> Started {
        let (event_loop, socket) = (self.handle.clone(), socket.open(py, fd)?);
        let work = async move { event_loop.sock_recv(&socket, size).await };
        self.start(py, "sock_recv", future, work, |py, bytes| bytes.into_py_any(py))
    }

    fn sock_recv_into(
        &self,
        py: Python<'_>,
        future: Py<PyAny>,
        socket: &SharedSocket,
        fd: RawFd,
        buffer: &Bound<'_, PyAny>,
    ) -> Started {
        let (event_loop, socket) = (self.handle.clone(), socket.open(py, fd)?);
        let mut buffer = Buffer::writable(buffer)?;
        let work = async move { event_loop.sock_recv_into(&socket, buffer.bytes_mut()).await };
        self.start(py, "sock_recv_into", future, work, |py, size| size.into_py_any(py))
    }

    fn sock_recvfrom(
        &self,
        py: Python<'_>,
        future: Py<PyAny>,
        socket: &SharedSocket,
        fd: RawFd,
        size: usize,
    ) -> Started {
        let (event_loop, socket) = (self.handle.clone(), socket.open(py, fd)?);
        let work = async move { event_loop.sock_recvfrom(&socket, size).await };
        self.start(py, "sock_recvfrom", future, work, |py, (bytes, peer)| {
            (bytes, address::to_python(py, &peer)?).into_py_any(py)
        })
    }

    fn sock_recvfrom_into(
        &self,
        py: Python<'_>,
        future: Py<PyAny>,
        socket: &SharedSocket,
        fd: RawFd,
        buffer: &Bound<'_, PyAny>,
    ) -> Started {
        let (event_loop, socket) = (self.handle.clone(), socket.open(py, fd)?);
        let mut buffer = Buffer::writable(buffer)?;
        let work = async move { event_loop.sock_recvfrom_into(&socket, buffer.bytes_mut()).await };
        self.start(py, "sock_recvfrom_into", future, work, |py, (size, peer)| {
            (size, address::to_python(py, &peer)?).into_py_any(py)
        })
    }

    fn sock_sendall(
        &self,
        py: Python<'_>,
        future: Py<PyAny>,
        socket: &SharedSocket,
        fd: RawFd,
        data: &Bound<'_, PyAny>,
    ) -> Started {
        let (event_loop, socket) = (self.handle.clone(), socket.open(py, fd)?);
        let data = Buffer::new(data)?;
        let work = async move { event_loop.sock_sendall(&socket, data.bytes()).await };
        self.start(py, "sock_sendall", future, work, |py, ()| Ok(py.None()))
    }

    fn sock_sendto(
        &self,
        py: Python<'_>,
        future: Py<PyAny>,
        socket: &SharedSocket,
        fd: RawFd,
        data: &Bound<'_, PyAny>,
        peer: &Bound<'_, PyAny>,
    ) -> Started {
        let (event_loop, socket) = (self.handle.clone(), socket.open(py, fd)?);
        let (data, peer) = (Buffer::new(data)?, address::from_python(peer)?);
        let work = async move { event_loop.sock_sendto(&socket, data.bytes(), &peer).await };
        self.start(py, "sock_sendto", future, work, |py, size| size.into_py_any(py))
    }

    fn sock_connect(
        &self,
        py: Python<'_>,
        future: Py<PyAny>,
        socket: &SharedSocket,
        fd: RawFd,
        peer: &Bound<'_, PyAny>,
    ) -> Started {
        let (event_loop, socket) = (self.handle.clone(), socket.open(py, fd)?);
        let peer = address::from_python(peer)?;
        let work = async move { event_loop.sock_connect(&socket, &peer).await };
        self.start(py, "sock_connect", future, work, |py, ()| Ok(py.None()))
    }

    fn sock_accept(
        &self,
        py: Python<'_>,
        future: Py<PyAny>,
        socket: &SharedSocket,
        fd: RawFd,
    ) -> Started {
        let (event_loop, socket) = (self.handle.clone(), socket.open(py, fd)?);
        let work = async move { event_loop.sock_accept(&socket).await };
        self.start(py, "sock_accept", future, work, |py, (socket, peer)| {
            accepted(py, socket.into_inner(), &peer)
        })
    }

    #[allow(clippy::too_many_arguments, reason = "asyncio's arguments")]
    fn sock_sendfile(
        &self,
        py: Python<'_>,
        future: Py<PyAny>,
        socket: &SharedSocket,
        fd: RawFd,
        file: RawFd,
        offset: u64,
        count: Option<u64>,
    ) -> Started {
        let (event_loop, socket) = (self.handle.clone(), socket.open(py, fd)?);
        let file = duplicate(file).map_err(|error| to_exception(py, error))?;
        let work = async move {
            let transfer = event_loop.sock_sendfile(&socket, &file);
            let transfer = transfer.offset(offset).fallback(false);
            match count {
                Some(count) => transfer.count(count).await,
                None => transfer.await,
            }
        };
        self.start(py, "sock_sendfile", future, work, |py, sent| sent.into_py_any(py))
    }
}
