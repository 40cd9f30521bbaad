//! How a cause is counted, in the words that pages and cards show.

/// How a cause is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counting {
    /// Ambient: the counting allocator.
    Allocator,
    /// Ambient: the interposed libc calls.
    LibcCalls,
    /// Ambient: SQLite calls back when a statement ends and for each row.
    SqliteTrace,
    /// Ambient: the counters that SQLite keeps of a statement, read when it ends.
    SqliteCounters,
    /// Ambient: a client counts each time that it awaits an answer before it sends more.
    Client,
    /// Ambient: a computation counts each of its calls. It lasts a microsecond or more, so that the check whether
    /// anything is counted does not matter in a timed binary.
    Computation,
    /// The pair runs the side once more in a way that counts; the text says with or on what it runs.
    Rerun(&'static str),
    /// The pair derives the count from the input or its layout; the text says from what. Such a count is exact for
    /// its model, which the processor or the scheduler need not follow.
    Modelled(&'static str),
}

impl Counting {
    /// Says how a study counts it, which reads its counters while it serves and runs nothing once more: "counted between two
    /// readings of …".
    pub fn while_serving(self) -> String {
        match self {
            Counting::Rerun(how) => format!("counted {how}"),
            other => other.in_words(),
        }
    }

    /// Says how it is counted: "counted by interposing libc's read, write and flush calls".
    pub fn in_words(self) -> String {
        match self {
            Counting::Allocator => "counted by the counting allocator".to_owned(),
            Counting::LibcCalls => {
                "counted by interposing libc's read, write and flush calls".to_owned()
            }
            Counting::SqliteTrace => "counted by SQLite's trace".to_owned(),
            Counting::SqliteCounters => "counted by SQLite's own counters".to_owned(),
            Counting::Client => {
                "counted by the client, each time that it awaits an answer".to_owned()
            }
            Counting::Computation => {
                "counted by the computation, each time that it is called".to_owned()
            }
            Counting::Rerun(with) => {
                format!("counted by the pair, which runs the side once more {with}")
            }
            Counting::Modelled(from) => format!("modelled {from}"),
        }
    }

    /// Returns whether the count is a model rather than an observation of the side.
    pub fn is_modelled(self) -> bool {
        matches!(self, Counting::Modelled(_))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{ALLOCATIONS, COMPARISONS, Cause, VM_STEPS, WRITE_CALLS};

    #[test]
    fn each_cause_says_how_it_is_counted() {
        let moves = Cause::new("moves", "elements moved");
        let modelled = moves.modelled("from the lengths of the lists");
        for (cause, words) in [
            (ALLOCATIONS, "counted by the counting allocator"),
            (WRITE_CALLS, "counted by interposing libc's read, write and flush calls"),
            (VM_STEPS, "counted by SQLite's own counters"),
            (
                COMPARISONS,
                "counted by the pair, which runs the side once more on elements that count their comparisons",
            ),
            (moves, "counted by the pair, which runs the side once more with counting types"),
            (modelled, "modelled from the lengths of the lists"),
        ] {
            assert_eq!(cause.counting.in_words(), words);
            assert_eq!(cause.counting.is_modelled(), words.starts_with("modelled"));
        }
    }
}
