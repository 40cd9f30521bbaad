//! The code of a pair: the highlighted items of each side, the lines in which the sides differ, and the code that makes
//! the input.

use std::{
    collections::{BTreeSet, HashSet},
    iter,
    ops::Range,
    sync::LazyLock,
};

use similar::{Algorithm, DiffOp, capture_diff_slices};
use tree_sitter::{Node, Parser};
use tree_sitter_highlight::{Highlight, HighlightConfiguration, Highlighter, HtmlRenderer};

/// The code of a pair.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing {
    /// Code that only one side uses, in the order of the roots. Empty if the file lacks the naive or
    /// the optimized root; without the peer if the file lacks its root.
    pub sides: Vec<SideCode>,
    /// Code that two or more sides use; all code of the file if there are no sides.
    pub shared: Option<Vec<CodeLine>>,
    /// [`PREPARE`] and the items that it alone uses: what makes the input ready and counts causes. Empty if the file
    /// has no such function, or if `shared` is all code of the file.
    pub input: Vec<CodeLine>,
}

/// The function that makes a case ready.
const PREPARE: &str = "prepare";

/// The code of one side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SideCode {
    /// Name of its root function.
    pub name: String,
    /// Its lines.
    pub lines: Vec<CodeLine>,
}

/// A line of code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CodeLine {
    /// Whether the side in comparison has the line too.
    pub mark: Mark,
    /// Levels of four spaces by which it is indented, at most [`MOST_INDENTED`]: what a wrapped line continues behind.
    pub indent: usize,
    /// Escaped HTML without the newline. Its spans are closed, each with one of the classes
    /// `hl-attribute`, `hl-comment`, `hl-constant`, `hl-function`, `hl-keyword`, `hl-lifetime`,
    /// `hl-macro`, `hl-number`, `hl-string`, `hl-type`.
    pub html: String,
}

/// The deepest level that the style sheet has an indent for.
const MOST_INDENTED: usize = 9;

/// Comparison of a line with the other side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// Both sides have the line, or there is nothing to compare with.
    Same,
    /// Only the naive side has the line, not the optimized side.
    Removed,
    /// Only the optimized side has the line, not the naive side; or only the peer, not the
    /// optimized side.
    Added,
}

impl Mark {
    /// Sign in the gutter.
    pub fn sign(self) -> &'static str {
        match self {
            Mark::Same => " ",
            Mark::Removed => "−",
            Mark::Added => "+",
        }
    }
}

/// Captures of the grammar's query, and the class of each.
const CLASSES: [(&str, &str); 13] = [
    ("attribute", "hl-attribute"),
    ("comment", "hl-comment"),
    ("constant", "hl-constant"),
    ("constant.builtin", "hl-number"),
    ("constructor", "hl-type"),
    ("escape", "hl-string"),
    ("function", "hl-function"),
    ("function.macro", "hl-macro"),
    ("keyword", "hl-keyword"),
    ("label", "hl-lifetime"),
    ("string", "hl-string"),
    ("type", "hl-type"),
    ("variable.builtin", "hl-keyword"),
];

/// The grammar's own pattern for constants has a typo and matches nothing.
const CONSTANTS: &str = r#"((identifier) @constant (#match? @constant "^[A-Z][A-Z0-9_]+$"))"#;

static RUST: LazyLock<HighlightConfiguration> = LazyLock::new(|| {
    let query = format!("{}\n{CONSTANTS}", tree_sitter_rust::HIGHLIGHTS_QUERY);
    let language = tree_sitter_rust::LANGUAGE.into();
    let mut rust = HighlightConfiguration::new(language, "rust", &query, "", "")
        .expect("the query is that of the grammar");
    rust.configure(&CLASSES.map(|(capture, _)| capture));
    rust
});

/// Returns the code of `roots` (naive, optimized and perhaps a peer): each root function and all
/// items of `source` that it mentions, directly or through others.
pub fn listing(source: &str, roots: &[&str]) -> Listing {
    let mut parser = Parser::new();
    parser.set_language(&RUST.language).expect("one version of tree-sitter");
    let tree = parser.parse(source, None).expect("there is a language and nobody cancels");
    let file = File::new(source, tree.root_node());
    let found: Vec<Option<usize>> = roots.iter().map(|root| file.function(root)).collect();
    let [Some(_), Some(_), ..] = found[..] else {
        return Listing { sides: vec![], shared: Some(lines(&file.whole())), input: vec![] };
    };

    let roots: Vec<usize> = found.into_iter().flatten().collect();
    let reached: Vec<BTreeSet<usize>> = roots.iter().map(|root| file.reached(*root)).collect();
    let all: BTreeSet<usize> = reached.iter().flatten().copied().collect();
    let is_shared = |item: &usize| {
        !roots.contains(item) && reached.iter().filter(|side| side.contains(item)).count() > 1
    };
    let (shared, own): (Vec<usize>, Vec<usize>) = all.into_iter().partition(is_shared);
    let belongs_to = |side: usize, item: &usize| match roots.contains(item) {
        true => *item == roots[side], // even if another side calls it
        false => reached[side].contains(item),
    };
    let text: Vec<Vec<&str>> = (0..roots.len())
        .map(|side| file.text(own.iter().copied().filter(|item| belongs_to(side, item))))
        .collect();
    let compared: Vec<Vec<String>> =
        iter::zip(&roots, &text).map(|(root, text)| file.comparable(*root, text)).collect();
    let (removed, added) = differing(&compared[0], &compared[1]);
    let side = |side: usize| {
        let mut lines = lines(&text[side]);
        match side {
            0 => mark(&mut lines, &removed, Mark::Removed),
            1 => mark(&mut lines, &added, Mark::Added),
            _ => mark(&mut lines, &differing(&compared[1], &compared[side]).1, Mark::Added),
        }
        SideCode { name: file.items[roots[side]].name.to_owned(), lines }
    };
    let used_by_sides: BTreeSet<usize> = reached.into_iter().flatten().collect();
    let preparing = file.function(PREPARE).map_or(BTreeSet::new(), |item| file.reached(item));
    let input = file.text(preparing.difference(&used_by_sides).copied());
    let input = if input.is_empty() { vec![] } else { lines(&input) };
    let shared = file.text(shared.into_iter());
    let shared = (!shared.is_empty()).then(|| lines(&shared));
    Listing { sides: (0..roots.len()).map(side).collect(), shared, input }
}

/// Highlights lines of Rust.
fn lines(text: &[&str]) -> Vec<CodeLine> {
    let source = text.join("\n");
    let mut highlighter = Highlighter::new();
    let mut renderer = HtmlRenderer::new();
    let events = highlighter.highlight(&RUST, source.as_bytes(), None, |_| None);
    let class = |highlight: Highlight, html: &mut Vec<u8>| {
        html.extend_from_slice(format!("class=\"{}\"", CLASSES[highlight.0].1).as_bytes());
    };
    let rendered = events.and_then(|events| renderer.render(events, source.as_bytes(), &class));
    rendered.expect("the language is known and nobody cancels");
    let line = |(html, text): (&str, &&str)| {
        // A doc comment includes its newline, so the renderer opens an empty span on the next line.
        let html = html.trim_end_matches('\n').replace("<span class=\"hl-comment\"></span>", "");
        let indent = (text.len() - text.trim_start_matches(' ').len()) / 4;
        CodeLine { mark: Mark::Same, indent: indent.min(MOST_INDENTED), html }
    };
    // The renderer drops empty lines at the end: add them back.
    renderer.lines().chain(iter::repeat("")).zip(text).map(line).collect()
}

/// Returns which lines of each text are missing from the other. Any two pieces of code share closing
/// braces, so a brace counts as the same only if its opening line is the same, or on the last line.
fn differing(old: &[String], new: &[String]) -> (Vec<bool>, Vec<bool>) {
    let (mut removed, mut added) = (vec![true; old.len()], vec![true; new.len()]);
    let has_words = |line: &String| line.contains(char::is_alphanumeric);
    let indent = |line: &String| line.len() - line.trim_start().len();
    let opens_alike = |text: &[String], differing: &[bool], end: usize| {
        let opens = |line: &String| has_words(line) && indent(line) == indent(&text[end]);
        text[..end].iter().rposition(opens).is_none_or(|opening| !differing[opening])
    };
    for op in capture_diff_slices(Algorithm::Patience, old, new) {
        let DiffOp::Equal { old_index, new_index, len } = op else { continue };
        for (in_old, in_new) in iter::zip(old_index.., new_index..).take(len) {
            if has_words(&old[in_old])
                || in_old + 1 == old.len()
                || (opens_alike(old, &removed, in_old) && opens_alike(new, &added, in_new))
            {
                (removed[in_old], added[in_new]) = (false, false);
            }
        }
    }
    (removed, added)
}

/// Marks the lines that differ, except empty ones.
fn mark(lines: &mut [CodeLine], differing: &[bool], mark: Mark) {
    for (line, differs) in iter::zip(lines, differing) {
        if *differs && !line.html.is_empty() {
            line.mark = mark;
        }
    }
}

struct Item<'s> {
    /// The name that refers to it: for an `impl` the type, or the trait if the file does not define
    /// the type. Empty for an item without a name.
    name: &'s str,
    node: Node<'s>,
    /// Its lines, including the comments and attributes before it.
    rows: Range<usize>,
    is_test: bool,
}

struct File<'s> {
    source: &'s str,
    lines: Vec<&'s str>,
    /// Top-level items, without tests.
    items: Vec<Item<'s>>,
    /// Lines of tests inside items.
    hidden: HashSet<usize>,
    is_broken: bool,
}

impl<'s> File<'s> {
    fn new(source: &'s str, root: Node<'s>) -> File<'s> {
        let lines: Vec<&str> = source.split('\n').collect();
        let mut items = items_in(source, root);
        items.retain(|item| !item.is_test);
        let names: HashSet<&str> = items.iter().map(|item| item.name).collect();
        for item in items.iter_mut().filter(|item| item.node.kind() == "impl_item") {
            let named = |field| named_type(source, item.node.child_by_field_name(field)?);
            let of_type = named("type").filter(|name| names.contains(name));
            item.name = of_type.or_else(|| named("trait")).unwrap_or_default();
        }
        let mut hidden = HashSet::new();
        let mut outer: Vec<Node> = items.iter().map(|item| item.node).collect();
        while let Some(node) = outer.pop() {
            let body = node.child_by_field_name("body");
            for item in body.map_or(vec![], |body| items_in(source, body)) {
                if item.is_test {
                    let blank = item.rows.start.saturating_sub(1);
                    hidden.extend(lines[blank].trim().is_empty().then_some(blank));
                    hidden.extend(item.rows);
                } else {
                    outer.push(item.node);
                }
            }
        }
        let mut cursor = root.walk();
        let is_broken = root.is_error() || root.children(&mut cursor).any(|node| node.is_error());
        File { source, lines, items, hidden, is_broken }
    }

    fn function(&self, name: &str) -> Option<usize> {
        let is_it = |item: &Item| item.node.kind() == "function_item" && item.name == name;
        self.items.iter().position(is_it).filter(|_| !self.is_broken)
    }

    /// The item and all that it mentions, directly or not; except `PAIR` and `prepare`, the
    /// definition of the pair, unless it is the item itself.
    fn reached(&self, root: usize) -> BTreeSet<usize> {
        let mut reached = BTreeSet::new();
        let mut waiting = vec![root];
        while let Some(index) = waiting.pop() {
            if reached.insert(index) {
                let mentioned = self.mentioned(self.items[index].node);
                let is_mentioned = |item: &Item| {
                    mentioned.contains(item.name) && !["PAIR", PREPARE].contains(&item.name)
                };
                waiting.extend(
                    (0..self.items.len()).filter(|index| is_mentioned(&self.items[*index])),
                );
            }
        }
        reached
    }

    /// The names that an item mentions, without those that it binds itself: a parameter `input` does
    /// not mention a function `input`, but `let input = input(case)` does.
    fn mentioned(&self, item: Node<'s>) -> HashSet<&'s str> {
        let text = |node: Node| &self.source[node.byte_range()];
        let (mut named, mut called) = (HashSet::new(), HashSet::new());
        // `bound` by patterns; `shadowed` by parameters and inner items.
        let (mut bound, mut shadowed) = (HashSet::new(), HashSet::new());
        let mut waiting = vec![(item, false)];
        while let Some((node, binds)) = waiting.pop() {
            let kind = node.kind();
            match kind {
                _ if self.hidden.contains(&node.start_position().row) => continue,
                // In a pattern, a capitalized name is a constant or a variant.
                "identifier" | "shorthand_field_identifier"
                    if binds && !text(node).starts_with(char::is_uppercase) =>
                {
                    bound.insert(text(node));
                }
                "identifier" | "type_identifier" => {
                    named.insert(text(node));
                }
                // `format!("{NAME}")`
                "string_content" => named.extend(text(node).split('{').skip(1).map(|capture| {
                    let is_end = |c: char| !c.is_alphanumeric() && c != '_';
                    capture.split(is_end).next().unwrap_or_default()
                })),
                "attribute_item" | "lifetime" | "label" => continue,
                "use_declaration" if !text(node).starts_with("use super::") => continue,
                "block" | "declaration_list"
                    if kind == "block" || node.parent().is_some_and(|p| p.kind() == "mod_item") =>
                {
                    shadowed.extend(items_in(self.source, node).iter().map(|item| item.name));
                }
                _ => {}
            }
            let path = node.child_by_field_name("path").map(|path| path.kind());
            let mut cursor = node.walk();
            let mut more = cursor.goto_first_child();
            let mut before = "";
            while more {
                let (field, child) = (cursor.field_name(), cursor.node());
                more = cursor.goto_next_sibling();
                let is_value = ![".", "::"].contains(&before) && cursor.node().kind() != ":";
                before = child.kind();
                match field {
                    Some("name") if matches!(kind, "type_parameter" | "const_parameter") => {
                        shadowed.insert(text(child));
                    }
                    // The name of a definition, or of an item in another module.
                    Some("name")
                        if kind != "field_pattern" && !matches!(path, Some("self" | "super")) =>
                    {
                        continue;
                    }
                    Some("function") => {
                        called.insert(text(child));
                    }
                    Some("pattern") if kind == "parameter" => {
                        shadowed.insert(text(child));
                    }
                    // Fields, methods and paths in the arguments of a macro.
                    None if kind == "token_tree" && !is_value => continue,
                    _ => {}
                }
                let binds = field == Some("pattern")
                    || kind == "closure_parameters"
                    || (binds && !matches!(field, Some("type" | "condition")));
                waiting.push((child, binds));
            }
        }
        named.retain(|name| !bound.contains(name));
        named.extend(called);
        named.retain(|name| !name.is_empty() && !shadowed.contains(name));
        named
    }

    /// The lines of items, with an empty line between items that are not adjacent.
    fn text(&self, items: impl Iterator<Item = usize>) -> Vec<&'s str> {
        let mut text = vec![];
        let mut end = None;
        for Item { rows, .. } in items.map(|item| &self.items[item]) {
            text.extend(end.filter(|end| *end < rows.start).map(|_| ""));
            let shown = rows.clone().filter(|row| !self.hidden.contains(row));
            text.extend(shown.map(|row| self.lines[row]));
            end = Some(rows.end);
        }
        text
    }

    /// All code of the pair; all lines of the file if it is not valid Rust.
    fn whole(&self) -> Vec<&'s str> {
        if self.is_broken || self.items.is_empty() {
            return self.source.lines().collect();
        }
        self.text((0..self.items.len()).filter(|item| self.items[*item].name != "PAIR"))
    }

    /// The lines of a side, without the name of its root function in its signature.
    fn comparable(&self, root: usize, text: &[&str]) -> Vec<String> {
        let name = self.items[root].name;
        let (named, anonymous) = (format!("fn {name}"), "fn ");
        let line_of_root = self.lines[self.items[root].node.start_position().row];
        let signature = |line: &str| match line == line_of_root {
            true => line.replacen(&named, anonymous, 1),
            false => line.to_owned(),
        };
        text.iter().map(|line| signature(line).trim_end().to_owned()).collect()
    }
}

/// The items among the children of `parent`.
fn items_in<'s>(source: &'s str, parent: Node<'s>) -> Vec<Item<'s>> {
    let text = |node: Node| &source[node.byte_range()];
    let mut items = vec![];
    // First line of the comments and attributes of the next item, and whether it is a test.
    let (mut lead, mut is_test) = (None, false);
    // Kind of the previous node, and the line after it.
    let (mut before, mut next_row) = ("", 0);
    for node in parent.named_children(&mut parent.walk()) {
        let (start, end) = (node.start_position(), node.end_position());
        // A doc comment includes its newline.
        let rows = start.row..end.row + usize::from(end.column > 0 || end.row == start.row);
        let is_comment = matches!(node.kind(), "line_comment" | "block_comment");
        if before.ends_with("_comment") && next_row < start.row {
            lead = None; // a comment on its own
        }
        match node.kind() {
            _ if is_comment && (start.row < next_row || text(node).starts_with("//!")) => {}
            "line_comment" | "block_comment" => {
                lead.get_or_insert(start.row);
            }
            "attribute_item" => {
                lead.get_or_insert(start.row);
                let attribute: String = text(node).split_whitespace().collect();
                is_test |= ["#[cfg(test)]", "#[test]"].contains(&attribute.as_str())
                    || attribute.starts_with("#[cfg(all(test");
            }
            "use_declaration" | "inner_attribute_item" | "empty_statement" => {
                (lead, is_test) = (None, false);
            }
            _ => {
                let name = node.child_by_field_name("name").map_or("", text);
                let rows = lead.unwrap_or(start.row)..rows.end;
                items.push(Item { name, node, rows, is_test });
                (lead, is_test) = (None, false);
            }
        }
        (before, next_row) = (node.kind(), rows.end);
    }
    items
}

/// Returns the name of a type: `State` for `&State<C>`.
fn named_type<'s>(source: &'s str, mut node: Node) -> Option<&'s str> {
    while matches!(node.kind(), "generic_type" | "reference_type") {
        node = node.child_by_field_name("type")?;
    }
    (node.kind() == "type_identifier").then(|| &source[node.byte_range()])
}

#[cfg(test)]
mod tests {
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
        let sides =
            ["naive() {\n    a();", "optimized() {\n    b();", "peer() {\n    b();\n    c();"];
        let source = sides.map(|side| format!("fn {side}\n}}\n")).concat();
        let listing = listing(&source, &["naive", "optimized", "peer"]);
        assert_eq!(text(&listing.sides[2].lines), " fn peer() {\n     b();\n+    c();\n }\n");
        assert_eq!((listing.sides[2].name.as_str(), listing.shared), ("peer", None));
    }

    #[test]
    fn without_a_root_all_code_but_tests_is_listed() {
        let without = listing(&INJECTED.replace("fn naive", "fn other"), &["naive", "optimized"]);
        let whole = text(&without.shared.unwrap());
        assert!(
            without.sides.is_empty() && whole.contains("fn other") && whole.contains("fn prepare")
        );
        assert_eq!(without.input, vec![], "it is in the whole");
        assert!(
            ["PAIR:", "mod tests", "use std", "for_tests"].iter().all(|no| !whole.contains(no))
        );
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
                let has_prepare =
                    listing.input.iter().any(|line| plain(line).contains("fn prepare("));
                assert!(has_prepare, "{source}");
                let lines = listing.sides.iter().map(|side| &side.lines);
                let lines = lines.chain(&listing.shared).chain([&listing.input]);
                for lines in lines {
                    let mut source = source.lines();
                    assert!(lines.iter().map(plain).all(|line| source.any(|other| line == other)));
                }
            }
        }
    }
}
