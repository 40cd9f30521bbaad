//! What a list in Redis holds, and how that is written.

use super::post::Post;

/// The lowest entry of a list that has everything.
pub const EVERYTHING: &str = "!";
/// The text of a post that was deleted. Those of others begin with another character.
pub const DELETED: &str = "";

/// The name of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name {
    /// The posts that a user reads, without those of celebrities.
    Timeline(i64),
    /// The posts of an author.
    Author(i64),
}

/// A post in a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    pub id: i64,
    pub author: i64,
}

impl Entry {
    pub fn of(post: &Post) -> Entry {
        Entry { id: post.id, author: post.author }
    }

    /// Its name in the set. Names are in the order of ids.
    pub fn name(self) -> String {
        format!("{:016x}:{}", self.id, self.author)
    }

    /// Reads it from its name; `None` for the mark.
    fn named(name: &str) -> Option<Entry> {
        let (id, author) = name.split_once(':')?;
        Some(Entry { id: i64::from_str_radix(id, 16).ok()?, author: author.parse().ok()? })
    }
}

/// What Redis knows of a post's text.
#[derive(Debug, PartialEq, Eq)]
pub enum Text {
    Kept(String),
    /// The post was deleted.
    Deleted,
    /// Only the database knows.
    Unknown,
}

impl Text {
    /// Reads what Redis has.
    pub fn read(kept: Option<String>) -> Text {
        let Some(mut kept) = kept else { return Text::Unknown };
        if kept == DELETED {
            return Text::Deleted;
        }
        kept.remove(0);
        Text::Kept(kept)
    }
}

/// A list that is filled.
#[derive(Debug, PartialEq, Eq)]
pub struct List {
    pub name: Name,
    /// The newest ones.
    pub entries: Vec<Entry>,
    /// Whether the database has no others.
    pub has_everything: bool,
    /// Celebrities whom the user of a timeline follows.
    pub celebrities: Vec<i64>,
}

impl List {
    /// Reads what Redis has: the celebrities, then the names of the entries.
    pub fn read(name: Name, words: Vec<String>) -> List {
        let celebrities = words.first().map_or("", String::as_str).split(',');
        List {
            name,
            entries: words.iter().skip(1).filter_map(|word| Entry::named(word)).collect(),
            has_everything: words.last().is_some_and(|word| word == EVERYTHING),
            celebrities: celebrities.filter_map(|author| author.parse().ok()).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_entries_are_in_the_order_of_ids() {
        let entries = [1, 9, 10, 255, 256, 1 << 40, i64::MAX].map(|id| Entry { id, author: 77 });
        let names = entries.map(Entry::name);
        assert!(names.is_sorted() && names.iter().all(|name| name.as_str() > EVERYTHING));
        assert_eq!(names.map(|name| Entry::named(&name)), entries.map(Some));
        assert_eq!(Entry::named(EVERYTHING), None);
    }
}
