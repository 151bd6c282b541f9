use super::*;

#[test]
fn internet_addresses_come_back_as_they_went() {
    for text in [
        "127.0.0.1:80",
        "255.1.2.3:65535",
        "[::1]:443",
        "[fe80::1%7]:9",
    ] {
        let addr: SocketAddr = text.parse().expect("an address");
        assert_eq!(RawAddress::from(&addr).to_internet().expect(text), addr);
    }
}

#[test]
fn unix_paths_come_back_as_they_went_and_no_name_stays_none() {
    let address = RawAddress::from_path(Path::new("/tmp/a socket")).expect("short enough");
    let back = address.to_unix().expect("a path");
    assert_eq!(back.as_pathname(), Some(Path::new("/tmp/a socket")));
    let unnamed = RawAddress {
        len: 0,
        ..RawAddress::empty()
    };
    assert!(unnamed.to_unix().expect("no name").is_unnamed());
}

#[test]
fn paths_that_no_socket_can_have_are_refused() {
    for path in ["", "a\0b", &"x".repeat(200)] {
        let error = RawAddress::from_path(Path::new(path)).expect_err("refused");
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }
}
