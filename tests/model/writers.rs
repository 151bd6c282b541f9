//! The case's writers as futures, each with its own waker.
//!
//! The simulation polls only woken writers, so the test notices a lost wake-up.

use std::cell::Cell;
use std::io;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use sendloop::{LoopHandle, Socket};

use crate::model::bench::{Sample, bytes_of};
use crate::model::case::{Transfer, What, When, Writer};
use crate::model::expectation::Expectation;

/// The calls of a transfer's `progress`.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    pub(crate) sent: Cell<u64>,
    /// The most bytes that one step moved.
    pub(crate) longest: Cell<u64>,
    /// True if `progress` was called without progress, or with a smaller total.
    pub(crate) stood: Cell<bool>,
}

impl Meter {
    fn record(&self, sent: u64) {
        let before = self.sent.replace(sent);
        let step = sent.saturating_sub(before);
        self.longest.set(self.longest.get().max(step));
        self.stood.set(self.stood.get() || step == 0);
    }
}

#[derive(Debug)]
pub(crate) enum End {
    Returned(io::Result<u64>),
    Cancelled,
}

struct WakeTimer {
    rung: AtomicBool,
    driver: Waker,
}

impl Wake for WakeTimer {
    fn wake(self: Arc<Self>) {
        self.rung.store(true, Ordering::SeqCst);
        self.driver.wake_by_ref();
    }
}

type Sending<'a> = Pin<Box<dyn Future<Output = io::Result<u64>> + 'a>>;

/// A running writer.
pub(crate) struct Op<'a> {
    pub(crate) writer: &'a Writer,
    pub(crate) meter: Rc<Meter>,
    pub(crate) polls: u32,
    pub(crate) end: Option<End>,
    /// The expectation of a transfer, from its first poll on.
    pub(crate) expectation: Option<Expectation>,
    future: Option<Sending<'a>>,
    wake_timer: Option<Arc<WakeTimer>>,
}

/// The objects that all writers of a case use.
#[derive(Clone, Copy)]
pub(crate) struct Scene<'a> {
    pub(crate) event_loop: &'a LoopHandle,
    pub(crate) near: &'a Socket<OwnedFd>,
    pub(crate) sample: &'a Sample,
}

impl<'a> Op<'a> {
    pub(crate) fn new(scene: Scene<'a>, number: usize, writer: &'a Writer) -> Op<'a> {
        let meter = Rc::<Meter>::default();
        let future = match &writer.what {
            What::Bytes(len) => sendall(scene, bytes_of(number, *len)),
            What::File(transfer) => sendfile(scene, number, transfer, meter.clone()),
        };
        Op {
            writer,
            meter,
            polls: 0,
            end: None,
            expectation: None,
            future: Some(future),
            wake_timer: None,
        }
    }

    pub(crate) fn transfer(&self) -> Option<&'a Transfer> {
        match &self.writer.what {
            What::File(transfer) => Some(transfer),
            What::Bytes(_) => None,
        }
    }

    pub(crate) fn is_woken(&self) -> bool {
        let rung = |wake_timer: &Arc<WakeTimer>| wake_timer.rung.load(Ordering::SeqCst);
        self.end.is_none() && self.wake_timer.as_ref().is_some_and(rung)
    }

    /// Polls the writer, and returns whether it continues.
    pub(crate) fn poll(&mut self, cx: &Context<'_>) -> bool {
        let Some(future) = &mut self.future else {
            return false;
        };
        self.polls += 1;
        let wake_timer = self.wake_timer.get_or_insert_with(|| {
            Arc::new(WakeTimer { rung: AtomicBool::new(false), driver: cx.waker().clone() })
        });
        wake_timer.rung.store(false, Ordering::SeqCst);
        let waker = Waker::from(wake_timer.clone());
        if let Poll::Ready(result) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            self.future = None;
            self.end = Some(End::Returned(result));
        }
        self.end.is_none()
    }

    /// Drops the writer if it is due to be cancelled, and returns whether it did.
    pub(crate) fn cancel_if_due(&mut self, received: u64) -> bool {
        let due = self.end.is_none()
            && self.writer.cancelled.is_some_and(|when| match when {
                When::Polls(polls) => self.polls >= polls,
                When::Sent(sent) => self.meter.sent.get() >= sent,
                When::Received(bytes) => received >= bytes,
            });
        if due {
            self.future = None;
            self.end = Some(End::Cancelled);
        }
        due
    }
}

fn sendall<'a>(scene: Scene<'a>, bytes: &'static [u8]) -> Sending<'a> {
    Box::pin(async move {
        scene.event_loop.sock_sendall(scene.near, bytes).await?;
        Ok(bytes.len() as u64)
    })
}

fn sendfile<'a>(
    scene: Scene<'a>,
    number: usize,
    transfer: &Transfer,
    meter: Rc<Meter>,
) -> Sending<'a> {
    let sending = scene.event_loop.sock_sendfile(scene.near, &scene.sample.file);
    let sending = sending.offset(transfer.offset);
    let sending = sending.fallback(transfer.fallback).prefetch(transfer.prefetch);
    let sending = sending.header(bytes_of(number, transfer.header));
    let mut sending = sending.progress(move |sent| meter.record(sent));
    if let Some(count) = transfer.count {
        sending = sending.count(count);
    }
    if let Some(chunk) = transfer.chunk {
        sending = sending.chunk(chunk);
    }
    if transfer.stall_timeout {
        sending = sending.stall_timeout(Duration::from_secs(600));
    }
    sending = sending.update_position(transfer.update_position);
    Box::pin(sending.into_future())
}
