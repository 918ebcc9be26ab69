//! How registries are reached.

use super::secrets::Lookup;
use super::{Reference, Secret, certificates};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The name of Docker Hub in names of images.
const HUB: &str = "docker.io";

/// The section `[registries]`: registries by host name, with the port if it is not the usual one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "BTreeMap<RegistryName, Registry>")]
pub struct Registries(BTreeMap<RegistryName, Registry>);

impl TryFrom<BTreeMap<RegistryName, Registry>> for Registries {
    type Error = String;

    fn try_from(registries: BTreeMap<RegistryName, Registry>) -> Result<Self, String> {
        for (name, registry) in &registries {
            registry.check(&name.0)?;
        }
        Ok(Self(registries))
    }
}

impl Registries {
    /// Where the passwords are kept.
    pub(super) fn references(&self) -> impl Iterator<Item = &Reference> {
        let passwords = self
            .0
            .values()
            .filter_map(|registry| registry.password.as_ref());
        passwords.filter_map(Secret::reference)
    }

    /// Puts the passwords in place of the references to them.
    pub(super) fn fill(&mut self, lookup: &mut Lookup<'_>) {
        for (name, registry) in &mut self.0 {
            let Some(reference) = registry.password.as_ref().and_then(Secret::reference) else {
                continue;
            };
            let key = format!("registries.\"{}\".password", name.0);
            let password = lookup.get(&key, reference, "apps do not log in there", |bytes| {
                bytes.line().map(str::to_owned)
            });
            registry.password = password.map(Secret::Text);
            if registry.password.is_none() {
                registry.username = None;
            }
        }
    }
}

/// `registry.example` or `registry.example:5000`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct RegistryName(String);

impl TryFrom<String> for RegistryName {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        // It becomes the name of a folder.
        let fits = |c: char| c.is_ascii_alphanumeric() || ".-:[]".contains(c);
        let is_path = name.is_empty() || name.starts_with('.');
        match !is_path && name.len() <= 255 && name.chars().all(fits) {
            true => Ok(Self(name)),
            false => Err(format!(
                "`{name}` is not a registry: write its host name, and its port if it has one, as in `registry.example:5000`"
            )),
        }
    }
}

impl From<RegistryName> for String {
    fn from(name: RegistryName) -> Self {
        name.0
    }
}

/// How one registry is reached.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(
    deny_unknown_fields,
    rename_all = "kebab-case",
    try_from = "RawRegistry"
)]
#[cfg_attr(feature = "schema", schemars(!try_from, deny_unknown_fields, default, extend(
        "dependencies" = { "username": ["password"], "password": ["username"] },
        "examples" = [{ "username": "puller", "password": "secret" }],
    )))]
pub struct Registry {
    /// The CA that signed the registry's certificate, for this registry alone.
    #[cfg_attr(feature = "schema", schemars(
        extend(
            "examples" = ["-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n"],
            "x-tare-default" = "none",
        ),
        with = "super::Certificates",
    ))]
    pub ca: Option<String>,
    /// Whether plain HTTP or a self-signed certificate will do.
    #[cfg_attr(feature = "schema", schemars(extend("examples" = [true])))]
    pub insecure: bool,
    /// Where images of Docker Hub are looked for first.
    #[cfg_attr(feature = "schema", schemars(extend(
        "examples" = [["https://mirror.example"]],
        "x-tare-default" = "none",
        "x-tare-type" = "list of `https://HOST[:PORT]`",
    )))]
    pub mirrors: Vec<Mirror>,
    /// The user that apps log in as. It needs `password`.
    #[cfg_attr(feature = "schema", schemars(extend(
        "examples" = ["puller"],
        "x-tare-default" = "none",
    )))]
    pub username: Option<String>,
    /// The password or token of `username`. Each needs the other.
    #[cfg_attr(feature = "schema", schemars(extend(
        "examples" = ["secret", { "credential": "registry-password" }],
        "x-tare-default" = "none",
        "x-tare-see" = "user-data.md#secrets",
    )))]
    pub password: Option<Secret>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawRegistry {
    ca: Option<String>,
    #[serde(default)]
    insecure: bool,
    #[serde(default)]
    mirrors: Vec<Mirror>,
    username: Option<String>,
    password: Option<Secret>,
}

impl TryFrom<RawRegistry> for Registry {
    type Error = String;

    fn try_from(raw: RawRegistry) -> Result<Self, String> {
        let RawRegistry {
            ca,
            insecure,
            mirrors,
            username,
            password,
        } = raw;
        if let Some(Err(why)) = ca.as_deref().map(certificates::check) {
            return Err(format!("a registry's ca {why}"));
        }
        if username.is_some() != password.is_some() {
            return Err("a registry's username and password need each other".to_owned());
        }
        Ok(Self {
            ca,
            insecure,
            mirrors,
            username,
            password,
        })
    }
}

impl Registry {
    /// Rejects what dockerd 26 would not use (registry/service_v2.go, `lookupV2Endpoints`): it has mirrors of Docker Hub
    /// alone, which it reaches by TLS with the certificates of the system.
    fn check(&self, name: &str) -> Result<(), String> {
        let (key, why) = match self {
            _ if name != HUB && !self.mirrors.is_empty() => (
                "mirrors",
                "dockerd knows mirrors of docker.io only; for other registries, run a pull-through cache and write its \
                name in that of the image: CACHE/NAME instead of REGISTRY/NAME",
            ),
            _ if name == HUB && self.ca.is_some() => {
                ("ca", "dockerd has none for docker.io; use ca-certificates")
            }
            _ if name == HUB && self.insecure => {
                ("insecure", "dockerd always reaches docker.io by TLS")
            }
            _ => return Ok(()),
        };
        Err(format!("registries.\"{name}\".{key}: {why}"))
    }
}

/// The URL of a mirror, as dockerd accepts it (registry/config.go, `ValidateMirror`).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Mirror(String);

impl TryFrom<String> for Mirror {
    type Error = String;

    fn try_from(url: String) -> Result<Self, String> {
        let rest = url.strip_prefix("https://");
        let rest = rest.or_else(|| url.strip_prefix("http://"));
        let fits = |c: char| c.is_ascii_graphic() && !"@?#\"\\".contains(c);
        let is_host = |rest: &str| !rest.is_empty() && !rest.starts_with(['/', ':']);
        match rest {
            Some(rest) if is_host(rest) && rest.chars().all(fits) => Ok(Self(url)),
            // It may hold a password.
            _ => Err(
                "this is not a mirror: write `https://HOST[:PORT]`, without a user name, `?` or `#`"
                    .to_owned(),
            ),
        }
    }
}

impl From<Mirror> for String {
    fn from(mirror: Mirror) -> Self {
        mirror.0
    }
}

#[cfg(test)]
mod tests {
    use crate::Machine;

    const OF_OTHERS: &str = "registries.\"ghcr.io\".mirrors: dockerd knows mirrors of docker.io only; for other registries, \
        run a pull-through cache and write its name in that of the image: CACHE/NAME instead of REGISTRY/NAME";

    #[test]
    fn registries() {
        let pem = "-----BEGIN CERTIFICATE-----\\nMAA=\\n-----END CERTIFICATE-----";
        for (text, want) in [
            ("'a:5000' = { insecure = true }", None),
            ("'a' = { username = 'u', password = 'p' }", None),
            (&format!("'a' = {{ ca = \"{pem}\" }}"), None),
            (
                "'docker.io' = { mirrors = ['https://m.example/hub', 'http://10.0.0.9:5000'] }",
                None,
            ),
            (
                "'docker.io' = { username = 'u', password = 'p', mirrors = [] }",
                None,
            ),
            ("'ghcr.io' = { mirrors = [] }", None),
            (
                "'ghcr.io' = { mirrors = ['https://m.example'] }",
                Some(OF_OTHERS),
            ),
            (
                &format!("'docker.io' = {{ ca = \"{pem}\" }}"),
                Some(
                    "registries.\"docker.io\".ca: dockerd has none for docker.io; use ca-certificates",
                ),
            ),
            (
                "'docker.io' = { insecure = true }",
                Some("registries.\"docker.io\".insecure: dockerd always reaches docker.io by TLS"),
            ),
            (
                "'a' = { username = 'u' }",
                Some("a registry's username and password need each other"),
            ),
            (
                "'a' = { ca = 'x' }",
                Some("a registry's ca holds no certificate in PEM"),
            ),
            (
                "'a' = { mirror = 'x' }",
                Some(
                    "unknown field `mirror`, expected one of `ca`, `insecure`, `mirrors`, `username`, `password`",
                ),
            ),
            (
                "'../a' = {}",
                Some(
                    "`../a` is not a registry: write its host name, and its port if it has one, as in `registry.example:5000`",
                ),
            ),
        ] {
            let read = toml::from_str::<Machine>(&format!("[registries]\n{text}"));
            let error = read.err().map(|error| error.message().to_owned());
            assert_eq!(error.as_deref(), want, "{text}");
        }
    }

    #[test]
    fn what_is_not_a_mirror() {
        for url in [
            "",
            "m.example",
            "ftp://m.example",
            "https://",
            "https:///v2",
            "https://:5000",
            "https://u:p@m.example",
            "https://m.example?a",
            "https://m.example/#a",
            "https://m example",
        ] {
            let text = format!("[registries]\n'docker.io' = {{ mirrors = ['{url}'] }}");
            let error = toml::from_str::<Machine>(&text).unwrap_err();
            let want = "this is not a mirror: write `https://HOST[:PORT]`, without a user name, `?` or `#`";
            assert_eq!(error.message(), want);
        }
    }
}
