//! Who waits for one direction of a descriptor, and who watches it.

use std::mem;
use std::rc::Rc;
use std::task::Waker;

use crate::ready::Callback;

/// Who is to hear of a poll's events, collected first and told when nothing is borrowed any more.
#[derive(Default)]
pub(super) struct Woken {
    pub(super) wakers: Vec<Waker>,
    pub(super) callbacks: Vec<Rc<dyn Callback>>,
}

/// The wakers of those who wait, in the order in which they came. Each has a number, by which it is found again.
///
/// Nearly always there is one or none: the first has its place here, and only where there are more is memory asked for. An event
/// of a busy loop finds this in no cache, so it is kept small.
#[derive(Default)]
pub(super) struct Waiters {
    /// None only where there are no others either.
    first: Option<(u64, Waker)>,
    next: u64,
    rare: Option<Box<Rare>>,
}

/// What few descriptors have.
#[derive(Default)]
struct Rare {
    /// Those behind the first. Numbers ascend.
    others: Vec<(u64, Waker)>,
    watcher: Option<Rc<dyn Callback>>,
}

impl Waiters {
    pub(super) fn insert(&mut self, waker: Waker) -> u64 {
        let number = self.next;
        self.next += 1;
        match &self.first {
            None => self.first = Some((number, waker)),
            Some(_) => self.rare().others.push((number, waker)),
        }
        number
    }

    pub(super) fn find(&mut self, number: u64) -> Option<&mut Waker> {
        match &mut self.first {
            Some((first, waker)) if *first == number => Some(waker),
            _ => {
                let others = &mut self.rare.as_mut()?.others;
                let place = place(others, number)?;
                Some(&mut others[place].1)
            }
        }
    }

    pub(super) fn remove(&mut self, number: u64) -> Option<Waker> {
        let (first, _) = self.first.as_ref()?;
        let others = self.rare.as_mut().map(|rare| &mut rare.others);
        if *first != number {
            let others = others?;
            let place = place(others, number)?;
            return Some(others.remove(place).1);
        }
        let second = others.and_then(|others| (!others.is_empty()).then(|| others.remove(0)));
        mem::replace(&mut self.first, second).map(|(_, waker)| waker)
    }

    /// Who is called for each event, beside the waiters; gives back who was before.
    pub(super) fn watch(&mut self, watcher: Option<Rc<dyn Callback>>) -> Option<Rc<dyn Callback>> {
        if watcher.is_none() && self.rare.is_none() {
            return None;
        }
        mem::replace(&mut self.rare().watcher, watcher)
    }

    /// Takes all out, to be woken.
    pub(super) fn move_to(&mut self, woken: &mut Woken) {
        if let Some((_, first)) = self.first.take() {
            woken.wakers.push(first);
        }
        if let Some(rare) = &mut self.rare {
            let others = rare.others.drain(..).map(|(_, waker)| waker);
            woken.wakers.extend(others);
        }
    }

    /// The callback that is called for each event, if there is one.
    pub(super) fn callback(&self) -> Option<Rc<dyn Callback>> {
        self.rare.as_ref()?.watcher.clone()
    }

    fn rare(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }
}

fn place(line: &[(u64, Waker)], number: u64) -> Option<usize> {
    line.binary_search_by_key(&number, |(n, _)| *n).ok()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::task::Wake;

    use super::*;

    struct Nothing;

    impl Wake for Nothing {
        fn wake(self: Arc<Self>) {}
    }

    /// Wakers that are told apart, and a line of them.
    fn line(count: usize) -> (Vec<Waker>, Vec<u64>, Waiters) {
        let wakers: Vec<Waker> = (0..count).map(|_| Arc::new(Nothing).into()).collect();
        let mut waiters = Waiters::default();
        let insert = |waker: &Waker| waiters.insert(waker.clone());
        let numbers = wakers.iter().map(insert).collect();
        (wakers, numbers, waiters)
    }

    #[track_caller]
    fn assert_left(mut waiters: Waiters, expected: &[&Waker]) {
        let mut woken = Woken::default();
        waiters.move_to(&mut woken);
        let left = woken.wakers;
        assert_eq!(left.len(), expected.len());
        let same = left.iter().zip(expected).all(|(a, b)| a.will_wake(b));
        assert!(same, "another order");
    }

    #[test]
    fn all_are_woken_in_the_order_in_which_they_came() {
        let (wakers, _, waiters) = line(3);
        assert_left(waiters, &[&wakers[0], &wakers[1], &wakers[2]]);
    }

    #[test]
    fn whoever_goes_leaves_the_others_in_their_order() {
        for gone in 0..3 {
            let (wakers, numbers, mut waiters) = line(3);
            let removed = waiters.remove(numbers[gone]);
            assert!(removed.is_some_and(|removed| removed.will_wake(&wakers[gone])));
            assert!(waiters.remove(numbers[gone]).is_none());
            let mut left: Vec<&Waker> = wakers.iter().collect();
            left.remove(gone);
            assert_left(waiters, &left);
        }
    }

    #[test]
    fn one_who_comes_after_the_first_left_is_the_last() {
        let (wakers, numbers, mut waiters) = line(2);
        let late: Waker = Arc::new(Nothing).into();
        waiters.remove(numbers[0]);
        waiters.insert(late.clone());
        assert_left(waiters, &[&wakers[1], &late]);
    }

    #[test]
    fn each_is_found_by_its_number_until_it_was_woken() {
        let (wakers, numbers, mut waiters) = line(3);
        for (number, waker) in numbers.iter().zip(&wakers) {
            assert!(
                waiters
                    .find(*number)
                    .is_some_and(|found| found.will_wake(waker))
            );
        }
        waiters.move_to(&mut Woken::default());
        assert!(numbers.iter().all(|number| waiters.find(*number).is_none()));
        assert!(waiters.insert(wakers[0].clone()) > numbers[2]);
    }
}
