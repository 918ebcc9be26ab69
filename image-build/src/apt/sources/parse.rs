//! Reads apt's own sources, in both forms (`sources.list(5)`). apt itself shows them only once lists
//! have been fetched (`apt-get indextargets`, apt 3.0), and a fresh machine has none.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

/// One archive of binary packages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Source {
    pub(super) uri: String,
    pub(super) suite: String,
    pub(super) components: Vec<String>,
}

/// The sources in `sources.list` and `sources.list.d` of the folder `etc`, in apt's order.
pub(super) fn read(etc: &Path) -> Result<Vec<Source>> {
    let mut sources = one_line(&text(&etc.join("sources.list"))?);
    let parts = etc.join("sources.list.d");
    let mut paths: Vec<_> = match fs::read_dir(&parts) {
        Ok(entries) => entries
            .map(|entry| entry.map(|entry| entry.path()))
            .collect(),
        Err(_) => Ok(Vec::new()),
    }
    .with_context(|| format!("read {}", parts.display()))?;
    paths.sort();
    for path in paths {
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("list") => sources.extend(one_line(&text(&path)?)),
            Some("sources") => sources.extend(deb822(&text(&path)?)),
            _ => {}
        }
    }
    Ok(sources)
}

/// A missing file counts as empty.
fn text(path: &Path) -> Result<String> {
    match fs::read(path) {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(error).with_context(|| format!("read {}", path.display())),
    }
}

/// Lines `deb [OPTIONS] URI SUITE COMPONENT…`.
fn one_line(text: &str) -> Vec<Source> {
    let source = |line: &str| {
        let line = line.split('#').next()?.trim();
        let rest = line
            .strip_prefix("deb")?
            .strip_prefix([' ', '\t'])?
            .trim_start();
        let rest = match rest.strip_prefix('[') {
            Some(options) => options.split_once(']')?.1,
            None => rest,
        };
        let mut words = rest.split_whitespace().map(str::to_owned);
        Some(Source {
            uri: words.next()?,
            suite: words.next()?,
            components: words.collect(),
        })
    };
    text.lines().filter_map(source).collect()
}

/// Stanzas with `Types`, `URIs`, `Suites` and `Components`, one source for each pair of URI and suite.
fn deb822(text: &str) -> Vec<Source> {
    let kept: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    let stanzas = kept.split(|line| line.trim().is_empty());
    stanzas.flat_map(stanza).collect()
}

fn stanza(lines: &[&str]) -> Vec<Source> {
    let words = |name| field(lines, name);
    let enabled = words("Enabled").first().is_none_or(|word| word != "no");
    if !enabled || !words("Types").contains(&"deb".to_owned()) {
        return Vec::new();
    }
    let (uris, suites, components) = (words("URIs"), words("Suites"), words("Components"));
    let pairs = uris
        .iter()
        .flat_map(|uri| suites.iter().map(move |suite| (uri, suite)));
    pairs
        .map(|(uri, suite)| Source {
            uri: uri.clone(),
            suite: suite.clone(),
            components: components.clone(),
        })
        .collect()
}

/// The words of a field, including those on the indented lines that follow it.
fn field(lines: &[&str], name: &str) -> Vec<String> {
    let is_field = |line: &&&str| {
        let key = line.split_once(':').map(|(key, _)| key);
        key.is_some_and(|key| key.eq_ignore_ascii_case(name))
    };
    let Some(first) = lines.iter().position(|line| is_field(&line)) else {
        return Vec::new();
    };
    let value = lines[first].split_once(':').map_or("", |(_, value)| value);
    let more = lines[first + 1..]
        .iter()
        .take_while(|line| line.starts_with([' ', '\t']));
    let words = [value].into_iter().chain(more.copied());
    words
        .flat_map(str::split_whitespace)
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(uri: &str, suite: &str, components: &[&str]) -> Source {
        Source {
            uri: uri.to_owned(),
            suite: suite.to_owned(),
            components: components.iter().map(|&word| word.to_owned()).collect(),
        }
    }

    #[test]
    fn lines_are_read() {
        for (line, want) in [
            (
                "deb http://m.example/debian trixie main contrib # local",
                vec![source(
                    "http://m.example/debian",
                    "trixie",
                    &["main", "contrib"],
                )],
            ),
            (
                "deb [ arch=amd64 signed-by=/k.gpg ] http://m.example/d trixie main",
                vec![source("http://m.example/d", "trixie", &["main"])],
            ),
            ("deb-src http://m.example/debian trixie main", vec![]),
            ("# deb http://m.example/debian trixie main", vec![]),
            ("", vec![]),
        ] {
            assert_eq!(one_line(line), want, "{line}");
        }
    }

    #[test]
    fn stanzas_are_read() {
        let text = "Types: deb deb-src\n# mirror\nURIs: http://m.example/debian\nSuites: trixie\n\
                    \x20trixie-updates\nComponents: main\n\n\
                    Types: deb\nEnabled: no\nURIs: http://n.example/\nSuites: x\nComponents: main\n\n\
                    Types: deb-src\nURIs: http://s.example/\nSuites: x\nComponents: main\n";
        let want = ["trixie", "trixie-updates"]
            .map(|suite| source("http://m.example/debian", suite, &["main"]));
        assert_eq!(deb822(text), want);
    }
}
