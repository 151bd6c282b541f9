use super::*;

#[test]
fn a_key_finds_its_value_until_it_is_removed() {
    let mut slots = Slots::new();
    let a = slots.insert("a");
    let b = slots.insert("b");
    assert_eq!(slots.get(a), Some(&"a"));
    assert_eq!(slots.remove(a), Some("a"));
    assert_eq!(slots.remove(a), None);
    assert_eq!(slots.get(b), Some(&"b"));
    assert_eq!(slots.len(), 1);
}

#[test]
fn a_place_taken_again_does_not_answer_to_the_old_key() {
    let mut slots = Slots::new();
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
fn places_are_used_again_last_freed_first() {
    let mut slots = Slots::new();
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
fn the_memory_of_many_is_given_back_and_their_keys_find_nothing_new() {
    let mut slots = Slots::new();
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
fn a_key_survives_the_way_through_a_number() {
    const PACKING: Packing = Packing::new(28, 4);
    let mut slots = Slots::new();
    slots.insert(0);
    let old = slots.insert(1);
    slots.remove(old);
    let new = slots.insert(2);
    assert_eq!(slots.get_packed(new.pack(PACKING), PACKING), Some(&2));
    assert_eq!(slots.get_packed(old.pack(PACKING), PACKING), None);
    assert_eq!(slots.get_packed(u64::MAX, PACKING), None);
    // Sixteen later, four bits say the same again.
    let mut last = new;
    for _ in 0..16 {
        slots.remove(last);
        last = slots.insert(3);
    }
    assert_eq!(slots.get_packed(new.pack(PACKING), PACKING), Some(&3));
    assert_eq!(slots.get(new), None);
}
