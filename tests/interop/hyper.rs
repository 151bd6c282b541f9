//! hyper's server and hyper's client, both on one loop, over `examples/adapters/hyper.rs`.

#[path = "../../examples/adapters/hyper.rs"]
mod adapter;

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;

use crate::util::*;
use adapter::Stream;
use bytes::Bytes;
use futures_util::future::join_all;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use sendloop::{Loop, LoopHandle, Socket, Task};

/// A server on the loop of its clients. It responds with the path and the body of the request.
struct Server {
    addr: SocketAddr,
    accepting: Task<()>,
    connections: Rc<RefCell<Vec<Task<hyper::Result<()>>>>>,
    answered: Rc<Cell<u32>>,
}

impl Server {
    fn start(event_loop: &Loop) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let addr = listener.local_addr().expect("bound");
        let listener = Socket::new(listener).expect("non-blocking");
        let (connections, answered) =
            (Rc::<RefCell<Vec<_>>>::default(), Rc::<Cell<u32>>::default());
        let (list, count, handle) = (connections.clone(), answered.clone(), event_loop.handle());
        let accepting = event_loop.create_task(async move {
            loop {
                let (socket, _) = handle.sock_accept(&listener).await.expect("a client");
                let (connection, count) = (Stream::new(&handle, socket), count.clone());
                let service = service_fn(move |request| answer(request, count.clone()));
                let served = http1::Builder::new().serve_connection(connection, service);
                list.borrow_mut().push(handle.create_task(served));
            }
        });
        Server { addr, accepting, connections, answered }
    }

    /// Ends the server after its clients, and asserts that each connection ended without an error.
    async fn end(self, connections: usize, answered: u32) {
        assert!(self.accepting.cancel());
        let tasks = self.connections.take();
        assert_eq!(tasks.len(), connections);
        for ended in join_all(tasks).await {
            ended.expect("no panic").expect("no error");
        }
        assert_eq!(self.answered.get(), answered);
    }
}

async fn answer(
    request: Request<Incoming>,
    count: Rc<Cell<u32>>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    count.set(count.get() + 1);
    let path = request.uri().path().to_owned();
    let body = request.into_body().collect().await.expect("all of it");
    let text = [path.as_bytes(), b"\n", &body.to_bytes()].concat();
    Ok(Response::new(Full::from(text)))
}

/// Connects a client. Dropping the sender ends the connection.
async fn connect(event_loop: &LoopHandle, addr: SocketAddr) -> SendRequest<Full<Bytes>> {
    let socket = Socket::tcp(&addr).expect("a socket");
    let connected = event_loop.sock_connect(&socket, &addr).await;
    connected.expect("connected");
    let connection = Stream::new(event_loop, socket);
    let (sender, connection) = handshake(connection).await.expect("a handshake");
    event_loop.create_task(async move { connection.await.expect("no error") });
    sender
}

/// Sends one request with a unique path and body, and checks the response.
async fn ask(sender: &mut SendRequest<Full<Bytes>>, name: u64, len: usize) {
    let body = content(name * 8, len);
    let request = Request::post(format!("/{name}"))
        .header("host", "localhost")
        .body(Full::from(body.clone()))
        .expect("a request");
    sender.ready().await.expect("open");
    let response = sender.send_request(request).await.expect("a response");
    assert!(response.status().is_success());
    let answer = response.into_body().collect().await.expect("all of it");
    let answer = answer.to_bytes();
    let path = format!("/{name}\n");
    assert!(answer.starts_with(path.as_bytes()), "the response to another request");
    assert!(answer[path.len()..] == body, "the body of request {name} differs");
}

#[test]
fn ten_thousand_requests_over_one_connection() {
    let _test = test();
    let event_loop = new_loop();
    let server = Server::start(&event_loop);
    event_loop.run_until_complete(async {
        let mut sender = connect(&event_loop, server.addr).await;
        for name in 0..10_000 {
            ask(&mut sender, name, (name % 700) as usize).await;
        }
        drop(sender);
        server.end(1, 10_000).await;
    });
    run_until(&event_loop, || event_loop.stats().tasks == 0);
    assert_eq!(event_loop.stats().registered, 0);
}

#[test]
fn ten_thousand_requests_over_a_hundred_connections_at_once() {
    let _test = test();
    let event_loop = new_loop();
    let server = Server::start(&event_loop);
    event_loop.run_until_complete(async {
        let senders = join_all((0..100).map(|_| connect(&event_loop, server.addr))).await;
        let clients = senders.into_iter().enumerate().map(|(client, mut sender)| {
            event_loop.create_task(async move {
                for n in 0..100 {
                    let name = client as u64 * 100 + n;
                    ask(&mut sender, name, (name % 700) as usize).await;
                }
            })
        });
        for ended in join_all(clients).await {
            ended.expect("no panic");
        }
        server.end(100, 10_000).await;
    });
    run_until(&event_loop, || event_loop.stats().tasks == 0);
    assert_eq!(event_loop.stats().registered, 0);
}

#[test]
fn bodies_larger_than_every_buffer_arrive_whole() {
    let _test = test();
    let event_loop = new_loop();
    let server = Server::start(&event_loop);
    event_loop.run_until_complete(async {
        let mut sender = connect(&event_loop, server.addr).await;
        for (name, len) in [8191, 8192, 8193, ODD, (4 << 20) + 1].into_iter().enumerate() {
            ask(&mut sender, name as u64, len).await;
        }
        drop(sender);
        server.end(1, 5).await;
    });
}
