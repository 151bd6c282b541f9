//! How much one transfer does before it lets others run.

/// How many bytes it moves: some 0.6 ms on loopback. nginx has 2 MiB too (`sendfile_max_chunk`).
pub(super) const MOST_BYTES: u64 = 2 << 20;

/// How many calls it makes, however little each one moves: a chunk of one byte would hold the loop for as long as two million
/// calls take.
pub(super) const MOST_CALLS: u32 = 128;

/// What a transfer has done since others could run.
#[derive(Debug, Default)]
pub(super) struct Share {
    bytes: u64,
    calls: u32,
}

impl Share {
    /// A call has moved so many bytes.
    pub(super) fn spend(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
        self.calls += 1;
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether it is the others' turn.
    pub(super) fn is_spent(&self) -> bool {
        self.bytes >= MOST_BYTES || self.calls >= MOST_CALLS
    }
}
