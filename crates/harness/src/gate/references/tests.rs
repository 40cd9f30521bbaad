//! References in made source files.

use super::*;

fn paths(source: &str) -> Vec<String> {
    let found = References::of(source);
    found.paths.iter().map(|path| path.segments.join("::")).collect()
}

#[test]
fn paths_are_found_in_imports_code_and_macros() {
    let source = "use crate::fixtures::{zipf::Zipf, shop::{self, Size as S}, *};\nuse ::rand::Rng;\n\
                  fn f(x: crate::a::B<super::C>) -> u8 { assert_eq!(crate::d::e(), self::g::<u8>()); h }\n\
                  // crate::comment::x\nconst T: &str = \"crate::text::x\";\n";
    assert_eq!(
        paths(source),
        [
            "crate::fixtures::zipf::Zipf",
            "crate::fixtures::shop",
            "crate::fixtures::shop::Size",
            "crate::fixtures",
            "crate::a::B",
            "super::C",
            "crate::d::e",
            "self::g",
        ]
    );
}

#[test]
fn unit_tests_do_not_count_and_modules_inside_the_file_do() {
    let source = "mod inner { use super::A; mod deep { fn f() { crate::b::c() } } }\nfn g() { x::y() }\n\
                  #[cfg(test)]\nmod tests { use super::*; use crate::z::Z; }\nfn h() { v::w() }\n";
    let found = References::of(source);
    let inside: Vec<String> = found.paths.iter().map(|path| path.inside.join("/")).collect();
    assert_eq!(inside, ["inner", "inner/deep", "", ""]);
    assert_eq!(paths(source), ["super::A", "crate::b::c", "x::y", "v::w"]);
    assert!(paths("#[cfg(not(test))]\nmod m { use crate::a::B; }").len() == 1);
    assert!(paths("#[cfg(test)]\nuse crate::a::B;\nmod m { use crate::c::D; }").len() == 2);
}

#[test]
fn the_outline_leaves_out_comments_lists_and_declarations() {
    let outline = |list: &str, rest: &str| {
        let source = format!(
            "//! Family.\nmod fixtures;\nworthit_pair::family! {{ \"a\": \"T\"; {list} }}\n{rest}"
        );
        References::of(&source).outline
    };
    assert_eq!(outline("one,", ""), outline("one, two,", "// More.\npub mod other;\n"));
    assert_ne!(outline("one,", ""), outline("one,", "fn f() {}"));
    assert_ne!(outline("one,", "#[inline]\nfn f() {}"), outline("one,", "fn f() {}"));
    let listed = References::of("worthit_pair::family! { \"a\": \"T\"; one, two, }").listed;
    assert_eq!(listed, [("a".to_owned(), vec!["one".to_owned(), "two".to_owned()])]);
    let listed = References::of("worthit_pair::studies! { \"b\": \"T\"; three, }").listed;
    assert_eq!(listed, [("b".to_owned(), vec!["three".to_owned()])]);
}

#[test]
fn what_reaches_other_files_unnamed_is_noticed() {
    let is_opaque = |source: &str| References::of(source).is_opaque;
    assert!(is_opaque("include!(\"x.rs\");") && is_opaque("#[path = \"x.rs\"]\nmod x;"));
    assert!(is_opaque("extern crate a;") && is_opaque("fn broken( {"));
    assert!(is_opaque("const A: &str = include_str!(concat!(\"a\", \"b\"));"));
    assert!(!is_opaque("const A: &str = include_str!(\"a.sql\");"));
    assert_eq!(References::of("const A: &str = include_str!(\"a.sql\");").included, ["a.sql"]);
    assert!(References::of("macro_rules! m { () => {} }").has_macros);
    assert!(References::of("#[global_allocator]\nstatic A: B = B;").is_global);
    assert!(References::of("worthit_pair::counting_binary!();").is_global);
    assert!(References::of("const A: &str = env!(\"B\");").reads_environment);
    let extends = |source: &str| References::of(source).extends_others;
    assert!(extends("use super::Shop;\nimpl Drop for Shop {}"));
    assert!(!extends("struct Own;\nimpl Drop for Own {}\nfn f() -> impl Fn() { || () }"));
    assert!(!extends("trait Own {}\nimpl Own for u64 {}"));
}
