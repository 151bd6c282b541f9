use super::*;

#[test]
fn ip_addresses_survive_the_round_trip() {
    for text in ["127.0.0.1:80", "255.1.2.3:65535", "[::1]:443", "[fe80::1%7]:9"] {
        let addr: SocketAddr = text.parse().expect("an address");
        assert_eq!(RawAddress::from(&addr).to_internet().expect(text), addr);
    }
}

#[test]
fn unix_paths_and_unnamed_addresses_survive_the_round_trip() {
    let address = RawAddress::from_path(Path::new("/tmp/a socket")).expect("short enough");
    let back = address.to_unix().expect("a path");
    assert_eq!(back.as_pathname(), Some(Path::new("/tmp/a socket")));
    let unnamed = RawAddress { len: 0, ..RawAddress::empty() };
    assert!(unnamed.to_unix().expect("no name").is_unnamed());
}

#[test]
fn invalid_socket_paths_are_refused() {
    for path in ["", "a\0b", &"x".repeat(200)] {
        let error = RawAddress::from_path(Path::new(path)).expect_err("refused");
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }
}
