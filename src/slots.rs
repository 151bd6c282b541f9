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
    /// The key as a number, without the upper bits of its generation where they do not fit.
    pub(crate) fn pack(self, packing: Packing) -> u64 {
        let generation = u64::from(self.generation) & mask(packing.generation);
        generation << packing.index | u64::from(self.index)
    }
}

/// How many bits of a number are for a key's index, the lowest ones, and how many for its generation.
#[derive(Clone, Copy)]
pub(crate) struct Packing {
    index: u32,
    generation: u32,
}

impl Packing {
    pub(crate) const fn new(index: u32, generation: u32) -> Packing {
        assert!(index > MOST.ilog2() && generation <= 32);
        Packing { index, generation }
    }
}

const fn mask(bits: u32) -> u64 {
    (1 << bits) - 1
}

/// How many values there may be at once: an index is of 28 bits, of 20 where that is too much for a pointer.
const MOST: usize = (1 << if usize::BITS >= 64 { 28 } else { 20 }) - 1;

/// With no more places than these it is not worth giving their memory back.
const MANY: usize = 1024;

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
    /// The generation of a new place: no key of one that is gone has it.
    fresh: u32,
}

impl<T> Default for Slots<T> {
    fn default() -> Slots<T> {
        Slots::new()
    }
}

impl<T> Slots<T> {
    pub(crate) const fn new() -> Slots<T> {
        Slots {
            places: Vec::new(),
            free: None,
            taken: 0,
            fresh: 0,
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
            self.places.push((self.fresh, Place::Taken(value)));
            return Key {
                index,
                generation: self.fresh,
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

    /// [`get`](Slots::get) by what [`Key::pack`] made of the key.
    pub(crate) fn get_packed(&self, number: u64, packing: Packing) -> Option<&T> {
        let generation = number >> packing.index & mask(packing.generation);
        match self.places.get((number & mask(packing.index)) as usize) {
            Some((present, Place::Taken(value)))
                if u64::from(*present) & mask(packing.generation) == generation =>
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
        if self.taken == 0 && self.places.len() > MANY {
            self.give_back();
        }
        match old {
            Place::Taken(value) => Some(value),
            Place::Free { .. } => None,
        }
    }

    /// Gives the memory of all places back, none of which is taken.
    fn give_back(&mut self) {
        let generations = self.places.iter().map(|(generation, _)| *generation);
        self.fresh = generations.fold(self.fresh, u32::max).wrapping_add(1);
        self.places = Vec::new();
        self.free = None;
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &T> {
        self.places.iter().filter_map(|(_, place)| match place {
            Place::Taken(value) => Some(value),
            Place::Free { .. } => None,
        })
    }

    pub(crate) fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.places.iter_mut().filter_map(|(_, place)| match place {
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
    fn the_memory_of_many_is_given_back_and_their_keys_find_nothing_new() {
        let mut slots = Slots::new();
        let fill = |slots: &mut Slots<usize>| -> Vec<Key> {
            (0..=MANY).map(|n| slots.insert(n)).collect()
        };
        let mut stale: Vec<Key> = Vec::new();
        for _ in 0..5 {
            let keys = fill(&mut slots);
            assert!(stale.iter().all(|old| slots.get(*old).is_none()));
            for key in &keys {
                slots.remove(*key);
            }
            assert_eq!(slots.places.capacity(), 0);
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
}
