//! Our own programs in the image, compiled by cargo.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::progress::Stage;

/// The profile of the workspace's manifest that these programs are compiled with.
const PROFILE: &str = "image";

/// A compiled program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Binary {
    /// The package of this workspace.
    pub(crate) package: String,
    /// The program's name.
    pub(crate) name: String,
    /// Where it is.
    pub(crate) path: PathBuf,
}

/// The compiled programs of some packages of this workspace.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Binaries(Vec<Binary>);

impl Binaries {
    /// Compiles `packages` of `workspace`, or `only` one of their programs; cargo rebuilds only what has changed.
    /// Shared dependencies have the features that any of `packages` asks for.
    ///
    /// # Errors
    /// cargo's failure, with the stage's log.
    pub(crate) fn build(
        workspace: &Path,
        packages: &[String],
        only: Option<&str>,
        jobs: usize,
        stage: &Stage,
    ) -> Result<Self> {
        let mut command = cargo_build(workspace, jobs)?;
        for package in packages {
            command.arg("--package").arg(package);
        }
        command.args(only.into_iter().flat_map(|program| ["--bin", program]));
        let messages = stage.output(&mut command)?;
        parse(&String::from_utf8_lossy(&messages))
    }

    /// The crates linked into the programs of `packages`, as listed by `cargo tree`, one per line.
    ///
    /// # Errors
    /// cargo's failure, with the stage's log.
    pub(crate) fn crate_tree(
        workspace: &Path,
        packages: &[String],
        stage: &Stage,
    ) -> Result<String> {
        let mut command = cargo(workspace);
        command.args(["tree", "--prefix", "none", "--edges", "normal"]);
        for package in packages {
            command.arg("--package").arg(package);
        }
        let tree = stage.output(&mut command)?;
        Ok(String::from_utf8_lossy(&tree).into_owned())
    }

    /// The program of `package`, or the first if it has several.
    pub(crate) fn of(&self, package: &str) -> Option<&Binary> {
        self.0.iter().find(|binary| binary.package == package)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Binary> {
        self.0.iter()
    }
}

fn cargo(workspace: &Path) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(workspace);
    command
}

fn cargo_build(workspace: &Path, jobs: usize) -> Result<Command> {
    let mut command = cargo(workspace);
    command
        // These would replace the workspace's own flags, without which nothing is static.
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env_remove("CARGO_BUILD_TARGET")
        .args(["build", "--profile", PROFILE])
        .args(["--message-format", "json-render-diagnostics"])
        // A separate folder: cargo locks the folder it builds in, and `target` may be in use by the cargo that runs
        // this.
        .arg("--target-dir")
        .arg(workspace.join("target/guest"))
        .arg("--config")
        .arg(flags(workspace)?);
    if jobs > 0 {
        command.arg("--jobs").arg(jobs.to_string());
    }
    Ok(command)
}

/// What programs in the image are compiled with beside the workspace's own flags:
///
/// - This machine's folders are kept out of the paths that the compiler writes into programs (panic messages), so that
///   every checkout builds the same bytes.
/// - Relative relocations are packed (`DT_RELR`; the C library's startup code applies them since glibc 2.36). Each takes
///   some bits of the file instead of 24 bytes.
fn flags(workspace: &Path) -> Result<String> {
    let home = env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| env::var_os("HOME").map(|home| Path::new(&home).join(".cargo")))
        .context("neither CARGO_HOME nor HOME is set")?;
    let flags = [
        format!("--remap-path-prefix={}=/cargo", home.display()),
        format!("--remap-path-prefix={}=/tare", workspace.display()),
        "-Clink-arg=-Wl,-z,pack-relative-relocs".to_owned(),
    ];
    // A JSON list of strings is also a TOML one.
    let list = serde_json::to_string(&flags)?;
    Ok(format!("target.x86_64-unknown-linux-gnu.rustflags={list}"))
}

/// The relevant fields of one of cargo's messages.
#[derive(Deserialize)]
struct Message {
    package_id: Option<String>,
    target: Option<Target>,
    executable: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
}

fn parse(messages: &str) -> Result<Binaries> {
    let mut binaries = Vec::new();
    for line in messages.lines().filter(|line| line.starts_with('{')) {
        let message: Message =
            serde_json::from_str(line).with_context(|| format!("cargo's message {line}"))?;
        if let (Some(id), Some(target), Some(path)) =
            (message.package_id, message.target, message.executable)
        {
            binaries.push(Binary {
                package: package_name(&id).to_owned(),
                name: target.name,
                path,
            });
        }
    }
    binaries.sort_by(|a, b| (&a.package, &a.name).cmp(&(&b.package, &b.name)));
    Ok(Binaries(binaries))
}

/// The name in a package id (`cargo help pkgid`): `path+file:///w/init#tare-init@0.1.0`, or, if the folder has the
/// package's name, `path+file:///w/tare-init#0.1.0`.
fn package_name(id: &str) -> &str {
    let (path, fragment) = id.split_once('#').unwrap_or((id, ""));
    match fragment.split_once('@') {
        Some((name, _)) => name,
        None => path.rsplit('/').next().unwrap_or(path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_found_in_cargos_messages() {
        let messages = r#"
{"reason":"compiler-artifact","package_id":"path+file:///w/init#tare-init@0.1.0","target":{"name":"init"},"executable":"/t/init"}
{"reason":"compiler-artifact","package_id":"path+file:///w/init/config#tare-config@0.1.0","target":{"name":"tare_config"},"executable":null}
{"reason":"compiler-artifact","package_id":"path+file:///w/tare-log#0.1.0","target":{"name":"tare-log"},"executable":"/t/tare-log"}
{"reason":"build-finished","success":true}
"#;
        let binary = |package: &str, name: &str, path: &str| Binary {
            package: package.to_owned(),
            name: name.to_owned(),
            path: path.into(),
        };
        let want = Binaries(vec![
            binary("tare-init", "init", "/t/init"),
            binary("tare-log", "tare-log", "/t/tare-log"),
        ]);
        assert_eq!(parse(messages).unwrap(), want);
    }
}
