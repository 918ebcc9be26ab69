//! `tare.toml`, which lists what the operating system is made of, and the services it names.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use tare_config::{Bytes, Machine, Service};
use toml::Table;

/// The whole image.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Recipe {
    /// The folder that describes the kernel, relative to the workspace's root.
    pub(crate) kernel: PathBuf,
    /// Words of the kernel's command line beyond those that mount the root.
    pub(crate) cmdline: Vec<String>,
    /// The package of this workspace with PID 1.
    pub(crate) init: String,
    /// Folders of `system-services/`.
    pub(crate) services: Vec<String>,
    pub(crate) disk: Disk,
    pub(crate) system: System,
    /// Container images that the engine finds on the machine.
    #[serde(default)]
    pub(crate) images: Vec<Preloaded>,
    /// The machine's configuration for keys that user-data does not set.
    #[serde(default)]
    pub(crate) configuration: Table,
}

/// Sizes of the partitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Disk {
    /// The EFI system partition.
    pub(crate) esp: Bytes,
    /// Each of the two slots.
    pub(crate) system: Bytes,
    /// The state partition in the image; it grows on first boot.
    pub(crate) state: Bytes,
}

/// How the system's file system is written.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct System {
    /// Options of mkfs.erofs that say how data is compressed.
    pub(crate) erofs: Vec<String>,
}

/// A container image made of one Debian package, without a registry.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Preloaded {
    /// Name by which the engine knows it, such as `tare/demo`.
    pub(crate) name: String,
    pub(crate) tag: String,
    /// Debian packages whose files are in it; their dependencies are not added.
    pub(crate) packages: Vec<String>,
    /// Folder of files laid over it, relative to the workspace's root.
    pub(crate) overlay: PathBuf,
    /// Names that are links to `/bin/busybox`.
    #[serde(default)]
    pub(crate) applets: Vec<String>,
    pub(crate) command: Vec<String>,
}

impl Recipe {
    /// # Errors
    /// What is wrong, with line and key.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let recipe: Self = read_toml(path)?;
        // A machine must boot with these, whatever else is wrong with its configuration.
        let configuration = toml::to_string(&recipe.configuration)?;
        tare_config::parse::<Machine>("[configuration]", configuration.as_bytes())
            .with_context(|| format!("in {}", path.display()))?;
        Ok(recipe)
    }

    /// The machine's configuration for keys that user-data does not set: the recipe's, and baked apps, the Compose
    /// specifications `apps` by name.
    ///
    /// # Errors
    /// The recipe has such an app, too, or they are too long together.
    pub(crate) fn defaults(&self, apps: &BTreeMap<String, String>) -> Result<String> {
        let mut defaults = self.configuration.clone();
        if !apps.is_empty() {
            let own = defaults
                .entry("apps")
                .or_insert_with(|| Table::new().into());
            let own = own.as_table_mut().context("apps is not a table")?;
            for (name, text) in apps {
                let app = Table::from_iter([("compose".to_owned(), text.as_str().into())]);
                let known = own.insert(name.clone(), app.into());
                ensure!(known.is_none(), "[configuration] has an app {name}, too");
            }
        }
        let text = toml::to_string(&defaults)?;
        tare_config::parse::<Machine>("[configuration] with baked apps", text.as_bytes())?;
        Ok(text)
    }

    /// The folders of the services: those of the recipe, and all below `extra`.
    ///
    /// # Errors
    /// `extra` cannot be listed.
    pub(crate) fn service_folders(
        &self,
        workspace: &Path,
        extra: Option<&Path>,
    ) -> Result<Folders> {
        let own = self.services.iter();
        let mut folders: Folders = own
            .map(|name| (name.clone(), Path::new("system-services").join(name)))
            .collect();
        if let Some(extra) = extra {
            let entries = fs::read_dir(workspace.join(extra))
                .with_context(|| format!("list {}", extra.display()))?;
            let names = entries.flatten().map(|entry| entry.file_name());
            for name in names.filter_map(|name| name.into_string().ok()) {
                let folder = extra.join(&name);
                folders.insert(name, folder);
            }
        }
        Ok(folders)
    }
}

/// The folder of each service, by name, relative to the workspace's root.
pub(crate) type Folders = BTreeMap<String, PathBuf>;

/// The services by name.
///
/// # Errors
/// The error in one `service.toml`, or in their combination.
pub(crate) fn read_services(
    workspace: &Path,
    folders: &Folders,
) -> Result<BTreeMap<String, Service>> {
    let mut services = BTreeMap::new();
    for (name, folder) in folders {
        let path = workspace.join(folder).join("service.toml");
        services.insert(name.clone(), read_toml::<Service>(&path)?);
    }
    check_sources(&services)?;
    tare_config::service::check(&services).map_err(anyhow::Error::msg)?;
    Ok(services)
}

fn read_toml<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T> {
    let bytes = fs::read(path).with_context(|| format!("read {}", path.display()))?;
    Ok(tare_config::parse(&path.to_string_lossy(), &bytes)?)
}

/// A service may only share the root filesystem of a service that has its own.
fn check_sources(services: &BTreeMap<String, Service>) -> Result<()> {
    for (name, service) in services {
        let Some(from) = &service.image.from else {
            continue;
        };
        match services.get(from) {
            Some(source) if source.image.from.is_none() => {}
            Some(_) => {
                bail!("service {name}: image.from names {from}, which has no image of its own")
            }
            None => bail!("service {name}: image.from names {from}, which is not in the image"),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tare_config::service::Source;

    fn service(image: &str) -> Service {
        let text = format!("description = 'x'\n[image]\n{image}\n[process]\nargs = ['/x']\n");
        tare_config::parse("test", text.as_bytes()).unwrap()
    }

    #[test]
    fn root_filesystems_are_shared_one_deep() {
        for (a, b, want) in [
            ("from = 'b'", "", None),
            (
                "from = 'c'",
                "",
                Some("service a: image.from names c, which is not in the image"),
            ),
            (
                "from = 'b'",
                "from = 'a'",
                Some("service a: image.from names b, which has no image of its own"),
            ),
        ] {
            let services =
                [("a", a), ("b", b)].map(|(name, text)| (name.to_owned(), service(text)));
            let error = check_sources(&BTreeMap::from(services)).err();
            assert_eq!(error.map(|error| error.to_string()).as_deref(), want);
        }
    }

    #[test]
    fn our_own_services_fit_together() {
        let builder = Path::new(env!("CARGO_MANIFEST_DIR"));
        let workspace = builder.parent().unwrap();
        let recipe = Recipe::read(&builder.join("tare.toml")).unwrap();
        for extra in [None, Some(Path::new("tests/services"))] {
            let folders = recipe.service_folders(workspace, extra).unwrap();
            let services = read_services(workspace, &folders).unwrap();
            assert_eq!(services.len(), folders.len());
        }
    }

    fn our_own_services() -> BTreeMap<String, Service> {
        let builder = Path::new(env!("CARGO_MANIFEST_DIR"));
        let recipe = Recipe::read(&builder.join("tare.toml")).unwrap();
        let workspace = builder.parent().unwrap();
        let folders = recipe.service_folders(workspace, None).unwrap();
        read_services(workspace, &folders).unwrap()
    }

    fn capabilities(service: &Service) -> Vec<&str> {
        let capabilities = service.process.capabilities.iter();
        capabilities.map(|capability| capability.name()).collect()
    }

    #[test]
    fn our_own_services_are_bounded_and_five_administer_the_system() {
        let services = our_own_services();
        let administrators = services
            .iter()
            .filter(|(_, service)| capabilities(service).contains(&"CAP_SYS_ADMIN"))
            .map(|(name, _)| name.as_str());
        assert_eq!(
            administrators.collect::<Vec<_>>(),
            ["disk", "engine", "storage", "toolbox", "trim"]
        );
        for (name, service) in &services {
            let bounds = service.resources;
            assert!(bounds.memory_max.is_some(), "{name}");
            assert!(bounds.pids_max > 0, "{name}");
        }
    }

    /// The rights of a service beyond those that every service has.
    fn rights(service: &Service) -> String {
        let sandbox = &service.sandbox;
        let writable = service.mounts.iter().filter(|mount| !mount.read_only);
        let writes: Vec<(&Source, &str)> = writable
            .map(|mount| (&mount.source, mount.target.as_str()))
            .collect();
        format!(
            "user {}, own users {}, {:?}, of the host {:?}, devices {:?}, /proc {:?}, /sys {:?}, writes {writes:?}",
            service.process.user,
            service.has_own_users(),
            capabilities(service),
            sandbox.host_namespaces,
            sandbox.devices,
            sandbox.proc,
            sandbox.sys,
        )
    }

    /// For services that `tare service audit` does not show because they have ended, or were not started:
    /// `tests/tests/machines/control/rights.txt` has the others.
    #[test]
    fn rights_of_services_that_do_not_run() {
        let services = our_own_services();
        for (name, want) in [
            (
                "apps",
                "user apps, own users true, [], of the host [], devices [], /proc Processes, /sys None, \
                 writes [(Shared(\"engine\"), \"/run/engine\"), (Volume(\"apps\"), \"/var/lib/tare\")]",
            ),
            (
                "disk",
                "user root, own users false, [\"CAP_DAC_READ_SEARCH\", \"CAP_SYS_ADMIN\", \"CAP_SYS_RESOURCE\"], \
                 of the host [], devices [\"all\"], /proc Masked, /sys Masked, writes [(Volume(\"data\"), \"/data\"), \
                 (Volume(\"homes\"), \"/home\"), (Volume(\"mnt\"), \"/mnt\"), (Volume(\"opt\"), \"/opt\"), \
                 (Volume(\"srv\"), \"/srv\")]",
            ),
            (
                "job",
                "user apps, own users true, [], of the host [], devices [], /proc Processes, /sys None, \
                 writes [(Shared(\"engine\"), \"/run/engine\"), (Shared(\"apps\"), \"/run/apps\"), \
                 (Volume(\"jobs\"), \"/var/lib/tare\")]",
            ),
            (
                "storage",
                "user root, own users false, [\"CAP_SYS_ADMIN\", \"CAP_SYS_RESOURCE\"], of the host [], \
                 devices [\"all\"], /proc Masked, /sys Masked, writes []",
            ),
            (
                "toolbox",
                "user root, own users false, [\"CAP_AUDIT_WRITE\", \"CAP_BLOCK_SUSPEND\", \"CAP_BPF\", \
                 \"CAP_CHECKPOINT_RESTORE\", \"CAP_CHOWN\", \"CAP_DAC_OVERRIDE\", \"CAP_DAC_READ_SEARCH\", \
                 \"CAP_FOWNER\", \"CAP_FSETID\", \"CAP_IPC_LOCK\", \"CAP_IPC_OWNER\", \"CAP_KILL\", \"CAP_LEASE\", \
                 \"CAP_LINUX_IMMUTABLE\", \"CAP_MAC_ADMIN\", \"CAP_MKNOD\", \"CAP_NET_ADMIN\", \
                 \"CAP_NET_BIND_SERVICE\", \"CAP_NET_BROADCAST\", \"CAP_NET_RAW\", \"CAP_PERFMON\", \
                 \"CAP_SETFCAP\", \"CAP_SETGID\", \"CAP_SETPCAP\", \"CAP_SETUID\", \"CAP_SYSLOG\", \
                 \"CAP_SYS_ADMIN\", \"CAP_SYS_CHROOT\", \"CAP_SYS_NICE\", \"CAP_SYS_PACCT\", \"CAP_SYS_PTRACE\", \
                 \"CAP_SYS_RAWIO\", \"CAP_SYS_RESOURCE\", \"CAP_SYS_TIME\", \"CAP_SYS_TTY_CONFIG\", \
                 \"CAP_WAKE_ALARM\"], of the host [Network, Pid, Cgroup, Ipc, Uts], devices [\"all\"], /proc Host, \
                 /sys Host, writes [(Volume(\"home\"), \"/root\"), (Volume(\"data\"), \"/data\"), \
                 (Volume(\"homes\"), \"/home\"), (Volume(\"mnt\"), \"/mnt\"), (Volume(\"opt\"), \"/opt\"), \
                 (Volume(\"srv\"), \"/srv\"), (Volume(\"tmp\"), \"/tmp\"), (Shared(\"engine\"), \"/run/engine\")]",
            ),
            (
                "trim",
                "user root, own users false, [\"CAP_SYS_ADMIN\"], of the host [], devices [], /proc Processes, \
                 /sys None, writes [(Volume(\"trim\"), \"/var/lib/trim\")]",
            ),
        ] {
            assert_eq!(rights(&services[name]), want);
        }
    }

    /// Anyone who may start it has the engine's socket, which gives the engine's rights.
    #[test]
    fn the_toolbox_has_the_capabilities_of_the_engine() {
        let services = our_own_services();
        assert_eq!(
            capabilities(&services["toolbox"]),
            capabilities(&services["engine"])
        );
        let host = services["toolbox"].mounts.iter();
        let host: Vec<(&str, bool)> = host
            .filter(|mount| mount.source == Source::Host("/".to_owned()))
            .map(|mount| (mount.target.as_str(), mount.read_only))
            .collect();
        assert_eq!(host, [("/host", true)]);
    }

    /// Root in a user namespace is the host's root to any process that owns files or namespaces.
    #[test]
    fn a_service_in_a_user_namespace_is_not_root() {
        let services = our_own_services();
        let own = services
            .iter()
            .filter(|(_, service)| service.has_own_users());
        let users: Vec<(&str, &str)> = own
            .map(|(name, service)| (name.as_str(), service.process.user.as_str()))
            .collect();
        assert_eq!(
            users,
            [
                ("app", "apps"),
                ("apps", "apps"),
                ("forward", "forward"),
                ("job", "apps"),
                ("metrics", "metrics")
            ]
        );
    }

    #[test]
    fn baked_apps_are_in_the_configuration() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tare.toml");
        let mut recipe = Recipe::read(&path).unwrap();
        recipe.configuration = "hostname = 'edge'\n[apps.blog]\ncompose = 'services: {}'"
            .parse()
            .unwrap();
        let app = |name: &str, text: &str| BTreeMap::from([(name.to_owned(), text.to_owned())]);
        let defaults = recipe.defaults(&app("shop", "{\"services\": {}}")).unwrap();
        let want = "hostname = \"edge\"\n\n[apps.blog]\ncompose = \"services: {}\"\n\n\
                    [apps.shop]\ncompose = '{\"services\": {}}'\n";
        assert_eq!(defaults, want);
        let error = |apps| recipe.defaults(&apps).unwrap_err().to_string();
        assert_eq!(
            error(app("blog", "")),
            "[configuration] has an app blog, too"
        );
        let long = error(app("shop", &"x".repeat(tare_config::MAX_BYTES)));
        assert!(
            long.starts_with("[configuration] with baked apps:1:1: too long: "),
            "{long}"
        );
    }

    #[test]
    fn our_own_page_is_read() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tare.toml");
        let recipe = Recipe::read(&path).unwrap();
        assert!(recipe.services.contains(&"ssh".to_owned()));
    }
}
