//! Harmless changes to an exported tree. They do not touch any pair, so an alarm from the gate would be false.
//!
//! Only the self-test makes them, by editing the source text.

use std::{fs, io, path::Path};

/// Adds a copy of the pair `id`, under another name, to the family of `id`.
///
/// Also adds functions that nothing calls, which change the linker layout of everything else.
///
/// # Errors
/// If the files of the pair and of its family are not where its id implies.
pub fn add_pair(package: &Path, id: &str) -> io::Result<()> {
    let (family, name) = id.split_once('/').unwrap_or(("", id));
    let folder = find(package, &format!("{family}/{name}.rs"))
        .ok_or_else(|| missing(&format!("{family}/{name}.rs")))?;
    let folder = folder.parent().unwrap_or(package).to_owned();
    let list = folder.with_extension("rs");
    let text = fs::read_to_string(&list)?;
    let line = format!("    {name},\n");
    if !text.contains(&line) {
        return Err(missing(&format!("a line `{}` in {}", line.trim(), list.display())));
    }
    let with_scratch = text.replacen(&line, &format!("{line}    scratch_pair,\n"), 1);
    let idle: String = (0..64)
        .map(|n| {
            format!(
                "#[used]\nstatic SCRATCH_{n}: fn(u64) -> u64 = scratch_{n};\n#[inline(never)]\nfn scratch_{n}(x: u64) -> u64 {{ (0..x + {n}).fold(x, |a, b| a.rotate_left({}) ^ b) }}\n",
                n % 63 + 1
            )
        })
        .collect();
    fs::write(&list, with_scratch + &idle)?;
    fs::copy(folder.join(format!("{name}.rs")), folder.join("scratch_pair.rs"))?;
    Ok(())
}

/// Makes the linker place the functions of the bench binaries in another order, which depends on `seed`.
///
/// This works only with lld, which is Rust's linker on x86-64 Linux.
///
/// # Errors
/// If the build script cannot be changed.
pub fn place_differently(package: &Path, seed: u32) -> io::Result<()> {
    let path = package.join("build.rs");
    let script = fs::read_to_string(&path).unwrap_or_else(|_| "fn main() {}\n".to_owned());
    let main = "fn main() {";
    if !script.contains(main) {
        return Err(missing(&format!("`{main}` in {}", path.display())));
    }
    let shuffle = format!(
        "\n    println!(\"cargo::rustc-link-arg-benches=-Wl,--shuffle-sections=.text*={seed}\");\n"
    );
    fs::write(path, script.replacen(main, &format!("{main}{shuffle}"), 1))
}

fn missing(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("there is no {what}"))
}

/// Finds the file below `folder` whose path ends in `end`, except in build folders.
fn find(folder: &Path, end: &str) -> Option<std::path::PathBuf> {
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.ends_with(end) {
                return Some(path);
            }
            if path.is_dir() && entry.file_name() != "target" {
                folders.push(path);
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scratch_pair_is_listed_and_the_linker_is_told_to_shuffle() {
        let package = tempfile::tempdir().unwrap();
        let folder = package.path().join("src/sums");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("gauss.rs"), "pub const PAIR: u8 = 0;").unwrap();
        let list = "worthit::family! {\n    \"sums\": \"Sum\";\n    gauss,\n}\n";
        fs::write(package.path().join("src/sums.rs"), list).unwrap();
        add_pair(package.path(), "sums/gauss").unwrap();
        let listed = fs::read_to_string(package.path().join("src/sums.rs")).unwrap();
        assert!(listed.contains("    gauss,\n    scratch_pair,\n"), "{listed}");
        assert!(folder.join("scratch_pair.rs").is_file());
        place_differently(package.path(), 4711).unwrap();
        let script = fs::read_to_string(package.path().join("build.rs")).unwrap();
        assert!(script.contains("shuffle-sections=.text*=4711"), "{script}");
        assert!(
            add_pair(package.path(), "sums/other").unwrap_err().to_string().contains("other.rs")
        );
    }
}
