//! `line_server`: `BufReader::lines` over a socket.

use std::net::Shutdown;

use crate::examples::program::{Program, connect, read_all, send};

#[test]
fn line_server_answers_lines_in_any_pieces() {
    let mut server = Program::start("line_server", &["127.0.0.1:0"]);
    let client = connect(server.address());
    // A line in three pieces, two lines in one, and a last line without its end.
    for piece in ["he", "ll", "o\n", "\nsecond\n", "third"] {
        send(&client, piece.as_bytes());
    }
    client.shutdown(Shutdown::Write).expect("connected");
    let expected = "line 0: 5 bytes\nline 1: 0 bytes\nline 2: 6 bytes\nline 3: 5 bytes\n";
    assert_eq!(read_all(&client), expected.as_bytes());
}

#[test]
fn line_server_reads_a_line_larger_than_its_buffers() {
    let mut server = Program::start("line_server", &["127.0.0.1:0"]);
    let client = connect(server.address());
    send(&client, &[b'x'; 1_000_001]);
    client.shutdown(Shutdown::Write).expect("connected");
    assert_eq!(read_all(&client), b"line 0: 1000001 bytes\n");
}

#[test]
fn line_server_survives_a_line_that_is_not_utf_8() {
    let mut server = Program::start("line_server", &["127.0.0.1:0"]);
    let address = server.address();
    let bad = connect(address);
    send(&bad, b"\xff\n");
    assert_eq!(read_all(&bad), b"");
    let good = connect(address);
    send(&good, b"line\n");
    good.shutdown(Shutdown::Write).expect("connected");
    assert_eq!(read_all(&good), b"line 0: 4 bytes\n");
}
