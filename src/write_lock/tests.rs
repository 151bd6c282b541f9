use super::*;

fn is_ready(writer: &mut Writer<'_>) -> bool {
    writer.poll(&Context::from_waker(Waker::noop())).is_ready()
}

#[test]
fn turns_go_in_the_order_of_the_first_poll() {
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
fn one_that_gives_up_its_place_is_passed_over() {
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
fn one_that_was_handed_the_turn_and_never_polled_again_hands_it_on() {
    let lock = WriteLock::default();
    let (mut a, mut b, mut c) = (Writer::new(&lock), Writer::new(&lock), Writer::new(&lock));
    assert!(is_ready(&mut a));
    assert!(!is_ready(&mut b) && !is_ready(&mut c));
    drop(a);
    drop(b);
    assert!(is_ready(&mut c));
}

#[test]
fn a_writer_from_before_a_reset_does_not_release_the_lock() {
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
fn one_that_was_never_polled_is_not_in_line() {
    let lock = WriteLock::default();
    let never = Writer::new(&lock);
    let mut a = Writer::new(&lock);
    assert!(is_ready(&mut a));
    drop(never);
    assert!(is_ready(&mut a));
}
