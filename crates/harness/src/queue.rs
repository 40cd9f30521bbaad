//! Work that does not mind what else runs, taken from one queue on all cores.

use std::{sync::Mutex, thread};

use worthit_pair::pair::logical_cores;

/// Does `work` with each item, as many at once as there are cores, and returns what came of them in the order of the items.
///
/// # Errors
/// If one failed: the first of the items for which it did. What was begun then is ended, and nothing else begun.
pub fn on_all_cores<I: Sync, O: Send, E: Send>(
    items: &[I],
    work: impl Fn(&I) -> Result<O, E> + Sync,
) -> Result<Vec<O>, E> {
    let left = Mutex::new(items.iter().enumerate());
    let done = Mutex::new(Vec::with_capacity(items.len()));
    let next = || left.lock().expect("no thread panics while it holds it").next();
    let work_until_none_is_left = || {
        while let Some((place, item)) = next() {
            let outcome = work(item);
            if outcome.is_err() {
                while next().is_some() {}
            }
            done.lock().expect("no thread panics while it holds it").push((place, outcome));
        }
    };
    thread::scope(|scope| {
        for _ in 0..(logical_cores() as usize).min(items.len()) {
            scope.spawn(work_until_none_is_left);
        }
    });
    let mut done = done.into_inner().expect("all threads have ended");
    done.sort_by_key(|(place, _)| *place);
    done.into_iter().map(|(_, outcome)| outcome).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_of_the_items_is_in_their_order() {
        let items: Vec<u64> = (0..100).collect();
        let squares = on_all_cores(&items, |item| Ok::<_, ()>(item * item));
        assert_eq!(squares, Ok(items.iter().map(|item| item * item).collect()));
        assert_eq!(on_all_cores(&[(); 0], |()| Err::<(), _>("never")), Ok(vec![]));
    }

    #[test]
    fn the_first_failure_is_returned_and_little_else_begun() {
        let items: Vec<u64> = (0..100_000).collect();
        let begun = Mutex::new(0_u64);
        let failed = on_all_cores(&items, |item| {
            *begun.lock().unwrap() += 1;
            if *item == 3 { Err(*item) } else { Ok(()) }
        });
        assert_eq!(failed, Err(3));
        assert!(*begun.lock().unwrap() < items.len() as u64);
    }
}
