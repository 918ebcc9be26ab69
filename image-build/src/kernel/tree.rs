//! A kernel source tree while it is being built: unpacked, configured, compiled, installed.
//! Everything runs inside the tree with relative paths and an empty environment, so that neither the tree's location
//! nor the user who builds it affects the result.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use anyhow::{Context, Result};

use super::check::{DotConfig, check, unnamed};
use super::manifest::Recipe;
use super::merge::render;
use crate::apt::Deb;
use crate::progress::Stage;

/// The merged fragments, inside the tree.
const REQUESTS: &str = "tare.config";

/// An unpacked source tree.
#[derive(Debug)]
pub(super) struct Tree {
    folder: PathBuf,
    /// The day of the source package, which is part of the kernel's version string.
    date: String,
}

impl Tree {
    /// Unpacks the source package `deb`, named `package`, into the empty folder `work`.
    ///
    /// # Errors
    /// A command's failure, or a package that fails verification or lacks the expected archive.
    pub(super) fn unpack(deb: &Deb, work: &Path, stage: &Stage) -> Result<Self> {
        deb.verify()?;
        let (contents, folder) = (work.join("package"), work.join("source"));
        fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
        stage.run(
            Command::new("dpkg-deb")
                .arg("--extract")
                .args([&deb.path, &contents]),
        )?;
        let archive = contents.join(format!("usr/src/{}.tar.xz", deb.package));
        stage.run(
            Command::new("tar")
                .args(["--extract", "--no-same-owner", "--strip-components=1"])
                .arg("--file")
                .arg(&archive)
                .arg("--directory")
                .arg(&folder),
        )?;
        fs::remove_dir_all(&contents)?;
        let date = day_of(&folder.join("Makefile"), stage)?;
        Ok(Self { folder, date })
    }

    /// Writes `.config` from the base and the fragments, and checks that every request took effect. Options of the
    /// families that are never off are switched on if no fragment names them, with a warning.
    ///
    /// # Errors
    /// Lists the requests that did not take effect.
    pub(super) fn configure(&self, recipe: &Recipe, stage: &Stage) -> Result<()> {
        let base = recipe.manifest.base.target();
        let mut requests = render(&recipe.requests);
        let mut config = self.write_config(base, &requests, stage)?;
        let unnamed = unnamed(&recipe.requests, &recipe.manifest.never_off, &config);
        if !unnamed.is_empty() {
            stage.warn(&format!(
                "switched on, named by no fragment: {}",
                unnamed.join(", ")
            ));
            requests.extend(unnamed.iter().map(|option| format!("CONFIG_{option}=y\n")));
            config = self.write_config(base, &requests, stage)?;
        }
        check(&recipe.requests, &config)
    }

    fn write_config(&self, base: &str, requests: &str, stage: &Stage) -> Result<DotConfig> {
        fs::write(self.folder.join(REQUESTS), requests)?;
        stage.run(self.make(&[base]).env("KCONFIG_ALLCONFIG", REQUESTS))?;
        stage.run(&mut self.make(&["olddefconfig"]))?;
        let config = fs::read_to_string(self.folder.join(".config"))?;
        DotConfig::parse(&config).context(".config")
    }

    /// Compiles kernel and modules on all processors, moving the bar for every step make announces.
    ///
    /// # Errors
    /// The compiler's, in the stage's log.
    pub(super) fn compile(&self, steps: u64, stage: &Stage) -> Result<()> {
        stage.total(steps);
        let mut done = 0;
        let jobs = thread::available_parallelism().map_or(1, usize::from);
        let mut make = self.make(&[&format!("--jobs={jobs}"), "bzImage", "modules"]);
        stage.run_watched(&mut make, |line| {
            if is_step(line) {
                done += 1;
                stage.position(done.min(steps));
            }
        })
    }

    /// Copies the result into `out`: `bzImage`, `config`, `version`, and `modules/` with stripped
    /// modules and their indices under `usr/lib/modules/VERSION`.
    ///
    /// # Errors
    /// A command's or a copy's failure.
    pub(super) fn install(&self, out: &Path, stage: &Stage) -> Result<()> {
        let release = self.release(stage)?;
        fs::create_dir_all(out).with_context(|| format!("create {}", out.display()))?;
        for (from, to) in [("arch/x86/boot/bzImage", "bzImage"), (".config", "config")] {
            fs::copy(self.folder.join(from), out.join(to))
                .with_context(|| format!("copy {from}"))?;
        }
        fs::write(out.join("version"), &release)?;
        self.install_modules(&out.join("modules"), &release, stage)
    }

    fn install_modules(&self, root: &Path, release: &str, stage: &Stage) -> Result<()> {
        fs::create_dir_all(root.join("usr/lib/modules"))?;
        // make installs below /lib; depmod looks there or below /usr/lib, depending on the distribution.
        let lib = root.join("lib");
        std::os::unix::fs::symlink("usr/lib", &lib)?;
        let path = format!("INSTALL_MOD_PATH={}", root.display());
        let no_depmod = "DEPMOD=true";
        stage.run(&mut self.make(&["modules_install", &path, "INSTALL_MOD_STRIP=1", no_depmod]))?;
        // A link to this build tree, for people who compile modules on the machine itself.
        remove_if_there(&lib.join("modules").join(release).join("build"))?;
        let symbols = self.folder.join("System.map");
        let mut depmod = Command::new("/sbin/depmod");
        depmod
            .args(["-a", "-e", "-F"])
            .arg(symbols)
            .arg("-b")
            .arg(root);
        stage.run(depmod.arg(release))?;
        fs::remove_file(lib).context("remove the link lib")
    }

    fn release(&self, stage: &Stage) -> Result<String> {
        let output = stage.output(&mut self.make(&["--silent", "kernelrelease"]))?;
        Ok(String::from_utf8(output)?.trim().to_owned())
    }

    fn make(&self, arguments: &[&str]) -> Command {
        let mut make = Command::new("make");
        make.current_dir(&self.folder)
            .args(arguments)
            .env_clear()
            .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
            .envs([
                ("LC_ALL", "C"),
                ("TZ", "UTC"),
                ("KBUILD_BUILD_VERSION", "1"),
            ])
            .envs([("KBUILD_BUILD_USER", "tare"), ("KBUILD_BUILD_HOST", "tare")])
            .env("KBUILD_BUILD_TIMESTAMP", &self.date);
        make
    }
}

/// `  CC [M]  fs/fuse/dev.o` is a step; warnings and make's own messages are not.
fn is_step(line: &str) -> bool {
    let tool = line
        .strip_prefix("  ")
        .and_then(|rest| rest.split(' ').next());
    tool.is_some_and(|tool| !tool.is_empty() && tool.chars().all(|c| c.is_ascii_uppercase()))
}

fn day_of(file: &Path, stage: &Stage) -> Result<String> {
    let mut date = Command::new("date");
    let output = stage.output(date.args(["--utc", "+%F", "--reference"]).arg(file))?;
    Ok(String::from_utf8(output)?.trim().to_owned())
}

fn remove_if_there(link: &Path) -> Result<()> {
    match fs::remove_file(link) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("remove {}", link.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::apt::testing::refuses_another;

    #[test]
    fn a_source_is_the_one_promised() {
        refuses_another("kernel", Tree::unpack);
    }

    #[test]
    fn steps_are_what_kbuild_announces() {
        for (line, want) in [
            ("  CC      init/main.o", true),
            ("  CC [M]  fs/fuse/dev.o", true),
            ("  LD      vmlinux", true),
            ("make[1]: Nothing to be done", false),
            ("  warning: unused", false),
            ("    indented", false),
            ("", false),
        ] {
            assert_eq!(is_step(line), want, "{line}");
        }
    }
}
