use super::*;

#[test]
fn manual_clock_and_its_clones_move_only_when_advanced() {
    let clock = Clock::manual();
    let start = clock.now();
    assert_eq!(clock.now(), start);
    clock.clone().advance(Duration::from_millis(5));
    assert_eq!(clock.now() - start, Duration::from_millis(5));
}

#[test]
#[should_panic(expected = "real clock")]
fn advance_of_the_real_clock_panics() {
    Clock::real().advance(Duration::ZERO);
}
