use super::*;

#[test]
fn a_manual_clock_moves_only_when_advanced_and_its_clones_with_it() {
    let clock = Clock::manual();
    let start = clock.now();
    assert_eq!(clock.now(), start);
    clock.clone().advance(Duration::from_millis(5));
    assert_eq!(clock.now() - start, Duration::from_millis(5));
}

#[test]
#[should_panic(expected = "real clock")]
fn the_real_clock_cannot_be_advanced() {
    Clock::real().advance(Duration::ZERO);
}
