use super::*;

#[test]
fn key_finds_its_value_until_it_is_removed() {
    let mut slots = Slots::default();
    let a = slots.insert("a");
    let b = slots.insert("b");
    assert_eq!(slots.get(a), Some(&"a"));
    assert_eq!(slots.remove(a), Some("a"));
    assert_eq!(slots.remove(a), None);
    assert_eq!(slots.get(b), Some(&"b"));
    assert_eq!(slots.len(), 1);
}

#[test]
fn old_key_finds_nothing_in_a_reused_slot() {
    let mut slots = Slots::default();
    let old = slots.insert(1);
    slots.remove(old);
    let new = slots.insert(2);
    assert_eq!(new.index, old.index);
    assert_eq!(slots.get(old), None);
    assert_eq!(slots.get_mut(old), None);
    assert_eq!(slots.remove(old), None);
    assert_eq!(slots.get(new), Some(&2));
}

#[test]
fn freed_slots_are_reused() {
    let mut slots = Slots::default();
    let keys: Vec<Key> = (0..10).map(|n| slots.insert(n)).collect();
    for key in &keys {
        slots.remove(*key);
    }
    for n in 0..10 {
        slots.insert(n);
    }
    assert_eq!(slots.slots.len(), 10);
    assert_eq!(slots.values().count(), 10);
}

#[test]
fn empty_arena_frees_its_memory_and_old_keys_find_nothing() {
    let mut slots = Slots::default();
    let fill = |slots: &mut Slots<usize>| -> Vec<Key> {
        (0..=MIN_SHRINK).map(|n| slots.insert(n)).collect()
    };
    let mut stale: Vec<Key> = Vec::new();
    for _ in 0..5 {
        let keys = fill(&mut slots);
        assert!(stale.iter().all(|old| slots.get(*old).is_none()));
        for key in &keys {
            slots.remove(*key);
        }
        assert_eq!(slots.slots.capacity(), 0);
        stale.extend(keys);
    }
}

#[test]
fn packed_key_finds_its_value() {
    const PACKING: Packing = Packing::new(28, 4);
    let mut slots = Slots::default();
    slots.insert(0);
    let old = slots.insert(1);
    slots.remove(old);
    let new = slots.insert(2);
    assert_eq!(slots.get_packed(new.pack(PACKING), PACKING), Some(&2));
    assert_eq!(slots.get_packed(old.pack(PACKING), PACKING), None);
    assert_eq!(slots.get_packed(u64::MAX, PACKING), None);
    // After sixteen reuses, the four bits of the generation are the same again.
    let mut last = new;
    for _ in 0..16 {
        slots.remove(last);
        last = slots.insert(3);
    }
    assert_eq!(slots.get_packed(new.pack(PACKING), PACKING), Some(&3));
    assert_eq!(slots.get(new), None);
}
