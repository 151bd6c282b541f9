use super::*;

fn is_ready(writer: &mut Writer<'_>) -> bool {
    writer.poll(&Context::from_waker(Waker::noop())).is_ready()
}

#[test]
fn writers_hold_the_lock_in_order_of_their_first_poll() {
    let lock = WriteLock::default();
    let (mut a, mut b, mut c) = (Writer::new(&lock), Writer::new(&lock), Writer::new(&lock));
    assert!(is_ready(&mut b));
    assert!(!is_ready(&mut c));
    assert!(!is_ready(&mut a));
    drop(b);
    assert!(!is_ready(&mut a) && is_ready(&mut c));
    drop(c);
    assert!(is_ready(&mut a));
}

#[test]
fn dropped_writer_leaves_the_queue() {
    let lock = WriteLock::default();
    let (mut a, mut b, mut c) = (Writer::new(&lock), Writer::new(&lock), Writer::new(&lock));
    assert!(is_ready(&mut a));
    assert!(!is_ready(&mut b) && !is_ready(&mut c));
    drop(b);
    drop(a);
    assert!(is_ready(&mut c));
    drop(c);
    assert!(!lock.is_taken());
    assert!(lock.queue.borrow().is_empty());
}

#[test]
fn dropped_holder_releases_the_lock_without_a_poll() {
    let lock = WriteLock::default();
    let (mut a, mut b, mut c) = (Writer::new(&lock), Writer::new(&lock), Writer::new(&lock));
    assert!(is_ready(&mut a));
    assert!(!is_ready(&mut b) && !is_ready(&mut c));
    drop(a);
    drop(b);
    assert!(is_ready(&mut c));
}

#[test]
fn writer_from_before_a_reset_does_not_release_the_lock() {
    let lock = WriteLock::default();
    let (mut a, mut b) = (Writer::new(&lock), Writer::new(&lock));
    assert!(is_ready(&mut a) && !is_ready(&mut b));
    lock.reset();
    let (mut c, mut d) = (Writer::new(&lock), Writer::new(&lock));
    assert!(is_ready(&mut c) && !is_ready(&mut d));
    drop((a, b));
    assert!(!is_ready(&mut d));
    drop(c);
    assert!(is_ready(&mut d));
}

#[test]
fn unpolled_writer_is_not_in_the_queue() {
    let lock = WriteLock::default();
    let never = Writer::new(&lock);
    let mut a = Writer::new(&lock);
    assert!(is_ready(&mut a));
    drop(never);
    assert!(is_ready(&mut a));
}
