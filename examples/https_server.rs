//! An HTTPS file server over rustls. Executor threads read the files, a block at a time.
//!
//! ```text
//! openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=localhost \
//!     -addext subjectAltName=DNS:localhost -keyout key.pem -out cert.pem
//! cargo run --example https_server -- . cert.pem key.pem
//! curl --cacert cert.pem https://localhost:8443/README.md
//! ```

#[path = "adapters/tokio.rs"]
mod adapter;

use std::fs::File;
use std::io::{self, Read};
use std::net::{TcpListener, TcpStream};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::{env, error::Error, time::Duration};

use sendloop::{LoopHandle, Socket};
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};

const BLOCK: u64 = 128 << 10;
const MAX_REQUEST: u64 = 16 << 10;
const TIMEOUT: Duration = Duration::from_secs(30);
const NOT_FOUND: &[u8] =
    b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = env::args().skip(1).collect();
    let [root, cert, key, addr @ ..] = args.as_slice() else {
        return Err("usage: https_server ROOT CERT KEY [ADDR:PORT]".into());
    };
    let certs = CertificateDer::pem_file_iter(cert)?.collect::<Result<_, _>>()?;
    let config = ServerConfig::builder().with_no_client_auth();
    let config = config.with_single_cert(certs, PrivateKeyDer::from_pem_file(key)?)?;
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind(addr.first().map_or("127.0.0.1:8443", String::as_str))?;
    println!("listening on https://{}", listener.local_addr()?);
    let listener = Socket::new(listener)?;
    let ended = sendloop::run(async |event_loop| {
        loop {
            let Ok((client, peer)) = event_loop.sock_accept(&listener).await else {
                // The process is out of descriptors, for example.
                event_loop.sleep(Duration::from_millis(100)).await;
                continue;
            };
            let (handle, acceptor, root) = (event_loop.clone(), acceptor.clone(), root.into());
            event_loop.create_task(async move {
                if let Err(error) = serve(&handle, client, acceptor, root).await {
                    eprintln!("{peer}: {error}");
                }
            });
        }
    });
    match ended {
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()), // Ctrl-C
        result => Ok(result?),
    }
}

async fn serve(
    event_loop: &LoopHandle,
    client: Socket<TcpStream>,
    acceptor: TlsAcceptor,
    root: PathBuf,
) -> io::Result<()> {
    let handshake = acceptor.accept(adapter::Stream::new(event_loop, client));
    let mut tls = BufReader::new(event_loop.wait_for(handshake, TIMEOUT).await??);
    let path = event_loop.wait_for(read_request(&mut tls), TIMEOUT).await??;
    let Some((mut file, len)) = open(event_loop, &root, path).await? else {
        tls.write_all(NOT_FOUND).await?;
        return tls.shutdown().await;
    };
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {len}\r\nConnection: close\r\n\r\n");
    tls.write_all(head.as_bytes()).await?;
    let mut rest = len;
    while rest > 0 {
        // The closure owns the file while it runs, and returns it with the block.
        let read = event_loop.run_in_executor(move || {
            let mut block = Vec::new();
            let mut limited = file.take(rest.min(BLOCK));
            limited.read_to_end(&mut block)?;
            io::Result::Ok((limited.into_inner(), block))
        });
        let block;
        (file, block) = read.await??;
        if block.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        event_loop.wait_for(tls.write_all(&block), TIMEOUT).await??;
        rest -= block.len() as u64;
    }
    event_loop.wait_for(tls.shutdown(), TIMEOUT).await?
}

/// Reads a request with its header fields, and returns the path if this server may open it.
async fn read_request(tls: impl AsyncBufRead + Unpin) -> io::Result<Option<PathBuf>> {
    let mut lines = tls.take(MAX_REQUEST).lines();
    let request = lines.next_line().await?.unwrap_or_default();
    while lines.next_line().await?.is_some_and(|field| !field.is_empty()) {}
    let target = request.strip_prefix("GET /").and_then(|rest| rest.split(' ').next());
    let path = target.map(PathBuf::from);
    let is_plain = |path: &PathBuf| {
        let mut parts = path.components();
        parts.all(|part| matches!(part, Component::Normal(_)))
    };
    Ok(path.filter(is_plain))
}

/// Opens a file and returns it with its length, or `None` if there is no such file.
async fn open(
    event_loop: &LoopHandle,
    root: &Path,
    path: Option<PathBuf>,
) -> io::Result<Option<(File, u64)>> {
    let Some(path) = path.map(|path| root.join(path)) else {
        return Ok(None);
    };
    let opened = event_loop.run_in_executor(move || {
        let file = File::open(path).ok()?;
        let metadata = file.metadata().ok()?;
        metadata.is_file().then_some((file, metadata.len()))
    });
    Ok(opened.await?)
}
