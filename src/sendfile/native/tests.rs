use super::*;

fn of(errno: i32) -> SendOutcome {
    SendOutcome::of_sendfile(Err(io::Error::from_raw_os_error(errno)))
}

#[test]
fn only_five_errors_mean_not_available() {
    for errno in 1..=133 {
        let not_available = matches!(of(errno), SendOutcome::NotAvailable(e) if e == errno);
        let listed = [libc::EINVAL, libc::ENOSYS, libc::EOPNOTSUPP, libc::EPERM, libc::ESPIPE];
        assert_eq!(not_available, listed.contains(&errno), "errno {errno}");
    }
}

#[test]
fn errors_of_the_connection_and_the_file_are_kept() {
    let errors = [
        libc::EPIPE,
        libc::ECONNRESET,
        libc::ENOTCONN,
        libc::ETIMEDOUT,
        libc::EBADF,
        libc::EIO,
        libc::ENOMEM,
    ];
    for errno in errors {
        match of(errno) {
            SendOutcome::Failed(error) => assert_eq!(error.raw_os_error(), Some(errno)),
            other => panic!("errno {errno} became {other:?}"),
        }
    }
}

#[test]
fn again_interrupted_and_overflow_have_their_own_outcomes() {
    assert!(matches!(of(libc::EAGAIN), SendOutcome::WouldBlock));
    assert!(matches!(of(libc::EINTR), SendOutcome::Interrupted));
    assert!(matches!(of(libc::EOVERFLOW), SendOutcome::PastEveryFile));
}
