//! Tests of all servers, and of the sources of the examples.

use std::fs;
use std::io::Read;
use std::net::Shutdown;
use std::path::Path;
use std::process::Command;

use rustix::process::Signal;

use crate::examples::program::{Program, connect, content, read_all, send};

#[test]
fn servers_end_on_ctrl_c_without_an_error() {
    for name in ["echo_server", "hyper_server", "line_server"] {
        let mut server = Program::start(name, &["127.0.0.1:0"]);
        let mut client = connect(server.address());
        // The loop runs once the server has responded.
        send(&client, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
        client.read_exact(&mut [0]).expect("an answer");
        server.signal(Signal::INT);
        let (status, errors) = server.wait();
        assert_eq!((status.code(), errors.as_str()), (Some(0), ""), "{name}");
    }
}

#[test]
fn echo_server_serves_a_second_client_while_the_first_is_silent() {
    let mut server = Program::start("echo_server", &["127.0.0.1:0"]);
    let address = server.address();
    let _silent = connect(address);
    let client = connect(address);
    send(&client, &content(10_001));
    client.shutdown(Shutdown::Write).expect("connected");
    assert!(read_all(&client) == content(10_001));
}

#[test]
fn hyper_server_answers_curl() {
    let mut server = Program::start("hyper_server", &["127.0.0.1:0"]);
    let url = format!("http://{}/a/path", server.address());
    let mut curl = Command::new("curl");
    curl.args(["-sS", "--max-time", "60", "--data", "hello", &url]);
    let output = curl.output().expect("curl runs");
    assert_eq!(output.stdout, b"POST /a/path\nhello", "{:?}", output.stderr);
}

/// A reader should see each of these examples on one page.
#[test]
fn examples_to_copy_have_fewer_than_80_lines() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let adapters = ["futures_io", "hyper", "tokio"].map(|name| format!("adapters/{name}"));
    let programs = ["agent", "chat", "embed_calloop", "embed_poll", "proxy", "retry"];
    for name in adapters.into_iter().chain(programs.map(str::to_owned)) {
        let text = fs::read_to_string(folder.join(format!("{name}.rs"))).expect("a source");
        assert!(text.lines().count() < 80, "{name}");
    }
}
