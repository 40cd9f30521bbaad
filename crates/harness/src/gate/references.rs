//! How a Rust source file refers to other files of its crate, read off its words without the compiler's knowledge.
//!
//! Where the words do not tell, the file says that it may refer to anything.

use std::collections::BTreeSet;

use tree_sitter::{Node, Parser};

/// Attributes and words by which a file affects others that do not name it.
const GLOBAL: [&str; 6] =
    ["global_allocator", "no_mangle", "export_name", "link_section", "macro_use", "macro_export"];

/// What a file refers to.
#[derive(Debug, Default, PartialEq)]
pub(super) struct References {
    /// Paths of modules and items, outside of unit tests.
    pub paths: Vec<Mention>,
    /// Modules that the file declares and that other files hold.
    pub children: Vec<String>,
    /// Files whose content the file includes, relative to its folder.
    pub included: Vec<String>,
    /// The pairs and studies that it lists: their family and names.
    pub listed: Vec<(String, Vec<String>)>,
    /// Whether it defines macros.
    pub has_macros: bool,
    /// Whether it may affect files that do not name it.
    pub is_global: bool,
    /// Whether it implements something for types and traits of other files.
    pub extends_others: bool,
    /// Whether it reads environment variables when it is compiled.
    pub reads_environment: bool,
    /// Whether it may refer to files in other ways too.
    pub is_opaque: bool,
    /// Its words without comments, visibilities, lists of pairs and families, and declarations of modules.
    pub outline: String,
}

/// A path in a source file.
#[derive(Debug, PartialEq)]
pub(super) struct Mention {
    /// Modules inside the file that the path is in.
    pub inside: Vec<String>,
    /// Segments of the path.
    pub segments: Vec<String>,
    /// Whether the path is imported as a whole, or with a glob.
    pub is_import: bool,
}

/// A word, a literal or a punctuation character.
#[derive(Clone, Debug, PartialEq)]
enum Token {
    Word(String),
    Text(String),
    Mark(char),
}

impl References {
    /// Reads the references of a source file.
    pub fn of(source: &str) -> References {
        let mut parser = Parser::new();
        let language = tree_sitter_rust::LANGUAGE.into();
        let tree = parser.set_language(&language).ok().and_then(|()| parser.parse(source, None));
        let Some(tree) = tree.filter(|tree| !tree.root_node().has_error()) else {
            let outline = source.to_owned();
            return References { is_opaque: true, outline, ..References::default() };
        };
        let mut tokens = Vec::new();
        add_tokens(tree.root_node(), source, &mut tokens);
        let mut reader = Reader { tokens, at: 0, found: References::default() };
        reader.read();
        reader.found
    }
}

/// Adds the tokens of a node, without comments.
fn add_tokens(node: Node<'_>, source: &str, tokens: &mut Vec<Token>) {
    let text = &source[node.byte_range()];
    match node.kind() {
        "line_comment" | "block_comment" => {}
        "string_literal" | "raw_string_literal" | "char_literal" => {
            tokens.push(Token::Text(text.to_owned()));
        }
        _ if node.child_count() == 0 => {
            let is_word = text.starts_with(|c: char| c.is_alphanumeric() || c == '_');
            if is_word {
                // The grammar has `macro_rules!` as one word.
                let (word, mark) =
                    text.strip_suffix('!').map_or((text, None), |it| (it, Some('!')));
                tokens.push(Token::Word(word.trim_start_matches("r#").to_owned()));
                tokens.extend(mark.map(Token::Mark));
            } else {
                tokens.extend(text.chars().filter(|c| !c.is_whitespace()).map(Token::Mark));
            }
        }
        _ => {
            let mut cursor = node.walk();
            for child in node.children(&mut cursor) {
                add_tokens(child, source, tokens);
            }
        }
    }
}

/// Reads tokens from first to last.
struct Reader {
    tokens: Vec<Token>,
    at: usize,
    found: References,
}

impl Reader {
    fn read(&mut self) {
        let defined = self.defined();
        // Modules inside the file, each with the depth of its braces.
        let mut inside: Vec<(String, usize)> = Vec::new();
        let (mut depth, mut is_test) = (0_usize, false);
        while self.at < self.tokens.len() {
            let start = self.at;
            if self.is_mark(0, '#') && (self.is_mark(1, '[') || self.is_mark(2, '[')) {
                is_test |= self.attribute();
                self.outline(start);
                continue;
            }
            let names = || inside.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
            match self.word(0).unwrap_or_default() {
                "mod" if self.word(1).is_some() && self.is_mark(2, ';') => {
                    self.found.children.extend(self.word(1).map(str::to_owned));
                    self.at += 3;
                    continue;
                }
                "mod" if self.word(1).is_some() && self.is_mark(2, '{') => {
                    if is_test {
                        self.at += 2;
                        self.skip_group();
                        is_test = false;
                        continue;
                    }
                    depth += 1;
                    inside.push((self.word(1).unwrap_or_default().to_owned(), depth));
                    self.at += 3;
                }
                "use" => {
                    self.at += 1;
                    self.imports(&names(), Vec::new());
                }
                "impl" if self.begins_an_item() => self.implementation(&defined),
                word if !word.is_empty() => {
                    let is_list = self.path(&names());
                    if is_list {
                        continue;
                    }
                }
                _ => {
                    depth += usize::from(self.is_mark(0, '{'));
                    if self.is_mark(0, '}') {
                        inside.retain(|(_, own)| *own < depth);
                        depth = depth.saturating_sub(1);
                    }
                    self.at += 1;
                }
            }
            // An attribute belongs to the item after it, before which only its visibility may stand.
            let is_visibility =
                matches!(self.tokens.get(start), Some(Token::Word(word)) if word == "pub");
            is_test &= is_visibility;
            self.outline(start);
        }
    }

    fn token(&self, ahead: usize) -> Option<&Token> {
        self.tokens.get(self.at + ahead)
    }

    fn word(&self, ahead: usize) -> Option<&str> {
        match self.token(ahead)? {
            Token::Word(word) => Some(word),
            _ => None,
        }
    }

    fn is_mark(&self, ahead: usize, mark: char) -> bool {
        self.token(ahead) == Some(&Token::Mark(mark))
    }

    /// Adds the tokens since `start` to the outline.
    fn outline(&mut self, start: usize) {
        for token in &self.tokens[start..self.at.min(self.tokens.len())] {
            match token {
                // Who may name an item changes nothing that is compiled.
                Token::Word(word) if word == "pub" => {}
                Token::Word(text) | Token::Text(text) => {
                    self.found.outline += text;
                    self.found.outline.push(' ');
                }
                Token::Mark(mark) => self.found.outline.push(*mark),
            }
        }
    }

    /// Returns the names of the types and traits that the file defines.
    fn defined(&self) -> BTreeSet<String> {
        let names = self.tokens.windows(2).filter_map(|two| match two {
            [Token::Word(keyword), Token::Word(name)]
                if ["struct", "enum", "union", "trait", "type"].contains(&keyword.as_str()) =>
            {
                Some(name.clone())
            }
            _ => None,
        });
        names.collect()
    }

    /// Moves past the group in brackets that begins here, and returns its tokens.
    fn skip_group(&mut self) -> std::ops::Range<usize> {
        let (start, mut depth) = (self.at, 0_usize);
        while let Some(token) = self.token(0) {
            match token {
                Token::Mark('(' | '[' | '{') => depth += 1,
                Token::Mark(')' | ']' | '}') => depth = depth.saturating_sub(1),
                _ => {}
            }
            self.at += 1;
            if depth == 0 {
                break;
            }
        }
        start..self.at
    }

    /// Reads an attribute; returns whether it is `cfg(test)`.
    fn attribute(&mut self) -> bool {
        self.at += if self.is_mark(1, '[') { 1 } else { 2 };
        let range = self.skip_group();
        let words: Vec<&str> = self.tokens[range.clone()]
            .iter()
            .filter_map(|token| if let Token::Word(word) = token { Some(&**word) } else { None })
            .collect();
        self.found.is_global |= words.iter().any(|word| GLOBAL.contains(word));
        self.found.is_opaque |= words.contains(&"path");
        let is_test = words == ["cfg", "test"];
        is_test && range.len() == 6
    }

    /// Reads the list of a family, of pairs or of studies: `{ "family": "Title"; pair, pair, }`.
    fn family(&mut self) {
        let range = self.skip_group();
        let mut texts = Vec::new();
        let mut names = Vec::new();
        for token in &self.tokens[range] {
            match token {
                Token::Text(text) => texts.push(text.trim_matches('"').to_owned()),
                Token::Word(word) => names.push(word.clone()),
                Token::Mark(_) => {}
            }
        }
        self.found.listed.extend(texts.into_iter().next().map(|family| (family, names)));
    }

    /// Returns whether the word here can begin an item. Otherwise `impl` is part of a type.
    fn begins_an_item(&self) -> bool {
        let before = self.at.checked_sub(1).map(|before| &self.tokens[before]);
        match before {
            None | Some(Token::Mark('}' | ';' | ']' | '{')) => true,
            Some(Token::Word(word)) => word == "unsafe",
            _ => false,
        }
    }

    /// Reads the word `impl`, and looks ahead at the types that it names.
    fn implementation(&mut self, defined: &BTreeSet<String>) {
        let header = self.tokens[self.at..].iter();
        let mut header = header.take_while(|token| **token != Token::Mark('{'));
        let is_own = |token: &Token| matches!(token, Token::Word(word) if defined.contains(word));
        self.found.extends_others |= !header.any(is_own);
        self.at += 1;
    }

    /// Reads a path, or the single word here; returns whether it was a list of pairs or families.
    fn path(&mut self, inside: &[String]) -> bool {
        let before = |count: usize| self.tokens[self.at.saturating_sub(count)..self.at].iter();
        let is_continued = before(2).eq(&[Token::Mark(':'), Token::Mark(':')]);
        let is_extern = before(1).eq(&[Token::Word("extern".to_owned())]);
        let mut last = self.word(0).unwrap_or_default().to_owned();
        self.found.is_opaque |= is_extern && last == "crate";
        let mut segments = vec![last.clone()];
        self.at += 1;
        while self.is_mark(0, ':') && self.is_mark(1, ':') {
            let Some(word) = self.word(2) else { break };
            last = word.to_owned();
            segments.push(last.clone());
            self.at += 3;
        }
        if segments.len() > 1 && !is_continued {
            self.mention(inside, segments, false);
        }
        self.is_mark(0, '!') && self.macro_call(&last)
    }

    /// Notices the macros that mean more than a name; returns whether this one was a list of pairs or families, which
    /// is then read.
    fn macro_call(&mut self, name: &str) -> bool {
        match name {
            "family" | "studies" if self.is_mark(1, '{') => {
                self.at += 1;
                self.family();
                return true;
            }
            "catalogue" if self.is_mark(1, '{') => {
                self.at += 1;
                self.skip_group();
                return true;
            }
            "macro_rules" => self.found.has_macros = true,
            "counting_binary" | "interposed_calls" => self.found.is_global = true,
            "env" | "option_env" => self.found.reads_environment = true,
            "include" => self.found.is_opaque = true,
            "include_str" | "include_bytes" => {
                let is_last = self.is_mark(3, ')') || self.is_mark(3, ',') && self.is_mark(4, ')');
                match self.token(2) {
                    Some(Token::Text(text)) if is_last && text.starts_with('"') => {
                        self.found.included.push(text.trim_matches('"').to_owned());
                    }
                    _ => self.found.is_opaque = true,
                }
            }
            _ => {}
        }
        false
    }

    /// Reads what follows `use`, or a part of it after the segments `prefix`.
    fn imports(&mut self, inside: &[String], prefix: Vec<String>) {
        // `::name` is another crate.
        let is_external = prefix.is_empty() && self.is_mark(0, ':');
        let mut segments = prefix;
        loop {
            if let Some(word) = self.word(0) {
                let word = word.to_owned();
                self.at += 1;
                match word.as_str() {
                    "as" => self.at += 1,
                    "self" if !segments.is_empty() => {}
                    _ => segments.push(word),
                }
            } else if self.is_mark(0, ':') || self.is_mark(0, '*') {
                self.at += 1;
            } else if self.is_mark(0, '{') {
                self.at += 1;
                while self.at < self.tokens.len() && !self.is_mark(0, '}') {
                    self.imports(inside, segments.clone());
                    self.at += usize::from(self.is_mark(0, ','));
                }
                self.at += 1;
                return;
            } else {
                break;
            }
        }
        if !is_external && !segments.is_empty() {
            self.mention(inside, segments, true);
        }
    }

    fn mention(&mut self, inside: &[String], segments: Vec<String>, is_import: bool) {
        self.found.paths.push(Mention { inside: inside.to_vec(), segments, is_import });
    }
}

#[cfg(test)]
mod tests;
