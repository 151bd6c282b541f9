//! Runs one case in rounds on one thread.
//!
//! A round polls the woken writers, makes the changes that are due, and lets the peer read. Nothing
//! moves without an event, except waits for a number of rounds.

use std::future::poll_fn;
use std::mem;
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::task::{Context, Poll};

use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use sendloop::{Socket, Stats};
use socket2::SockRef;

use crate::model::bench::Received;
use crate::model::case::{Act, Case, Disturbance, Kind, Transfer, When};
use crate::model::expectation::{Change, Expectation};
use crate::model::run::{Verdict, end_at_once};
use crate::model::situations::{Situation, met, note_end, note_stats};
use crate::model::verdict::{Outcome, Part};
use crate::model::writers::{Op, Scene};

/// The most bytes that one call moves.
const CAP: u64 = 1 << 20;
const BUDGET: u64 = 2 << 20;

/// The least offset that some file systems do not support. The position stays unchanged there.
const BEYOND_FILES: u64 = 1 << 43;

/// One case that is running.
pub(crate) struct Simulation<'a> {
    case: &'a Case,
    scene: Scene<'a>,
    far: Option<Socket<OwnedFd>>,
    ops: Vec<Op<'a>>,
    disturbances: Vec<Disturbance>,
    received: &'a mut Received,
    rounds: u32,
    /// The number of reads by the peer.
    reads: u32,
    /// The expected position of the file.
    position: u64,
    /// The smallest size to which the file was truncated.
    cut: Option<u64>,
    before: Stats,
}

impl<'a> Simulation<'a> {
    /// Creates the simulation before the first round.
    pub(crate) fn new(
        scene: Scene<'a>,
        case: &'a Case,
        far: Socket<OwnedFd>,
        received: &'a mut Received,
    ) -> Simulation<'a> {
        let writers = case.writers.iter().enumerate();
        Simulation {
            case,
            scene,
            far: Some(far),
            ops: writers.map(|(n, writer)| Op::new(scene, n, writer)).collect(),
            disturbances: case.disturbances.clone(),
            received,
            rounds: 0,
            reads: 0,
            position: case.position,
            cut: None,
            before: scene.event_loop.stats(),
        }
    }

    /// Plays until all writers have ended.
    ///
    /// It returns the expected bytes, and the peer if it is still open.
    pub(crate) async fn play(mut self) -> Verdict<(Vec<Part>, Option<Socket<OwnedFd>>)> {
        poll_fn(|cx| self.round(cx)).await?;
        self.count()?;
        let outcome = Outcome { ops: self.ops, cut: self.cut, reset: self.far.is_none() };
        outcome.judge_ends(self.case)?;
        Ok((outcome.parts(), self.far))
    }

    fn round(&mut self, cx: &mut Context<'_>) -> Poll<Verdict> {
        self.rounds += 1;
        let mut busy = self.begin_next(cx)?;
        for n in 0..self.ops.len() {
            if self.ops[n].is_woken() {
                self.poll_one(n, cx)?;
                busy = true;
            }
            self.cancel_if_due(n)?;
        }
        self.act();
        busy |= self.read(cx)?;
        if self.ops.iter().all(|op| op.end.is_some()) {
            return Poll::Ready(Ok(()));
        }
        if busy {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }

    /// Starts one writer per round, before it polls the others. It returns whether there are more.
    ///
    /// So the writers start in the order of the list.
    fn begin_next(&mut self, cx: &Context<'_>) -> Verdict<bool> {
        let next = self.ops.iter().position(|op| op.polls == 0 && op.end.is_none());
        let Some(n) = next else { return Ok(false) };
        if self.rounds > self.ops[n].writer.begins && !self.cancel_if_due(n)? {
            let size = self.scene.sample.len();
            let op = &mut self.ops[n];
            op.expectation = op.transfer().map(|transfer| Expectation::new(transfer, size));
            self.poll_one(n, cx)?;
        }
        Ok(true)
    }

    fn poll_one(&mut self, n: usize, cx: &Context<'_>) -> Verdict {
        let op = &mut self.ops[n];
        let before = op.meter.sent.get();
        let goes_on = op.poll(cx);
        let moved = op.meter.sent.get() - before;
        prop_assert!(moved < BUDGET + CAP, "{moved} bytes in one iteration");
        self.check_position(n, goes_on)
    }

    fn cancel_if_due(&mut self, n: usize) -> Verdict<bool> {
        let cancelled = self.ops[n].cancel_if_due(self.received.bytes().len() as u64);
        if cancelled {
            self.check_position(n, false)?;
        }
        Ok(cancelled)
    }

    /// Checks the position, which is set only when a started transfer ends.
    ///
    /// A transfer that does not update the position never sets it.
    fn check_position(&mut self, n: usize, goes_on: bool) -> Verdict {
        let (op, position) = (&self.ops[n], self.scene.sample.position());
        let expected = match op.transfer() {
            Some(transfer)
                if transfer.update_position
                    && !goes_on
                    && op.polls > 0
                    && !is_refused(transfer) =>
            {
                transfer.offset + op.meter.sent.get()
            }
            _ => self.position,
        };
        let stays = expected > BEYOND_FILES && position == self.position;
        let about = if goes_on { "during the transfer" } else { "after the transfer" };
        prop_assert!(
            stays || position == expected,
            "the position is {position}, expected {expected} {about}, writer {n}"
        );
        self.position = position;
        Ok(())
    }

    fn act(&mut self) {
        let polls = self.ops.iter().map(|op| op.polls).sum::<u32>();
        let sent = self.ops.iter().map(|op| op.meter.sent.get()).sum::<u64>();
        let received = self.received.bytes().len() as u64;
        let is_due = |disturbance: &Disturbance| match disturbance.when {
            When::Polls(n) => polls >= n,
            When::Sent(bytes) => sent >= bytes,
            When::Received(bytes) => received >= bytes,
        };
        let disturbances = mem::take(&mut self.disturbances).into_iter();
        let (due, later): (Vec<Disturbance>, _) = disturbances.partition(is_due);
        self.disturbances = later;
        for disturbance in due {
            self.act_one(disturbance.what);
        }
    }

    fn act_one(&mut self, act: Act) {
        match (act, &self.far) {
            (Act::Resize(to), _) => self.resize(to),
            (Act::HalfClose, Some(far)) => {
                let shut = SockRef::from(far.get_ref()).shutdown(Shutdown::Write);
                shut.expect("connected");
            }
            (Act::Reset, Some(far)) => {
                end_at_once(far);
                self.far = None;
            }
            (Act::HalfClose | Act::Reset, None) => {}
        }
    }

    fn resize(&mut self, to: u64) {
        let reads =
            self.scene.event_loop.stats().sendfile_fallbacks > self.before.sendfile_fallbacks;
        let len = self.scene.sample.len();
        if to < len {
            self.cut = Some(self.cut.map_or(to, |cut| cut.min(to)));
        }
        self.scene.sample.resize(to);
        for op in self.ops.iter_mut().filter(|op| op.end.is_none()) {
            if let (Some(transfer), Some(expectation)) = (op.transfer(), &mut op.expectation) {
                let at = transfer.offset.saturating_add(op.meter.sent.get());
                met(Situation::Cut, u64::from(to < at));
                met(Situation::Grown, u64::from(to > len));
                expectation.changed(Change { at, to, reads });
            }
        }
    }

    /// Lets the peer read, unless it pauses. Returns whether the next round has more to do.
    fn read(&mut self, cx: &mut Context<'_>) -> Verdict<bool> {
        let Some(far) = &self.far else {
            return Ok(false);
        };
        if self.rounds % (self.case.reader.rest + 1) != 0 {
            return Ok(true);
        }
        let room = self.received.room(self.case.reader.piece);
        let read = self.scene.event_loop.poll_recv(cx, far, room);
        let len = match read {
            Poll::Ready(Ok(len)) => len,
            Poll::Pending => 0,
            Poll::Ready(Err(error)) => {
                return Err(TestCaseError::fail(format!("the peer met {error}")));
            }
        };
        self.received.add(len);
        self.reads += u32::from(len > 0);
        Ok(read.is_ready())
    }

    /// Checks the counters of the loop.
    fn count(&self) -> Verdict {
        let stats = self.scene.event_loop.stats();
        note_stats(&self.before, &stats);
        let registrations = stats.registrations - self.before.registrations;
        let gone = u64::from(self.far.is_none());
        prop_assert!(registrations <= 2 + gone, "{registrations} registrations of 2 sockets");
        let polls: u32 = self.ops.iter().map(|op| op.polls).sum();
        let full = stats.sendfile_would_block - self.before.sendfile_would_block;
        let begun = 2 * self.ops.len() as u64;
        // On TCP, acknowledgements make room too.
        let most = match self.case.wire.kind {
            Kind::Unix => u64::from(self.reads) + begun,
            Kind::Tcp | Kind::Nagle => u64::from(polls) + begun,
        };
        prop_assert!(full <= most, "{full} times full, at most {most} expected");
        for op in &self.ops {
            let Some(transfer) = op.transfer() else {
                continue;
            };
            note_end(op, transfer);
            let most = transfer.chunk.unwrap_or(CAP).min(CAP);
            prop_assert!(
                op.meter.longest.get() <= most,
                "a step of {} bytes",
                op.meter.longest.get()
            );
            prop_assert!(!op.meter.stood.get(), "`progress` was called without new bytes");
        }
        Ok(())
    }
}

/// Returns whether the transfer's arguments are invalid.
pub(crate) fn is_refused(transfer: &Transfer) -> bool {
    transfer.offset > i64::MAX as u64 || transfer.chunk == Some(0)
}
