//! The items of a pair's file: where each stands, and which others it mentions. Found with tree-sitter, without the
//! compiler's knowledge of names.

use std::{
    collections::{BTreeSet, HashSet},
    ops::Range,
};

use tree_sitter::Node;

use super::PREPARE;

/// A function, type, constant or module of a file.
pub struct Item<'s> {
    /// The name that refers to it: for an `impl` the type, or the trait if the file does not define
    /// the type. Empty for an item without a name.
    pub name: &'s str,
    node: Node<'s>,
    /// Its lines, including the comments and attributes before it.
    rows: Range<usize>,
    is_test: bool,
}

/// The items of a file, and which of them mention which.
pub struct File<'s> {
    source: &'s str,
    lines: Vec<&'s str>,
    /// Top-level items, without tests.
    pub items: Vec<Item<'s>>,
    /// Lines of tests inside items.
    hidden: HashSet<usize>,
    is_broken: bool,
}

impl<'s> File<'s> {
    /// Finds the items of a parsed file.
    pub fn new(source: &'s str, root: Node<'s>) -> File<'s> {
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

    /// Returns the lines of an item, counted from 0, with the comments and attributes before it.
    pub fn rows(&self, item: usize) -> Range<usize> {
        self.items[item].rows.clone()
    }

    /// Returns the function of this name; `None` if there is none, or if the file is not valid Rust.
    pub fn function(&self, name: &str) -> Option<usize> {
        let is_it = |item: &Item| item.node.kind() == "function_item" && item.name == name;
        self.items.iter().position(is_it).filter(|_| !self.is_broken)
    }

    /// The item and all that it mentions, directly or not; except `PAIR` and `prepare`, the
    /// definition of the pair, unless it is the item itself.
    pub fn reached(&self, root: usize) -> BTreeSet<usize> {
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
    pub fn text(&self, items: impl Iterator<Item = usize>) -> Vec<&'s str> {
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
    pub fn whole(&self) -> Vec<&'s str> {
        if self.is_broken || self.items.is_empty() {
            return self.source.lines().collect();
        }
        self.text((0..self.items.len()).filter(|item| self.items[*item].name != "PAIR"))
    }

    /// The lines of a side, without the name of its root function in its signature.
    pub fn comparable(&self, root: usize, text: &[&str]) -> Vec<String> {
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
