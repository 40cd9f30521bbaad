//! The frame of every page: head, Content-Security-Policy, navigation.
//!
//! Each page embeds the style sheet and the script, so that it opens from disk on its own. The policy
//! allows only these two, by their hashes.

use std::sync::LazyLock;

use askama::Template;
use base64::{Engine, prelude::BASE64_STANDARD};
use sha2::{Digest, Sha256};

use super::Material;
use worthit_pair::case::fnv1a;

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("site.js");

static POLICY: LazyLock<String> = LazyLock::new(|| {
    format!(
        "default-src 'none'; style-src '{}'; script-src '{}'; img-src data:; base-uri 'none'; form-action 'none'",
        hash(STYLE),
        hash(SCRIPT)
    )
});

fn hash(text: &str) -> String {
    format!("sha256-{}", BASE64_STANDARD.encode(Sha256::digest(text)))
}

/// Data of the frame of a page.
#[derive(Clone, Debug)]
pub struct Shell {
    /// Title of the page.
    pub title: String,
    /// Relative path from the page to the root of the site: empty, or `../../`.
    pub root: &'static str,
    /// Name of this page's entry in the navigation.
    pub here: &'static str,
    /// Whether the site has a page of the results of several machines.
    pub has_portability: bool,
    /// Whether the site has a page that compares two results.
    pub has_comparison: bool,
    /// Whether the site has a page of the gate.
    pub has_gate: bool,
    /// Whether the site has a page of trends.
    pub has_trends: bool,
}

impl Shell {
    /// Frame of a page at the root of the site.
    pub fn at_root(title: &str, here: &'static str, material: &Material<'_>) -> Shell {
        Shell {
            title: title.to_owned(),
            root: "",
            here,
            has_portability: material.has_portability(),
            has_comparison: material.other.is_some(),
            has_gate: material.gate.is_some(),
            has_trends: material.trends.is_some(),
        }
    }

    /// The Content-Security-Policy of every page.
    pub fn policy(&self) -> &'static str {
        &POLICY
    }

    /// The style sheet.
    pub fn style(&self) -> &'static str {
        STYLE
    }

    /// The script.
    pub fn script(&self) -> &'static str {
        SCRIPT
    }

    /// Entries of the navigation: address from the root, name, and whether it is this page.
    pub fn entries(&self) -> Vec<(&'static str, &'static str, bool)> {
        let all = [
            ("index.html", "Catalogue"),
            ("scaling.html", "Scaling"),
            ("machine.html", "Machine"),
            ("portability.html", "Portability"),
            ("gate.html", "Gate"),
            ("trends.html", "Trends"),
            ("compare.html", "Comparison"),
        ];
        let shown = all.into_iter().filter(|(page, _)| match *page {
            "portability.html" => self.has_portability,
            "gate.html" => self.has_gate,
            "trends.html" => self.has_trends,
            "compare.html" => self.has_comparison,
            _ => true,
        });
        shown.map(|(page, name)| (page, name, name == self.here)).collect()
    }
}

/// Path of the page of a pair: `pairs/queries/n_plus_one.html`. An id that is not a plain name gets
/// a plain one, with a hash that keeps it unique.
pub fn page_of(id: &str) -> String {
    file_of(id, "pairs", "html")
}

#[derive(Template)]
#[template(path = "redirect.html")]
struct Redirect<'a> {
    earlier: &'a str,
    id: &'a str,
    address: String,
}

/// Renders the page under an id that a pair had earlier, which leads to the present one.
pub fn redirect(earlier: &str, id: &str) -> String {
    let address = format!("../../{}", page_of(id));
    let page = Redirect { earlier, id, address };
    page.render().expect("rendering into memory cannot fail")
}

/// Path of the page of a study: `studies/bank.html`. An id that is not a plain name gets a plain one, with a hash that
/// keeps it unique.
pub fn page_of_study(id: &str) -> String {
    match is_plain(id) {
        true => format!("{id}.html"),
        false => format!("other/{}.html", plain(id)),
    }
}

/// Id of the part of a page that is about a family.
pub fn anchor_of(family: &str) -> String {
    let is_name = !family.is_empty() && family.len() <= 80 && family.chars().all(is_plain_char);
    format!("family-{}", if is_name { family.to_owned() } else { plain(family) })
}

/// Path of the raw samples of a pair.
pub fn samples_of(id: &str) -> String {
    file_of(id, "samples", "csv")
}

fn file_of(id: &str, folder: &str, extension: &str) -> String {
    match is_plain(id) {
        true => format!("{folder}/{id}.{extension}"),
        false => format!("{folder}/other/{}.{extension}", plain(id)),
    }
}

/// Whether an id is two plain names.
fn is_plain(id: &str) -> bool {
    let is_name =
        |part: &str| !part.is_empty() && part.len() <= 80 && part.chars().all(is_plain_char);
    id.split_once('/').is_some_and(|(family, name)| is_name(family) && is_name(name))
}

fn is_plain_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '-'
}

/// A plain and unique name for an id that is not two plain names.
fn plain(id: &str) -> String {
    let plain: String =
        id.chars().map(|c| if is_plain_char(c) { c } else { '_' }).take(60).collect();
    format!("{plain}-{:016x}", fnv1a(id.bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_earlier_id_leads_to_the_page_of_the_present_one() {
        let page = redirect("queries/n+1", "queries/n_plus_one");
        assert!(page.contains("url=../../pairs/queries/n_plus_one.html"), "{page}");
        assert!(page.contains("<a href=\"../../pairs/queries/n_plus_one.html\">"), "{page}");
    }

    #[test]
    fn pairs_have_stable_addresses_and_none_leaves_the_folder() {
        assert_eq!(page_of("queries/n_plus_one"), "pairs/queries/n_plus_one.html");
        assert_eq!(samples_of("queries/n_plus_one"), "samples/queries/n_plus_one.csv");
        let long = "x".repeat(5_000);
        for id in ["../../etc/passwd", "a/b/c", "", "/", "a/<b>", "a/b\0", &long] {
            let page = page_of(id);
            assert!(page.starts_with("pairs/other/") && page.matches('/').count() == 2, "{page}");
            assert!(!page.contains("..") && page.len() < 120, "{page}");
            let page = page_of_study(id);
            assert!(page.starts_with("other/") && page.matches('/').count() == 1, "{page}");
            assert!(!page.contains("..") && page.len() < 120, "{page}");
        }
        assert_eq!(page_of_study("studies/bank"), "studies/bank.html");
        assert_eq!(anchor_of("queries"), "family-queries");
        assert!(anchor_of("<b>").starts_with("family-_b_-"));
        assert_ne!(page_of("a/<"), page_of("a/>"));
    }

    #[test]
    fn the_policy_allows_hashes_and_no_origin() {
        assert_eq!(hash(""), "sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
        assert!(POLICY.contains("default-src 'none'") && !POLICY.contains("unsafe"));
    }
}
