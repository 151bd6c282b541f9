//! `retry` as a program. Its own unit tests run in virtual time.

use std::net::TcpListener;

use crate::examples::program::Program;

#[test]
fn retry_connects_once_a_server_listens() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    let mut program = Program::start("retry", &["localhost", &address.port().to_string()]);
    assert_eq!(program.line(), format!("connected to {address}"));
    assert_eq!(program.wait().0.code(), Some(0));
}
