//! The apt command lines, as pure data, and the parsing of apt's own configuration.

use std::path::Path;

/// Packages taken from the backports suite if the distribution's own are too old.
///
/// QEMU 7.2 (Debian 12) emulates `cmpxchg16b` incorrectly, and is slower; backports has 10.
const BACKPORTED: &[&str] = &["qemu-system-x86", "qemu-utils"];

/// Debian's release key, as the package debian-archive-keyring (priority required) installs it.
pub(crate) const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// One package source of the host: `deb URI RELEASE main`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Source {
    pub(crate) uri: String,
    pub(crate) release: String,
}

/// The output format of `apt-get indextargets` that [`parse_sources`] reads.
pub(crate) const SOURCES_FORMAT: &str = "$(REPO_URI) $(RELEASE)";

/// Lines of [`SOURCES_FORMAT`], each source once, in apt's order.
pub(crate) fn parse_sources(indextargets: &str) -> Vec<Source> {
    let mut sources = Vec::new();
    for line in indextargets.lines() {
        let Some((uri, release)) = line.split_once(' ') else {
            continue;
        };
        let source = Source {
            uri: uri.to_owned(),
            release: release.to_owned(),
        };
        if !sources.contains(&source) {
            sources.push(source);
        }
    }
    sources
}

/// A sources list of the host's own Debian sources for `codename`, and its backports from the same
/// mirror; `None` if the host has no source for that release.
pub(crate) fn backports_list(sources: &[Source], codename: &str) -> Option<String> {
    let mirror = &sources
        .iter()
        .find(|source| source.release == codename)?
        .uri;
    let own = |source: &&Source| {
        let suffix = source.release.strip_prefix(codename);
        matches!(suffix, Some("" | "-updates" | "-security"))
    };
    let line =
        |uri: &str, release: &str| format!("deb [signed-by={KEYRING}] {uri} {release} main\n");
    let mut list: String = sources
        .iter()
        .filter(own)
        .map(|source| line(&source.uri, &source.release))
        .collect();
    list.push_str(&line(mirror, &format!("{codename}-backports")));
    Some(list)
}

/// Options that point apt at the sources list in `root` and keep its lists there too, so that
/// nothing of the user's apt state changes except the packages installed.
pub(crate) fn private_options(root: &Path) -> Vec<String> {
    let root = root.display();
    [
        format!("Dir::Etc::sourcelist={root}/sources.list"),
        "Dir::Etc::sourceparts=-".to_owned(),
        format!("Dir::State::lists={root}/lists"),
        format!("Dir::Cache::pkgcache={root}/pkgcache.bin"),
        format!("Dir::Cache::srcpkgcache={root}/srcpkgcache.bin"),
        "APT::Get::List-Cleanup=false".to_owned(),
    ]
    .into_iter()
    .flat_map(|option| ["-o".to_owned(), option])
    .collect()
}

/// `apt-get update`
pub(crate) fn update(options: &[String]) -> Vec<String> {
    // A mirror that is just being updated fails once and works the next time.
    let mut argv = strings(&["apt-get", "-o", "Acquire::Retries=3"]);
    argv.extend_from_slice(options);
    argv.push("update".to_owned());
    argv
}

/// `apt-get install --yes PACKAGES`, preferring `target_release` if one is given.
pub(crate) fn install(
    options: &[String],
    target_release: Option<&str>,
    packages: &[&str],
) -> Vec<String> {
    let mut argv = strings(&["apt-get", "-o", "Acquire::Retries=3"]);
    argv.extend_from_slice(options);
    argv.extend(strings(&["install", "--yes", "--no-install-recommends"]));
    argv.extend(target_release.map(|release| format!("--target-release={release}")));
    argv.extend(strings(packages));
    argv
}

/// The line a person types to get `packages`.
pub(crate) fn typed(packages: &[&str]) -> String {
    format!(
        "sudo apt-get install --yes --no-install-recommends {}",
        packages.join(" ")
    )
}

/// Splits `packages` into those better taken from backports and the others.
pub(crate) fn split_backported<'a>(packages: &[&'a str]) -> (Vec<&'a str>, Vec<&'a str>) {
    packages
        .iter()
        .partition(|package| BACKPORTED.contains(package))
}

fn strings(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(uri: &str, release: &str) -> Source {
        Source {
            uri: uri.to_owned(),
            release: release.to_owned(),
        }
    }

    #[test]
    fn the_host_sources_are_read_once_each() {
        let text = "http://m.example/debian/ bookworm\nhttp://m.example/debian/ bookworm\n\
                    http://m.example/debian/ bookworm-updates\n";
        let want = [
            source("http://m.example/debian/", "bookworm"),
            source("http://m.example/debian/", "bookworm-updates"),
        ];
        assert_eq!(parse_sources(text), want);
    }

    #[test]
    fn backports_come_from_the_mirror_of_the_release() {
        let sources = [
            source("http://other.example/", "nodistro"),
            source("http://s.example/", "bookworm-security"),
            source("http://m.example/", "bookworm"),
        ];
        let want = format!(
            "deb [signed-by={KEYRING}] http://s.example/ bookworm-security main\n\
             deb [signed-by={KEYRING}] http://m.example/ bookworm main\n\
             deb [signed-by={KEYRING}] http://m.example/ bookworm-backports main\n"
        );
        assert_eq!(backports_list(&sources, "bookworm"), Some(want));
        assert_eq!(backports_list(&sources, "sid"), None);
    }

    #[test]
    fn only_qemu_is_backported() {
        let (backported, own) =
            split_backported(&["mtools", "ovmf", "qemu-system-x86", "qemu-utils"]);
        assert_eq!(backported, ["qemu-system-x86", "qemu-utils"]);
        assert_eq!(own, ["mtools", "ovmf"]);
    }

    #[test]
    fn command_lines() {
        let private = private_options(Path::new("/t"));
        for (argv, want) in [
            (update(&[]), "apt-get -o Acquire::Retries=3 update"),
            (
                install(&[], None, &["bc", "bison"]),
                "apt-get -o Acquire::Retries=3 install --yes --no-install-recommends bc bison",
            ),
            (
                install(&private, Some("bookworm-backports"), &["qemu-utils"]),
                "apt-get -o Acquire::Retries=3 \
                 -o Dir::Etc::sourcelist=/t/sources.list -o Dir::Etc::sourceparts=- \
                 -o Dir::State::lists=/t/lists -o Dir::Cache::pkgcache=/t/pkgcache.bin \
                 -o Dir::Cache::srcpkgcache=/t/srcpkgcache.bin -o APT::Get::List-Cleanup=false \
                 install --yes --no-install-recommends --target-release=bookworm-backports qemu-utils",
            ),
        ] {
            assert_eq!(argv.join(" "), want);
        }
        assert_eq!(
            typed(&["bc"]),
            "sudo apt-get install --yes --no-install-recommends bc"
        );
    }
}
