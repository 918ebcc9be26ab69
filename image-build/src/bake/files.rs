//! Files beside a Compose file, which the app finds in the disk image.
//!
//! They are read-only there. What a container writes to stays below `/srv/NAME`, so of bind mounts only those that are
//! read-only are taken.

use std::fs;
use std::path::{Component, Path};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::rootfs::tree::{Content, Node, Tree, file_mode};

/// Where the machine has them, by the app's name. The services that start apps and the engine mount it.
pub(crate) const FOLDER: &str = "usr/share/tare/apps";

/// Takes the files that `model` names below `folder`, and makes `model` name them as the machine of app `name` has them.
/// Paths are those of the disk image.
///
/// # Errors
/// The key of a file that cannot be taken, and why.
pub(super) fn take(model: &mut Value, name: &str, folder: &Path) -> Result<Tree> {
    let mut files = Files {
        tree: Tree::default(),
        folder,
        place: format!("{FOLDER}/{name}"),
    };
    for (service, described) in entries(model, "services") {
        for file in list(described, "env_file") {
            let path = if file.is_object() {
                &mut file["path"]
            } else {
                file
            };
            files.take(&format!("services.{service}.env_file"), path)?;
        }
        for mount in list(described, "volumes") {
            if mount["type"] == "bind" && mount["read_only"] == true {
                files.take(&format!("services.{service}.volumes"), &mut mount["source"])?;
            }
        }
    }
    for (config, described) in entries(model, "configs") {
        if described.get("file").is_some() {
            files.take(&format!("configs.{config}.file"), &mut described["file"])?;
        }
    }
    Ok(files.tree)
}

fn entries<'a>(
    model: &'a mut Value,
    key: &str,
) -> impl Iterator<Item = (&'a String, &'a mut Value)> {
    let section = model.get_mut(key).and_then(Value::as_object_mut);
    section.into_iter().flatten()
}

fn list<'a>(service: &'a mut Value, key: &str) -> impl Iterator<Item = &'a mut Value> {
    let list = service.get_mut(key).and_then(Value::as_array_mut);
    list.into_iter().flatten()
}

/// Files that are being taken.
struct Files<'a> {
    tree: Tree,
    /// That of the Compose file, in canonical form.
    folder: &'a Path,
    /// The app's folder in the disk image.
    place: String,
}

impl Files<'_> {
    /// Takes what `path` names, if it is here, and makes `path` that of the machine; `key` is for errors.
    fn take(&mut self, key: &str, path: &mut Value) -> Result<()> {
        let Some(named) = path.as_str().map(ToOwned::to_owned) else {
            return Ok(());
        };
        let here = self.folder.join(&named);
        if Path::new(&named).is_absolute() || !here.exists() {
            return Ok(());
        }
        let of = || format!("{key}: `{named}` does not get into the image");
        let below = below(&named).with_context(of)?;
        let place = format!("{}/{below}", self.place);
        let place = place.trim_end_matches('/');
        self.add(place, &here).with_context(of)?;
        *path = format!("/{place}").into();
        Ok(())
    }

    /// Adds the file or folder `path` as `place`.
    fn add(&mut self, place: &str, path: &Path) -> Result<()> {
        let real = fs::canonicalize(path)?;
        ensure!(
            real.starts_with(self.folder),
            "{} leads out of the Compose file's folder",
            path.display()
        );
        let found = fs::metadata(&real)?;
        if found.is_file() {
            let file = Node::file(file_mode(&found), Content::of_file(&real)?);
            self.tree.put(place, file);
        } else if found.is_dir() {
            self.add_folder(place, path)?;
        } else {
            bail!("{} is neither a file nor a folder", path.display());
        }
        Ok(())
    }

    fn add_folder(&mut self, place: &str, path: &Path) -> Result<()> {
        self.tree.ensure_directory(place, 0o755);
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            let path = entry.path();
            // It may lead to a folder that it is in.
            ensure!(
                !(entry.file_type()?.is_symlink() && path.is_dir()),
                "{} is a link to a folder",
                path.display()
            );
            let name = entry.file_name();
            let name = name
                .to_str()
                .with_context(|| format!("the name of {} is not UTF-8", path.display()))?;
            self.add(&format!("{place}/{name}"), &path)?;
        }
        Ok(())
    }
}

/// `./conf//nginx.conf` -> `conf/nginx.conf`
fn below(path: &str) -> Result<String> {
    let mut names = Vec::new();
    for component in Path::new(path).components() {
        match component {
            Component::Normal(name) => names.push(name.to_string_lossy()),
            Component::CurDir => {}
            _ => bail!("it is not below the Compose file's folder"),
        }
    }
    Ok(names.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::path::PathBuf;

    /// `shop/` with `a.env`, `bin/start` (a program), `link` to it, `out` to a file beside `shop/`.
    fn folder(name: &str) -> PathBuf {
        let root = std::env::temp_dir().join(format!("tare-files-{name}-{}", std::process::id()));
        let folder = root.join("shop");
        fs::create_dir_all(folder.join("bin")).unwrap();
        for file in ["beside", "shop/a.env", "shop/bin/start"] {
            fs::write(root.join(file), file).unwrap();
        }
        let program = fs::Permissions::from_mode(0o700);
        fs::set_permissions(folder.join("bin/start"), program).unwrap();
        symlink("bin/start", folder.join("link")).unwrap();
        symlink("../beside", folder.join("out")).unwrap();
        fs::canonicalize(folder).unwrap()
    }

    fn bind(source: &str, read_only: bool) -> Value {
        json!({"type": "bind", "source": source, "target": "/x", "read_only": read_only})
    }

    #[test]
    fn what_is_only_read_is_taken() {
        let folder = folder("taken");
        let model = |env: &str, program: &str, link: &str| {
            json!({
                "services": {
                    "db": {"image": "x"},
                    "web": {
                        "env_file": [{"path": env, "required": true}, "there.env", "/etc/os-release"],
                        "volumes": [
                            bind(program, true),
                            bind("./bin", false),
                            bind("./data", true),
                            {"type": "volume", "source": "bin", "target": "/y", "read_only": true},
                        ],
                    },
                },
                "configs": {"c": {"file": link}, "d": {"content": "x"}},
            })
        };
        let mut taken = model("./a.env", "bin", "link");
        let tree = take(&mut taken, "shop", &folder).unwrap();
        let at = |path: &str| format!("/usr/share/tare/apps/shop/{path}");
        assert_eq!(taken, model(&at("a.env"), &at("bin"), &at("link")));
        let files: Vec<String> = tree
            .below(FOLDER)
            .filter(|(_, node)| !node.is_directory())
            .map(|(path, node)| {
                let text = tree.read(path).unwrap().unwrap();
                format!(
                    "{path} {:o} {}",
                    node.mode,
                    String::from_utf8(text).unwrap()
                )
            })
            .collect();
        let want = [
            "usr/share/tare/apps/shop/a.env 644 shop/a.env",
            "usr/share/tare/apps/shop/bin/start 755 shop/bin/start",
            "usr/share/tare/apps/shop/link 755 shop/bin/start",
        ];
        assert_eq!(files, want);
        fs::remove_dir_all(folder.parent().unwrap()).unwrap();
    }

    #[test]
    fn what_cannot_be_taken_is_named() {
        let folder = folder("refused");
        symlink("bin", folder.join("folder")).unwrap();
        let here = folder.display();
        for (path, want) in [
            (
                "../beside",
                "it is not below the Compose file's folder".to_owned(),
            ),
            (
                "out",
                format!("{here}/out leads out of the Compose file's folder"),
            ),
            (".", format!("{here}/./folder is a link to a folder")),
        ] {
            if path == "." {
                fs::remove_file(folder.join("out")).unwrap();
            }
            let mut model =
                json!({"services": {"web": {"image": "x", "volumes": [bind(path, true)]}}});
            let error = take(&mut model, "shop", &folder).unwrap_err();
            let error: Vec<String> = error.chain().map(ToString::to_string).collect();
            let key = format!("services.web.volumes: `{path}` does not get into the image");
            assert_eq!(error, [key, want]);
        }
        fs::remove_dir_all(folder.parent().unwrap()).unwrap();
    }
}
