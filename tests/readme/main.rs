//! Tests that the pair which README shows compiles, passes its proof and has the counts that it claims.

mod shown;

worthit_pair::counting_binary!();

#[test]
fn readme_shows_this_pair_word_for_word() {
    let readme = include_str!("../../README.md");
    let text = readme.split("```rust\n").nth(1).and_then(|text| text.split("```").next());
    assert_eq!(text, Some(shown::FAMILY.pairs[0].source));
}
