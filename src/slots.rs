//! An arena whose keys carry a generation: a key outlives its value and then finds nothing, also where the place has been
//! taken again.
//!
//! Everything that comes back from outside (an event of the poller, a wake-up, a cancellation) names what it is for by such a
//! key, so that what comes too late reaches nobody instead of the next one in line.

/// Names one value in one [`Slots`], once: the generation of its place changes with each value that leaves.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Key {
    index: u32,
    generation: u32,
}

impl Key {
    pub(crate) fn parts(self) -> (u32, u32) {
        (self.index, self.generation)
    }

    pub(crate) fn from_parts(index: u32, generation: u32) -> Key {
        Key { index, generation }
    }

    /// The key as a number as wide as a pointer, which is what a poller keeps with a descriptor. Where that is 32 bits, the
    /// upper bits of the generation are lost.
    pub(crate) fn to_usize(self) -> usize {
        (self.generation as usize) << INDEX_BITS | self.index as usize
    }
}

const INDEX_BITS: u32 = if usize::BITS >= 64 { 32 } else { 20 };
const GENERATION_BITS: u32 = usize::BITS - INDEX_BITS;
const MOST: usize = (1 << INDEX_BITS) - 1;

#[derive(Debug)]
enum Place<T> {
    Taken(T),
    Free { next: Option<u32> },
}

#[derive(Debug)]
pub(crate) struct Slots<T> {
    places: Vec<(u32, Place<T>)>,
    free: Option<u32>,
    taken: usize,
}

impl<T> Slots<T> {
    pub(crate) const fn new() -> Slots<T> {
        Slots {
            places: Vec::new(),
            free: None,
            taken: 0,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.taken
    }

    pub(crate) fn insert(&mut self, value: T) -> Key {
        self.taken += 1;
        let Some(index) = self.free else {
            let index = self.places.len() as u32;
            assert!(
                self.places.len() < MOST,
                "no more than {MOST} values at once"
            );
            self.places.push((0, Place::Taken(value)));
            return Key {
                index,
                generation: 0,
            };
        };
        let (generation, place) = &mut self.places[index as usize];
        if let Place::Free { next } = *place {
            self.free = next;
        }
        *place = Place::Taken(value);
        Key {
            index,
            generation: *generation,
        }
    }

    pub(crate) fn get(&self, key: Key) -> Option<&T> {
        match self.places.get(key.index as usize) {
            Some((generation, Place::Taken(value))) if *generation == key.generation => Some(value),
            _ => None,
        }
    }

    /// [`get`](Slots::get) by what [`Key::to_usize`] made of the key.
    pub(crate) fn get_usize(&self, bits: usize) -> Option<&T> {
        match self.places.get(bits & MOST) {
            Some((generation, Place::Taken(value)))
                if *generation << (32 - GENERATION_BITS) >> (32 - GENERATION_BITS)
                    == (bits >> INDEX_BITS) as u32 =>
            {
                Some(value)
            }
            _ => None,
        }
    }

    pub(crate) fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        match self.places.get_mut(key.index as usize) {
            Some((generation, Place::Taken(value))) if *generation == key.generation => Some(value),
            _ => None,
        }
    }

    pub(crate) fn remove(&mut self, key: Key) -> Option<T> {
        self.get(key)?;
        let (generation, place) = &mut self.places[key.index as usize];
        let old = std::mem::replace(place, Place::Free { next: self.free });
        // Reused 2^32 times, a place hands out an old key again. Nothing holds one for that long.
        *generation = generation.wrapping_add(1);
        self.free = Some(key.index);
        self.taken -= 1;
        match old {
            Place::Taken(value) => Some(value),
            Place::Free { .. } => None,
        }
    }

    /// The keys of all values, for going through them while they come and go.
    pub(crate) fn keys(&self) -> Vec<Key> {
        let places = self.places.iter().zip(0..);
        let taken = places.filter(|((_, place), _)| matches!(place, Place::Taken(_)));
        taken
            .map(|((generation, _), index)| Key::from_parts(index, *generation))
            .collect()
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &T> {
        self.places.iter().filter_map(|(_, place)| match place {
            Place::Taken(value) => Some(value),
            Place::Free { .. } => None,
        })
    }
}

#[cfg(test)]
mod tests {
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
        assert_eq!(slots.places.len(), 10);
        assert_eq!(slots.values().count(), 10);
    }

    #[test]
    fn a_key_survives_the_way_through_a_number() {
        let mut slots = Slots::new();
        slots.insert(0);
        let old = slots.insert(1);
        slots.remove(old);
        let new = slots.insert(2);
        assert_eq!(slots.get_usize(new.to_usize()), Some(&2));
        assert_eq!(slots.get_usize(old.to_usize()), None);
        assert_eq!(slots.get_usize(usize::MAX), None);
    }

    #[test]
    fn the_keys_of_all_values_find_them() {
        let mut slots = Slots::new();
        let first = slots.insert(0);
        for n in 1..5 {
            slots.insert(n);
        }
        slots.remove(first);
        let mut seen: Vec<i32> = slots
            .keys()
            .iter()
            .filter_map(|key| slots.remove(*key))
            .collect();
        seen.sort_unstable();
        assert_eq!(seen, [1, 2, 3, 4]);
        assert_eq!(slots.len(), 0);
    }
}
