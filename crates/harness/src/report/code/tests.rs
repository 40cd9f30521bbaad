//! Tests of listings: on a made file, and on every pair of the catalogue.

use std::{fs, path::Path};

use super::*;

const INJECTED: &str = r#"//! A pair.

use std::fmt;

pub const PAIR: Pair = Pair { prepare };

/// Found by `"{LIMIT}"`.
const LIMIT: u64 = 1;
const UNUSED: u64 = 2;

/// Both use it.
#[derive(Debug)]
struct Input(Vec<&'static str>);

impl fmt::Display for Input {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a <b> & \"c\"
            d")
    }

    #[cfg(test)]
    fn for_tests() {}
}

// On its own.

/// Which one.
fn naive(input: &Input) -> u64 {
    let order = order(input);
    order
}

fn order(_: &Input) -> u64 { 0 }

/// Which one.
fn optimized(input: &Input) -> u64 {
    println!("{LIMIT}");
    input.0.iter().map(scale).sum()
}

/* Scales
   it. */
fn scale(_: &&str) -> u64 { naive(&Input(vec![])) }

fn input() -> Input { unused() }
fn prepare() { input(); }

#[cfg(test)]
mod tests {
    fn order() {}
}
"#;

/// Returns a line as plain text, and checks that its spans are balanced and of known classes.
fn plain(line: &CodeLine) -> String {
    let mut plain = String::new();
    let mut open = 0;
    for (index, part) in line.html.split('<').enumerate() {
        let Some((tag, text)) = part.split_once('>').filter(|_| index > 0) else {
            plain.push_str(part);
            continue;
        };
        open += if tag == "/span" { -1 } else { 1 };
        let is_known = |class| tag == format!("span class=\"{class}\"");
        assert!(tag == "/span" || CLASSES.iter().any(|(_, class)| is_known(class)), "{tag}");
        assert!(open >= 0, "{}", line.html);
        plain.push_str(text);
    }
    assert!(open == 0 && !plain.contains(['>', '"', '\'']), "{}", line.html);
    let plain = plain.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"");
    plain.replace("&#39;", "'").replace("&amp;", "&")
}

#[test]
fn a_line_knows_its_indent() {
    let deep = format!("{}x", " ".repeat(80));
    let source = ["fn naive() {", "    a(", "", "       b,", &deep, "}"].join("\n");
    let listing = listing(&source, &[]);
    let indents = listing.shared.unwrap().iter().map(|line| line.indent).collect::<Vec<_>>();
    assert_eq!(indents, [0, 1, 0, 1, MOST_INDENTED, 0]);
}

fn text(lines: &[CodeLine]) -> String {
    lines.iter().map(|line| format!("{}{}\n", line.mark.sign(), plain(line))).collect()
}

#[test]
fn a_side_lists_its_own_items_and_common_items_are_shared() {
    let listing = listing(INJECTED, &["naive", "optimized"]);
    let signature = " /// Which one.\n fn naive(input: &Input) -> u64 {\n";
    let naive = format!("{signature}−    let order = order(input);\n−    order\n }}\n");
    assert_eq!(text(&listing.sides[0].lines), naive);
    let optimized = text(&listing.sides[1].lines);
    assert!(optimized.starts_with("+/// Found by `\"{LIMIT}\"`.\n+const LIMIT: u64 = 1;\n \n"));
    assert!(optimized.contains("\n fn optimized(input: &Input) -> u64 {\n+    println!"));
    assert!(optimized.contains("\n+/* Scales\n+   it. */\n+fn scale"), "{optimized}");
    assert!(!optimized.contains("fn input") && !optimized.contains("UNUSED"), "{optimized}");
    let shared = text(&listing.shared.unwrap());
    // `scale` calls the naive side, so it uses the items of that side.
    assert!(shared.ends_with("}\n \n fn order(_: &Input) -> u64 { 0 }\n"), "{shared}");
    let start = INJECTED.find("/// Both").unwrap();
    let end = INJECTED.find("\n    #[cfg(test)]").unwrap();
    let input: String = INJECTED[start..end].lines().map(|line| format!(" {line}\n")).collect();
    assert!(shared.starts_with(&format!("{} }}\n", input.trim_end_matches(" \n"))), "{shared}");
}

#[test]
fn the_input_lists_prepare_and_what_it_alone_uses() {
    let calls_sides = "fn prepare() { input(); naive(&input()); Measure::new(); }";
    let source = INJECTED.replace("fn prepare() { input(); }", calls_sides);
    let source = source + "\n/// Counts.\nstruct Measure;\nimpl Measure { fn new() {} }\n";
    let input = text(&listing(&source, &["naive", "optimized"]).input);
    assert_eq!(
        input,
        format!(
            " fn input() -> Input {{ unused() }}\n {calls_sides}\n \n /// Counts.\n struct Measure;\n impl Measure {{ fn new() {{}} }}\n"
        )
    );
    let without = listing(&INJECTED.replace("fn prepare", "fn other"), &["naive", "optimized"]);
    assert_eq!((without.sides.len(), without.input), (2, vec![]));
}

#[test]
fn a_peer_is_compared_with_the_optimized_side() {
    let sides = ["naive() {\n    a();", "optimized() {\n    b();", "peer() {\n    b();\n    c();"];
    let source = sides.map(|side| format!("fn {side}\n}}\n")).concat();
    let listing = listing(&source, &["naive", "optimized", "peer"]);
    assert_eq!(text(&listing.sides[2].lines), " fn peer() {\n     b();\n+    c();\n }\n");
    assert_eq!((listing.sides[2].name.as_str(), listing.shared), ("peer", None));
}

#[test]
fn without_a_root_all_code_but_tests_is_listed() {
    let without = listing(&INJECTED.replace("fn naive", "fn other"), &["naive", "optimized"]);
    let whole = text(&without.shared.unwrap());
    assert!(without.sides.is_empty() && whole.contains("fn other") && whole.contains("fn prepare"));
    assert_eq!(without.input, vec![], "it is in the whole");
    assert!(["PAIR:", "mod tests", "use std", "for_tests"].iter().all(|no| !whole.contains(no)));
    assert_eq!(listing(INJECTED, &["naive", "optimized", "none"]).sides.len(), 2);
    assert!(listing(INJECTED, &[]).sides.is_empty());
}

#[test]
fn arbitrary_text_is_listed() {
    let deep = "fn naive() {}\nfn optimized() {".to_owned() + &"(".repeat(2_000);
    let texts = ["", "\n\n", "é <b> & \"日\"", "} fn {{\r\n\tlet", "/* \"", "\u{0}\r", &deep];
    for source in texts {
        let listing = listing(source, &["naive", "optimized"]);
        let lines: Vec<String> = listing.shared.iter().flatten().map(plain).collect();
        let source = source.replace('\r', "");
        assert!(!listing.sides.is_empty() || lines.iter().eq(source.lines()), "{lines:?}");
    }
    let crlf = listing(&INJECTED.replace('\n', "\r\n"), &["naive", "optimized"]);
    assert_eq!(crlf, listing(INJECTED, &["naive", "optimized"]));
}

#[test]
fn the_pairs_of_the_catalogue_are_listed_verbatim() {
    let source_of = |file: Result<fs::DirEntry, _>| fs::read_to_string(file.unwrap().path());
    for family in ["algorithms", "caching", "queries", "batching", "io", "parallelism"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../src").join(family);
        for source in folder.read_dir().unwrap().map(source_of).map(Result::unwrap) {
            let listing = listing(&source, &["naive", "optimized"]);
            assert_eq!(listing.sides.len(), 2, "{source}");
            let has_prepare = listing.input.iter().any(|line| plain(line).contains("fn prepare("));
            assert!(has_prepare, "{source}");
            let lines = listing.sides.iter().map(|side| &side.lines);
            let lines = lines.chain(&listing.shared).chain([&listing.input]);
            for lines in lines {
                let mut rest = source.lines();
                // Between items a listing has an empty line, where the source may have other items.
                for line in lines.iter().map(plain).filter(|line| !line.is_empty()) {
                    assert!(
                        rest.any(|other| line == other),
                        "{line:?} is out of its place in\n{source}"
                    );
                }
            }
        }
    }
}

#[test]
fn a_fix_has_its_code_before_and_after_and_what_it_needs_beside() {
    let source = "use a::Fix;\npub const FIX: Fix = Fix { name: \"x\" };\nfn before() { both() }\n\
                  fn after() { both(); quick() }\nfn both() {}\nfn quick() {}\nfn worker() {}\n";
    let Listing { sides, shared, input } = of_fix(source);
    let text = |lines: &[CodeLine]| lines.iter().map(|line| line.html.as_str()).collect::<String>();
    assert_eq!(sides.len(), 2);
    assert!(text(&sides[1].lines).contains("quick") && !text(&sides[0].lines).contains("quick"));
    assert!(text(&shared.unwrap()).contains("both"));
    assert!(text(&input).contains("worker") && !text(&input).contains("FIX"), "{input:?}");
}
