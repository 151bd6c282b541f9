//! Foreign wakers whose clone or drop calls the loop in the middle of an operation.

use std::cell::RefCell;
use std::future::pending;
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Waker};

use crate::util::*;
use sendloop::{Loop, LoopHandle, Socket};

/// A loop and the socket to receive from.
type Receive = (LoopHandle, Rc<Socket<UnixStream>>);

thread_local! {
    static LAST_OWNER: RefCell<Option<Loop>> = const { RefCell::new(None) };
    static RECEIVES: RefCell<Option<Receive>> = const { RefCell::new(None) };
}

#[test]
fn replacing_a_join_waker_that_ends_the_task_wakes_the_new_one() {
    let _test = test();
    let event_loop = new_loop();
    let mut task = event_loop.create_task(pending::<()>());
    LAST_OWNER.set(Some(event_loop));
    let first = Waker::from(Arc::new(CallOnDrop(|| drop(LAST_OWNER.take()))));
    let polled = Pin::new(&mut task).poll(&mut Context::from_waker(&first));
    assert!(polled.is_pending());
    drop(first);
    let woken = Arc::new(WakeCount::default());
    let second = Waker::from(woken.clone());
    let polled = Pin::new(&mut task).poll(&mut Context::from_waker(&second));
    assert!(task.done());
    assert!(polled.is_ready() || woken.get() > 0);
}

#[test]
fn waker_may_receive_in_its_destructor() {
    let _test = test();
    let event_loop = new_loop();
    let (near, _far) = Socket::pair().expect("a pair");
    let near = Rc::new(near);
    RECEIVES.set(Some((event_loop.handle(), near.clone())));
    let first = Waker::from(Arc::new(CallOnDrop(|| {
        RECEIVES.with_borrow(|receives| {
            let (event_loop, sock) = receives.as_ref().expect("set");
            let cx = Context::from_waker(Waker::noop());
            assert!(event_loop.poll_recv(&cx, sock, &mut [0]).is_pending());
        });
    })));
    for waker in [&first, Waker::noop()] {
        let cx = Context::from_waker(waker);
        assert!(event_loop.poll_recv(&cx, &near, &mut [0]).is_pending());
    }
    drop(first);
    let cx = Context::from_waker(Waker::noop());
    assert!(event_loop.poll_recv(&cx, &near, &mut [0]).is_pending());
    RECEIVES.take();
}
