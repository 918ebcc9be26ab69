//! What the image is made of, as an SPDX 2.3 document (<https://spdx.github.io/spdx-spec/v2.3/>).

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::apt::Deb;
use crate::bake::Saved;
use crate::system::VERSION;
use crate::text::rfc3339;

/// A crate that is linked into our programs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Crate {
    name: String,
    version: String,
    /// Of the package in the registry; our own crates have none.
    sha256: Option<String>,
}

#[derive(Deserialize)]
struct Lock {
    package: Vec<Locked>,
}

#[derive(Deserialize)]
struct Locked {
    name: String,
    version: String,
    checksum: Option<String>,
}

/// The crates that `cargo tree --prefix none` lists, with their hashes from `Cargo.lock`.
///
/// # Errors
/// `Cargo.lock` cannot be read.
pub(crate) fn crates(tree: &str, lock: &Path) -> Result<Vec<Crate>> {
    let text = std::fs::read_to_string(lock).context("read Cargo.lock")?;
    let lock: Lock = toml::from_str(&text).context("read Cargo.lock")?;
    let checksums: BTreeMap<_, _> = lock
        .package
        .into_iter()
        .map(|package| ((package.name, package.version), package.checksum))
        .collect();
    let mut crates: Vec<Crate> = tree.lines().filter_map(name_and_version).collect();
    for found in &mut crates {
        let key = (found.name.clone(), found.version.clone());
        found.sha256 = checksums.get(&key).cloned().flatten();
    }
    crates.sort();
    crates.dedup();
    Ok(crates)
}

/// `serde v1.0.1 (proc-macro)`: compile-time only, not part of the programs.
fn name_and_version(line: &str) -> Option<Crate> {
    let mut words = line.split(' ');
    let name = words.next().filter(|name| !name.is_empty())?;
    let version = words.next()?.strip_prefix('v')?;
    (!line.contains("(proc-macro)")).then(|| Crate {
        name: name.to_owned(),
        version: version.to_owned(),
        sha256: None,
    })
}

/// What is in an image besides our own files.
#[derive(Debug, Default)]
pub(crate) struct Parts<'a> {
    pub(crate) debs: Vec<Deb>,
    pub(crate) crates: Vec<Crate>,
    /// Container images that are baked.
    pub(crate) images: Vec<&'a Saved>,
}

/// The document for an image with these parts; `created` in seconds since 1970.
pub(crate) fn document(parts: &Parts<'_>, created: u64, root_hash: &str) -> Value {
    let packages: Vec<Value> = [ours()]
        .into_iter()
        .chain(parts.debs.iter().map(deb))
        .chain(parts.crates.iter().map(cargo))
        .chain(parts.images.iter().copied().map(baked))
        .collect();
    let contained = packages.iter().skip(1).map(|package| {
        json!({
            "spdxElementId": "SPDXRef-tare",
            "relationshipType": "CONTAINS",
            "relatedSpdxElement": package["SPDXID"],
        })
    });
    let describes = json!({
        "spdxElementId": "SPDXRef-DOCUMENT",
        "relationshipType": "DESCRIBES",
        "relatedSpdxElement": "SPDXRef-tare",
    });
    let relationships: Vec<Value> = [describes].into_iter().chain(contained).collect();
    json!({
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": format!("tare-{VERSION}"),
        // Only has to be unique; the root hash identifies the image's content.
        "documentNamespace": format!("urn:tare:image:{root_hash}"),
        "creationInfo": { "created": rfc3339(created), "creators": [format!("Tool: tare-image-{VERSION}")] },
        "relationships": relationships,
        "packages": packages,
    })
}

fn ours() -> Value {
    package(
        "tare",
        "tare",
        VERSION,
        None,
        &format!("pkg:generic/tare@{VERSION}"),
    )
}

fn deb(deb: &Deb) -> Value {
    let id = format!("deb-{}", deb.package);
    let url = format!(
        "pkg:deb/debian/{}@{}?arch={}&distro=trixie",
        encoded(&deb.package),
        encoded(&deb.version),
        deb.architecture
    );
    package(&id, &deb.package, &deb.version, Some(&deb.sha256), &url)
}

fn cargo(found: &Crate) -> Value {
    let Crate {
        name,
        version,
        sha256,
    } = found;
    let id = format!("crate-{name}-{version}");
    let url = format!("pkg:cargo/{name}@{}", encoded(version));
    package(&id, name, version, sha256.as_deref(), &url)
}

/// By the digest of its configuration, which is its id in the engine (`pkg:docker`, package-url's own example).
fn baked(image: &Saved) -> Value {
    let (name, tag) = (image.reference.repository(), image.reference.tag());
    let url = format!("pkg:docker/{}@sha256%3A{}", encoded(name), image.id());
    let id = format!("image-{name}-{tag}");
    package(&id, name, &tag, Some(image.id()), &url)
}

fn package(id: &str, name: &str, version: &str, sha256: Option<&str>, url: &str) -> Value {
    let checksum = |hash| json!({ "algorithm": "SHA256", "checksumValue": hash });
    let checksums: Vec<Value> = sha256.into_iter().map(checksum).collect();
    json!({
        "SPDXID": format!("SPDXRef-{}", identifier(id)),
        "name": name,
        "versionInfo": version,
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": false,
        "checksums": checksums,
        "externalRefs": [{
            "referenceCategory": "PACKAGE-MANAGER",
            "referenceType": "purl",
            "referenceLocator": url,
        }],
    })
}

/// Escapes the characters of Debian's and cargo's versions that have another meaning in a package
/// URL.
fn encoded(text: &str) -> String {
    text.replace(':', "%3A").replace('+', "%2B")
}

/// An SPDX identifier may contain only letters, digits, dots and hyphens.
fn identifier(text: &str) -> String {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '.';
    text.chars()
        .map(|c| if allowed(c) { c } else { '-' })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cargos_tree_becomes_crates() {
        let lock = std::env::temp_dir().join(format!("tare-sbom-{}", std::process::id()));
        let text = "[[package]]\nname = 'libc'\nversion = '1.0.0'\nchecksum = 'ab'\n";
        std::fs::write(&lock, text).unwrap();
        let tree = "tare-init v0.1.0 (/w/init)\nlibc v1.0.0\n\nlibc v1.0.0 (*)\nserde_derive v1.0.0 (proc-macro)\n";
        let found = crates(tree, &lock).unwrap();
        let names: Vec<_> = found
            .iter()
            .map(|found| (&*found.name, found.sha256.as_deref()))
            .collect();
        assert_eq!(names, [("libc", Some("ab")), ("tare-init", None)]);
        std::fs::remove_file(lock).unwrap();
    }

    #[test]
    fn the_document_is_spdx() {
        let deb = Deb {
            package: "libstdc++6".to_owned(),
            version: "1:2+b3".to_owned(),
            architecture: "amd64".to_owned(),
            sha256: "ab".to_owned(),
            size: 1,
            path: "x".into(),
        };
        let parts = Parts {
            debs: vec![deb],
            ..Parts::default()
        };
        let got = document(&parts, 0, "ffff");
        let got = format!("{}\n", serde_json::to_string_pretty(&got).unwrap());
        assert_eq!(got, include_str!("sbom/golden.json"));
    }
}
