use std::sync::Mutex;

use super::*;

#[test]
fn the_number_of_a_process_stays_the_same() {
    let process = Process::current();
    assert!(process.is_current());
    assert_eq!(process.number(), Process::current().number());
    assert_eq!(present_number(), process.number());
}

#[test]
fn a_value_of_this_process_is_made_once() {
    static VALUE: PerProcess<Mutex<u32>> = PerProcess::new();
    let get = || VALUE.get(|_| Mutex::new(1));
    *get().lock().expect("whole") += 1;
    assert_eq!(*get().lock().expect("whole"), 2);
}
