//! Parse a list of integers: in one pass over its bytes, not field by field.

use std::{num::ParseIntError, str::FromStr};

use rand::RngExt;

use worthit_pair::prelude::*;

const BYTES_VISITED: Cause = Cause::new("bytes_visited", "bytes visited")
    .counted("with a closure that sees each field, or each byte");

pub const PAIR: Pair = Pair {
    title: "Parse integers in one pass over the bytes",
    review: Review {
        smell: "`text.split(',').map(str::parse::<u32>)` over megabytes of plain digits.",
        remedy: "One loop over `text.bytes()` that multiplies by ten and adds a digit, and at each comma pushes the \
                 number. A field with other bytes, or with too many digits, is left to `from_str`, so that signs and \
                 errors stay as they were.",
        keep_naive_when: "There are a few numbers: a command line, a header. Or they do not arrive as text that you \
                          split yourself.",
        costs: "The loop must be right about signs, empty fields and overflow, as `str::parse` is. The crate \
                `atoi_simd`, the peer, is better where numbers have several digits: take it if one more dependency is \
                no problem. It decodes eight digits at a time and says where a number ends, and leaves signs and \
                errors to the caller. (Its vector code needs a build for newer processors than the default; here its \
                portable code runs.)",
        lint: Lint::None,
    },
    naive: Side { summary: "split at commas, str::parse each field", growth: Growth::Linear },
    optimized: Side { summary: "one loop over the bytes", growth: Growth::Linear },
    input: "A line of numbers of one to seven digits between commas, short ones about as frequent as long ones. No \
            field has a sign, a blank or too many digits. Lines alternate: a branch predictor that had learnt one \
            would know where each number ends.",
    axis: Axis {
        name: "line",
        unit: "B",
        is_size: true,
        points: Points::Fixed { default: &[10, 100, 1_000, 10_000, 100_000], deep: &[5_000_000] },
    },
    unit: "byte",
    headline: Headline::At { level: "", point: 10_000 },
    peers: &[SideBeside {
        name: "atoi_simd",
        summary: "parse_any_pos where a number begins, without SIMD in a default build",
    }],
    alternatives: &[SideBeside {
        name: "split_bytes",
        summary: "split, then a loop over each field",
    }],
    causes: &[Claim {
        cause: BYTES_VISITED,
        // Each byte once to find the commas, and each digit once more.
        naive: Count::AtLeast(|case| case.point * 3 / 2),
        optimized: Count::Exactly(|case| case.point),
    }],
    explanation: Explanation {
        why: "The naive side visits each digit two times: to find the comma after it, and to parse it. The search \
              for a comma is the larger part: it is made for long texts, and here it starts anew every few bytes. So \
              the alternative, which splits as the naive side does and replaces only `str::parse`, gains little. The \
              optimized side has one branch for each byte and mispredicts at most commas, as the naive side does; \
              that is most of its time.",
        share_of_cause: ShareOfCause::Within(0.6, 3.0),
        far_end: FarEnd::Settled,
        keep_naive: KeepNaive::Nowhere,
    },
    traps: &[
        &Trap {
            name: "the numbers are equally long",
            reason: "the processor would know where each ends, which is most of the optimized side's time",
            check: |inputs: &[String]| {
                let mut by_length = [0; 16];
                for field in inputs.iter().flat_map(|text| text.split(',')) {
                    by_length[field.len().min(15)] += 1;
                }
                let (most, all) = (by_length.iter().max(), by_length.iter().sum::<usize>());
                ensure(most.is_some_and(|most| most * 3 < all), || {
                    format!("{most:?} of {all} numbers are equally long")
                })
            },
            sprung: || vec!["1234,5678,9012,3456".repeat(100)],
        },
        &Trap {
            name: "a field is no plain number",
            reason: "the optimized side would parse it as the naive one does",
            check: |inputs: &[String]| {
                let is_other = |c: &char| !c.is_ascii_digit() && *c != ',';
                let other = inputs.iter().find_map(|text| text.chars().find(is_other));
                ensure(other.is_none(), || format!("{other:?}"))
            },
            sprung: || vec!["12,+7,5".to_owned()],
        },
    ],
    limit: Limit::None(
        "a digit takes some instructions to decode, and no machine number counts instructions",
    ),
    prepare,
    ..Pair::DEFAULTS
};

/// A field that is no number.
#[derive(Debug, PartialEq, Eq)]
struct BadField {
    /// Number of good fields before it.
    place: usize,
    error: ParseIntError,
}

type Numbers = Result<Vec<u32>, BadField>;

/// The answer of a side; it finds each number.
#[derive(Debug, PartialEq, Eq)]
struct Parsed(Numbers);

impl Found for Parsed {
    fn found(&self) -> u64 {
        self.0.as_ref().map_or(0, |numbers| numbers.len() as u64)
    }
}

/// The numbers between commas; `parse` is `str::parse` when timed.
fn naive(text: &str, parse: impl Fn(&str) -> Result<u32, ParseIntError>) -> Numbers {
    let number = |(place, field)| parse(field).map_err(|error| BadField { place, error });
    text.split(',').enumerate().map(number).collect()
}

/// The numbers between commas; `see` returns its byte.
fn optimized(text: &str, see: impl Fn(u8) -> u8) -> Numbers {
    let (mut numbers, mut field) = (Vec::new(), Field::starting_at(0));
    for (place, byte) in text.bytes().enumerate() {
        let byte = see(byte);
        if byte == b',' {
            numbers.push(field.number(text, place, numbers.len())?);
            field = Field::starting_at(place + 1);
        } else {
            let digit = byte.wrapping_sub(b'0');
            field.has_other_bytes |= digit > 9;
            field.value = field.value.wrapping_mul(10).wrapping_add(u64::from(digit));
        }
    }
    numbers.push(field.number(text, text.len(), numbers.len())?);
    Ok(numbers)
}

/// A field up to the byte that was seen last.
struct Field {
    start: usize,
    /// The number, if all bytes are digits and there are not too many.
    value: u64,
    has_other_bytes: bool,
}

impl Field {
    fn starting_at(start: usize) -> Field {
        Field { start, value: 0, has_other_bytes: false }
    }

    /// The number in the field, which ends before `end` and comes after `place` others.
    fn number(&self, text: &str, end: usize, place: usize) -> Result<u32, BadField> {
        let digits = end - self.start;
        match u32::try_from(self.value) {
            // Nineteen digits fit in 64 bits.
            Ok(number) if !self.has_other_bytes && (1..=19).contains(&digits) => Ok(number),
            _ => parsed_by_std(&text[self.start..end], place),
        }
    }
}

/// The number in a field that has a sign, or more zeros than any number needs; else the error.
#[cold]
fn parsed_by_std(field: &str, place: usize) -> Result<u32, BadField> {
    let number: Result<u32, ParseIntError> = FromStr::from_str(field);
    number.map_err(|error| BadField { place, error })
}

/// The numbers between commas.
fn split_bytes(text: &str) -> Numbers {
    let number = |(place, field): (usize, &str)| {
        let mut seen = Field::starting_at(0);
        for byte in field.bytes() {
            let digit = byte.wrapping_sub(b'0');
            seen.has_other_bytes |= digit > 9;
            seen.value = seen.value.wrapping_mul(10).wrapping_add(u64::from(digit));
        }
        seen.number(field, field.len(), place)
    };
    text.split(',').enumerate().map(number).collect()
}

/// The numbers between commas.
fn atoi_simd(text: &str) -> Numbers {
    let (mut numbers, mut rest) = (Vec::new(), text);
    loop {
        let (number, end) = match ::atoi_simd::parse_any_pos(rest.as_bytes()) {
            Ok((number, end)) if matches!(rest.as_bytes().get(end), None | Some(b',')) => {
                (number, end)
            }
            _ => {
                let end = rest.find(',').unwrap_or(rest.len());
                (parsed_by_std(&rest[..end], numbers.len())?, end)
            }
        };
        numbers.push(number);
        match rest.get(end + 1..) {
            Some(after) => rest = after,
            None => return Ok(numbers),
        }
    }
}

/// Notes the bytes that the naive side visits: all of a field and the comma after it to find that comma, and the field
/// again. The end of the text takes the place of the last comma.
fn noted(field: &str) -> Result<u32, ParseIntError> {
    (0..2 * field.len() + 1).for_each(|_| note());
    field.parse()
}

fn input(case: &Case) -> String {
    let bytes = case.point as usize;
    let mut rng = case.rng("numbers");
    let mut text = String::with_capacity(bytes + 24);
    // What `str::parse` takes or refuses for its own reasons.
    let unusual = [
        "4294967295",
        "4294967296",
        "42949672950",
        "+7",
        "-0",
        "-1",
        "+",
        "-",
        "",
        "007",
        "1e3",
        "0x1f",
        " 5",
        "00000000000000000000000000009",
        "18446744073709551617",
        "99999999999999999999x",
        "٣",
        "1２",
    ];
    while text.len() < bytes {
        let left = bytes - text.len();
        match case.shape {
            Shape::Realistic => {
                // Of one to seven digits, but such that the last number ends the line.
                let digits = if left <= 7 { left } else { rng.random_range(1..=7.min(left - 2)) };
                let least = 10_u32.pow(digits as u32 - 1);
                let number = rng.random_range(least..10 * least);
                text.push_str(&number.to_string());
            }
            Shape::Random => text.push_str(&rng.random::<u32>().to_string()),
            Shape::DuplicateHeavy => text.push(['0', '1', ','][rng.random_range(0..3)]),
            Shape::Sorted => text.push_str(&text.len().to_string()),
            Shape::Adversarial => match unusual.get(rng.random_range(0..60_usize)) {
                Some(field) => text.push_str(field),
                None => text.push_str(&rng.random::<u32>().to_string()),
            },
        }
        if text.len() < bytes {
            text.push(',');
        }
    }
    // A cut within a character leaves room.
    text.truncate((0..=bytes).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0));
    text.extend(std::iter::repeat_n('8', bytes - text.len()));
    text
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let inputs = case.rotate((262_144 / case.point.max(1)).clamp(4, 4_096), input);
    Ok(Trial::new(
        inputs.measured(|text| text.len() as u64),
        by_ref(&inputs, |text: &String| Parsed(naive(text, str::parse)))
            .counting(BYTES_VISITED, noting(&inputs, |text| naive(text, noted))),
        by_ref(&inputs, |text: &String| Parsed(optimized(text, |byte| byte))).counting(
            BYTES_VISITED,
            noting(&inputs, |text| {
                optimized(text, |byte| {
                    note();
                    byte
                })
            }),
        ),
    )
    .peer(by_ref(&inputs, |text: &String| Parsed(atoi_simd(text))))
    .alternative(by_ref(&inputs, |text: &String| Parsed(split_bytes(text))))
    .units(case.point))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &str) -> [Numbers; 4] {
        [naive(text, str::parse), optimized(text, |byte| byte), split_bytes(text), atoi_simd(text)]
    }

    #[test]
    fn known_answers() {
        for numbers in all("7,0,4294967295,0012,+3") {
            assert_eq!(numbers, Ok(vec![7, 0, u32::MAX, 12, 3]));
        }
        use std::num::IntErrorKind::{Empty, InvalidDigit, PosOverflow};
        for (text, place, kind) in [
            ("", 0, Empty),
            ("5,", 1, Empty),
            ("5,,6", 1, Empty),
            ("4294967296", 0, PosOverflow),
            ("1,99999999999999999999999", 1, PosOverflow),
            ("18446744073709551617", 0, PosOverflow),
            ("1,2x,3", 1, InvalidDigit),
            ("-1", 0, InvalidDigit),
            ("1, 2", 1, InvalidDigit),
            ("1,٣", 1, InvalidDigit),
        ] {
            for numbers in all(text) {
                let BadField { place: found, error } = numbers.unwrap_err();
                assert_eq!((found, error.kind()), (place, &kind), "{text:?}");
            }
        }
    }

    #[test]
    fn lines_have_numbers_of_every_length_and_end_with_one() {
        for bytes in 1..200 {
            let text = input(&Case::realistic(bytes, 0, 1));
            assert_eq!(text.len() as u64, bytes);
            assert!(naive(&text, str::parse).is_ok(), "{text}");
        }
    }
}
