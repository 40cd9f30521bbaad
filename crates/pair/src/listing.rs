//! Files that a family's list forgets: they would be neither built nor tested, and no test could say so.
//!
//! Only std, because the build script of the catalogue includes this file.

use std::{fs, io, path::Path};

/// Returns the lines that `list` lacks: `name,` for each Rust file in the folder beside it that it does not name.
/// `src/queries.rs` lists `src/queries/`.
///
/// # Errors
/// If the list or its folder cannot be read.
pub fn missing_lines(list: &Path) -> io::Result<Vec<String>> {
    let text = fs::read_to_string(list)?;
    let mut missing = Vec::new();
    for file in fs::read_dir(list.with_extension(""))? {
        let path = file?.path();
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        let line = format!("{name},");
        let is_rust = path.extension().is_some_and(|extension| extension == "rs");
        if is_rust && !text.lines().any(|listed| listed.trim() == line) {
            missing.push(line);
        }
    }
    missing.sort();
    Ok(missing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_not_listed_is_missing_and_other_files_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let list = folder.path().join("made.rs");
        fs::create_dir(folder.path().join("made")).unwrap();
        for file in ["one.rs", "two.rs", "notes.md"] {
            fs::write(folder.path().join("made").join(file), "").unwrap();
        }
        fs::write(&list, "family! {\n    \"made\": \"Two pairs\";\n    one,\n    two,\n}\n")
            .unwrap();
        assert_eq!(missing_lines(&list).unwrap(), Vec::<String>::new());
        fs::write(&list, "family! {\n    \"made\": \"twofold,\";\n    one,\n}\n").unwrap();
        assert_eq!(missing_lines(&list).unwrap(), ["two,"]);
        assert!(missing_lines(&folder.path().join("no.rs")).is_err());
    }
}
