//! The checks of the audit, by name, and a pair's exceptions from them. The harness runs the checks.

/// A check that every pair must pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Check {
    /// The timed answers say something.
    Answers,
    /// The timed inputs differ.
    Rotation,
    /// No timed input is in a trap, and each trap catches its sprung input.
    Traps,
    /// Each claim about a count fails with the sides swapped.
    Claims,
    /// The references agree with what the card explains.
    Explanation,
    /// The remedy on the card is the code of the optimized side.
    Remedy,
    /// The gain comes from one technique.
    Technique,
    /// Clippy reports the named lint on the naive side, or nothing at all.
    Lint,
    /// The limit says something.
    Limit,
    /// The optimized side is no slower than the best peer.
    Peers,
}

impl Check {
    /// Every check, in the order of the table.
    pub const ALL: [Check; 10] = [
        Check::Answers,
        Check::Rotation,
        Check::Traps,
        Check::Claims,
        Check::Explanation,
        Check::Remedy,
        Check::Technique,
        Check::Lint,
        Check::Limit,
        Check::Peers,
    ];

    /// Returns its name in tables: "answers".
    pub fn name(self) -> &'static str {
        match self {
            Check::Answers => "answers",
            Check::Rotation => "rotation",
            Check::Traps => "traps",
            Check::Claims => "claims",
            Check::Explanation => "explanation",
            Check::Remedy => "remedy",
            Check::Technique => "technique",
            Check::Lint => "lint",
            Check::Limit => "limit",
            Check::Peers => "peers",
        }
    }
}

/// A check that a pair does not pass, and why that is right. An exception from a check that the pair passes is a
/// defect, too.
#[derive(Clone, Copy, Debug)]
pub struct Exempt {
    /// The check.
    pub from: Check,
    /// Why the pair need not pass it.
    pub reason: &'static str,
}
