//! Debian trixie's packages on any Debian machine: a private apt root with its own sources, lists,
//! status and cache, so that the machine's own apt state is neither used nor changed.
//!
//! The solver is apt's own. Its answers are cached next to the package lists that they are based on; a build whose
//! answers and packages are all cached needs no network.

mod sources;
mod uris;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail};
use nix::fcntl::Flock;
use serde::{Deserialize, Serialize};

use crate::cache;
use crate::digest;
use crate::progress::Stage;

/// Older package lists are fetched again; security updates appear about this often.
pub(crate) const LISTS_MAX_AGE: Duration = Duration::from_secs(24 * 60 * 60);

/// A Debian binary package in the cache.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deb {
    /// Its name.
    pub package: String,
    /// Its version, with epoch.
    pub version: String,
    /// `amd64` or `all`.
    pub architecture: String,
    /// Of the `.deb`, in hexadecimal, from the signed package lists.
    pub sha256: String,
    /// Size of the `.deb` in bytes.
    pub size: u64,
    /// Where the `.deb` is.
    pub path: PathBuf,
}

impl Deb {
    /// Checks the file, which may have changed in the cache since apt checked it.
    ///
    /// # Errors
    /// If it cannot be read or does not match the signed package lists.
    pub(crate) fn verify(&self) -> Result<()> {
        if digest::hex_of_file(&self.path)? != self.sha256 {
            let path = self.path.display();
            bail!("the SHA-256 of {path} is not {}: remove it", self.sha256);
        }
        Ok(())
    }
}

/// A private apt root.
#[derive(Debug)]
pub struct Apt<'a> {
    root: PathBuf,
    stage: &'a Stage,
}

impl<'a> Apt<'a> {
    /// Opens the apt root under `cache`, and fetches package lists that are missing or older than a day. If that
    /// fails and there are lists, the build uses those.
    ///
    /// # Errors
    /// If no mirror is known, or there are no lists and none can be fetched.
    pub fn open(cache: &Path, stage: &'a Stage) -> Result<Self> {
        let root = cache.join("apt");
        for folder in ["lists/partial", "debs/partial", "empty/partial", "answers"] {
            let folder = root.join(folder);
            fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
        }
        let apt = Self { root, stage };
        let _lock = apt.lock()?;
        cache::write_atomic(
            &apt.root.join("apt.conf"),
            configuration(&apt.root).as_bytes(),
        )?;
        apt.configure()?;
        if !apt.lists_are_fresh() {
            apt.update_or_keep()?;
        }
        Ok(apt)
    }

    /// Fetches the package lists now, however old they are.
    ///
    /// # Errors
    /// apt's failure, with the stage's log.
    pub fn refresh(&self) -> Result<()> {
        let _lock = self.lock()?;
        self.configure()?;
        self.update()
    }

    /// Makes sure that `packages` and everything they depend on (not what they recommend) are in the cache, and
    /// returns them sorted by name. Packages in `assume_installed` count as installed: neither they nor packages that
    /// only they need are returned.
    ///
    /// # Errors
    /// If apt cannot satisfy the dependencies, or a download fails.
    pub fn download(&self, packages: &[String], assume_installed: &[String]) -> Result<Vec<Deb>> {
        let status = status_file(assume_installed);
        if let Some(debs) = remembered(&self.answer(packages, &status)?) {
            return Ok(debs);
        }
        let _lock = self.lock()?;
        let debs = match self.resolve_and_fetch(packages, &status) {
            Ok(debs) => debs,
            Err(error) => self.fetch_by_new_lists(packages, &status, error)?,
        };
        let answer = self.answer(packages, &status)?;
        cache::write_atomic(&answer, &serde_json::to_vec_pretty(&debs)?)?;
        Ok(debs)
    }

    /// The cached answer of the solver to this question with the current lists.
    fn answer(&self, packages: &[String], status: &str) -> Result<PathBuf> {
        let question = format!("{}\n{status}\n{}", packages.join(" "), self.lists_id()?);
        let name = format!("{}.json", digest::hex(question.as_bytes()));
        Ok(self.root.join("answers").join(name))
    }

    /// A mirror removes packages that an update replaces, so lists from the same day may name one that is gone.
    fn fetch_by_new_lists(
        &self,
        packages: &[String],
        status: &str,
        error: anyhow::Error,
    ) -> Result<Vec<Deb>> {
        self.stage
            .warn("a package cannot be had as the lists name it; fetching new lists");
        if self.update().is_err() {
            return Err(error);
        }
        self.resolve_and_fetch(packages, status)
    }

    /// Resolves `packages` and everything they depend on, sorted by name, without fetching them.
    ///
    /// # Errors
    /// If apt cannot satisfy the dependencies.
    pub fn solve(&self, packages: &[String]) -> Result<Vec<Deb>> {
        let _lock = self.lock()?;
        cache::write_atomic(&self.root.join("status"), b"")?;
        self.resolve(packages)
    }

    /// The sources list, for other programs that install from the same archives.
    pub fn sources(&self) -> PathBuf {
        self.root.join("sources.list")
    }

    fn resolve_and_fetch(&self, packages: &[String], status: &str) -> Result<Vec<Deb>> {
        let status_path = self.root.join("status");
        cache::write_atomic(&status_path, status.as_bytes())?;
        let debs = self.resolve(packages)?;
        let missing = debs.iter().filter(|deb| !is_complete(deb)).count();
        if missing > 0 {
            self.fetch(packages, missing)?;
        }
        match debs.iter().find(|deb| !is_complete(deb)) {
            Some(deb) => bail!("apt did not leave {}", deb.path.display()),
            None => Ok(debs),
        }
    }

    /// Asks apt's solver. It omits packages that are in its archive folder, hence the empty folder.
    fn resolve(&self, packages: &[String]) -> Result<Vec<Deb>> {
        let mut command = self.apt_get("empty");
        command.args(["install", "--print-uris"]).args(packages);
        let output = self.stage.output(&mut command)?;
        uris::parse(&String::from_utf8_lossy(&output), &self.root.join("debs"))
    }

    fn fetch(&self, packages: &[String], missing: usize) -> Result<()> {
        let mut command = self.apt_get("debs");
        command.args(["install", "--download-only"]).args(packages);
        self.stage.total(missing as u64);
        let mut got = 0;
        self.stage.run_watched(&mut command, |line| {
            if line.starts_with("Get:") {
                got += 1;
                self.stage.position(got);
            }
        })
    }

    fn apt_get(&self, archives: &str) -> Command {
        let mut command = Command::new("apt-get");
        let archives = self.root.join(archives);
        command
            .env("LC_ALL", "C.UTF-8")
            .arg("--config-file")
            .arg(self.root.join("apt.conf"))
            .arg("--option")
            .arg(format!("Dir::Cache::archives={}", archives.display()));
        command
    }

    /// Writes the sources list.
    fn configure(&self) -> Result<()> {
        let list = sources::list(&sources::mirrors()?);
        let path = self.root.join("sources.list");
        if fs::read(&path).is_ok_and(|old| old == list.as_bytes()) {
            return Ok(());
        }
        // Lists of another mirror are not valid for this one.
        let _ = fs::remove_file(self.stamp());
        cache::write_atomic(&self.root.join("status"), b"")?;
        cache::write_atomic(&path, list.as_bytes())
    }

    fn update_or_keep(&self) -> Result<()> {
        match self.update() {
            Err(_) if self.stamp().exists() => {
                self.stage
                    .message("package lists could not be refreshed, using those of before");
                Ok(())
            }
            result => result,
        }
    }

    fn update(&self) -> Result<()> {
        self.stage.message("package lists");
        // apt-get update succeeds even if only some lists were fetched; any failure must count here.
        let mut command = self.apt_get("empty");
        self.stage
            .run(command.args(["--error-on=any", "update"]))
            .context("fetch the package lists of Debian trixie")?;
        let id = sources::lists_id(&self.root.join("lists"))?;
        cache::write_atomic(&self.stamp(), id.as_bytes())
    }

    fn lists_are_fresh(&self) -> bool {
        let modified = fs::metadata(self.stamp()).and_then(|stamp| stamp.modified());
        let age = modified.map(|at| SystemTime::now().duration_since(at));
        // A stamp from the future counts as fresh.
        age.is_ok_and(|age| age.unwrap_or_default() < LISTS_MAX_AGE)
    }

    fn lists_id(&self) -> Result<String> {
        fs::read_to_string(self.stamp()).context("read the stamp of the package lists")
    }

    /// Written after each successful update: its age is the lists' age, its content identifies them.
    fn stamp(&self) -> PathBuf {
        self.root.join("lists.stamp")
    }

    fn lock(&self) -> Result<Flock<fs::File>> {
        cache::lock(&self.root.join("lock"))
    }
}

/// An earlier answer, if all its packages are still there.
fn remembered(answer: &Path) -> Option<Vec<Deb>> {
    let debs: Vec<Deb> = serde_json::from_slice(&fs::read(answer).ok()?).ok()?;
    debs.iter().all(is_complete).then_some(debs)
}

fn is_complete(deb: &Deb) -> bool {
    fs::metadata(&deb.path).is_ok_and(|file| file.len() == deb.size)
}

/// apt's configuration for the root. It is read after the machine's own, whose proxy and certificate settings remain;
/// everything that could change the answer is set here.
fn configuration(root: &Path) -> String {
    let root = root.display();
    format!(
        r#"#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
Dir::Etc::sourcelist "{root}/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
Dir::State "{root}";
Dir::State::lists "{root}/lists";
Dir::State::status "{root}/status";
Dir::State::extended_states "{root}/extended_states";
Dir::Cache "{root}";
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
APT::Architecture "amd64";
APT::Architectures {{ "amd64"; }};
APT::Default-Release "";
APT::Install-Recommends "false";
APT::Install-Suggests "false";
APT::Solver "internal";
APT::Get::Assume-Yes "true";
APT::Get::AllowUnauthenticated "false";
APT::Sandbox::User "root";
Acquire::AllowInsecureRepositories "false";
Acquire::AllowWeakRepositories "false";
Acquire::AllowDowngradeToInsecureRepositories "false";
Acquire::ForceHash "SHA256";
Acquire::Languages "none";
Acquire::Retries "3";
Acquire::http::Timeout "20";
Acquire::https::Timeout "20";
"#
    )
}

/// A dpkg status that has `packages` in a version that satisfies every lower bound. `allowed`
/// lets them satisfy dependencies on `package:any` too.
fn status_file(packages: &[String]) -> String {
    let entry = |package: &String| {
        format!(
            "Package: {package}\nStatus: install ok installed\nArchitecture: amd64\n\
             Multi-Arch: allowed\nVersion: 9999:9999\nMaintainer: none\nDescription: assumed\n\n"
        )
    };
    packages.iter().map(entry).collect()
}

#[cfg(test)]
pub(crate) mod testing {
    use super::*;
    use crate::progress::Progress;

    /// Checks that `unpack`, into a folder named after `case`, refuses a package with different content.
    pub(crate) fn refuses_another<T>(
        case: &str,
        unpack: impl FnOnce(&Deb, &Path, &Stage) -> Result<T>,
    ) {
        let folder = std::env::temp_dir().join(format!("tare-deb-{case}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let deb = Deb {
            package: "a".to_owned(),
            version: "1".to_owned(),
            architecture: "all".to_owned(),
            sha256: digest::hex(b"abc"),
            size: 3,
            path: folder.join("a.deb"),
        };
        fs::write(&deb.path, "abd").unwrap();
        let unpack = |stage: &Stage| unpack(&deb, &folder, stage);
        let error = Progress::new(&folder)
            .stage("Unpack", unpack)
            .err()
            .unwrap();
        let path = deb.path.display();
        let want = format!("the SHA-256 of {path} is not {}: remove it", deb.sha256);
        assert_eq!(error.root_cause().to_string(), want);
        fs::remove_dir_all(folder).unwrap();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn assumed_packages_are_installed_in_a_high_version() {
        assert_eq!(status_file(&[]), "");
        let want = "Package: debconf\nStatus: install ok installed\nArchitecture: amd64\n\
                    Multi-Arch: allowed\nVersion: 9999:9999\nMaintainer: none\n\
                    Description: assumed\n\n";
        assert_eq!(status_file(&["debconf".to_owned()]), want);
    }

    #[test]
    fn the_machine_s_own_apt_cannot_switch_signatures_off() {
        let ours = configuration(Path::new("/x"));
        for option in [
            "APT::Get::AllowUnauthenticated",
            "Acquire::AllowInsecureRepositories",
            "Acquire::AllowWeakRepositories",
            "Acquire::AllowDowngradeToInsecureRepositories",
        ] {
            assert!(
                ours.contains(&format!("\n{option} \"false\";\n")),
                "{option}"
            );
        }
    }

    #[test]
    fn an_answer_counts_while_its_packages_are_there() {
        let folder = std::env::temp_dir().join(format!("tare-apt-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let deb = Deb {
            package: "a".to_owned(),
            version: "1".to_owned(),
            architecture: "all".to_owned(),
            sha256: "00".to_owned(),
            size: 3,
            path: folder.join("a.deb"),
        };
        let answer = folder.join("answer.json");
        fs::write(&answer, serde_json::to_vec(&[&deb]).unwrap()).unwrap();
        assert_eq!(remembered(&answer), None);
        fs::write(&deb.path, "abc").unwrap();
        assert_eq!(remembered(&answer), Some(vec![deb]));
        fs::remove_dir_all(folder).unwrap();
    }
}
