//! The building machine: which tools a build needs, and how they are installed.

mod apt;
mod install;
mod tools;

use std::io::{self, IsTerminal, Write};

use anyhow::{Result, bail};

use crate::progress::Progress;
use install::Privilege;
pub use tools::{Group, find_command};

/// Makes sure that the tools of `groups` are on this machine. Missing ones are installed with apt,
/// as root or, after a yes on the terminal (`assume_yes` is one), through sudo.
///
/// # Errors
/// Names the exact apt line if tools are missing and may not be installed, and apt's log if apt
/// fails.
pub fn ensure(groups: &[Group], assume_yes: bool, progress: &Progress) -> Result<()> {
    let missing = tools::missing_packages(groups, tools::is_present);
    if missing.is_empty() {
        return Ok(());
    }
    let privilege = privilege(&missing, assume_yes)?;
    progress.stage("host tools", |stage| {
        install::install(&missing, privilege, stage)
    })?;
    let left = tools::missing_packages(groups, tools::is_present);
    if !left.is_empty() {
        bail!(
            "apt installed {}, yet what they should contain is not there",
            left.join(" ")
        );
    }
    Ok(())
}

/// The privilege with which packages may be installed here.
fn privilege(missing: &[&str], assume_yes: bool) -> Result<Privilege> {
    let wanted = format!(
        "these packages are needed and not installed: {}\n  {}",
        missing.join(" "),
        apt::typed(missing)
    );
    if find_command("apt-get").is_none() {
        bail!("{wanted}\n(this machine has no apt-get; install their counterparts by hand)");
    }
    if install::is_root() {
        return Ok(Privilege::Root);
    }
    let can_ask = io::stdin().is_terminal() && io::stderr().is_terminal();
    let agreed = find_command("sudo").is_some() && (assume_yes || (can_ask && ask(&wanted)?));
    if !agreed || !install::unlock_sudo()? {
        bail!("{wanted}");
    }
    Ok(Privilege::Sudo)
}

fn ask(question: &str) -> io::Result<bool> {
    eprint!("{question}\nRun this now? [y/N] ");
    io::stderr().flush()?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
