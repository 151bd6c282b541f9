//! Compares a case with the model: the end of each writer, and every received byte.

use std::io::{Error, ErrorKind};

use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

use crate::model::bench::{FILE, bytes_of};
use crate::model::case::{Case, Transfer, What};
use crate::model::run::Verdict;
use crate::model::simulation::is_refused;
use crate::model::writers::{End, Op};
use crate::util::FORCED_FALLBACK;

pub(crate) struct Outcome<'a> {
    pub(crate) ops: Vec<Op<'a>>,
    /// The file was truncated here for a while. Bytes in flight may arrive as zeros, because they
    /// alias its pages.
    pub(crate) cut: Option<u64>,
    pub(crate) reset: bool,
}

/// A part of what must arrive.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Part {
    bytes: &'static [u8],
    /// True if a beginning of the part is enough.
    whole: bool,
    /// The bytes from this offset on may be zeros.
    zeros: Option<usize>,
}

impl Outcome<'_> {
    pub(crate) fn judge_ends(&self, case: &Case) -> Verdict {
        for op in &self.ops {
            match (&op.writer.what, &op.end) {
                (What::Bytes(len), Some(End::Returned(Ok(sent)))) => {
                    prop_assert_eq!(*len as u64, *sent)
                }
                (What::Bytes(_), Some(End::Returned(Err(error)))) => self.allow_lost(error)?,
                (What::File(transfer), Some(End::Returned(result))) => {
                    self.judge_transfer(case, op, transfer, result)?;
                }
                (_, Some(End::Cancelled)) => judge_short(op)?,
                (_, None) => prop_assert!(false, "a writer without an end"),
            }
        }
        Ok(())
    }

    fn judge_transfer(
        &self,
        case: &Case,
        op: &Op<'_>,
        transfer: &Transfer,
        result: &Result<u64, Error>,
    ) -> Verdict {
        let expectation = op.expectation.as_ref().expect("a writer that was polled");
        let nothing = expectation.is_nothing() && (case.size > 0 || transfer.count == Some(0));
        let unsupported = FORCED_FALLBACK && !transfer.fallback;
        match result {
            result if is_refused(transfer) => {
                let kind = result.as_ref().map_err(Error::kind);
                prop_assert_eq!(kind.err(), Some(ErrorKind::InvalidInput));
            }
            Ok(sent) => {
                prop_assert_eq!(*sent, op.meter.sent.get(), "result and progress");
                let (end, ends) = (transfer.offset + sent, expectation.ends());
                let all = ends.contains(&end) && !unsupported;
                let none = unsupported && *sent == 0 && *ends.start() == transfer.offset;
                prop_assert!(all || none, "the transfer ended at {end}, expected {ends:?}");
            }
            Err(error) if error.kind() == ErrorKind::Unsupported => {
                let resized = self.cut.is_some() || !case.disturbances.is_empty();
                prop_assert!(unsupported && (resized || !nothing), "{error}");
                prop_assert_eq!(op.meter.sent.get(), 0);
            }
            Err(error) => {
                self.allow_lost(error)?;
                judge_short(op)?;
            }
        }
        Ok(())
    }

    fn allow_lost(&self, error: &Error) -> Verdict {
        let lost = [ErrorKind::BrokenPipe, ErrorKind::ConnectionReset];
        prop_assert!(self.reset && lost.contains(&error.kind()), "{error:?}");
        Ok(())
    }

    /// Returns the bytes that must arrive, in order.
    pub(crate) fn parts(&self) -> Vec<Part> {
        let begun = self.ops.iter().enumerate().filter(|(_, op)| op.polls > 0);
        begun.flat_map(|(number, op)| self.parts_of(number, op)).collect()
    }

    fn parts_of(&self, number: usize, op: &Op<'_>) -> Vec<Part> {
        let is_error = |kind: ErrorKind| match &op.end {
            Some(End::Returned(Err(error))) => error.kind() == kind,
            _ => false,
        };
        let well = matches!(op.end, Some(End::Returned(Ok(_))));
        let plain =
            |len: usize, whole: bool| Part { bytes: bytes_of(number, len), whole, zeros: None };
        match &op.writer.what {
            What::Bytes(len) => vec![plain(*len, well)],
            What::File(_) if is_error(ErrorKind::InvalidInput) => Vec::new(),
            What::File(transfer) => {
                let sent = op.meter.sent.get();
                let whole = well || sent > 0 || is_error(ErrorKind::Unsupported);
                vec![plain(transfer.header, whole), self.part_of_file(transfer.offset, sent)]
            }
        }
    }

    fn part_of_file(&self, offset: u64, sent: u64) -> Part {
        let end = offset.saturating_add(sent) as usize;
        let bytes = FILE.get(offset as usize..end).unwrap_or_default();
        Part { bytes, whole: true, zeros: self.cut.map(|cut| cut.saturating_sub(offset) as usize) }
    }
}

/// Checks that a writer that did not complete sent no more than all of its bytes.
fn judge_short(op: &Op<'_>) -> Verdict {
    if let (Some(transfer), Some(expectation)) = (op.transfer(), &op.expectation) {
        let end = transfer.offset.saturating_add(op.meter.sent.get());
        let most = *expectation.ends().end();
        prop_assert!(end <= most, "the writer was at {end}, beyond {most}");
    }
    Ok(())
}

/// Compares the received bytes with the parts.
///
/// After a reset, a prefix is enough.
pub(crate) fn judge(received: &[u8], parts: &[Part], reset: bool) -> Verdict {
    let mut best = 0;
    if matches(received, parts, reset, (0, &mut best)) {
        return Ok(());
    }
    let lens: Vec<_> = parts.iter().map(|part| (part.bytes.len(), part.whole)).collect();
    Err(TestCaseError::fail(format!(
        "{} bytes arrived, correct up to {best}; the parts' lengths, and if whole: {lens:?}",
        received.len()
    )))
}

/// Matches the parts recursively.
///
/// `at` holds the offset of the first part in `received`, and the longest match so far.
fn matches(received: &[u8], parts: &[Part], reset: bool, at: (usize, &mut usize)) -> bool {
    let (from, best) = at;
    let rest = &received[from..];
    let Some((part, parts)) = parts.split_first() else {
        return rest.is_empty();
    };
    let common = part.common(rest);
    *best = (*best).max(from + common);
    if reset && common == rest.len() {
        return true;
    }
    if part.whole {
        return common == part.bytes.len()
            && matches(received, parts, reset, (from + common, best));
    }
    (0..=common).rev().any(|len| matches(received, parts, reset, (from + len, best)))
}

impl Part {
    /// Returns the number of leading correct bytes.
    fn common(&self, received: &[u8]) -> usize {
        let len = self.bytes.len().min(received.len());
        if self.bytes[..len] == received[..len] {
            return len;
        }
        let pairs = self.bytes.iter().zip(received).enumerate();
        let is_wrong = |(n, (expected, got)): (usize, (&u8, &u8))| {
            let zero = *got == 0 && self.zeros.is_some_and(|zeros| n >= zeros);
            expected != got && !zero
        };
        pairs.map(is_wrong).position(|wrong| wrong).unwrap_or(len)
    }
}
