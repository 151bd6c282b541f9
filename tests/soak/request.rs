//! A client's request, in 16 bytes.

use std::sync::LazyLock;
use std::time::Duration;

use fastrand::Rng;

use crate::util::content;

pub(super) const LEN: usize = 16;

/// The bytes that the server sends before the requested ones.
pub(super) const HEAD: &[u8] = b"+ here it comes: ";

/// The reply if the server has no descriptor for a file.
pub(super) const REFUSED: &[u8] = b"-";

/// The content of the file, of replies from memory, and of uploads.
pub(super) static CONTENT: LazyLock<Vec<u8>> = LazyLock::new(|| content(0, (1 << 20) + 1));

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    Echo,
    Upload,
    Memory,
    File,
}

const KINDS: [What; 4] = [What::Echo, What::Upload, What::Memory, What::File];

/// The head is sent in the same transfer as the file.
const HEADER: u8 = 1;
const NO_PREFETCH: u8 = 2;
/// The file is opened with O_DIRECT, so that sendfile(2) refuses it.
const DIRECT: u8 = 4;
/// The client reads the whole reply.
const MUST_ARRIVE: u8 = 8;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) what: What,
    ways: u8,
    /// Milliseconds after which the server cancels its transfer, or 0.
    deadline: u16,
    offset: u32,
    count: u32,
}

impl Request {
    /// Requests a random part of the content, mostly a small one.
    pub(super) fn random(rng: &mut Rng, what: What) -> Request {
        let most = match rng.u8(..) {
            0..200 => 16 << 10,
            200..245 => 256 << 10,
            _ => CONTENT.len() as u32,
        };
        let count = rng.u32(..=most);
        Request {
            what,
            ways: rng.u8(..) & (HEADER | NO_PREFETCH) | [0, 0, 0, DIRECT][rng.usize(..4)],
            deadline: 0,
            offset: rng.u32(..=CONTENT.len() as u32 - count),
            count,
        }
    }

    /// Changes the request to all of the content, which is more than the buffers hold.
    pub(super) fn of_all(mut self) -> Request {
        (self.offset, self.count) = (0, CONTENT.len() as u32);
        self
    }

    pub(super) fn that_must_arrive(mut self) -> Request {
        self.ways |= MUST_ARRIVE;
        self
    }

    pub(super) fn cancel_after(mut self, millis: u16) -> Request {
        self.deadline = millis;
        self
    }

    pub(super) fn encode(&self) -> [u8; LEN] {
        let mut bytes = [0; LEN];
        bytes[0] = self.what as u8;
        bytes[1] = self.ways;
        bytes[2..4].copy_from_slice(&self.deadline.to_be_bytes());
        bytes[4..8].copy_from_slice(&self.offset.to_be_bytes());
        bytes[8..12].copy_from_slice(&self.count.to_be_bytes());
        bytes
    }

    pub(super) fn decode(bytes: &[u8; LEN]) -> Request {
        let number = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().expect("four"));
        Request {
            what: KINDS[bytes[0] as usize],
            ways: bytes[1],
            deadline: u16::from_be_bytes([bytes[2], bytes[3]]),
            offset: number(4),
            count: number(8),
        }
    }

    fn goes(&self, way: u8) -> bool {
        self.ways & way != 0
    }

    pub(super) fn with_header(&self) -> bool {
        self.goes(HEADER)
    }

    pub(super) fn prefetch(&self) -> bool {
        !self.goes(NO_PREFETCH)
    }

    pub(super) fn direct(&self) -> bool {
        self.goes(DIRECT)
    }

    pub(super) fn must_arrive(&self) -> bool {
        self.goes(MUST_ARRIVE)
    }

    pub(super) fn deadline(&self) -> Option<Duration> {
        (self.deadline > 0).then(|| Duration::from_millis(self.deadline.into()))
    }

    pub(super) fn offset(&self) -> u64 {
        self.offset.into()
    }

    pub(super) fn count(&self) -> u64 {
        self.count.into()
    }

    pub(super) fn bytes(&self) -> &'static [u8] {
        &CONTENT[self.offset as usize..][..self.count as usize]
    }
}
