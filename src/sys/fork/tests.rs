use std::sync::Mutex;

use super::*;

#[test]
fn process_number_is_constant() {
    let process = Process::current();
    assert!(process.is_current());
    assert_eq!(process.number, Process::current().number);
    assert_eq!(present_number(), process.number);
}

#[test]
fn value_is_created_once_per_process() {
    static VALUE: PerProcess<Mutex<u32>> = PerProcess::new();
    let get = || VALUE.get(|| Mutex::new(1));
    *get().lock().expect("whole") += 1;
    assert_eq!(*get().lock().expect("whole"), 2);
}
