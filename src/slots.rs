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
        assert!(index > MAX_LEN.ilog2() && generation <= 32);
        Packing { index, generation }
    }
}

const fn mask(bits: u32) -> u64 {
    (1 << bits) - 1
}

/// How many values there may be at once: an index is of 28 bits, of 20 where that is too much for a pointer.
const MAX_LEN: usize = (1 << if usize::BITS >= 64 { 28 } else { 20 }) - 1;

/// With no more slots than these it is not worth giving their memory back.
const MIN_SHRINK: usize = 1024;

#[derive(Debug)]
enum Slot<T> {
    Taken(T),
    Free { next: Option<u32> },
}

#[derive(Debug)]
pub(crate) struct Slots<T> {
    slots: Vec<(u32, Slot<T>)>,
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
            slots: Vec::new(),
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
            let index = self.slots.len() as u32;
            assert!(
                self.slots.len() < MAX_LEN,
                "no more than {MAX_LEN} values at once"
            );
            self.slots.push((self.fresh, Slot::Taken(value)));
            return Key {
                index,
                generation: self.fresh,
            };
        };
        let (generation, place) = &mut self.slots[index as usize];
        if let Slot::Free { next } = *place {
            self.free = next;
        }
        *place = Slot::Taken(value);
        Key {
            index,
            generation: *generation,
        }
    }

    pub(crate) fn get(&self, key: Key) -> Option<&T> {
        match self.slots.get(key.index as usize) {
            Some((generation, Slot::Taken(value))) if *generation == key.generation => Some(value),
            _ => None,
        }
    }

    /// [`get`](Slots::get) by what [`Key::pack`] made of the key.
    pub(crate) fn get_packed(&self, number: u64, packing: Packing) -> Option<&T> {
        let generation = number >> packing.index & mask(packing.generation);
        match self.slots.get((number & mask(packing.index)) as usize) {
            Some((present, Slot::Taken(value)))
                if u64::from(*present) & mask(packing.generation) == generation =>
            {
                Some(value)
            }
            _ => None,
        }
    }

    pub(crate) fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        match self.slots.get_mut(key.index as usize) {
            Some((generation, Slot::Taken(value))) if *generation == key.generation => Some(value),
            _ => None,
        }
    }

    pub(crate) fn remove(&mut self, key: Key) -> Option<T> {
        self.get(key)?;
        let (generation, place) = &mut self.slots[key.index as usize];
        let old = std::mem::replace(place, Slot::Free { next: self.free });
        // Reused 2^32 times, a place hands out an old key again. Nothing holds one for that long.
        *generation = generation.wrapping_add(1);
        self.free = Some(key.index);
        self.taken -= 1;
        if self.taken == 0 && self.slots.len() > MIN_SHRINK {
            self.give_back();
        }
        match old {
            Slot::Taken(value) => Some(value),
            Slot::Free { .. } => None,
        }
    }

    /// Gives the memory of all slots back, none of which is taken.
    fn give_back(&mut self) {
        let generations = self.slots.iter().map(|(generation, _)| *generation);
        self.fresh = generations.fold(self.fresh, u32::max).wrapping_add(1);
        self.slots = Vec::new();
        self.free = None;
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &T> {
        self.slots.iter().filter_map(|(_, place)| match place {
            Slot::Taken(value) => Some(value),
            Slot::Free { .. } => None,
        })
    }

    pub(crate) fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.slots.iter_mut().filter_map(|(_, place)| match place {
            Slot::Taken(value) => Some(value),
            Slot::Free { .. } => None,
        })
    }
}

#[cfg(test)]
mod tests;
