//! Destructors of fd callbacks that call the loop or panic.

use std::cell::{Cell, RefCell};
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::rc::Rc;

use crate::util::*;
use sendloop::Socket;

fn streams() -> (Rc<UnixStream>, UnixStream) {
    let (near, far) = UnixStream::pair().expect("a pair");
    (Rc::new(near), far)
}

/// A callback that does nothing but hold `held`.
fn holding<T: 'static>(held: T) -> impl FnMut() + 'static {
    move || {
        let _held = &held;
    }
}

#[test]
fn readers_destructor_may_remove_the_writer() {
    let _test = test();
    let event_loop = new_loop();
    let (near, _far) = streams();
    let removed = Rc::new(Cell::new(None));
    let (handle, own, tells) = (event_loop.handle(), near.clone(), removed.clone());
    let at_end = CallOnDrop(move || tells.set(Some(handle.remove_writer(&*own))));
    event_loop.add_writer(&*near, || {}).expect("watched");
    let reader = holding(at_end);
    event_loop.add_reader(&*near, reader).expect("watched");
    assert!(event_loop.remove_reader(&*near));
    assert_eq!(removed.get(), Some(true), "it found no writer");
    assert!(!event_loop.remove_writer(&*near));
    assert_eq!(event_loop.stats().registered, 0);
}

#[test]
fn readers_destructor_may_replace_the_writer() {
    let _test = test();
    for replaced in [true, false] {
        let event_loop = new_loop();
        let (near, _far) = streams();
        let (first, second) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
        let counts = first.clone();
        let writer = move || counts.set(counts.get() + 1);
        event_loop.add_writer(&*near, writer).expect("watched");
        let (handle, own, counts) = (event_loop.handle(), near.clone(), second.clone());
        let at_end = CallOnDrop(move || {
            let counts = counts.clone();
            let writer = move || counts.set(counts.get() + 1);
            handle.add_writer(&*own, writer).expect("watched");
        });
        let reader = holding(at_end);
        event_loop.add_reader(&*near, reader).expect("watched");
        if replaced {
            event_loop.add_reader(&*near, || {}).expect("watched");
        } else {
            assert!(event_loop.remove_reader(&*near));
        }
        run_iteration(&event_loop);
        assert_eq!((first.get(), second.get()), (0, 1), "replaced: {replaced}");
        assert_eq!(Rc::strong_count(&first), 1);
        assert_eq!(event_loop.remove_reader(&*near), replaced);
        assert!(event_loop.remove_writer(&*near));
        assert_eq!(event_loop.stats().registered, 0);
    }
}

#[test]
fn panicking_callback_destructors_do_not_stop_other_drops() {
    let _test = test();
    let (event_loop, other) = (new_loop(), new_loop());
    let reports = Rc::new(Cell::new(0));
    let counted = reports.clone();
    event_loop.set_exception_handler(move |_| counted.set(counted.get() + 1));
    let held = Rc::new(());
    let panics_on_drop = || {
        let panics_on_drop = CallOnDrop(|| panic!("an expected panic"));
        holding((panics_on_drop, held.clone()))
    };
    let pairs: Vec<_> = (0..3).map(|_| streams()).collect();
    for (near, _) in &pairs {
        event_loop.add_reader(&**near, panics_on_drop()).expect("watched");
        event_loop.add_writer(&**near, panics_on_drop()).expect("watched");
    }
    let (near, _far) = Socket::pair().expect("a pair");
    let handle = event_loop.handle();
    let waits = other.create_task(async move { handle.sock_recv(&near, 1).await });
    run_iteration(&other);
    drop(event_loop);
    assert_eq!((Rc::strong_count(&held), reports.get()), (1, 6));
    let result = other.run_until_complete(waits).expect("no panic");
    result.expect_err("the loop is closed");
}

#[test]
fn panicking_callback_destructor_keeps_other_callbacks() {
    let _test = test();
    let event_loop = new_loop();
    let (near, _far) = streams();
    let calls = Rc::new(Cell::new(0));
    let counts = calls.clone();
    let writer = move || counts.set(counts.get() + 1);
    event_loop.add_writer(&*near, writer).expect("watched");
    let panics_on_drop = CallOnDrop(|| panic!("an expected panic"));
    let reader = holding(panics_on_drop);
    event_loop.add_reader(&*near, reader).expect("watched");
    let remove = std::panic::AssertUnwindSafe(|| event_loop.remove_reader(&*near));
    std::panic::catch_unwind(remove).expect_err("its panic reaches the remover");
    run_iteration(&event_loop);
    assert_eq!(calls.get(), 1);
    assert!(event_loop.remove_writer(&*near));
}

#[test]
fn descriptor_is_unregistered_before_its_callback_is_dropped() {
    let _test = test();
    let event_loop = new_loop();
    let (near, mut far) = streams();
    let left = Rc::new(RefCell::new(Vec::new()));
    let fd_callback = || {
        let (handle, left) = (event_loop.handle(), left.clone());
        let at_end = CallOnDrop(move || left.borrow_mut().push(handle.stats().registered));
        holding(at_end)
    };
    event_loop.add_reader(&*near, fd_callback()).expect("watched");
    assert!(event_loop.remove_reader(&*near));
    // The same while it is called.
    let (handle, own, fd_callback) = (event_loop.handle(), near.clone(), fd_callback());
    let removes_itself = move || {
        let _fd_callback = &fd_callback;
        assert!(handle.remove_reader(&*own));
    };
    event_loop.add_reader(&*near, removes_itself).expect("watched");
    far.write_all(b"x").expect("room");
    run_iteration(&event_loop);
    run_iteration(&event_loop);
    assert_eq!(*left.borrow(), [0, 0]);
}
