//! A store whose entries stay where they are and are known by a small number, so that what puts them in an order moves numbers.
//!
//! Invariant: a place is free or holds an entry; what is taken out leaves its place to the next that comes.

/// The entries.
#[derive(Debug)]
pub(super) struct Places<T> {
    entries: Vec<Option<T>>,
    /// Those that hold nothing. The one that was left last is taken first: it is still in the processor's cache.
    free: Vec<u32>,
}

impl<T> Default for Places<T> {
    fn default() -> Self {
        Self { entries: Vec::new(), free: Vec::new() }
    }
}

impl<T> Places<T> {
    /// Keeps an entry, and says where. What a lane holds is bounded far below the numbers there are.
    pub(super) fn put(&mut self, entry: T) -> u32 {
        if let Some(place) = self.free.pop() {
            self.entries[place as usize] = Some(entry);
            return place;
        }
        self.entries.push(Some(entry));
        (self.entries.len() - 1) as u32
    }

    /// The entry at a place.
    pub(super) fn get(&self, place: u32) -> Option<&T> {
        self.entries.get(place as usize)?.as_ref()
    }

    /// Takes the entry at a place out. Memory that an unusual number took is given back when the last of them is gone.
    pub(super) fn take(&mut self, place: u32) -> Option<T> {
        let entry = self.entries.get_mut(place as usize)?.take()?;
        self.free.push(place);
        if self.free.len() == self.entries.len() && self.entries.len() > KEEP {
            *self = Self::default();
        }
        Some(entry)
    }
}

/// Places that are kept when nothing is in them.
const KEEP: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_used_again_and_numbers_stay() {
        let mut places = Places::default();
        let [a, b, c] = ["a", "b", "c"].map(|entry| places.put(entry));
        assert_eq!((places.take(b), places.take(b), places.get(b)), (Some("b"), None, None));
        assert_eq!(places.put("d"), b);
        assert_eq!([a, b, c].map(|place| places.get(place).copied()), [Some("a"), Some("d"), Some("c")]);
        assert_eq!(places.get(3), None);
    }

    #[test]
    fn what_many_took_is_given_back() {
        let mut places = Places::default();
        let taken: Vec<_> = (0..=KEEP).map(|n| places.put(n)).collect();
        assert!(taken.iter().all(|place| places.take(*place) == Some(*place as usize)));
        assert_eq!((places.entries.capacity(), places.free.capacity()), (0, 0));
        assert_eq!(places.put(7), 0);
    }
}
