//! What of a Compose file cannot work from a disk image, and what to write instead.
//!
//! Of the files beside it, those get into the image that the app only reads ([`super::files`]). On the machine, other
//! relative paths start at `/srv/NAME`, and variables are those of its service.

use std::path::Path;

use anyhow::{Result, bail};
use serde_json::Value;

use super::compose::{App, services};

/// Values of `pull_policy` with which an image that is there is not pulled.
const KEPT: [&str; 3] = ["if_not_present", "missing", "never"];

/// What the machine is.
pub(super) const PLATFORM: &str = "linux/amd64";

const BUILD: &str = "an image is not built here. `docker build -t NAME .`, then `docker save -o FILE NAME`; \
    write `image: NAME` in its place and add `--bake-archive FILE`";

/// Checks a model that is as it was written, in `folder`.
///
/// # Errors
/// The first key that cannot work, and what to write instead.
pub(super) fn check(model: &Value, folder: &Path) -> Result<()> {
    for (name, service) in services(model) {
        let at = |key: &str| format!("services.{name}.{key}");
        check_keys(service, at)?;
        check_files(service, folder, at)?;
    }
    for (name, described) in model["secrets"].as_object().into_iter().flatten() {
        let path = described["file"].as_str().unwrap_or_default();
        if is_beside(path, folder) {
            bail!(
                "secrets.{name}.file: `{path}` does not get into the image, which is no secret. Name a file of the \
                 machine by its whole path, such as /srv/{}; or write it under `configs`, if all may read it",
                trimmed(path)
            );
        }
    }
    Ok(())
}

/// Keys of a service that say which image it runs; `at` is the place of a key.
fn check_keys(service: &Value, at: impl Fn(&str) -> String) -> Result<()> {
    let policy = service["pull_policy"].as_str().unwrap_or(KEPT[0]);
    let platform = service["platform"].as_str().unwrap_or(PLATFORM);
    if service.get("build").is_some() {
        bail!("{}: {BUILD}", at("build"));
    }
    if !KEPT.contains(&policy) {
        bail!(
            "{} is {policy}: a machine pulls no image that is baked. Leave the key out",
            at("pull_policy")
        );
    }
    if platform != PLATFORM {
        bail!(
            "{} is {platform}: the machine is {PLATFORM}",
            at("platform")
        );
    }
    Ok(())
}

/// Files that a service names.
fn check_files(service: &Value, folder: &Path, at: impl Fn(&str) -> String) -> Result<()> {
    if let Some(path) = binds(service).find(|path| is_beside(path, folder)) {
        bail!(
            "{}: `{path}` does not get into the image if a container may write to it. Make it read-only: add `:ro`; or \
             name a file of the machine by its whole path, such as /srv/{}",
            at("volumes"),
            trimmed(path)
        );
    }
    Ok(())
}

/// Whether it is a file that is here now and would be missing on the machine.
fn is_beside(path: &str, folder: &Path) -> bool {
    Path::new(path).is_relative() && folder.join(path).is_file()
}

fn trimmed(path: &str) -> &str {
    path.trim_start_matches("./")
}

/// The sources of bind mounts that containers may write to.
fn binds(service: &Value) -> impl Iterator<Item = &str> {
    let mounts = service["volumes"].as_array().into_iter().flatten();
    let binds = mounts.filter(|mount| mount["type"] == "bind" && mount["read_only"] != true);
    binds.filter_map(|mount| mount["source"].as_str())
}

/// What may be meant otherwise, in sentences.
pub(super) fn warnings(app: &App, folder: &Path) -> Vec<String> {
    let mut warnings = Vec::new();
    let App { name, text, .. } = app;
    if folder.join(".env").is_file() && text.replace("$$", "").contains('$') {
        warnings.push(format!(
            "{name}: of `.env`, only names of images are taken; the machine's variables are those of /srv/{name}/.env"
        ));
    }
    let model: Value = serde_json::from_str(text).unwrap_or_default();
    let paths = services(&model).flat_map(|(_, service)| binds(service));
    for path in paths.filter(|path| is_filled(&folder.join(path), path)) {
        let below = trimmed(path);
        warnings.push(format!(
            "{name}: what is in `{path}` does not get into the image without `:ro`; the machine has /srv/{name}/{below}, \
             empty at first"
        ));
    }
    warnings
}

/// Whether it is a folder beside the file, with something in it.
fn is_filled(folder: &Path, path: &str) -> bool {
    let is_filled = folder
        .read_dir()
        .is_ok_and(|mut entries| entries.next().is_some());
    is_filled && Path::new(path).is_relative()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rootfs::tree::Tree;
    use serde_json::json;
    use std::collections::BTreeMap;
    use std::fs;
    use std::path::PathBuf;

    /// A folder with `here.env` and `filled/x`.
    fn folder(name: &str) -> PathBuf {
        let folder =
            std::env::temp_dir().join(format!("tare-refuse-{name}-{}", std::process::id()));
        fs::create_dir_all(folder.join("filled")).unwrap();
        fs::create_dir_all(folder.join("empty")).unwrap();
        for file in ["here.env", "filled/x"] {
            fs::write(folder.join(file), "").unwrap();
        }
        folder
    }

    fn bind(source: &str) -> Value {
        json!({"volumes": [{"type": "bind", "source": source, "target": "/x"}]})
    }

    #[test]
    fn what_cannot_work_is_refused_with_its_key() {
        let folder = folder("keys");
        let of = |service: Value| json!({"services": {"web": service}});
        for (model, want) in [
            (
                of(json!({"image": "a", "pull_policy": "missing", "platform": "linux/amd64"})),
                "",
            ),
            (
                of(json!({"build": {"context": "."}, "image": "a"})),
                "services.web.build: an image is not built here. `docker build -t NAME .`, then `docker save -o FILE \
                 NAME`; write `image: NAME` in its place and add `--bake-archive FILE`",
            ),
            (
                of(json!({"pull_policy": "always"})),
                "services.web.pull_policy is always: a machine pulls no image that is baked. Leave the key out",
            ),
            (
                of(json!({"platform": "linux/arm64"})),
                "services.web.platform is linux/arm64: the machine is linux/amd64",
            ),
            (
                of(bind("here.env")),
                "services.web.volumes: `here.env` does not get into the image if a container may write to it. Make it \
                 read-only: add `:ro`; or name a file of the machine by its whole path, such as /srv/here.env",
            ),
            (
                of(json!({
                    "env_file": [{"path": "./here.env", "required": true}],
                    "volumes": [{"type": "bind", "source": "here.env", "read_only": true}],
                })),
                "",
            ),
            (of(bind("./filled")), ""),
            (
                of(json!({"volumes": [{"type": "volume", "source": "here.env"}]})),
                "",
            ),
            (json!({"configs": {"c": {"file": "./here.env"}}}), ""),
            (
                json!({"secrets": {"s": {"file": "./here.env"}}}),
                "secrets.s.file: `./here.env` does not get into the image, which is no secret. Name a file of the \
                 machine by its whole path, such as /srv/here.env; or write it under `configs`, if all may read it",
            ),
            (
                json!({"configs": {"c": {"content": "x"}}, "secrets": null}),
                "",
            ),
        ] {
            let refused = check(&model, &folder).err();
            let refused = refused.map(|error| error.to_string()).unwrap_or_default();
            assert_eq!(refused, want, "{model}");
        }
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn what_may_be_meant_otherwise_is_said() {
        let folder = folder("warnings");
        let warnings_of = |model: Value| {
            let app = App {
                name: "shop".to_owned(),
                images: BTreeMap::new(),
                text: model.to_string(),
                files: Tree::default(),
            };
            warnings(&app, &folder)
        };
        let with_variable = json!({"services": {"web": {"command": "echo $A"}}});
        assert_eq!(warnings_of(with_variable.clone()), [""; 0]);
        fs::write(folder.join(".env"), "A=b\n").unwrap();
        assert_eq!(
            warnings_of(with_variable),
            [
                "shop: of `.env`, only names of images are taken; the machine's variables are those of /srv/shop/.env"
            ]
        );
        assert_eq!(
            warnings_of(json!({"services": {"web": {"command": "echo $$A"}}})),
            [""; 0]
        );
        let services =
            json!({"services": {"a": bind("./empty"), "b": bind("./filled"), "c": bind("/etc")}});
        assert_eq!(
            warnings_of(services),
            [
                "shop: what is in `./filled` does not get into the image without `:ro`; the machine has /srv/shop/filled, empty at \
                 first"
            ]
        );
        fs::remove_dir_all(folder).unwrap();
    }
}
