//! Finds magnitudes in prose: gains in words, which no run can keep true.

/// Words that state a magnitude. Each is matched as whole words, in any case.
const MAGNITUDES: &[&str] = &[
    "half",
    "halves",
    "a third",
    "two thirds",
    "a quarter",
    "a fifth",
    "an eighth",
    "a tenth",
    "a hundredth",
    "a thousandth",
    "twice",
    "threefold",
    "tenfold",
    "dozen",
    "dozens",
    "tens",
    "hundreds",
    "thousands",
    "percent",
    "nearly nothing",
    "almost nothing",
    "times as fast",
    "times as long",
    "times faster",
    "times slower",
    "orders of magnitude",
    "an order of magnitude",
];

/// Returns the first magnitude in `text`, outside of code spans.
pub fn magnitude(text: &str) -> Option<String> {
    let outside: Vec<&str> = text.split('`').step_by(2).collect();
    let plain = outside.join(" ` ");
    if let Some(figure) = plain.split_whitespace().find(|word| is_factor(word)) {
        return Some(figure.to_owned());
    }
    let words: Vec<String> = plain
        .split(|c: char| !c.is_alphanumeric() && c != '-')
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect();
    let stated = MAGNITUDES.iter().find(|magnitude| {
        let sought: Vec<&str> = magnitude.split(' ').collect();
        words.windows(sought.len()).any(|window| window.iter().eq(sought.iter()))
    });
    stated.map(|magnitude| (*magnitude).to_owned())
}

/// "1.5×", "30 %" (its sign stands alone) or "30%".
fn is_factor(word: &str) -> bool {
    word.contains('×') || word.contains('%')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn magnitudes_are_found_in_figures_and_words() {
        for (text, found) in [
            ("It gains 1.5× or so.", "1.5×"),
            ("About 30 % of it.", "%"),
            ("A tenth to a hundredth of the ratio.", "a tenth"),
            ("Beyond a few dozen bytes.", "dozen"),
            ("More than half of it.", "half"),
        ] {
            assert_eq!(magnitude(text).as_deref(), Some(found), "{text}");
        }
    }

    #[test]
    fn sizes_code_and_other_words_are_none() {
        for text in [
            "The 64 KiB of `BufWriter::with_capacity(64 * 1024, file)`.",
            "The third-level cache; a halving; `a % b`; `half`.",
            "Each comparison waits for the one before.",
        ] {
            assert_eq!(magnitude(text), None, "{text}");
        }
    }
}
