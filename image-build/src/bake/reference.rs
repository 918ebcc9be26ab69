//! Names of container images.

use std::fmt;

/// The name of an image in a registry, such as `nginx:1.27` or `ghcr.io/me/web@sha256:…`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Reference {
    /// As Docker shows it: without `docker.io/library/`.
    repository: String,
    tag: String,
    digest: Option<String>,
}

/// Docker Hub's names, which Docker leaves out: its official images first.
const UNSAID: [&str; 2] = ["docker.io/library/", "docker.io/"];

impl Reference {
    /// # Errors
    /// `text` is not such a name.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let bad = || format!("`{text}` is not the name of an image in a registry");
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) => (name, Some(sha256(digest).ok_or_else(bad)?.to_owned())),
            None => (text, None),
        };
        // A colon before the last slash is that of a port.
        let (repository, tag) = match name.rsplit_once(':') {
            Some((repository, tag)) if !tag.contains('/') => (repository, tag),
            _ => (name, "latest"),
        };
        let unsaid = UNSAID
            .iter()
            .find_map(|unsaid| repository.strip_prefix(unsaid));
        let repository = unsaid.unwrap_or(repository);
        if !is_repository(repository) || !is_tag(tag) {
            return Err(bad());
        }
        Ok(Self {
            repository: repository.to_owned(),
            tag: tag.to_owned(),
            digest,
        })
    }

    /// The SHA-256 that it names, in hexadecimal.
    pub(crate) fn digest(&self) -> Option<&str> {
        self.digest.as_deref()
    }

    /// The same repository, without a tag.
    pub(crate) fn repository(&self) -> &str {
        &self.repository
    }

    /// The tag that the image has on the machine. Docker knows an image by the digest of its manifest only if it pulled
    /// it, so a digest becomes a tag.
    pub(crate) fn tag(&self) -> String {
        match &self.digest {
            Some(digest) => format!("sha256-{digest}"),
            None => self.tag.clone(),
        }
    }

    /// The name that the image has on the machine.
    pub(crate) fn local(&self) -> String {
        format!("{}:{}", self.repository, self.tag())
    }

    /// That name as the name of a folder; `+` is in no image's name.
    pub(crate) fn folder(&self) -> String {
        self.local().replace('/', "+")
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.digest {
            Some(digest) => write!(out, "{}@sha256:{digest}", self.repository),
            None => write!(out, "{}:{}", self.repository, self.tag),
        }
    }
}

/// The hexadecimal digits of `sha256:…`.
pub(crate) fn sha256(digest: &str) -> Option<&str> {
    let hex = digest.strip_prefix("sha256:")?;
    let is_hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
    (hex.len() == 64 && hex.chars().all(is_hex)).then_some(hex)
}

fn is_repository(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || "._-:".contains(c);
    name.split('/')
        .all(|part| part.starts_with(|c: char| c.is_ascii_alphanumeric()) && part.chars().all(fits))
}

fn is_tag(tag: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    (1..=128).contains(&tag.len()) && tag.chars().all(fits) && !tag.starts_with(['.', '-'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_apart_and_shown_as_docker_does() {
        let hex = "0123456789abcdef".repeat(4);
        for (text, shown, local) in [
            ("nginx", "nginx:latest", "nginx:latest"),
            ("docker.io/library/nginx:1", "nginx:1", "nginx:1"),
            ("docker.io/me/web", "me/web:latest", "me/web:latest"),
            ("h:5000/a/b", "h:5000/a/b:latest", "h:5000/a/b:latest"),
            (
                "h:5000/a/b:v1.2_x",
                "h:5000/a/b:v1.2_x",
                "h:5000/a/b:v1.2_x",
            ),
            (
                &format!("nginx:1@sha256:{hex}"),
                &format!("nginx@sha256:{hex}"),
                &format!("nginx:sha256-{hex}"),
            ),
        ] {
            let read = Reference::parse(text).unwrap();
            assert_eq!(
                (read.to_string(), read.local()),
                (shown.into(), local.into())
            );
        }
        let read = Reference::parse("h:5000/a/b:1").unwrap();
        assert_eq!(read.folder(), "h:5000+a+b:1");
    }

    #[test]
    fn other_names_are_refused() {
        for text in [
            "",
            "a b",
            "../a",
            "nginx:",
            "a:.b",
            "nginx@sha256:12",
            "a//b",
            "@0",
        ] {
            let want = format!("`{text}` is not the name of an image in a registry");
            assert_eq!(Reference::parse(text), Err(want));
        }
    }
}
