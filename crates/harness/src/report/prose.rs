//! Prose of pairs as HTML: escaped text in which Markdown's inline code, emphasis and strong emphasis are rendered.
//!
//! It renders a part of one paragraph and knows no other Markdown: links, lists and HTML stay text.

/// Returns `text` as HTML that is safe in the content of an element.
pub fn html(text: impl AsRef<str>) -> String {
    let mut html = String::new();
    render(text.as_ref(), &mut html);
    html
}

/// Returns `text` as HTML without markup, which is safe in an attribute too.
pub fn escaped(text: &str) -> String {
    let mut html = String::new();
    escape(text, &mut html);
    html
}

fn render(text: &str, html: &mut String) {
    let mut at = 0;
    while let Some(found) = text[at..].find(['`', '*']) {
        let start = at + found;
        escape(&text[at..start], html);
        let marker = run(&text[start..]);
        let inside = start + marker.len();
        let end = match marker.as_bytes()[0] {
            b'`' => end_of_code(text, inside, marker),
            _ => end_of_emphasis(text, inside, marker),
        };
        at = match end {
            None => {
                escape(marker, html);
                inside
            }
            Some(end) => {
                element(marker, &text[inside..end], html);
                end + marker.len()
            }
        };
    }
    escape(&text[at..], html);
}

/// The marker that `text` begins with: its first character as often as it repeats.
fn run(text: &str) -> &str {
    let first = text.chars().next().unwrap_or_default();
    &text[..text.len() - text.trim_start_matches(first).len()]
}

fn element(marker: &str, inside: &str, html: &mut String) {
    let name = match marker {
        "*" => "em",
        "**" => "strong",
        _ => "code",
    };
    *html += &format!("<{name}>");
    match name {
        "code" => escape(inside, html),
        _ => render(inside, html),
    }
    *html += &format!("</{name}>");
}

/// Where the code that begins at `from` ends: at the next marker of the same length.
fn end_of_code(text: &str, from: usize, marker: &str) -> Option<usize> {
    let mut at = from;
    while let Some(found) = text[at..].find('`') {
        let start = at + found;
        let next = run(&text[start..]);
        if next == marker {
            return Some(start);
        }
        at = start + next.len();
    }
    None
}

/// Where the emphasis that begins at `from` ends. Its markers touch the text inside and no word outside, so `2 * n * m`
/// and `a*b` have none.
fn end_of_emphasis(text: &str, from: usize, marker: &str) -> Option<usize> {
    let before = |at: usize| text[..at].chars().next_back();
    let after = |at: usize| text[at..].chars().next();
    let is_word = |side: Option<char>| side.is_some_and(char::is_alphanumeric);
    let touches = |side: Option<char>| side.is_some_and(|side| !side.is_whitespace());
    if marker.len() > 2 || is_word(before(from - marker.len())) || !touches(after(from)) {
        return None;
    }
    let mut at = from;
    while let Some(found) = text[at..].find(['`', '*']) {
        let start = at + found;
        let next = run(&text[start..]);
        let end = start + next.len();
        if next == marker && touches(before(start)) && !is_word(after(end)) {
            return Some(start);
        }
        // A marker of code hides the stars in it.
        let code = if next.starts_with('`') { end_of_code(text, end, next) } else { None };
        at = code.map_or(end, |code_end| code_end + next.len());
    }
    None
}

fn escape(text: &str, html: &mut String) {
    for c in text.chars() {
        match c {
            '&' => *html += "&#38;",
            '<' => *html += "&#60;",
            '>' => *html += "&#62;",
            '"' => *html += "&#34;",
            '\'' => *html += "&#39;",
            _ => html.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inline_markdown_is_rendered() {
        for (text, expected) in [
            (
                "`Vec<T>` is *one* word, **two**",
                "<code>Vec&#60;T&#62;</code> is <em>one</em> word, <strong>two</strong>",
            ),
            ("*the `*p` in it*.", "<em>the <code>*p</code> in it</em>."),
            ("``a ` b``", "<code>a ` b</code>"),
            ("`sum += *x`", "<code>sum += *x</code>"),
        ] {
            assert_eq!(html(text), expected);
        }
    }

    #[test]
    fn what_is_no_markup_stays_text() {
        for text in
            ["2 * n * m", "a*b*c", "one ` alone", "**", "*", "* a*", "***a***", "", "Σ|x|·hu", "é`"]
        {
            assert_eq!(html(text), text);
        }
    }

    #[test]
    fn html_in_prose_is_escaped_also_in_code_and_emphasis() {
        for text in
            ["<script>alert(1)</script>", "`<script>`", "*<script>*", "`\" onload='x'`", "**&lt;**"]
        {
            let html = html(text);
            let known = ["<code>", "</code>", "<em>", "</em>", "<strong>", "</strong>"];
            let rest = known.iter().fold(html.clone(), |rest, tag| rest.replace(tag, ""));
            assert!(!rest.contains(['<', '>', '"', '\'']), "{html}");
        }
    }
}
