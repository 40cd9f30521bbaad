//! Tests of what users type where they stand: in a package, in a workspace, with cargo's folders elsewhere, in a
//! checkout that cannot be written.

mod project;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use project::{
    Layout, Project,
    template::{self, Times},
};

/// Selects one case of one pair, and nothing of the other family.
const ONE: &str = "--noplot '^records/join_fields/.*/1$'";

#[test]
fn a_filtered_run_knows_all_families_of_the_crate() {
    let project = Project::new(Layout::Alone);
    let done = project.type_line("cargo bench -- --noplot join_fields").assert(0);
    let done = done.says(&["records/join_fields", "report: reports/index.html", "result: "]);
    assert_eq!(done.stdout.matches("result: ").count(), 1, "{}", done.stdout);
    // The other family was built, and its process found nothing to do.
    assert!(done.stderr.contains("benches/checksums.rs"), "{}", done.stderr);
    let page = project.page("pairs/checksums/crc_table.html");
    assert!(page.contains("This pair is not in this run.") && page.contains("<h2>Code</h2>"));
    assert!(!page.contains("does not know this pair"), "{page}");

    // The page says how to make its figures again.
    let page = project.page("pairs/records/join_fields.html");
    let (_, line) = page.split_once("cargo bench -- ").unwrap();
    let line = line.split_once("</pre>").unwrap().0.replace("&#39;", "'").replace("&#x27;", "'");
    project.type_line(&format!("cargo bench -- {line} --noplot")).assert(0);
    let runs = project.runs_in(&project.folder.join("target"));
    assert_eq!(runs.len(), 2);
    let pairs = |nth: usize| runs[nth].pairs.keys().cloned().collect::<Vec<_>>();
    assert_eq!((pairs(0), pairs(1)), (pairs(1), vec!["records/join_fields".to_owned()]));
}

#[test]
fn both_families_of_one_command_make_one_run_and_one_summary() {
    let project = Project::new(Layout::Alone);
    let done = project.type_line("cargo bench -- --noplot --skip distinct_ids").assert(0);
    assert_eq!(done.stdout.matches("result: ").count(), 1, "{}", done.stdout);
    let runs = project.runs_in(&project.folder.join("target"));
    assert_eq!(runs.len(), 1);
    let pairs: Vec<&String> = runs[0].pairs.keys().collect();
    assert_eq!(pairs, ["checksums/crc_table", "records/join_fields"]);
    assert_eq!(runs[0].package.as_deref(), Some("pairs"));
    // Causes are counted by the command that cargo has built with the benches.
    let measured = runs[0].pairs["records/join_fields"].sweeps[0].cases[0].measured().unwrap();
    assert!(measured.sides.iter().all(|side| side.causes.iter().count() > 0), "{measured:?}");
    for page in ["pairs/checksums/crc_table.html", "pairs/records/distinct_ids.html"] {
        assert!(!project.page(page).contains("does not know this pair"));
    }
}

#[test]
fn what_is_typed_by_habit_works() {
    let project = Project::new(Layout::Alone);
    // The filter of a command that runs other tests too may be meant for those.
    project.type_line("cargo test --release --all-targets no_such_test").assert(0);
    project.type_line("cargo test --release --benches -- --test-threads=1 crc_table").assert(0);
    let done = project.type_line("cargo test --release --benches crc_tabel");
    assert_ne!(done.status, Some(0));
    done.says(&["did you mean `checksums/crc_table`?"]);
    project.type_line("cargo bench -- --list | head -1").assert(0).says(&["checksums/crc_table/"]);
    let done = project.type_line("cargo bench --bench records -- crc_table");
    assert_ne!(done.status, Some(0));
    done.says(&["`cargo bench --bench checksums -- crc_table`"]);
    project.type_line(&format!("cargo bench -- {ONE} | head -1")).assert(0);
    assert_eq!(project.runs_in(&project.folder.join("target")).len(), 1, "the run was recorded");
}

/// Measures one case in `folder` with `environment` and `flags`, and asserts that the run is in `target`, with counted
/// causes, and that a report finds it.
#[track_caller]
fn assert_found(project: &Project, folder: &Path, environment: &str, flags: &str, target: &Path) {
    let here = format!("`{environment} {flags}` in {}", folder.display());
    let bench = format!("{environment} cargo bench --package pairs {flags} -- {ONE}");
    project.type_in(folder, &bench).assert(0);
    let runs = project.runs_in(target);
    assert_eq!(runs.len(), 1, "{here}");
    let measured = runs[0].pairs["records/join_fields"].sweeps[0].cases[0].measured().unwrap();
    assert!(measured.sides.iter().all(|side| side.causes.iter().count() > 0), "{here}");
    let site = project.package.join("reports");
    fs::remove_dir_all(&site).unwrap();
    let report =
        format!("{environment} cargo run --quiet --release --package pairs {flags} -- report");
    let done = project.type_in(folder, &report).assert(0);
    assert!(done.stdout.contains(&runs[0].key), "{here}: {}", done.stdout);
    assert!(site.join("index.html").is_file(), "{here}: the report is beside the manifest");
}

#[test]
fn a_target_folder_elsewhere_is_found() {
    let project = Project::new(Layout::Workspace);
    let (root, member) = (&project.folder, &project.package);
    let target = project.seeded("target_foo");
    assert_found(&project, root, "CARGO_TARGET_DIR=target_foo", "", &target);
    let target = project.seeded("crates/pairs/target_bar");
    assert_found(&project, member, "CARGO_TARGET_DIR=target_bar", "", &target);
    let target = project.seeded("asked");
    assert_found(&project, root, "", "--target-dir asked", &target);
    project.write(".cargo/config.toml", "build.target-dir = \"configured\"\n");
    let target = project.seeded("configured");
    assert_found(&project, member, "", "", &target);
}

#[test]
fn a_build_folder_elsewhere_changes_nothing() {
    let project = Project::new(Layout::Workspace);
    let metadata = project.type_line("cargo metadata --no-deps --format-version 1").assert(0);
    if !metadata.stdout.contains("\"build_directory\"") {
        eprintln!("skipped: this cargo has no separate build folder");
        return;
    }
    project.seeded("built");
    let target = project.folder.join("target");
    assert_found(&project, &project.folder, "CARGO_BUILD_BUILD_DIR=built", "", &target);
    assert!(!project.folder.join("built/worthit").exists());
}

#[test]
fn each_package_of_a_workspace_has_its_own_run_and_pages() {
    let project = Project::new(Layout::Workspace);
    let done = project.type_line(&format!("cargo bench --workspace -- {ONE}")).assert(0);
    assert_eq!(done.stdout.matches("result: ").count(), 2, "{}", done.stdout);
    let runs = project.runs_in(&project.folder.join("target"));
    let mut packages: Vec<_> = runs.iter().filter_map(|run| run.package.as_deref()).collect();
    packages.sort_unstable();
    assert_eq!(packages, ["others", "pairs"]);
    // The later run is the other package's.
    let done = project.type_line("cargo run --quiet --release --package pairs -- report").assert(0);
    let own = runs.iter().find(|run| run.package.as_deref() == Some("pairs")).unwrap();
    assert!(done.stdout.contains(&own.key), "{}", done.stdout);
}

#[test]
fn an_alias_hides_the_benches_but_loses_nothing() {
    let project = Project::new(Layout::Alone);
    project.write(".cargo/config.toml", "[alias]\nours = \"bench --bench records\"\n");
    let done = project.type_line(&format!("cargo ours -- {ONE}")).assert(0);
    done.says(&["report: reports/index.html", "result: "]);
}

#[test]
fn a_checkout_that_cannot_be_written_is_measured() {
    let project = Project::new(Layout::Alone);
    let target = project.folder.join("target");
    // Writes the lock file too, which is committed in a real checkout.
    project.type_line("cargo build --release").assert(0);
    let _checkout = ReadOnly::mount(&project.folder, &target);
    let two = "cargo bench --locked -- --noplot '(join_fields/.*/1|crc_table/.*/8)$'";
    let done = project.type_line(two).assert(0);
    let done = done.says(&["cannot write reports", "The pages are in "]);
    assert_eq!(done.stderr.matches("cannot write reports").count(), 1, "{}", done.stderr);
    assert_eq!(project.runs_in(&target)[0].pairs.len(), 2, "every family ran");
    assert!(target.join("worthit/reports/index.html").is_file());
}

#[test]
fn every_command_of_the_templates_readme_runs() {
    let project = Project::new(Layout::Alone);
    project.git("init --quiet --template= --initial-branch main");
    project.git("add --all");
    project.git("commit --quiet --message template");
    let readme = fs::read_to_string(project.folder.join("README.md")).unwrap();
    let (_, block) = readme.split_once("```sh\n").unwrap();
    let (block, _) = block.split_once("```").unwrap();
    let said = [
        ("cargo test", "test result: ok."),
        ("cargo bench", "records/distinct_ids"),
        ("cargo bench -- --quick join_fields", "records/join_fields"),
        ("cargo run --release -- show join_fields", "smell:"),
        ("cargo run --release -- gate --against main", "3 unchanged"),
        ("cargo run --release -- history --history FILE", "added "),
    ];
    let lines: Vec<&str> =
        block.lines().map(|line| line.split('#').next().unwrap().trim()).collect();
    assert_eq!(lines.len(), said.len(), "{block}");
    for (line, (start, text)) in lines.into_iter().zip(said) {
        assert!(line.starts_with(start), "{line}");
        project.type_line(line).assert(0).says(&[text]);
    }
    let (_, toml) = readme.split_once("```toml\n").unwrap();
    let (toml, _) = toml.split_once("```").unwrap();
    assert!(toml.parse::<toml::Table>().is_ok_and(|table| table.len() == 2), "{toml}");
}

#[test]
fn a_git_dependency_on_the_suite_builds_and_measures() {
    let suite = Suite::commit();
    let dependency = format!("git = \"file://{}\"", suite.folder.display());
    let project = Project::depending_on(Layout::Alone, &dependency, &dependency);
    let done = project.type_line(&format!("cargo bench -- {ONE}")).assert(0);
    done.says(&["report: reports/index.html"]);
    let runs = project.runs_in(&project.folder.join("target"));
    let measured = runs[0].pairs["records/join_fields"].sweeps[0].cases[0].measured().unwrap();
    assert!(measured.sides.iter().all(|side| side.causes.iter().count() > 0));
    assert!(project.page("pairs/records/join_fields.html").contains("<h2>Code</h2>"));
}

/// A git repository of this checkout's files, and what cargo keeps of it.
struct Suite {
    folder: PathBuf,
}

impl Suite {
    const NAME: &str = "worthit-suite-under-test";

    fn commit() -> Suite {
        let suite = Suite { folder: project::shared().join(Suite::NAME) };
        suite.remove();
        template::copy_tree(&template::root(), &suite.folder, Times::Now);
        for line in ["init --quiet --template=", "add --all", "commit --quiet --message suite"] {
            project::git(&suite.folder, line);
        }
        suite
    }

    fn remove(&self) {
        let _ = fs::remove_dir_all(&self.folder);
        let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
        let home = home.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")));
        for kept in ["git/db", "git/checkouts"] {
            let kept = home.as_ref().and_then(|home| fs::read_dir(home.join(kept)).ok());
            for entry in kept.into_iter().flatten().flatten() {
                if entry.file_name().to_string_lossy().starts_with(Suite::NAME) {
                    let _ = fs::remove_dir_all(entry.path());
                }
            }
        }
    }
}

impl Drop for Suite {
    fn drop(&mut self) {
        self.remove();
    }
}

/// A folder that cannot be written, except one in it.
struct ReadOnly<'a>(Option<&'a Path>);

impl<'a> ReadOnly<'a> {
    /// Mounts the folder as read-only. Where this user may not mount, a file stands in the way of the report.
    fn mount(folder: &'a Path, except: &'a Path) -> ReadOnly<'a> {
        let mount = |arguments: &[&str], paths: &[&Path]| {
            let done = Command::new("mount").args(arguments).args(paths).output();
            done.is_ok_and(|output| output.status.success())
        };
        if !mount(&["--bind"], &[folder, folder]) {
            fs::write(folder.join("reports"), "in the way").unwrap();
            return ReadOnly(None);
        }
        let mounted = ReadOnly(Some(folder));
        assert!(mount(&["--bind"], &[except, except]));
        assert!(mount(&["-o", "remount,bind,ro"], &[folder]));
        mounted
    }
}

impl Drop for ReadOnly<'_> {
    fn drop(&mut self) {
        if let Some(folder) = self.0 {
            let _ = Command::new("umount").arg("--recursive").arg(folder).status();
        }
    }
}
