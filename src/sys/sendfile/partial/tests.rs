//! Tests of the rule with a scripted kernel.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};

use super::{attempt, is_count_valid};

type Reply = (io::Result<()>, libc::off_t);

/// One scripted call: the most bytes that it takes, and its error.
#[derive(Clone, Copy, Debug)]
struct Play(usize, Option<i32>);

/// The kernel's count beside an error for which no manual promises it.
#[derive(Clone, Copy, Debug)]
enum Flavour {
    /// The number of bytes taken.
    FreeBsd,
    /// Undefined; here the length of the call.
    DragonFly,
}

struct Kernel {
    flavour: Flavour,
    script: VecDeque<Play>,
    file: Vec<u8>,
    arrived: Vec<u8>,
}

/// Creates a kernel with a file of 53 distinct bytes.
fn kernel(flavour: Flavour, script: &[Play]) -> Kernel {
    Kernel {
        flavour,
        script: script.iter().copied().collect(),
        file: (100..153).collect(),
        arrived: Vec::new(),
    }
}

impl Kernel {
    /// Makes one system call. After the end of the script, it takes all bytes.
    fn call(&mut self, offset: libc::off_t, len: usize) -> Reply {
        assert_ne!(len, 0, "a length of 0 means: until the end");
        let Play(most, errno) = self.script.pop_front().unwrap_or(Play(len, None));
        let from = usize::try_from(offset).expect("no negative offset");
        let rest = self.file.get(from..).unwrap_or_default();
        let taken = &rest[..most.min(len).min(rest.len())];
        self.arrived.extend(taken);
        let result = errno.map_or(Ok(()), |errno| Err(io::Error::from_raw_os_error(errno)));
        let sent = match (&result, self.flavour) {
            (Err(error), Flavour::DragonFly) if !is_count_valid(error) => len,
            _ => taken.len(),
        };
        (result, sent.try_into().expect("a short file"))
    }
}

/// Sends from `offset` to the end, ten bytes at a time, and returns the last position.
fn transfer(kernel: &mut Kernel, offset: u64) -> io::Result<u64> {
    let mut position = offset;
    for _ in 0..100 {
        match attempt(position, 10, |offset, len| kernel.call(offset, len)) {
            Ok(0) => return Ok(position),
            Ok(sent) => position += sent as u64,
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock | ErrorKind::Interrupted => {}
                _ => return Err(error),
            },
        }
    }
    panic!("the transfer does not end");
}

const PLAYS: [Play; 8] = [
    Play(0, Some(libc::EAGAIN)),
    Play(3, Some(libc::EAGAIN)),
    Play(10, Some(libc::EAGAIN)),
    Play(0, Some(libc::EINTR)),
    Play(7, Some(libc::EINTR)),
    Play(1, Some(libc::EBUSY)),
    Play(3, None),
    Play(10, None),
];

/// Returns all scripts of `calls` calls.
fn scripts(calls: usize) -> Vec<Vec<Play>> {
    if calls == 0 {
        return vec![Vec::new()];
    }
    let shorter = scripts(calls - 1);
    let longer = shorter.iter().flat_map(|script| {
        PLAYS.map(|play| script.iter().copied().chain([play]).collect::<Vec<Play>>())
    });
    longer.collect()
}

#[test]
fn each_byte_arrives_once_for_every_script() {
    let all = scripts(4);
    assert_eq!(all.len(), 4096);
    for script in all {
        for flavour in [Flavour::FreeBsd, Flavour::DragonFly] {
            let mut kernel = kernel(flavour, &script);
            let end = transfer(&mut kernel, 2).expect("to the end");
            assert_eq!(end, 53, "{script:?}");
            assert_eq!(kernel.arrived, kernel.file[2..], "{script:?}");
        }
    }
}

#[test]
fn other_errors_are_returned_with_any_count() {
    for errno in [libc::EPIPE, libc::ENOTCONN, libc::EIO, libc::ENOBUFS] {
        for flavour in [Flavour::FreeBsd, Flavour::DragonFly] {
            for taken in [0, 4] {
                let mut kernel = kernel(flavour, &[Play(10, None), Play(taken, Some(errno))]);
                let error = transfer(&mut kernel, 0).expect_err("an error");
                assert_eq!(error.raw_os_error(), Some(errno), "{flavour:?}");
            }
        }
    }
}

#[track_caller]
fn one(play: Play) -> io::Result<usize> {
    attempt(0, 10, |offset, len| kernel(Flavour::FreeBsd, &[play]).call(offset, len))
}

#[test]
fn count_is_returned_if_bytes_were_sent_and_else_the_error() {
    for (errno, kind) in [
        (libc::EAGAIN, ErrorKind::WouldBlock),
        (libc::EINTR, ErrorKind::Interrupted),
        (libc::EBUSY, ErrorKind::ResourceBusy),
    ] {
        assert_eq!(one(Play(4, Some(errno))).expect("a count"), 4);
        let error = one(Play(0, Some(errno))).expect_err("an error");
        assert_eq!(error.kind(), kind);
        assert_eq!(error.raw_os_error(), Some(errno));
    }
}

#[test]
fn end_of_file_returns_0() {
    for offset in [53, 54, 1 << 40] {
        let mut kernel = kernel(Flavour::DragonFly, &[]);
        let sent = attempt(offset, 10, |offset, len| kernel.call(offset, len));
        assert_eq!(sent.expect("the end"), 0);
    }
}

#[test]
fn no_call_is_made_for_0_bytes_or_past_the_largest_offset() {
    let never = |_, _| -> Reply { panic!("a call") };
    assert_eq!(attempt(5, 0, never).expect("nothing"), 0);
    let error = attempt(1 << 63, 10, never).expect_err("no such offset");
    assert_eq!(error.raw_os_error(), Some(libc::EOVERFLOW));
}

#[test]
fn count_beyond_the_length_is_limited_to_it() {
    for (sent, expected) in [(11, 10), (-1, 0)] {
        let reply = |_, _| (Ok(()), sent);
        assert_eq!(attempt(0, 10, reply).expect("a count"), expected);
    }
}
