//! Whether what a card prescribes is what the optimized side does.

use crate::report::code_of_side;
use worthit_pair::family::Entry;

/// Calls and paths in the code of the remedy that the optimized side does not have.
pub fn find(entry: &Entry) -> Vec<String> {
    let code = code_of_side(entry.source, "optimized");
    let Some(code) = code else { return vec!["its file has no function `optimized`".to_owned()] };
    let names = words(&code);
    let spans = entry.review.remedy.split('`').skip(1).step_by(2);
    let prescribed = spans.flat_map(calls);
    let missing = prescribed.filter(|name| !names.contains(name));
    missing
        .map(|name| format!("`{name}` is prescribed, but the optimized side does not use it"))
        .collect()
}

/// The identifiers in a piece of code.
fn words(code: &str) -> Vec<&str> {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    code.split(|c| !is_part(c)).filter(|word| !word.is_empty()).collect()
}

/// The identifiers in a piece of code that are called or part of a path: `BufWriter` and `with_capacity` of
/// `BufWriter::with_capacity(…)`, `lru` and `LruCache` of `lru::LruCache`. A lone identifier counts, too.
fn calls(span: &str) -> Vec<&str> {
    let all = words(span);
    if all.len() == 1 && span.trim() == all[0] {
        return all;
    }
    let is_call = |word: &&str| {
        let start = word.as_ptr() as usize - span.as_ptr() as usize;
        let (before, after) = (&span[..start], &span[start + word.len()..]);
        let is_number = word.starts_with(|c: char| c.is_ascii_digit());
        !is_number
            && (after.starts_with('(')
                || after.starts_with("::")
                || after.starts_with('!')
                || before.ends_with("::"))
    };
    all.into_iter().filter(is_call).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_and_paths_are_prescribed_and_variables_are_not() {
        let span = "let mut out = BufWriter::with_capacity(64 * 1024, file);";
        assert_eq!(calls(span), ["BufWriter", "with_capacity"]);
        assert_eq!(calls("sorted.partition_point(|x| x < key)"), ["partition_point"]);
        assert_eq!(calls("binary_search"), ["binary_search"]);
        assert_eq!(calls("vec![0; n]"), ["vec"]);
        assert_eq!(calls("keep(x) as usize"), ["keep"]);
    }
}
