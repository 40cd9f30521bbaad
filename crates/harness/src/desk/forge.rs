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

/// Returns the address of `file`, relative to the checkout at `folder`, at `revision`; `None` if there is no remote named
/// `origin` or its host is not known.
pub fn address(folder: &Path, revision: &str, file: &str) -> Option<String> {
    let git = Command::new("git")
        .args(["config", "--get", "remote.origin.url"])
        .current_dir(folder)
        .output()
        .ok()?;
    at_revision(String::from_utf8(git.stdout).ok()?.trim(), revision, file)
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
    fn a_folder_that_is_no_checkout_has_no_address() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(address(folder.path(), "abc", "a.rs"), None);
        assert_eq!(address(Path::new("/no/such/folder"), "abc", "a.rs"), None);
    }
}
