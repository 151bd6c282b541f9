//! Compares a reply with the expected bytes as it arrives.

use super::request::{HEAD, REFUSED, Request};

/// The end of a reply, with the bytes that had arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Whole,
    /// The server reported that it had no descriptor for the file.
    Refused,
    /// The stream ended before the whole reply had arrived.
    Cut,
    /// A reset before the first byte: the server does not know this client.
    TurnedAway,
}

pub(super) struct Reply {
    body: &'static [u8],
    received: usize,
    refused: bool,
}

impl Reply {
    pub(super) fn to(request: &Request) -> Reply {
        Reply { body: request.bytes(), received: 0, refused: false }
    }

    pub(super) fn received(&self) -> usize {
        self.received
    }

    /// Takes the next piece. It returns false if the piece is wrong.
    pub(super) fn take(&mut self, piece: &[u8]) -> bool {
        if self.received == 0 && piece == REFUSED {
            self.refused = true;
            return true;
        }
        let of_head = HEAD.len().saturating_sub(self.received).min(piece.len());
        let (head, body) = piece.split_at(of_head);
        let head_is = &HEAD[self.received.min(HEAD.len())..][..of_head];
        let at = (self.received + of_head).saturating_sub(HEAD.len());
        let body_is = self.body.get(at..at + body.len());
        self.received += piece.len();
        !self.refused && head == head_is && (body.is_empty() || body_is == Some(body))
    }

    /// Returns the outcome if no more bytes arrive.
    pub(super) fn outcome(&self, was_reset: bool) -> Outcome {
        match self.received {
            _ if self.refused => Outcome::Refused,
            all if all == HEAD.len() + self.body.len() => Outcome::Whole,
            0 if was_reset => Outcome::TurnedAway,
            _ => Outcome::Cut,
        }
    }
}
