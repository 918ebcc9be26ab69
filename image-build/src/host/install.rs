//! Running apt: the effects behind [`super::ensure`].

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::apt;
use crate::progress::Stage;

/// The only Debian release whose QEMU is too old for us and that has a newer one in backports.
const RELEASE_WITH_OLD_QEMU: &str = "bookworm";

/// How apt gets root privileges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Privilege {
    Root,
    Sudo,
}

/// Is this process run by root?
pub(super) fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

/// Lets sudo ask for its password now, on the terminal, before output goes to a log.
pub(super) fn unlock_sudo() -> Result<bool> {
    Ok(Command::new("sudo").arg("--validate").status()?.success())
}

/// Installs `packages`, QEMU from backports if the host's own is too old.
///
/// # Errors
/// apt's failure, with the stage's log.
pub(super) fn install(packages: &[&str], privilege: Privilege, stage: &Stage) -> Result<()> {
    stage.message(&packages.join(" "));
    let (backported, mut own) = apt::split_backported(packages);
    if !backported.is_empty() && !install_backported(&backported, privilege, stage) {
        own.extend(backported);
    }
    if own.is_empty() {
        return Ok(());
    }
    run(&apt::update(&[]), privilege, stage)?;
    run(&apt::install(&[], None, &own), privilege, stage)
}

/// Tries backports; `false` means that the distribution's own packages must do: another release, a
/// mirror without backports, or one that cannot be reached.
fn install_backported(packages: &[&str], privilege: Privilege, stage: &Stage) -> bool {
    let Some(codename) = codename().filter(|name| name == RELEASE_WITH_OLD_QEMU) else {
        return false;
    };
    let attempt = PrivateApt::new(&codename, stage).and_then(|private| {
        let release = format!("{codename}-backports");
        run(&apt::update(&private.options), privilege, stage)?;
        run(
            &apt::install(&private.options, Some(&release), packages),
            privilege,
            stage,
        )
    });
    attempt
        .inspect_err(|_| stage.message("backports not reachable"))
        .is_ok()
}

/// `VERSION_CODENAME` of this machine, if it runs Debian.
fn codename() -> Option<String> {
    let os_release = fs::read_to_string("/etc/os-release").ok()?;
    let field = |key: &str| os_release.lines().find_map(|line| line.strip_prefix(key));
    (field("ID=")? == "debian").then(|| field("VERSION_CODENAME=").map(str::to_owned))?
}

/// A sources list and package lists of our own, removed when done.
struct PrivateApt {
    root: PathBuf,
    options: Vec<String>,
}

impl PrivateApt {
    fn new(codename: &str, stage: &Stage) -> Result<Self> {
        let list = backports_list(codename, stage)?;
        let root = std::env::temp_dir().join(format!("tare-apt-{}", std::process::id()));
        fs::create_dir(&root).with_context(|| format!("create {}", root.display()))?;
        let private = Self {
            options: apt::private_options(&root),
            root,
        };
        write_lists(&private.root, &list)?;
        Ok(private)
    }
}

impl Drop for PrivateApt {
    fn drop(&mut self) {
        // If root owns what apt wrote, it is left to the system's clean-up of temporary files.
        let _ = fs::remove_dir_all(&self.root);
    }
}

fn write_lists(root: &Path, list: &str) -> Result<()> {
    fs::create_dir_all(root.join("lists/partial"))?;
    fs::write(root.join("sources.list"), list)?;
    // apt fetches as the user _apt, which needs access.
    fs::set_permissions(root, fs::Permissions::from_mode(0o755))?;
    Ok(())
}

fn backports_list(codename: &str, stage: &Stage) -> Result<String> {
    let mut query = Command::new("apt-get");
    query.args([
        "indextargets",
        "--format",
        apt::SOURCES_FORMAT,
        "Created-By: Packages",
    ]);
    let sources = apt::parse_sources(&String::from_utf8_lossy(&stage.output(&mut query)?));
    apt::backports_list(&sources, codename)
        .with_context(|| format!("apt has no source for {codename}"))
}

fn run(argv: &[String], privilege: Privilege, stage: &Stage) -> Result<()> {
    // Through env, because sudo drops its caller's variables.
    let environment = ["env", "DEBIAN_FRONTEND=noninteractive"].map(str::to_owned);
    let mut words = environment.iter().chain(argv);
    let mut cmd = match privilege {
        Privilege::Sudo => Command::new("sudo"),
        Privilege::Root => Command::new(words.next().map_or("env", String::as_str)),
    };
    stage.run(cmd.args(words))
}
