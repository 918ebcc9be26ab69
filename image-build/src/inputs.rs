//! What an image is made from, as one hash: equal hashes mean equal images.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::apt::Deb;
use crate::bake::{Baked, Saved};
use crate::binaries::Binaries;
use crate::digest;
use crate::kernel::Kernel;
use crate::rootfs::tree::{Kind, files_below};
use crate::tools::Tools;

/// Source folders and files that affect the image, besides those of the services. The builder
/// itself is one of its inputs.
const SOURCES: &[&str] = &[
    "Cargo.lock",
    "image-build/demo",
    "image-build/src",
    "image-build/tare.toml",
    "init/config/src",
    "init/container/src",
];

/// Collects inputs.
#[derive(Debug, Default)]
pub(crate) struct Inputs(Vec<String>);

impl Inputs {
    /// Adds the files that all images are made from.
    pub(crate) fn add_sources(&mut self, workspace: &Path) -> Result<()> {
        for source in SOURCES {
            self.add_path(workspace, Path::new(source))?;
        }
        Ok(())
    }

    /// Adds the description and the files of a service; its code is covered by its binary.
    pub(crate) fn add_service(&mut self, workspace: &Path, folder: &Path) -> Result<()> {
        self.add_path(workspace, &folder.join("service.toml"))?;
        self.add_path(workspace, &folder.join("rootfs"))
    }

    pub(crate) fn add_debs(&mut self, debs: &[Deb]) {
        self.0.extend(debs.iter().map(|deb| deb.sha256.clone()));
    }

    /// A kernel's folder in the cache is named by the hash of its inputs.
    pub(crate) fn add_kernel(&mut self, kernel: &Kernel) {
        let key = kernel.image.parent().and_then(Path::file_name);
        self.0.push(format!("kernel {key:?}"));
    }

    pub(crate) fn add_tools(&mut self, tools: &Tools) {
        self.0.push(format!("tools {}", tools.id()));
    }

    pub(crate) fn add_binaries(&mut self, binaries: &Binaries) -> Result<()> {
        for binary in binaries.iter() {
            let hash = digest::hex_of_file(&binary.path)?;
            self.0.push(format!("{} {hash}", binary.name));
        }
        Ok(())
    }

    pub(crate) fn add_baked(&mut self, baked: &Baked) {
        let apps = baked.apps.iter();
        self.0
            .extend(apps.map(|(name, text)| format!("app {name} {text}")));
        let files = baked.files.iter();
        self.0.extend(files.map(|(path, node)| match &node.kind {
            Kind::File(content) => format!("{path} {:o} {}", node.mode, content.sha256),
            _ => path.to_owned(),
        }));
        self.0.extend(baked.images().map(Saved::key));
    }

    /// The hash over all inputs.
    pub(crate) fn hash(&self) -> String {
        digest::hex(self.0.join("\n").as_bytes())
    }

    fn add_path(&mut self, workspace: &Path, path: &Path) -> Result<()> {
        let files: Vec<(PathBuf, String)> = files_below(&workspace.join(path))?;
        for (file, below) in files {
            let name = path.join(below);
            self.add_file(&file, &name)?;
        }
        let whole = workspace.join(path);
        if whole.is_file() {
            self.add_file(&whole, path)?;
        }
        Ok(())
    }

    fn add_file(&mut self, file: &Path, name: &Path) -> Result<()> {
        let read = || {
            let meta = fs::symlink_metadata(file)?;
            let content = if meta.is_symlink() {
                fs::read_link(file)?.to_string_lossy().into_owned()
            } else if meta.is_dir() {
                String::new()
            } else {
                digest::hex(&fs::read(file)?)
            };
            // Only this bit of the mode reaches the image.
            let executable = meta.permissions().mode() & 0o100;
            std::io::Result::Ok(format!("{} {executable} {content}", name.display()))
        };
        let line = read().with_context(|| format!("read {}", file.display()))?;
        self.0.push(line);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_name_and_execute_bit_count_and_the_place_does_not() {
        let base = std::env::temp_dir().join(format!("tare-inputs-{}", std::process::id()));
        let hash = |workspace: &str, mode: u32, content: &str| {
            let folder = base.join(workspace).join("system-services/x");
            fs::create_dir_all(&folder).unwrap();
            let file = folder.join("service.toml");
            fs::write(&file, content).unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
            let mut inputs = Inputs::default();
            inputs
                .add_service(&base.join(workspace), Path::new("system-services/x"))
                .unwrap();
            inputs.hash()
        };
        let first = hash("a", 0o644, "1");
        assert_eq!(first, hash("b", 0o600, "1"));
        assert_ne!(first, hash("b", 0o755, "1"));
        assert_ne!(first, hash("b", 0o644, "2"));
        fs::remove_dir_all(base).unwrap();
    }
}
