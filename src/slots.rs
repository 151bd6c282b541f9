//! An arena whose keys carry a generation.
//!
//! A key may outlive its value. It then finds nothing, even if another value has its slot. Events
//! of the poller, wake-ups and cancellations carry such keys, so a late one is ignored.

/// The key of one value in one [`Slots`].
///
/// The generation of a slot changes each time a value is removed, so no later value has this key.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Key {
    index: u32,
    generation: u32,
}

impl Key {
    /// Packs the key into a number. Bits of the generation that do not fit are lost.
    pub(crate) fn pack(self, packing: Packing) -> u64 {
        let generation = u64::from(self.generation) & mask(packing.generation);
        generation << packing.index | u64::from(self.index)
    }
}

/// The layout of a packed key: the bits of the index, the lowest ones, and those of the generation.
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

/// The most values at once. An index has 28 bits, or 20 if pointers have only 32.
const MAX_LEN: usize = (1 << if usize::BITS >= 64 { 28 } else { 20 }) - 1;

/// An empty arena keeps the memory of up to this many slots.
const MIN_SHRINK: usize = 1024;

#[derive(Debug)]
pub(crate) struct Slots<T> {
    /// Each slot with its generation, which is that of its value's key.
    slots: Vec<(u32, Option<T>)>,
    /// The indexes of the free slots. The last one is reused first.
    free: Vec<u32>,
    /// The generation of a new slot. No key of a freed slot has it.
    first_generation: u32,
}

impl<T> Default for Slots<T> {
    fn default() -> Slots<T> {
        Slots { slots: Vec::new(), free: Vec::new(), first_generation: 0 }
    }
}

impl<T> Slots<T> {
    pub(crate) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    pub(crate) fn insert(&mut self, value: T) -> Key {
        if let Some(index) = self.free.pop() {
            let (generation, slot) = &mut self.slots[index as usize];
            *slot = Some(value);
            return Key { index, generation: *generation };
        }
        let index = self.slots.len();
        assert!(index < MAX_LEN, "the arena has no room for more than {MAX_LEN} values");
        self.slots.push((self.first_generation, Some(value)));
        Key { index: index as u32, generation: self.first_generation }
    }

    pub(crate) fn get(&self, key: Key) -> Option<&T> {
        let (generation, value) = self.slots.get(key.index as usize)?;
        value.as_ref().filter(|_| *generation == key.generation)
    }

    /// Returns the value of a key that [`Key::pack`] packed.
    pub(crate) fn get_packed(&self, number: u64, packing: Packing) -> Option<&T> {
        let (present, value) = self.slots.get((number & mask(packing.index)) as usize)?;
        let differing = u64::from(*present) ^ (number >> packing.index);
        value.as_ref().filter(|_| differing & mask(packing.generation) == 0)
    }

    pub(crate) fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        let (generation, value) = self.slots.get_mut(key.index as usize)?;
        value.as_mut().filter(|_| *generation == key.generation)
    }

    pub(crate) fn remove(&mut self, key: Key) -> Option<T> {
        let (generation, slot) = self.slots.get_mut(key.index as usize)?;
        let value = slot.take_if(|_| *generation == key.generation)?;
        // After 2^32 reuses a slot has an old generation again. No key is kept for that long.
        *generation = generation.wrapping_add(1);
        self.free.push(key.index);
        if self.len() == 0 && self.slots.len() > MIN_SHRINK {
            let generations = self.slots.iter().map(|(generation, _)| *generation);
            let last = generations.fold(self.first_generation, u32::max);
            *self = Slots { first_generation: last.wrapping_add(1), ..Slots::default() };
        }
        Some(value)
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &T> {
        self.slots.iter().filter_map(|(_, value)| value.as_ref())
    }

    pub(crate) fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.slots.iter_mut().filter_map(|(_, value)| value.as_mut())
    }
}

#[cfg(test)]
mod tests;
