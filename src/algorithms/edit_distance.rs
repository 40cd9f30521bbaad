//! Edit distance: compute 64 cells of a column with a few operations on words, not each cell on its own.

use std::collections::HashMap;

use foldhash::fast::FixedState;
use rand::{RngExt, seq::IndexedRandom};

use crate::fixtures::text;
use worthit_pair::prelude::*;

/// Cells in a word.
const BITS: usize = u64::BITS as usize;

const STEPS: Cause = Cause::new("cell_steps", "steps over cells")
    .counted("with a closure that is called for each cell or word of cells");

pub const PAIR: Pair = Pair {
    title: "Compute edit distances in words of cells",
    review: Review {
        smell: "Two nested loops that fill a matrix with the least of three neighbours, for `levenshtein(a, b)`.",
        remedy: "Use Myers' bit-vector algorithm (Journal of the ACM, 1999), in Hyyrö's form for distances (2003). Keep \
                 the differences between the cells of a column as bits, in `Word`, and let an addition carry through \
                 64 of them, as `next_column` does.",
        keep_naive_when: "There are few texts, each no longer than a word. Or edits have different costs: then \
                          neighbouring cells may differ by more than one, which two bits do not hold. There, keep two \
                          rows instead of the matrix, as the alternative does.",
        costs: "Nobody understands the code without the paper. It gives the distance, but not the edits: for them, all \
                columns must be kept. `rapidfuzz`, the peer, uses the same algorithm, and also strips common ends and \
                skips cells far from the diagonal. Its last release was in 2023.",
        lint: Lint::None,
    },
    naive: Side {
        summary: "fill the whole matrix",
        growth: Growth::Until(&Growth::Quadratic, "the matrix outgrows a cache"),
    },
    optimized: Side {
        summary: "64 cells at once, by Myers and Hyyrö",
        growth: Growth::Other("n² / 64, n where one word holds the pattern"),
    },
    input: "Two English texts of the stated length. The second is the first with one character in six or so replaced, \
            removed or inserted, as a careless typist does. Many pairs of texts take turns.",
    axis: Axis {
        name: "length",
        unit: "characters",
        is_size: true,
        points: Points::Fixed { default: &[5, 20, 60, 250, 1_000], deep: &[5_000] },
    },
    unit: "character",
    headline: Headline::At { level: "", point: 60 },
    peers: &[SideBeside { name: "rapidfuzz", summary: "levenshtein::distance" }],
    alternatives: &[SideBeside { name: "two_rows", summary: "cell by cell, keeping two rows" }],
    causes: &[Claim {
        cause: STEPS,
        naive: Count::Exactly(|case| case.point * case.point),
        optimized: Count::Exactly(|case| case.point * case.point.div_ceil(BITS as u64)),
    }],
    explanation: Explanation {
        why: "Neighbouring cells differ by one at most, so two bits hold such a step, and a word holds 64 of a column. \
              A step over a word takes more operations than one over a cell and waits for the step before. Texts that \
              do not fill a word gain less. For very short ones, making the table that says where each character is \
              takes most of the time.",
        share_of_cause: ShareOfCause::Within(0.1, 1.2),
        far_end: FarEnd::Rises,
        keep_naive: KeepNaive::UpTo(0),
    },
    traps: &[
        &Trap {
            name: "the texts are equal",
            reason: "a comparison would answer, and the branch for equal characters would always be taken",
            check: |inputs: &[Input]| {
                let distances = inputs.iter().map(|input| two_rows(input) as usize);
                let (edits, length): (usize, usize) =
                    (distances.sum(), inputs.iter().map(|input| input.a.len()).sum());
                ensure(edits * 20 > length && edits * 2 < length, || {
                    format!("{edits} edits of {length} characters")
                })
            },
            sprung: || vec![Input { a: "night".repeat(9), b: "night".repeat(9) }],
        },
        &Trap {
            name: "the branch predictor learns the texts",
            reason: "it then knows which characters are equal, which the cell-by-cell side branches on",
            check: |inputs: &[Input]| {
                let cells: usize = inputs.iter().map(|input| input.a.len() * input.b.len()).sum();
                ensure(cells >= 16_384, || format!("{cells} cells before they repeat"))
            },
            sprung: || vec![input(&Case::realistic(60, 0, 1))],
        },
    ],
    limit: Limit::None(
        "each word waits for the one before, and no machine number is the time of such a chain",
    ),
    proof: Proof { resources: Resources::Memory, max_size: 300 },
    prepare,
    ..Pair::DEFAULTS
};

#[derive(Debug)]
struct Input {
    a: String,
    b: String,
}

/// The edit distance of the texts, in characters; `step` is called for each cell.
fn naive(Input { a, b }: &Input, step: impl Fn()) -> u64 {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut distance = vec![vec![0; b.len() + 1]; a.len() + 1];
    for (i, row) in distance.iter_mut().enumerate() {
        row[0] = i;
    }
    for (j, cell) in distance[0].iter_mut().enumerate() {
        *cell = j;
    }
    for i in 1..=a.len() {
        for j in 1..=b.len() {
            step();
            let replaced = distance[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let removed = distance[i - 1][j] + 1;
            let inserted = distance[i][j - 1] + 1;
            distance[i][j] = replaced.min(removed).min(inserted);
        }
    }
    distance[a.len()][b.len()] as u64
}

/// 64 cells of a column: how each differs from the one above, as bits.
#[derive(Clone, Copy)]
struct Word {
    /// It is one more.
    more: u64,
    /// It is one less.
    less: u64,
}

/// The edit distance of the texts, in characters; `step` is called for each word of cells.
fn optimized(Input { a, b }: &Input, step: impl Fn()) -> u64 {
    let masks = Masks::of(a);
    // The first column counts up from zero.
    let first = Word { more: !0, less: 0 };
    match masks.words {
        0 => b.chars().count() as u64,
        // An array of one word stays in registers.
        1 => last_distance(&masks, &mut [first], b, step),
        words => last_distance(&masks, &mut vec![first; words], b, step),
    }
}

/// The distance at the end of the last column.
#[inline(always)]
fn last_distance(masks: &Masks, column: &mut [Word], b: &str, step: impl Fn()) -> u64 {
    let (mut distance, last_bit) = (masks.length as u64, (masks.length - 1) % BITS);
    for character in b.chars() {
        let (more, less) = next_column(column, masks.of_character(character), &step);
        distance = distance + (more >> last_bit & 1) - (less >> last_bit & 1);
    }
    distance
}

/// Moves on to the next column (Hyyrö's blocks of Myers' algorithm), given which rows have its character. Returns
/// where the cells of the last word are one more or less than those to the left.
#[inline(always)]
fn next_column(column: &mut [Word], equal: &[u64], step: impl Fn()) -> (u64, u64) {
    let (mut right_more, mut right_less) = (0, 0);
    // The row above the first counts up.
    let (mut carry_more, mut carry_less) = (1, 0);
    for (Word { more, less }, equal) in column.iter_mut().zip(equal) {
        step();
        let vertical = equal | *less;
        let equal = equal | carry_less;
        let horizontal = ((equal & *more).wrapping_add(*more) ^ *more) | equal;
        right_more = *less | !(horizontal | *more);
        right_less = *more & horizontal;
        let shifted_more = right_more << 1 | carry_more;
        let shifted_less = right_less << 1 | carry_less;
        (carry_more, carry_less) = (right_more >> (BITS - 1), right_less >> (BITS - 1));
        *more = shifted_less | !(vertical | shifted_more);
        *less = shifted_more & vertical;
    }
    (right_more, right_less)
}

/// For each character of a text, where it is.
struct Masks {
    /// In characters.
    length: usize,
    words: usize,
    /// The place of a character in `bits`. Those that the text lacks have place 0, whose words are zero.
    ascii: [u32; 128],
    others: HashMap<char, usize, FixedState>,
    /// `words` words for each character.
    bits: Vec<u64>,
}

impl Masks {
    fn of(text: &str) -> Masks {
        let length = text.chars().count();
        let words = length.div_ceil(BITS);
        // Room for 31 different characters, and for those that the text lacks. With more, it grows.
        let mut bits = Vec::with_capacity(words * (1 + length.min(31)));
        bits.resize(words, 0);
        let mut masks = Masks { length, words, ascii: [0; 128], others: HashMap::default(), bits };
        for (i, character) in text.chars().enumerate() {
            let mut place = masks.place(character);
            if place == 0 {
                place = masks.bits.len() / words;
                masks.bits.resize(masks.bits.len() + words, 0);
                match masks.ascii.get_mut(character as usize) {
                    Some(ascii) => *ascii = place as u32,
                    None => {
                        masks.others.insert(character, place);
                    }
                }
            }
            masks.bits[place * words + i / BITS] |= 1 << (i % BITS);
        }
        masks
    }

    fn place(&self, character: char) -> usize {
        match self.ascii.get(character as usize) {
            Some(place) => *place as usize,
            None => self.others.get(&character).copied().unwrap_or(0),
        }
    }

    fn of_character(&self, character: char) -> &[u64] {
        &self.bits[self.place(character) * self.words..][..self.words]
    }
}

/// The edit distance of the texts, in characters.
fn two_rows(Input { a, b }: &Input) -> u64 {
    let b: Vec<char> = b.chars().collect();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    let mut row = above.clone();
    for (i, x) in a.chars().enumerate() {
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = above[j] + usize::from(x != *y);
            row[j + 1] = replaced.min(above[j + 1] + 1).min(row[j] + 1);
        }
        std::mem::swap(&mut above, &mut row);
    }
    above[b.len()] as u64
}

/// The edit distance of the texts, in characters.
fn rapidfuzz(Input { a, b }: &Input) -> u64 {
    rapidfuzz::distance::levenshtein::distance(a.chars(), b.chars()) as u64
}

fn input(case: &Case) -> Input {
    let (length, mut rng) = (case.point as usize, case.rng("texts"));
    // Characters of one to four bytes, in which some bytes are the same.
    let alphabet: Vec<char> = match case.shape {
        Shape::DuplicateHeavy => "ab".chars().collect(),
        Shape::Adversarial => "a\u{0}\u{7f}\u{80}éê€𝄞𝄟\u{10ffff}".chars().collect(),
        _ => "abcdefghijklmnopqrstuvwxyz ".chars().collect(),
    };
    let any = |rng: &mut _| *alphabet.choose(rng).expect("an alphabet");
    let a: Vec<char> = match case.shape {
        Shape::Realistic | Shape::Sorted => {
            // A text begins anywhere.
            let from = rng.random_range(0..200);
            text::english(from + length, &mut rng).chars().skip(from).collect()
        }
        _ => (0..length).map(|_| any(&mut rng)).collect(),
    };
    let mut b = Vec::new();
    for character in &a {
        match rng.random_range(0..18) {
            0 => b.push(any(&mut rng)),
            1 => {}
            2 => b.extend([any(&mut rng), *character]),
            _ => b.push(*character),
        }
    }
    match case.shape {
        // Both have the same number of characters, so that the number of cells is known.
        Shape::Realistic => b.resize_with(length, || any(&mut rng)),
        // These have nothing in common, and some are empty.
        Shape::Random => b = (0..rng.random_range(0..=2 * length)).map(|_| any(&mut rng)).collect(),
        Shape::Sorted => {
            let third = b.len() / 3;
            b.rotate_left(third);
        }
        _ => {}
    }
    Input { a: a.into_iter().collect(), b: b.into_iter().collect() }
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let inputs = case.rotate((65_536 / case.point.max(1)).clamp(16, 4_096), input);
    Ok(Trial::new(
        inputs.measured(|input| input.a.chars().count() as u64),
        by_ref(&inputs, |input| naive(input, || ()))
            .counting(STEPS, noting(&inputs, |input| naive(input, note))),
        by_ref(&inputs, |input| optimized(input, || ()))
            .counting(STEPS, noting(&inputs, |input| optimized(input, note))),
    )
    .peer(by_ref(&inputs, rapidfuzz))
    .alternative(by_ref(&inputs, two_rows))
    .units(case.point))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(a: &str, b: &str) -> [u64; 4] {
        let input = Input { a: a.to_owned(), b: b.to_owned() };
        [naive(&input, || ()), optimized(&input, || ()), two_rows(&input), rapidfuzz(&input)]
    }

    #[test]
    fn known_answers() {
        for (a, b, distance) in [
            ("", "", 0),
            ("", "abc", 3),
            ("abc", "", 3),
            ("kitten", "sitting", 3),
            ("Saturday", "Sunday", 3),
            // Characters, not bytes.
            ("é€", "ê", 2),
            ("𝄞a", "a𝄟", 2),
        ] {
            assert_eq!(all(a, b), [distance; 4], "{a} {b}");
        }
    }

    #[test]
    fn carries_cross_from_word_to_word() {
        for length in [63, 64, 65, 127, 128, 129, 200] {
            let a = "a".repeat(length);
            assert_eq!(all(&a, &a[1..]), [1; 4]);
            assert_eq!(all(&a, &"b".repeat(length)), [length as u64; 4]);
            assert_eq!(all(&a, &format!("b{a}")), [1; 4]);
        }
    }
}
