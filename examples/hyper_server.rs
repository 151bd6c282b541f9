//! An HTTP/1 server over hyper. It responds to each request with its method, target and body.
//!
//! `adapters/hyper.rs` connects hyper to the loop. To try it:
//!
//! ```text
//! cargo run --example hyper_server                    # or with another address: -- 127.0.0.1:0
//! curl -i --data hello http://127.0.0.1:8080/a/path
//! ```

#[path = "adapters/hyper.rs"]
mod adapter;

use std::convert::Infallible;
use std::env;
use std::io;
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use adapter::Stream;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use sendloop::{LoopHandle, Socket};

/// The pause after an accept error: the process may be out of descriptors.
const PAUSE: Duration = Duration::from_millis(100);

fn main() -> io::Result<()> {
    let addr = env::args().nth(1);
    let addr = addr.as_deref().unwrap_or("127.0.0.1:8080");
    let listener = TcpListener::bind(addr)?;
    println!("listening on http://{}", listener.local_addr()?);
    let listener = Socket::new(listener)?;
    match sendloop::run(async |event_loop| accept(&event_loop, &listener).await) {
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()), // Ctrl-C
        result => result,
    }
}

async fn accept(event_loop: &LoopHandle, listener: &Socket<TcpListener>) {
    loop {
        match event_loop.sock_accept(listener).await {
            Ok((socket, _)) => {
                event_loop.create_task(serve(event_loop.clone(), socket));
            }
            Err(error) => {
                eprintln!("cannot accept: {error}");
                event_loop.sleep(PAUSE).await;
            }
        }
    }
}

async fn serve(event_loop: LoopHandle, socket: Socket<TcpStream>) {
    let connection = Stream::new(&event_loop, socket);
    let served = http1::Builder::new().serve_connection(connection, service_fn(answer));
    if let Err(error) = served.await {
        eprintln!("connection failed: {error}");
    }
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let line = format!("{} {}\n", request.method(), request.uri());
    let Ok(body) = request.into_body().collect().await else {
        let mut bad = Response::new(Full::from("the body broke off\n"));
        *bad.status_mut() = StatusCode::BAD_REQUEST;
        return Ok(bad);
    };
    let text = [line.as_bytes(), &body.to_bytes()].concat();
    Ok(Response::new(Full::from(text)))
}
