//! Where trixie comes from: the mirrors that the building machine's own apt uses.

mod parse;

use std::env;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use self::parse::Source;
use crate::digest;

/// The release that Tare is built from.
const SUITE: &str = "trixie";

/// Names that a Debian machine's own sources give its release, besides its code name.
const DEBIAN_SUITES: &[&str] = &[
    "bookworm",
    "trixie",
    "forky",
    "sid",
    "oldstable",
    "stable",
    "testing",
    "unstable",
];

/// Debian's release keys, from the package debian-archive-keyring. Debian 12's has trixie's too.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// The two archives of a stable release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mirrors {
    pub(super) main: String,
    pub(super) security: String,
}

impl Mirrors {
    /// The layout that mirrors share: `…/debian` next to `…/debian-security`.
    fn beside(main: &str) -> Self {
        let main = main.trim_end_matches('/');
        Self {
            main: main.to_owned(),
            security: format!("{main}-security"),
        }
    }
}

/// The URI of a `…/debian`, to be used instead of the machine's own.
const SETTING: &str = "TARE_MIRROR";

/// The setting `TARE_MIRROR`, otherwise the machine's own apt sources.
pub(super) fn mirrors() -> Result<Mirrors> {
    if let Ok(mirror) = env::var(SETTING) {
        return Ok(Mirrors::beside(&mirror));
    }
    match of_debian(&parse::read(Path::new("/etc/apt"))?) {
        Some(mirrors) => Ok(mirrors),
        None => {
            bail!("no Debian mirror in this machine's apt sources; set {SETTING} to the URI of one")
        }
    }
}

/// The first mirrors of a Debian release among `sources`.
fn of_debian(sources: &[Source]) -> Option<Mirrors> {
    let find = |suffix: &str| {
        let found = sources.iter().find(|source| {
            let suite = source.suite.strip_suffix(suffix);
            suite.is_some_and(|suite| DEBIAN_SUITES.contains(&suite))
                // Other archives name their suites after Debian's releases, but not their
                // components.
                && source.components.contains(&"main".to_owned())
                && !source.uri.starts_with("cdrom:")
        });
        found.map(|source| source.uri.trim_end_matches('/').to_owned())
    };
    let mut mirrors = Mirrors::beside(&find("")?);
    if let Some(security) = find("-security") {
        mirrors.security = security;
    }
    Some(mirrors)
}

/// The sources list. Only package lists are fetched (`target`), whatever else the machine's own
/// configuration would add.
pub(super) fn list(mirrors: &Mirrors) -> String {
    let line = |uri: &str, suite: &str| {
        format!("deb [arch=amd64 target=Packages signed-by={KEYRING}] {uri} {SUITE}{suite} main\n")
    };
    [
        line(&mirrors.main, ""),
        line(&mirrors.main, "-updates"),
        line(&mirrors.security, "-security"),
    ]
    .concat()
}

/// Identifies the state of the archives in `lists`: a hash over their signed release files.
pub(super) fn lists_id(lists: &Path) -> Result<String> {
    let mut releases = Vec::new();
    for entry in fs::read_dir(lists).with_context(|| format!("read {}", lists.display()))? {
        let path = entry?.path();
        if path.to_string_lossy().ends_with("InRelease") {
            releases.push(fs::read(&path)?);
        }
    }
    releases.sort();
    Ok(digest::hex(&releases.concat()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mirrors(main: &str, security: &str) -> Mirrors {
        Mirrors {
            main: main.to_owned(),
            security: security.to_owned(),
        }
    }

    #[test]
    fn mirrors_come_from_the_sources_of_debian_itself() {
        for (sources, want) in [
            (
                &[
                    ("http://n.example/node", "nodistro", "main"),
                    ("http://d.example/linux/debian", "bookworm", "stable"),
                    (
                        "http://s.example/debian-security/",
                        "bookworm-security",
                        "main",
                    ),
                    ("cdrom:[Debian]/", "bookworm", "main"),
                    ("http://m.example/debian/", "bookworm", "main"),
                ][..],
                Some(mirrors(
                    "http://m.example/debian",
                    "http://s.example/debian-security",
                )),
            ),
            (
                &[("http://m.example/debian/", "stable", "main")],
                Some(mirrors(
                    "http://m.example/debian",
                    "http://m.example/debian-security",
                )),
            ),
            (&[("http://u.example/ubuntu/", "noble", "main")], None),
            (&[], None),
        ] {
            let source = |(uri, suite, component): &(&str, &str, &str)| Source {
                uri: (*uri).to_owned(),
                suite: (*suite).to_owned(),
                components: vec![(*component).to_owned()],
            };
            let sources: Vec<Source> = sources.iter().map(source).collect();
            assert_eq!(of_debian(&sources), want);
        }
    }

    #[test]
    fn the_list_names_three_suites() {
        let got = list(&mirrors("http://m.example/debian", "http://s.example/sec"));
        let option = format!("deb [arch=amd64 target=Packages signed-by={KEYRING}]");
        let want = format!(
            "{option} http://m.example/debian trixie main\n\
             {option} http://m.example/debian trixie-updates main\n\
             {option} http://s.example/sec trixie-security main\n"
        );
        assert_eq!(got, want);
    }
}
