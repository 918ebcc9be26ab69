//! Reads what `apt-get install --print-uris` prints.

use std::path::Path;

use anyhow::{Context, Result};

use super::Deb;

/// Lines `'URI' NAME_VERSION_ARCH.deb SIZE SHA256:HASH`, sorted by package; other lines are
/// messages of apt. `debs` is the folder that the files will be in.
///
/// # Errors
/// Quotes the first line that starts like such a line but does not continue like one.
pub(super) fn parse(output: &str, debs: &Path) -> Result<Vec<Deb>> {
    let lines = output.lines().filter(|line| line.starts_with('\''));
    let mut parsed = lines
        .map(|line| deb(line, debs).with_context(|| format!("not understood: {line}")))
        .collect::<Result<Vec<_>>>()?;
    parsed.sort_by(|a, b| a.package.cmp(&b.package));
    Ok(parsed)
}

fn deb(line: &str, debs: &Path) -> Option<Deb> {
    let mut words = line.split(' ').skip(1);
    let file = words.next()?;
    let size = words.next()?.parse().ok()?;
    let sha256 = words.next()?.strip_prefix("SHA256:")?;
    let mut parts = file.strip_suffix(".deb")?.split('_');
    Some(Deb {
        package: parts.next()?.to_owned(),
        // Not every file system allows a colon in a file name, so apt writes it like this.
        version: parts.next()?.replace("%3a", ":"),
        architecture: parts.next()?.to_owned(),
        sha256: sha256.to_owned(),
        size,
        path: debs.join(file),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uris_become_packages_sorted_by_name() {
        let output = "Reading package lists...\n\
            'http://m.example/z_1%3a2-3_amd64.deb' z_1%3a2-3_amd64.deb 10 SHA256:ab\n\
            'http://m.example/a_4_all.deb' a_4_all.deb 5 SHA256:cd\n";
        let deb =
            |package: &str, version: &str, architecture: &str, sha256: &str, size, file| Deb {
                package: package.to_owned(),
                version: version.to_owned(),
                architecture: architecture.to_owned(),
                sha256: sha256.to_owned(),
                size,
                path: Path::new("/d").join(file),
            };
        let want = [
            deb("a", "4", "all", "cd", 5, "a_4_all.deb"),
            deb("z", "1:2-3", "amd64", "ab", 10, "z_1%3a2-3_amd64.deb"),
        ];
        assert_eq!(parse(output, Path::new("/d")).unwrap(), want);
    }

    #[test]
    fn a_line_cut_short_is_quoted() {
        let error = parse(
            "'http://m.example/z_1_all.deb' z_1_all.deb\n",
            Path::new("/d"),
        );
        let want = "not understood: 'http://m.example/z_1_all.deb' z_1_all.deb";
        assert_eq!(error.unwrap_err().to_string(), want);
    }
}
