//! The formatting of figures, for the terminal and for pages.

/// Placeholder for a figure that does not exist.
pub const NONE: &str = "–";

/// Formats a gain: `38.2×`.
pub fn times(gain: f64) -> String {
    format!("{}×", significant(gain))
}

/// Formats with three significant digits, and all digits of larger whole numbers: `0.0123`, `1.23`, `12.3`, `12,345`.
/// Uses an exponent from 10¹⁵ on.
pub fn significant(value: f64) -> String {
    if !value.is_finite() {
        return "?".to_owned();
    }
    if value.abs() >= 1e15 {
        return format!("{value:.2e}");
    }
    if value.abs() >= 99.95 {
        return whole(value.round().abs() as u64, value < 0.0);
    }
    let magnitude = if value == 0.0 { 0 } else { value.abs().log10().floor() as i32 };
    let decimals = (2 - magnitude).clamp(0, 6) as usize;
    format!("{value:.decimals$}")
}

/// Formats an estimate with three significant digits, of larger numbers too: `12,300`.
pub fn estimate(value: f64) -> String {
    // Rounding by way of the text avoids a power of ten that is not exact.
    significant(format!("{value:.2e}").parse().unwrap_or(value))
}

fn whole(value: u64, negative: bool) -> String {
    let sign = if negative { "-" } else { "" };
    format!("{sign}{}", count(value))
}

/// Formats a whole number with thousands separators: `10,001`.
pub fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut grouped = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// Formats the mean of a sum over `iterations`: "4,096", "12.5".
pub fn mean(sum: u64, iterations: u64) -> String {
    number(sum as f64 / iterations.max(1) as f64)
}

/// Formats a number that is not negative: "4,096", "12.5"; one of thousands without digits after the point.
pub fn number(value: f64) -> String {
    if value.fract() == 0.0 || value >= 1_000.0 {
        count(value.round() as u64)
    } else {
        significant(value)
    }
}

/// Formats the mean of a sum over `iterations` with its noun, as [`counted`] does: "12.5 comparisons".
pub fn mean_counted(sum: u64, iterations: u64, plural: &str) -> String {
    match mean(sum, iterations) {
        number if number == "1" => counted(1, plural),
        number => format!("{number} {plural}"),
    }
}

/// Formats a count with its noun, which is given in the plural and takes the singular after 1: "1 cache line read".
pub fn counted(value: u64, plural: &str) -> String {
    let number = count(value);
    if value == 1 { format!("{number} {}", singular(plural)) } else { format!("{number} {plural}") }
}

/// Returns the plural of a unit of work: "rows", "queries", "searches", "pages and pictures".
pub fn plural(singular: &str) -> String {
    singular.split(" and ").map(plural_of_word).collect::<Vec<_>>().join(" and ")
}

fn plural_of_word(word: &str) -> String {
    let is_after_vowel = |stem: &&str| stem.ends_with(['a', 'e', 'i', 'o', 'u']);
    match word.strip_suffix('y').filter(|stem| !is_after_vowel(stem)) {
        Some(stem) => format!("{stem}ies"),
        None if ["s", "sh", "ch", "x"].iter().any(|end| word.ends_with(end)) => format!("{word}es"),
        None => format!("{word}s"),
    }
}

/// The first word that ends in a plural's "s", without it; a short word, such as the unit "ms", has none.
fn singular(plural: &str) -> String {
    let is_plural = |word: &&str| word.len() > 2 && word.ends_with('s') && !word.ends_with("ss");
    let Some(word) = plural.split(' ').find(is_plural) else { return plural.to_owned() };
    let single = match word.strip_suffix("ies") {
        Some(stem) => format!("{stem}y"),
        None if ["sses", "shes", "tches", "xes"].iter().any(|end| word.ends_with(end)) => {
            word[..word.len() - 2].to_owned()
        }
        None => word[..word.len() - 1].to_owned(),
    };
    plural.replacen(word, &single, 1)
}

/// Formats a number shortly enough for an axis tick: `8`, `4,096`, `65.5k`, `1.05M`.
pub fn tick(value: f64) -> String {
    let scaled = |unit: f64, suffix: &str| format!("{}{suffix}", significant(value / unit));
    match value.abs() {
        size if size >= 1e15 => format!("{value:.0e}"),
        size if size >= 1e9 => scaled(1e9, "G"),
        size if size >= 1e6 => scaled(1e6, "M"),
        size if size >= 1e4 => scaled(1e3, "k"),
        // A whole number that went through a logarithm and back has a small rounding error.
        _ if (value - value.round()).abs() < 1e-9 => whole(value.round().abs() as u64, value < 0.0),
        _ => significant(value),
    }
}

/// Formats a number of bytes: `4.00 KiB`.
pub fn bytes(count: f64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let step = units.iter().scan(1.0, |size, unit| {
        let current = (*size, *unit);
        *size *= 1024.0;
        Some(current)
    });
    let fitting = step.take_while(|(size, _)| *size <= count.abs().max(1.0)).last();
    let (size, unit) = fitting.unwrap_or((1.0, "B"));
    format!("{} {unit}", significant(count / size))
}

/// Formats a time given in nanoseconds: `1.23 µs`.
pub fn duration(ns: f64) -> String {
    let (value, unit) = match ns.abs() {
        ns if ns >= 1e9 => (ns / 1e9, "s"),
        ns if ns >= 1e6 => (ns / 1e6, "ms"),
        ns if ns >= 1e3 => (ns / 1e3, "µs"),
        ns => (ns, "ns"),
    };
    format!("{} {unit}", significant(if ns < 0.0 { -value } else { value }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_are_whole_where_they_can_be() {
        assert_eq!([mean(8_192, 2), mean(25, 2), mean(0, 3)], ["4,096", "12.5", "0"]);
        assert_eq!([mean(100_001, 3), mean(7, 0)], ["33,334", "7"]);
        assert_eq!(mean_counted(5, 5, "steps"), "1 step");
        assert_eq!(mean_counted(5, 2, "steps"), "2.50 steps");
    }

    #[test]
    fn several_of_a_kind_are_plural() {
        for (one, several) in [
            ("row", "rows"),
            ("query", "queries"),
            ("key", "keys"),
            ("search", "searches"),
            ("page and picture", "pages and pictures"),
        ] {
            assert_eq!(plural(one), several);
        }
    }

    #[test]
    fn one_of_a_kind_is_singular() {
        for (plural, single) in [
            ("items", "1 item"),
            ("cache lines read", "1 cache line read"),
            ("counters on one cache line", "1 counter on one cache line"),
            ("queries", "1 query"),
            ("paired batches", "1 paired batch"),
            ("misses", "1 miss"),
            ("ms", "1 ms"),
            ("B", "1 B"),
            ("%", "1 %"),
        ] {
            assert_eq!(counted(1, plural), single);
            assert_eq!(counted(1_000, plural), format!("1,000 {plural}"));
        }
    }

    #[test]
    fn estimates_have_three_significant_digits_at_any_size() {
        assert_eq!(
            [678_345.0, 1_084_507.0, 99.96, 9.468].map(estimate),
            ["678,000", "1,080,000", "100", "9.47"]
        );
        assert_eq!([0.0, f64::INFINITY].map(estimate), ["0.00", "?"]);
    }

    #[test]
    fn figures_have_three_significant_digits() {
        for (value, text) in [
            (0.0, "0.00"),
            (0.012_345, "0.0123"),
            (1.0, "1.00"),
            (12.345, "12.3"),
            (99.94, "99.9"),
            (99.96, "100"),
            (12_345.6, "12,346"),
            (-3.5, "-3.50"),
            (1e300, "1.00e300"),
            (f64::NAN, "?"),
            (f64::INFINITY, "?"),
        ] {
            assert_eq!(significant(value), text);
        }
    }

    #[test]
    fn counts_are_grouped() {
        assert_eq!(
            [0, 999, 1_000, 10_001, 1_234_567].map(count),
            ["0", "999", "1,000", "10,001", "1,234,567"]
        );
    }

    #[test]
    fn ticks_are_short() {
        for (value, text) in [
            (8.0, "8"),
            (10.0_f64.powf(8.0_f64.log10()), "8"),
            (0.0, "0"),
            (0.5, "0.500"),
            (4_096.0, "4,096"),
            (65_536.0, "65.5k"),
            (1_048_576.0, "1.05M"),
            (2e9, "2.00G"),
            (1e300, "1e300"),
        ] {
            assert_eq!(tick(value), text);
        }
    }

    #[test]
    fn bytes_have_the_unit_that_fits() {
        assert_eq!([512.0, 4_096.0, 3e6].map(bytes), ["512 B", "4.00 KiB", "2.86 MiB"]);
    }

    #[test]
    fn durations_have_the_unit_that_fits() {
        assert_eq!(
            [0.5, 999.0, 1_500.0, 2.5e6, 3e9].map(duration),
            ["0.500 ns", "999 ns", "1.50 µs", "2.50 ms", "3.00 s"]
        );
    }
}
