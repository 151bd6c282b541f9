use std::io::{self, Write};

use smol::LocalExecutor;
use smol::io::{AsyncReadExt, AsyncWriteExt};
use smol::net::{TcpListener, TcpStream};

fn main() -> io::Result<()> {
    let executor = LocalExecutor::new();
    smol::block_on(executor.run(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        println!("ready {}", listener.local_addr()?.port());
        io::stdout().flush()?;
        loop {
            let (client, _) = listener.accept().await?;
            executor.spawn(serve(client)).detach();
        }
    }))
}

async fn serve(mut client: TcpStream) -> io::Result<()> {
    let mut buffer = [0; 1024];
    loop {
        let read = client.read(&mut buffer).await?;
        if read == 0 {
            return Ok(());
        }
        client.write_all(&buffer[..read]).await?;
    }
}
