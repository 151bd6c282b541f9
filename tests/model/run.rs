//! One case from its connection to its verdict.

use std::os::fd::OwnedFd;
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use sendloop::{LoopHandle, Socket};
use socket2::SockRef;

use crate::model::bench::{Bench, Received};
use crate::model::case::{Case, MAX_PIECE};
use crate::model::simulation::Simulation;
use crate::model::verdict::judge;
use crate::model::writers::Scene;

pub(crate) type Verdict<T = ()> = Result<T, TestCaseError>;

/// Runs the case, and compares it with the model.
pub(crate) fn run(bench: &mut Bench, case: &Case) -> Verdict {
    let mut received = bench.received.take();
    received.clear();
    let carried_out = carry_out(bench, case, &mut received);
    let verdict = bench.event_loop.run_until_complete(carried_out);
    bench.received = received;
    verdict
}

async fn carry_out(bench: &Bench, case: &Case, received: &mut Received) -> Verdict {
    let event_loop: &LoopHandle = &bench.event_loop;
    let registered = event_loop.stats().registered;
    let sample = bench.sample(case);
    let (near, far) = bench.connect(&case.wire);
    let scene = Scene { event_loop, near: &near, sample };
    let simulation = Simulation::new(scene, case, far, received);
    let (parts, far) = simulation.play().await?;
    drop(near);
    let reset = far.is_none();
    if let Some(far) = far {
        drain(event_loop, far, received).await?;
    }
    judge(received.bytes(), &parts, reset)?;
    let after = event_loop.stats().registered;
    prop_assert_eq!(after, registered, "sockets in the poller");
    Ok(())
}

/// Reads up to the end, and closes the connection without TIME_WAIT, which would keep the port.
async fn drain(event_loop: &LoopHandle, far: Socket<OwnedFd>, received: &mut Received) -> Verdict {
    loop {
        let room = received.room(MAX_PIECE);
        match event_loop.sock_recv_into(&far, room).await {
            Ok(0) => break,
            Ok(len) => received.add(len),
            Err(error) => prop_assert!(false, "the peer met {error}"),
        }
    }
    end_at_once(&far);
    Ok(())
}

/// Makes the next close of a TCP socket send a reset.
pub(crate) fn end_at_once(far: &Socket<OwnedFd>) {
    let set = SockRef::from(far.get_ref()).set_linger(Some(Duration::ZERO));
    set.expect("any socket has it");
}
