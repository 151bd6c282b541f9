//! The rule against a system call that does what a script says.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};

use super::{Reply, attempt, counts};

/// What the script's kernel does at one call: takes so many bytes at most, and fails or not.
#[derive(Clone, Copy, Debug)]
struct Play(usize, Option<i32>);

/// What the length says beside an error for which no manual promises it.
#[derive(Clone, Copy, Debug)]
enum Flavour {
    /// A number of its own, which the kernel has set.
    FreeBsd,
    /// The argument, as it was given.
    MacOs,
}

struct Kernel {
    flavour: Flavour,
    script: VecDeque<Play>,
    file: Vec<u8>,
    arrived: Vec<u8>,
}

/// A kernel with a file of 53 bytes, no two of them the same.
fn kernel(flavour: Flavour, script: &[Play]) -> Kernel {
    Kernel {
        flavour,
        script: script.iter().copied().collect(),
        file: (100..153).collect(),
        arrived: Vec::new(),
    }
}

impl Kernel {
    /// One system call. After the script it takes whatever it is given.
    fn call(&mut self, offset: libc::off_t, len: usize) -> Reply {
        assert_ne!(len, 0, "that would mean: until the end");
        let Play(most, errno) = self.script.pop_front().unwrap_or(Play(len, None));
        let from = usize::try_from(offset).expect("no negative offset");
        let rest = self.file.get(from..).unwrap_or_default();
        let taken = &rest[..most.min(len).min(rest.len())];
        self.arrived.extend(taken);
        let result = errno.map_or(Ok(()), |errno| Err(io::Error::from_raw_os_error(errno)));
        let sent = match (&result, self.flavour) {
            (Err(error), Flavour::MacOs) if !counts(error) => len,
            _ => taken.len(),
        };
        let sent = sent.try_into().expect("a short file");
        Reply { result, sent }
    }
}

/// Sends from `offset` to the end, ten bytes at a time, as a transfer does; gives where it stopped.
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
    panic!("it does not end");
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

/// All scripts of so many calls.
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
fn whatever_the_kernel_answers_every_byte_arrives_once() {
    let all = scripts(4);
    assert_eq!(all.len(), 4096);
    for script in all {
        for flavour in [Flavour::FreeBsd, Flavour::MacOs] {
            let mut kernel = kernel(flavour, &script);
            let end = transfer(&mut kernel, 2).expect("to the end");
            assert_eq!(end, 53, "{script:?}");
            assert_eq!(kernel.arrived, kernel.file[2..], "{script:?}");
        }
    }
}

#[test]
fn other_errors_are_the_answer_whatever_the_count_says() {
    for errno in [libc::EPIPE, libc::ENOTCONN, libc::EIO, libc::ENOBUFS] {
        for flavour in [Flavour::FreeBsd, Flavour::MacOs] {
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
    attempt(0, 10, |offset, len| {
        kernel(Flavour::FreeBsd, &[play]).call(offset, len)
    })
}

#[test]
fn what_was_sent_is_the_answer_and_else_why_nothing_was() {
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
fn at_the_end_of_the_file_nothing_is_sent_and_nothing_is_wrong() {
    for offset in [53, 54, 1 << 40] {
        let mut kernel = kernel(Flavour::MacOs, &[]);
        let sent = attempt(offset, 10, |offset, len| kernel.call(offset, len));
        assert_eq!(sent.expect("the end"), 0);
    }
}

#[test]
fn nothing_is_asked_for_no_bytes_and_beyond_all_offsets() {
    let never = |_, _| -> Reply { panic!("a call") };
    assert_eq!(attempt(5, 0, never).expect("nothing"), 0);
    let error = attempt(1 << 63, 10, never).expect_err("no such offset");
    assert_eq!(error.raw_os_error(), Some(libc::EOVERFLOW));
}

/// No kernel should; but what it could not have sent must not be skipped.
#[test]
fn a_count_of_more_than_was_asked_for_is_not_believed() {
    for (sent, believed) in [(11, 10), (-1, 0)] {
        let reply = |_, _| Reply {
            result: Ok(()),
            sent,
        };
        assert_eq!(attempt(0, 10, reply).expect("a count"), believed);
    }
}
