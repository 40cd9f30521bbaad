//! What is in the tables at first. The same arithmetic of integers gives the same rows everywhere.

use super::tables::Size;

/// Numbers are mixed to this many bits.
const BITS: u32 = 31;

/// Returns whom a user follows at first. The density of followees falls with the square root of their number: the first
/// authors have very many followers.
pub fn followees(size: &Size, user: i64) -> Vec<i64> {
    let follows = mixed(user as u64, size.salt, 1) % (size.most_followed + 1);
    let followee = |nth| {
        let hash = u128::from(mixed(user as u64 * 64 + nth, size.salt, 2));
        // The hash as a share of its range, squared.
        1 + ((u128::from(size.users) * hash * hash) >> (2 * BITS)) as i64
    };
    let mut followees: Vec<i64> = (1..=follows).map(followee).collect();
    followees.sort_unstable();
    followees.dedup();
    followees.retain(|followee| *followee != user);
    followees
}

/// Returns all follows: follower and followee.
pub fn follows(size: &Size) -> impl Iterator<Item = (i64, i64)> {
    users(size).flat_map(|user| followees(size, user).into_iter().map(move |other| (user, other)))
}

/// Returns all users.
pub fn users(size: &Size) -> impl Iterator<Item = i64> + use<> {
    1..=size.users as i64
}

/// Returns all posts.
pub fn posts(size: &Size) -> impl Iterator<Item = i64> + use<> {
    1..=size.posts as i64
}

/// Returns who has written a post.
pub fn author(size: &Size, post: i64) -> i64 {
    1 + (mixed(post as u64, size.salt, 3) % size.users) as i64
}

/// Returns the text of a post, some longer than others.
pub fn text(post: i64) -> String {
    let words = [1, 2, 3, 4].map(|word| format!("{:08x}", mixed(post as u64, 0, word))).concat();
    format!("Post {post}: {words}{}", " and on".repeat(post as usize % 10))
}

/// Counts how often each user is among these; the first number is that of user 0, who does not exist.
pub fn count(size: &Size, among: impl Iterator<Item = i64>) -> Vec<u32> {
    let mut counts = vec![0; size.users as usize + 1];
    among.for_each(|user| counts[user as usize] += 1);
    counts
}

/// Returns a number of 31 bits that depends on `value` as if at random. It is multiplied twice, and the upper half is
/// mixed into the lower one after each time.
fn mixed(value: u64, salt: u64, purpose: u64) -> u64 {
    let salted = value ^ salt ^ (purpose << 28);
    let multiplied = |value: u64| value * 73_244_475 % (1 << BITS);
    let once = multiplied(salted);
    let twice = multiplied(once ^ (once >> 16));
    twice ^ (twice >> 16)
}

#[cfg(test)]
mod tests {
    use super::*;
    use worthit_pair::case::Case;

    #[test]
    fn the_rows_are_these_on_every_machine() {
        let size = Size::of(&Case::realistic(50, 0, 42));
        assert_eq!(size.salt, 1_751_520_905);
        assert_eq!(followees(&size, 7), [45, 62, 134, 696, 914]);
        assert_eq!([1, 2, 3].map(|post| author(&size, post)), [1259, 1942, 149]);
        assert_eq!(text(11), "Post 11: 0c2d4d6976208764784599016239f37d and on");
    }

    #[test]
    fn everybody_follows_some_others_and_most_follow_the_first_authors() {
        let size = Size::of(&Case::realistic(50, 0, 42));
        let followers = count(&size, follows(&size).map(|(_, followee)| followee));
        let mean = follows(&size).count() as u64 / size.users;
        assert!((25..=30).contains(&mean), "{mean}");
        assert!(followers[1] > 5 * followers[100] && followers[100] > 2 * followers[2_000]);
        for user in users(&size) {
            let followees = followees(&size, user);
            assert!(followees.is_sorted_by(|one, other| one < other) && !followees.contains(&user));
            assert!(followees.iter().all(|followee| (1..=2_000).contains(followee)));
        }
        let written = count(&size, posts(&size).map(|post| author(&size, post)));
        assert_eq!((written[0], written.iter().sum::<u32>()), (0, 40_000));
    }
}
