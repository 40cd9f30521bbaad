//! The address of a file at a revision, where the checkout's remote is on a forge that shows files.

use std::{path::Path, process::Command};

/// How the addresses of files begin after the repository's, by a word in the name of the host.
const FORGES: [(&str, &str); 6] = [
    ("github", "blob"),
    ("gitlab", "-/blob"),
    ("codeberg", "src/commit"),
    ("gitea", "src/commit"),
    ("forgejo", "src/commit"),
    ("bitbucket", "src"),
];

/// Returns the address of `file`, relative to `folder` in a checkout, at `revision`; `None` if there is no remote named `origin`
/// or its host is not known.
pub fn address(folder: &Path, revision: &str, file: &str) -> Option<String> {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).current_dir(folder).output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?.trim().to_owned();
        output.status.success().then_some(text)
    };
    // From the root of the repository to the folder: "crates/pairs/", or nothing.
    let prefix = git(&["rev-parse", "--show-prefix"])?;
    at_revision(&git(&["config", "--get", "remote.origin.url"])?, revision, &(prefix + file))
}

fn at_revision(remote: &str, revision: &str, file: &str) -> Option<String> {
    let (host, repository) = match remote.split_once("://") {
        Some(("https" | "http" | "ssh" | "git", rest)) => rest.split_once('/')?,
        Some(_) => return None,
        // As for scp: "git@host:owner/repository.git".
        None => remote.split_once(':')?,
    };
    // The user and a password, and the port of another protocol, are nobody's business.
    let host = host.rsplit('@').next().unwrap_or(host).split(':').next().unwrap_or(host);
    let repository = repository.trim_matches('/').trim_end_matches(".git");
    let (_, files) = FORGES.iter().find(|(word, _)| host.contains(word))?;
    Some(format!("https://{host}/{repository}/{files}/{revision}/{file}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remotes_of_forges_have_addresses_without_users_and_passwords() {
        let expected = Some("https://github.com/owner/name/blob/abc/src/f/p.rs".to_owned());
        for remote in [
            "https://github.com/owner/name.git",
            "https://user:secret@github.com/owner/name",
            "git@github.com:owner/name.git",
            "ssh://git@github.com:22/owner/name.git",
        ] {
            assert_eq!(at_revision(remote, "abc", "src/f/p.rs"), expected, "{remote}");
        }
        let gitlab = at_revision("git@gitlab.example.org:group/sub/name.git", "abc", "a.rs");
        assert_eq!(
            gitlab.as_deref(),
            Some("https://gitlab.example.org/group/sub/name/-/blob/abc/a.rs")
        );
        for remote in ["", "/srv/name.git", "../name", "file:///srv/name", "https://example.org/x"]
        {
            assert_eq!(at_revision(remote, "abc", "a.rs"), None, "{remote}");
        }
    }

    #[test]
    fn a_file_of_a_member_has_its_path_from_the_root() {
        let folder = tempfile::tempdir().unwrap();
        let git = |arguments: &[&str]| {
            let mut git = Command::new("git");
            git.args(arguments).current_dir(folder.path()).env("GIT_CONFIG_GLOBAL", "/dev/null");
            assert!(git.status().unwrap().success());
        };
        git(&["init", "--quiet", "--template="]);
        git(&["remote", "add", "origin", "git@github.com:owner/name.git"]);
        std::fs::create_dir(folder.path().join("pairs")).unwrap();
        let start = "https://github.com/owner/name/blob/abc";
        for (within, expected) in [("", "src/f/p.rs"), ("pairs", "pairs/src/f/p.rs")] {
            let found = address(&folder.path().join(within), "abc", "src/f/p.rs");
            assert_eq!(found, Some(format!("{start}/{expected}")));
        }
    }

    #[test]
    fn a_folder_that_is_no_checkout_has_no_address() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(address(folder.path(), "abc", "a.rs"), None);
        assert_eq!(address(Path::new("/no/such/folder"), "abc", "a.rs"), None);
    }
}
