//! Credentials of registries, in the form of `docker login`.

use anyhow::{Context, Result};
use data_encoding::BASE64;
use serde_json::{Map, Value, json};
use std::env;
use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;

/// Writes `config.json` below `HOME`, in memory, if a registry has credentials.
pub(crate) fn write(registries: &Map<String, Value>) -> Result<()> {
    let Some(config) = config(registries) else {
        return Ok(());
    };
    let folder = PathBuf::from(env::var_os("HOME").unwrap_or_default()).join(".docker");
    let mut builder = fs::DirBuilder::new();
    builder
        .recursive(true)
        .mode(0o700)
        .create(&folder)
        .and_then(|()| fs::write(folder.join("config.json"), config.to_string()))
        .with_context(|| format!("write {}", folder.display()))
}

fn config(registries: &Map<String, Value>) -> Option<Value> {
    let auths: Map<String, Value> = registries
        .iter()
        .filter_map(|(name, registry)| {
            let (user, password) = (
                registry["username"].as_str()?,
                registry["password"].as_str()?,
            );
            let auth = BASE64.encode(format!("{user}:{password}").as_bytes());
            Some((address(name).to_owned(), json!({ "auth": auth })))
        })
        .collect();
    (!auths.is_empty()).then(|| json!({ "auths": auths }))
}

/// Docker Hub has another name where credentials are kept (`registry.IndexServer`).
fn address(name: &str) -> &str {
    match name {
        "docker.io" => "https://index.docker.io/v1/",
        name => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_those_of_docker_login() {
        let registries = json!({
            "a:5000": {"username": "u", "password": "p:w"},
            "b": {"insecure": true},
            "docker.io": {"username": "u", "password": "p"},
        });
        let registries = registries.as_object().unwrap();
        let want = json!({"auths": {
            "a:5000": {"auth": "dTpwOnc="},
            "https://index.docker.io/v1/": {"auth": "dTpw"},
        }});
        assert_eq!(config(registries), Some(want));
        assert_eq!(config(&Map::new()), None);
    }
}
