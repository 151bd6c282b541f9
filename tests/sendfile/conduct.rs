//! The cost of a transfer for other tasks and for the machine.

use std::fs::File;
use std::io::Read;
use std::rc::Rc;
use std::time::Duration;

use crate::util::ticker::Ticker;
use crate::util::*;
use sendloop::Socket;

/// Reads and forgets `len` bytes as fast as it can.
fn discard(mut from: impl Read + Send + 'static, len: u64) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        let mut buffer = vec![0; 1 << 20];
        let mut left = len;
        while left > 0 {
            left -= from.read(&mut buffer).expect("open") as u64;
        }
    })
}

/// Creates a sparse file of zeros, in the page cache.
///
/// The test does not measure the time in which the kernel finds memory for the page cache. A
/// virtual machine took 25 ms per MiB.
fn sparse(len: u64) -> File {
    let file = tempfile::tempfile_in(env!("CARGO_TARGET_TMPDIR")).expect("a temporary file");
    file.set_len(len).expect("room for nothing");
    discard(file.try_clone().expect("a duplicate"), len).join().expect("read");
    file
}

#[test]
fn waiting_transfer_uses_no_cpu() {
    let _test = test();
    let event_loop = new_loop();
    let (near, _far) = small_buffer_tcp();
    let file = file(8 << 20);
    let transfer = event_loop.sock_sendfile(&near, &file);
    let mut transfer = std::pin::pin!(transfer.into_future());
    let timed_wait = event_loop.wait_for(transfer.as_mut(), Duration::from_millis(100));
    event_loop.run_until_complete(timed_wait).expect_err("the peer does not read");
    let (cpu, before) = (thread_times().0, event_loop.stats());
    let timed_wait = event_loop.wait_for(transfer, Duration::from_secs(2));
    event_loop.run_until_complete(timed_wait).expect_err("the peer does not read");
    let after = event_loop.stats();
    assert!(after.iterations - before.iterations < 10, "{after:?}");
    assert!(after.polls - before.polls < 10, "{after:?}");
    assert!(after.sendfile_calls - before.sendfile_calls < 10, "{after:?}");
    // The kernel counts interrupts as time of the thread, here up to 18 ms.
    let used = thread_times().0 - cpu;
    assert!(used < Duration::from_millis(200), "{used:?} in two seconds");
}

#[test]
fn gibibyte_transfer_needs_one_registration_and_delays_no_timer() {
    let _test = test();
    let event_loop = new_loop();
    let (near, far) = tcp();
    let len = 1 << 30;
    let reader = discard(far, len);
    let near = Socket::new(near).expect("non-blocking");
    let file = sparse(len);
    let ticker = Ticker::start(&event_loop);
    let sent = event_loop.run_until_complete(event_loop.sock_sendfile(&near, &file));
    assert_eq!(sent.expect("sent"), len);
    reader.join().expect("read");
    let stats = event_loop.stats();
    assert!(stats.registrations <= 1, "{stats:?}");
    let (worst, ticks) = (ticker.worst(), ticker.ticks());
    assert!(worst < Duration::from_millis(20), "{worst:?} late");
    assert!(ticks > 20, "{ticks} ticks");
    if !FORCED_FALLBACK {
        assert!(stats.sendfile_yields > 10, "{stats:?}");
        assert!(stats.sendfile_calls >= 1024, "{stats:?}");
    }
}

#[test]
fn small_transfer_needs_one_call_and_no_registration() {
    let _test = test();
    let event_loop = new_loop();
    let (near, _far) = tcp();
    let near = Socket::new(near).expect("non-blocking");
    let file = file(ODD);
    let transfer = event_loop.sock_sendfile(&near, &file).count(4096);
    assert_eq!(event_loop.run_until_complete(transfer).expect("sent"), 4096);
    let stats = event_loop.stats();
    assert_eq!(stats.registrations, 0);
    assert!(FORCED_FALLBACK || stats.sendfile_calls == 1, "{stats:?}");
}

#[test]
fn writers_get_the_write_lock_in_the_order_of_their_start() {
    let _test = test();
    let event_loop = new_loop();
    let (near, far) = small_buffer_unix();
    let (near, file) = (Rc::new(near), Rc::new(file(ODD)));
    let mut tasks = Vec::new();
    for n in 0..6_u8 {
        let (handle, near, file) = (event_loop.handle(), near.clone(), file.clone());
        tasks.push(event_loop.create_task(async move {
            if n % 2 == 0 {
                handle.sock_sendall(&near, &vec![n; 50_000]).await.expect("sent");
            } else {
                let transfer = handle.sock_sendfile(&near, &file).offset(n.into());
                transfer.count(50_001).await.expect("sent");
            }
        }));
    }
    // A waiting writer is cancelled, so the next writer gets the write lock.
    run_until(&event_loop, || event_loop.stats().registered == 1);
    tasks[2].cancel();
    let received = reader(far);
    for (n, task) in tasks.into_iter().enumerate() {
        assert_eq!(event_loop.run_until_complete(task).is_err(), n == 2);
    }
    drop(near);
    let all = received.join().expect("read");
    let mut expected = vec![0; 50_000];
    expected.extend(content(1, 50_001));
    expected.extend(content(3, 50_001));
    expected.extend([4; 50_000]);
    expected.extend(content(5, 50_001));
    assert_eq!(all.len(), expected.len());
    assert!(all == expected);
}

#[test]
fn cancelled_writer_passes_the_write_lock_on() {
    let _test = test();
    let event_loop = new_loop();
    let (near, far) = small_buffer_unix();
    let (near, file) = (Rc::new(near), Rc::new(file(ODD)));
    let start = |offset| {
        let (handle, near, file) = (event_loop.handle(), near.clone(), file.clone());
        event_loop
            .create_task(async move { handle.sock_sendfile(&near, &file).offset(offset).await })
    };
    let (first, second) = (start(0), start(200_000));
    run_until(&event_loop, || event_loop.stats().registered == 1);
    first.cancel();
    let sent = position(&file) as usize;
    let received = reader(far);
    event_loop.run_until_complete(second).expect("a result").expect("sent");
    drop(near);
    let mut expected = content(0, sent);
    expected.extend(content(200_000, ODD - 200_000));
    assert!(received.join().expect("read") == expected);
}
