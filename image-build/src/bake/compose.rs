//! Compose files, as Compose itself reads them.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, ensure};
use serde_json::{Map, Value, json};

use super::reference::Reference;
use super::{files, refuse};
use crate::cache;
use crate::digest;
use crate::progress::Stage;
use crate::rootfs::tree::Tree;
use crate::tools::Tools;

/// The app of a Compose file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct App {
    pub(crate) name: String,
    /// The image of each service.
    pub(crate) images: BTreeMap<String, Reference>,
    /// The Compose specification for the machine, in JSON, which is YAML too.
    pub(crate) text: String,
    /// What the specification names beside the Compose file, at its place in the disk image.
    pub(crate) files: Tree,
}

/// Reads the Compose file `path`, and warns about what it will not find on the machine.
///
/// # Errors
/// Compose's own, or what cannot work from a disk image: the key, and what to write instead.
pub(crate) fn read(path: &Path, tools: &Tools, stage: &Stage) -> Result<App> {
    let path = fs::canonicalize(path)?;
    let folder = path.parent().context("it is not a file")?;
    let compose = |file: &OsStr, options: &[&str]| {
        let mut compose = tools.command("usr/libexec/docker/cli-plugins/docker-compose");
        compose
            .arg("--file")
            .arg(file)
            .arg("--project-directory")
            .arg(folder)
            .args(["config", "--format", "json"])
            .args(options);
        let model = stage
            .output(&mut compose)
            .context("Compose does not accept it; the lines above say why")?;
        anyhow::Ok(serde_json::from_slice::<Value>(&model)?)
    };
    let as_written = ["--no-interpolate", "--no-normalize", "--no-path-resolution"];
    let model = compose(path.as_os_str(), &as_written)?;
    refuse::check(&model, folder)?;
    // Variables in names are those of this machine: what is fetched here is what runs.
    let names = NamesOnly::write(&model)?;
    let names = compose(names.0.as_os_str(), &[])?;
    let app = app(model, &names, folder)?;
    for warning in refuse::warnings(&app, folder) {
        stage.warn(&warning);
    }
    Ok(app)
}

/// A Compose file with nothing but the app's name and those of its images, while this exists.
struct NamesOnly(PathBuf);

impl NamesOnly {
    fn write(model: &Value) -> Result<Self> {
        let services: Map<String, Value> = services(model)
            .map(|(name, service)| (name.clone(), json!({ "image": service["image"] })))
            .collect();
        let mut names = json!({ "services": services });
        if let Some(name) = model.get("name") {
            names["name"] = name.clone();
        }
        let text = names.to_string();
        let hash = digest::hex(text.as_bytes());
        let name = format!("tare-bake-{hash}-{}.json", std::process::id());
        let file = Self(std::env::temp_dir().join(name));
        cache::write_atomic(&file.0, text.as_bytes())?;
        Ok(file)
    }
}

impl Drop for NamesOnly {
    fn drop(&mut self) {
        // Left to the system's clean-up of temporary files otherwise.
        let _ = fs::remove_file(&self.0);
    }
}

/// The services of a model, by name.
pub(super) fn services(model: &Value) -> impl Iterator<Item = (&String, &Value)> {
    model["services"].as_object().into_iter().flatten()
}

/// The app of `model`, with the name and the images of `names`, and what it names in `folder`.
fn app(mut model: Value, names: &Value, folder: &Path) -> Result<App> {
    let name = names["name"].as_str().context("Compose names no app")?;
    tare_config::check_name(name).map_err(|error| {
        anyhow!("the app's name is that of the folder, or `name` at the top: {error}")
    })?;
    let mut images = BTreeMap::new();
    for (service, described) in services(names) {
        let image = described["image"].as_str().unwrap_or_default();
        let reference = Reference::parse(image)
            .map_err(|error| anyhow!("services.{service}.image: {error}"))?;
        model["services"][service]["image"] = reference.local().into();
        images.insert(service.clone(), reference);
    }
    ensure!(!images.is_empty(), "it has no services");
    let files = files::take(&mut model, name, folder)?;
    Ok(App {
        name: name.to_owned(),
        images,
        text: model.to_string(),
        files,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_gets_the_images_of_this_machine_and_else_what_is_written() {
        let hex = "0123456789abcdef".repeat(4);
        let model = json!({
            "services": {
                "db": {"image": format!("postgres:17@sha256:{hex}")},
                "web": {"image": "nginx:${TAG}", "environment": {"A": "${A}", "B": null}},
            },
            "volumes": {"data": null},
        });
        let names = json!({
            "name": "shop",
            "services": {
                "db": {"image": format!("postgres:17@sha256:{hex}")},
                "web": {"image": "nginx:1.27"},
            },
        });
        let app = app(model, &names, Path::new("/none")).unwrap();
        assert_eq!(app.name, "shop");
        let images = app.images.iter();
        let images: Vec<String> = images.map(|(of, image)| format!("{of}: {image}")).collect();
        let want = [
            format!("db: postgres@sha256:{hex}"),
            "web: nginx:1.27".to_owned(),
        ];
        assert_eq!(images, want);
        let text: Value = serde_json::from_str(&app.text).unwrap();
        let want = json!({
            "services": {
                "db": {"image": format!("postgres:sha256-{hex}")},
                "web": {"image": "nginx:1.27", "environment": {"A": "${A}", "B": null}},
            },
            "volumes": {"data": null},
        });
        assert_eq!(text, want);
    }

    #[test]
    fn names_of_apps_and_images_are_checked() {
        for (name, image, want) in [
            (
                "my_shop",
                "nginx",
                "the app's name is that of the folder, or `name` at the top: `my_shop` is not a name: write a \
                 letter, then letters, digits or `-`, all lower case, 63 at most",
            ),
            (
                "shop",
                "",
                "services.web.image: `` is not the name of an image in a registry",
            ),
        ] {
            let names = json!({"name": name, "services": {"web": {"image": image}}});
            let error = app(names.clone(), &names, Path::new("/none")).unwrap_err();
            assert_eq!(error.to_string(), want);
        }
    }
}
