use super::*;

const MIB: u64 = 1 << 20;

#[track_caller]
fn assert_bytes(plan: &Plan, start: u64, len: u64) {
    match plan.next() {
        Next::Bytes { range, .. } => assert_eq!(range, start..start + len),
        next => panic!("{next:?}"),
    }
}

#[test]
fn size_comes_first_without_a_count() {
    let mut plan = Plan::new(0, None);
    assert_eq!(plan.next(), Next::Size);
    plan.size = Some(10);
    assert_bytes(&plan, 0, 10);
    plan.position += 4;
    assert_bytes(&plan, 4, 6);
    plan.position += 6;
    assert_eq!(plan.next(), Next::Size);
    plan.size = Some(12);
    assert_bytes(&plan, 10, 2);
    assert_eq!((plan.sent(), plan.position), (10, 10));
}

#[test]
fn count_of_one_call_needs_no_size() {
    let mut plan = Plan::new(100, Some(5));
    assert_bytes(&plan, 100, 5);
    plan.position += 5;
    assert_eq!(plan.next(), Next::Nothing);
    assert_eq!((plan.sent(), plan.position), (5, 105));
    assert_bytes(&Plan::new(0, Some(MIB)), 0, MIB);
    assert_eq!(Plan::new(0, Some(MIB + 1)).next(), Next::Size);
}

#[test]
fn call_is_at_most_the_cap_the_count_and_the_file() {
    let mut plan = Plan::new(7, Some(3 << 20));
    plan.size = Some((2 << 20) + 7);
    assert_bytes(&plan, 7, MIB);
    plan.position += MIB;
    plan.position += MIB - 1;
    assert_bytes(&plan, (2 << 20) + 6, 1);
}

#[test]
fn count_of_0_needs_nothing() {
    assert_eq!(Plan::new(3, Some(0)).next(), Next::Nothing);
    assert_eq!(Plan::new(3, Some(0)).block_after(0), 3..3);
}

#[test]
fn file_of_size_0_is_sent_whole() {
    let mut plan = Plan::new(0, None);
    plan.size = Some(0);
    assert_bytes(&plan, 0, MIB);
    assert!(!plan.is_past_end());
}

#[test]
fn ends_of_the_ranges_do_not_overflow() {
    let mut plan = Plan::new(MAX_OFFSET, None);
    assert_eq!(plan.next(), Next::Nothing);
    plan = Plan::new(MAX_OFFSET - 1, Some(u64::MAX));
    assert_bytes(&plan, MAX_OFFSET - 1, 1);
    plan = Plan::new(5, Some(u64::MAX));
    assert_eq!(plan.next(), Next::Size);
    plan.size = Some(3);
    assert!(plan.is_past_end());
    assert_eq!(plan.next(), Next::Size);
}

#[test]
fn chunk_bounds_calls_and_blocks() {
    let mut plan = Plan::new(0, None).with_chunk(5000);
    plan.size = Some(12_000);
    assert_bytes(&plan, 0, 5000);
    assert_eq!(plan.block_after(0), 0..5000);
    plan.position += 10_000;
    assert_bytes(&plan, 10_000, 2000);
    let plan = Plan::new(0, Some(u64::MAX)).with_chunk(u64::MAX);
    assert_eq!(plan.block_after(0), 0..MIB);
}

#[test]
fn owed_ends_with_the_count_or_the_file() {
    let owed_until = |plan: &Plan| match plan.next() {
        Next::Bytes { owed_until, .. } => owed_until,
        next => panic!("{next:?}"),
    };
    let mut plan = Plan::new(10, Some(100));
    assert_eq!(owed_until(&plan), 110);
    plan.size = Some(50);
    assert_eq!(owed_until(&plan), 50);
    let mut plan = Plan::new(10, None);
    plan.size = Some(3 << 20);
    assert_eq!(owed_until(&plan), 3 << 20);
    plan.size = Some(0);
    assert_eq!(owed_until(&plan), MAX_OFFSET);
}

#[test]
fn block_ends_with_the_count() {
    let mut plan = Plan::new(0, Some(BLOCK + 1));
    assert_eq!(plan.block_after(0), 0..BLOCK);
    assert_eq!(plan.block_after(BLOCK as usize), BLOCK..BLOCK + 1);
    assert!(plan.block_after(BLOCK as usize + 1).is_empty());
    plan.position += BLOCK;
    assert_eq!(plan.block_after(0), BLOCK..BLOCK + 1);
}
