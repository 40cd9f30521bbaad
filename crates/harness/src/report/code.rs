//! The code of a pair: the highlighted items of each side, the lines in which the sides differ, and the code that makes
//! the input.

mod items;

use std::{collections::BTreeSet, iter, ops::Range, sync::LazyLock};

use similar::{Algorithm, DiffOp, capture_diff_slices};
use tree_sitter::Parser;
use tree_sitter_highlight::{Highlight, HighlightConfiguration, Highlighter, HtmlRenderer};

use items::File;

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
    /// Levels of four spaces by which it is indented, at most [`MOST_INDENTED`]: a wrapped line continues with the same indent.
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
    parsed(source, |file| listing_of(file, roots))
}

/// Returns the code of a fix of a study: what it was before and what it is after. The input are the other items of the file,
/// which the application uses beside them.
pub fn of_fix(source: &str) -> Listing {
    let roots = ["before", "after"];
    parsed(source, |file| {
        let found = roots.iter().filter_map(|root| file.function(root));
        let reached: BTreeSet<usize> = found.flat_map(|root| file.reached(root)).collect();
        let is_other = |item: &usize| !reached.contains(item) && file.items[*item].name != "FIX";
        let others = file.text((0..file.items.len()).filter(is_other));
        let input = if others.is_empty() { vec![] } else { lines(&others) };
        Listing { input, ..listing_of(file, &roots) }
    })
}

fn listing_of(file: &File<'_>, roots: &[&str]) -> Listing {
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

/// Calls `look` with the parsed file.
fn parsed<A>(source: &str, look: impl FnOnce(&File<'_>) -> A) -> A {
    let mut parser = Parser::new();
    parser.set_language(&RUST.language).expect("one version of tree-sitter");
    let tree = parser.parse(source, None).expect("there is a language and nobody cancels");
    look(&File::new(source, tree.root_node()))
}

/// Returns the code of the function `root` and of all items of `source` that it mentions, directly or through others;
/// `None` if there is no such function.
pub fn of_side(source: &str, root: &str) -> Option<String> {
    parsed(source, |file| {
        let reached = file.reached(file.function(root)?);
        Some(file.text(reached.into_iter()).join("\n"))
    })
}

/// Returns the lines of the function `root` with its attributes and comments, counted from 1.
pub fn lines_of(source: &str, root: &str) -> Option<Range<usize>> {
    parsed(source, |file| {
        let rows = file.rows(file.function(root)?);
        Some(rows.start + 1..rows.end + 1)
    })
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

#[cfg(test)]
mod tests;
