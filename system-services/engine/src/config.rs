//! dockerd's configuration: the image's, with what user-data changes. dockerd reloads it on shutdown of the machine.

use crate::choice::Choice;
use crate::daemon::is_failure;
use crate::{direct, names, overlaps};
use anyhow::{Context, Result};
use sd_notify::NotifyState;
use serde_json::{Map, Value};
use std::fs;
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

/// The file in the image.
const IMAGE: &str = "/etc/docker/daemon.json";
/// The file that dockerd reads.
pub(crate) const FILE: &str = "/run/tare-engine/daemon.json";
/// The options that may hold PEM in place of a path, and the folder of the files that dockerd reads then; in memory.
const PEM: [&str; 3] = ["tlscacert", "tlscert", "tlskey"];
const PEM_FOLDER: &str = "/run/tare-engine";
/// The sections of the machine's configuration, written by PID 1.
const OPTIONS: &str = "/run/config/engine.json";
const REGISTRIES: &str = "/run/config/registries.json";
/// Where dockerd looks for a registry's certificates; in memory.
const CERTIFICATES: &str = "/etc/docker/certs.d";

type Options = Map<String, Value>;

/// What happens to containers when dockerd is told to exit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Containers {
    /// They keep running, unless user-data says otherwise.
    Keep,
    /// They are stopped first, each with its own signal and grace, and are restarted at the next
    /// boot if they are configured to.
    Stop,
}

/// The configurations that dockerd may start with.
#[derive(Debug)]
pub(crate) struct Configs {
    image: Config,
    /// The image's with user-data's options; `None` if there are none, or dockerd rejects them.
    user_data: Option<Config>,
    choice: Choice,
}

impl Configs {
    /// Reads the image's configuration and user-data's, and writes the certificates of registries. Options that dockerd
    /// rejects are reported and left out, all of them: it names only the first.
    ///
    /// # Errors
    /// The image's configuration cannot be read.
    pub(crate) fn read() -> Result<Self> {
        let image = image()?;
        let registries = section(REGISTRIES)?;
        for (registry, settings) in &registries {
            let ca = settings["ca"].as_str();
            if let Some(Err(error)) = ca.map(|ca| write_ca(registry, ca)) {
                eprintln!("<3>{registry} of user-data is reached without its ca: {error:#}");
            }
        }
        let options = section(OPTIONS)?;
        let is_more = !options.is_empty() || !registries.is_empty();
        let user_data = is_more.then(|| Config::merged(image.clone(), options, &registries));
        let accepted = user_data.map(|config| config.validate().map(|()| config));
        let user_data = accepted.transpose().unwrap_or_else(|error| {
            eprintln!("<3>[engine] of user-data is ignored: {error}");
            has_problem(&format!("[engine] of user-data is ignored: {error}"));
            None
        });
        Ok(Self {
            image: Config::merged(image, Options::new(), &Options::new()),
            user_data,
            choice: Choice::UserData { failed: 0 },
        })
    }

    /// The one for the next start of dockerd, or of the run that continues.
    pub(crate) fn chosen(&self) -> &Config {
        match (&self.user_data, self.choice) {
            (Some(config), Choice::UserData { .. }) => config,
            _ => &self.image,
        }
    }

    /// dockerd became ready with the chosen one.
    pub(crate) fn start_succeeded(&mut self) {
        self.choice = self.choice.after_success();
    }

    /// dockerd exited before it was ready, and was not told to.
    pub(crate) fn start_failed(&mut self) {
        overlaps::forget();
        let before = self.choice;
        self.choice = before.after_failure();
        if self.user_data.is_none() {
            return;
        }
        match (before, self.choice) {
            (Choice::UserData { .. }, Choice::Image) => {
                eprintln!(
                    "<3>dockerd failed twice with [engine] of user-data, which is ignored until this service restarts; \
                    its last lines say why"
                );
                has_problem("[engine] of user-data is ignored: dockerd failed twice with it");
            }
            (Choice::Image, Choice::UserData { .. }) => {
                eprintln!(
                    "<3>dockerd does not start with the image's options either: [engine] of user-data is tried again"
                );
                has_problem("");
            }
            _ => {}
        }
    }
}

/// Has `tare status` name a problem, or none if `text` is empty.
fn has_problem(text: &str) {
    let line = text.lines().collect::<Vec<_>>().join(", ");
    let problem = format!("X_TARE_PROBLEM={line}");
    if let Err(error) = sd_notify::notify(&[NotifyState::Custom(&problem)]) {
        eprintln!("notify: {error}");
    }
}

/// dockerd's configuration.
#[derive(Debug)]
pub(crate) struct Config {
    options: Options,
    /// Where it listens besides the socket that it is given.
    pub(crate) hosts: Vec<String>,
    /// Whether others reach containers by their own addresses ([`direct`]).
    pub(crate) allow_direct: bool,
}

impl Config {
    fn merged(image: Options, user: Options, registries: &Options) -> Self {
        let mut options = image;
        // Those of one driver are unknown to another.
        if user.contains_key("log-driver") {
            options.remove("log-opts");
        }
        options.extend(user);
        let insecure = registries
            .iter()
            .filter(|(_, settings)| settings["insecure"] == true);
        let insecure = insecure.map(|(name, _)| name.as_str().into());
        extend(&mut options, "insecure-registries", insecure.collect());
        // The configuration has mirrors of Docker Hub only.
        let mirrors = registries.values();
        let mirrors = mirrors.filter_map(|settings| settings["mirrors"].as_array());
        let mirrors = mirrors.flatten().cloned().collect();
        extend(&mut options, "registry-mirrors", mirrors);
        // dockerd does not start with hosts both here and on its command line.
        let hosts = options.remove("hosts");
        let hosts = hosts.as_ref().and_then(Value::as_array);
        let hosts = hosts.into_iter().flatten().filter_map(Value::as_str);
        let allow_direct = options.remove(direct::OPTION);
        // If dockerd sets no rules, those of the administrator decide.
        let has_rules = options.get("iptables") != Some(&Value::Bool(false));
        Self {
            hosts: hosts.map(str::to_owned).collect(),
            allow_direct: allow_direct == Some(Value::Bool(true)) || !has_rules,
            options,
        }
    }

    /// Asks dockerd. What it cannot be asked is not rejected.
    fn validate(&self) -> Result<(), String> {
        let output = self.write(Containers::Keep).and_then(|()| {
            Command::new("/usr/sbin/dockerd")
                .args(["--validate", "--config-file", FILE])
                .stdin(Stdio::null())
                .output()
        });
        match output {
            Ok(output) if is_failure(output.status) => {
                Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
            }
            Ok(_) => Ok(()),
            // Its start will show.
            Err(error) => {
                eprintln!("dockerd --validate: {error}");
                Ok(())
            }
        }
    }

    /// Writes the file that dockerd reads.
    pub(crate) fn write(&self, containers: Containers) -> io::Result<()> {
        let mut options = self.options.clone();
        if containers == Containers::Stop {
            options.insert("live-restore".to_owned(), false.into());
        }
        write_pem(&mut options, Path::new(PEM_FOLDER))?;
        fs::write(FILE, serde_json::to_vec_pretty(&options)?)
    }
}

/// Writes what is PEM into files of `folder`, and puts their paths in its place.
fn write_pem(options: &mut Options, folder: &Path) -> io::Result<()> {
    for name in PEM {
        let Some(Value::String(text)) = options.get_mut(name) else {
            continue;
        };
        if !text.starts_with('/') {
            let path = folder.join(format!("{name}.pem"));
            let mut file = fs::OpenOptions::new();
            let file = file.write(true).create(true).truncate(true).mode(0o600);
            file.open(&path)?.write_all(text.as_bytes())?;
            *text = path.to_string_lossy().into_owned();
        }
    }
    Ok(())
}

/// Adds `more` to the list `name`.
fn extend(options: &mut Options, name: &str, more: Vec<Value>) {
    if more.is_empty() {
        return;
    }
    let list = options.entry(name).or_insert_with(|| Value::Array(vec![]));
    if let Some(list) = list.as_array_mut() {
        list.extend(more);
    }
}

fn image() -> Result<Options> {
    let text = fs::read_to_string(IMAGE).with_context(|| IMAGE.to_owned())?;
    let mut image = serde_json::from_str(&text).with_context(|| IMAGE.to_owned())?;
    names::adapt(&mut image);
    overlaps::adapt(&mut image);
    Ok(image)
}

/// A section of the machine's configuration; empty if there is none.
fn section(path: &str) -> Result<Options> {
    match fs::read(path) {
        Ok(bytes) => {
            let section: Option<Options> =
                serde_json::from_slice(&bytes).with_context(|| path.to_owned())?;
            Ok(section.unwrap_or_default())
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Options::new()),
        Err(error) => Err(error).with_context(|| path.to_owned()),
    }
}

fn write_ca(registry: &str, ca: &str) -> Result<()> {
    let folder = Path::new(CERTIFICATES).join(registry);
    fs::create_dir_all(&folder)
        .and_then(|()| fs::write(folder.join("ca.crt"), ca))
        .with_context(|| format!("write {}", folder.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn options(value: Value) -> Options {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn user_data_replaces_what_the_image_says() {
        let image: Options =
            serde_json::from_str(include_str!("../rootfs/etc/docker/daemon.json")).unwrap();
        let user = json!({"log-driver": "json-file", "hosts": ["tcp://127.0.0.1:2375"], "allow-direct-routing": true,
            "insecure-registries": ["a"]});
        let registries = json!({"b:5000": {"insecure": true, "mirrors": []}, "c": {"insecure": false},
            "docker.io": {"mirrors": ["https://m"]}});
        let merged = Config::merged(image.clone(), options(user), &options(registries));
        assert_eq!(merged.hosts, ["tcp://127.0.0.1:2375"]);
        assert_eq!(merged.options["log-driver"], "json-file");
        assert!(!merged.options.contains_key("log-opts"));
        assert_eq!(
            merged.options["insecure-registries"],
            json!(["a", "b:5000"])
        );
        assert_eq!(merged.options["registry-mirrors"], json!(["https://m"]));
        assert_eq!(merged.options["exec-root"], image["exec-root"]);
        assert!(merged.allow_direct);
        for ours in ["hosts", "allow-direct-routing"] {
            assert!(!merged.options.contains_key(ours), "{ours}");
        }
        assert_eq!(image["live-restore"], true);
    }

    #[test]
    fn pem_becomes_a_file() {
        let folder = std::env::temp_dir().join(format!("tare-pem-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let mut merged =
            options(json!({"tlscacert": "/srv/ca.pem", "tlskey": "-----BEGIN X-----"}));
        write_pem(&mut merged, &folder).unwrap();
        let key = folder.join("tlskey.pem");
        assert_eq!(
            Value::Object(merged),
            json!({"tlscacert": "/srv/ca.pem", "tlskey": key})
        );
        assert_eq!(fs::read_to_string(&key).unwrap(), "-----BEGIN X-----");
        let mode = std::os::unix::fs::PermissionsExt::mode(&key.metadata().unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600);
        fs::remove_dir_all(&folder).unwrap();
    }
}
