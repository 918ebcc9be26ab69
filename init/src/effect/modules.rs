//! Kernel modules: `modprobe` for the kernel's own requests, cold plug for devices that were present before PID 1.
//!
//! A driver may take seconds to set its device up inside `finit_module(2)`, so PID 1 never loads
//! one itself: it runs its own executable again under the name `modprobe`, as the kernel does
//! (`CONFIG_MODPROBE_PATH`).

mod index;

use super::pidfd;
use crate::paths::MODULES;
use index::Index;
use nix::errno::Errno;
use nix::kmod::{ModuleInitFlags, finit_module};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use tare_config::machine::ModuleName;

/// The name under which our executable loads modules.
pub(crate) const MODPROBE: &str = "modprobe";

/// The argument that asks for a cold plug instead of a module.
const COLDPLUG: &str = "--coldplug";

/// All processors have one alias, below `/sys`, with what they can do: `kvm_amd` and `kvm_intel` go by it.
const PROCESSORS: &str = "devices/system/cpu";

/// What containers use and the kernel does not ask for: `iptables-legacy` looks for `ip_tables`, then tries to load it
/// itself.
const ALWAYS: [&str; 2] = ["ip_tables", "ip6_tables"];

/// Starts loading the modules for `alias` in a separate process, and returns its pidfd; an empty alias means every device
/// that is present. The process is reaped with the orphans.
pub(crate) fn start_loading(alias: &str) -> io::Result<OwnedFd> {
    start(if alias.is_empty() { COLDPLUG } else { alias })
}

/// Starts loading the modules of every device that is present, as [`start_loading`] does.
pub(crate) fn start_coldplug() -> io::Result<OwnedFd> {
    start(COLDPLUG)
}

fn start(argument: &str) -> io::Result<OwnedFd> {
    let mut command = Command::new("/proc/self/exe");
    pidfd::spawn(command.arg0(MODPROBE).args(["-q", "--", argument]))
}

/// Loads [`ALWAYS`] and the modules that a machine names. Returns a sentence for each that cannot be loaded.
pub(crate) fn load_named(names: &[ModuleName]) -> Vec<String> {
    let named = names.iter().map(ModuleName::as_str);
    let names: BTreeSet<String> = ALWAYS.into_iter().chain(named).map(str::to_owned).collect();
    let failures = load(&names).unwrap_or_else(|error| vec![format!("index: {error}")]);
    let sentences = failures
        .iter()
        .map(|failure| format!("kernel module {failure}"));
    sentences.collect()
}

/// `modprobe -q -- NAME`: the main function of that process.
pub(crate) fn modprobe(arguments: impl Iterator<Item = String>) -> ExitCode {
    let Some(wanted) = arguments.last() else {
        return ExitCode::FAILURE;
    };
    let aliases = if wanted == COLDPLUG {
        present_aliases()
    } else {
        BTreeSet::from([wanted])
    };
    match load(&aliases) {
        Ok(failures) if failures.is_empty() => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}

/// Loads the modules for `aliases`. Returns what could not be loaded and why; the others are.
pub(crate) fn load(aliases: &BTreeSet<String>) -> io::Result<Vec<String>> {
    let folder = release_folder()?;
    let index = Index::load(&folder)?;
    let built_in = fs::read_to_string(folder.join("modules.builtin")).unwrap_or_default();
    let mut failures = Vec::new();
    let mut modules = BTreeSet::new();
    for alias in aliases {
        let found = index.matching(alias);
        if found.is_empty() && !built_in.lines().any(|line| is_file_of(line, alias)) {
            failures.push(format!("{alias}: this kernel has none of this name"));
        }
        modules.extend(found);
    }
    for module in modules {
        if let Err(error) = insert_with_dependencies(&folder, &index, module) {
            failures.push(format!("{module}: {error}"));
        }
    }
    Ok(failures)
}

/// Whether a line of `modules.builtin` names the module `name`, as in `kernel/net/bridge/bridge.ko`.
fn is_file_of(line: &str, name: &str) -> bool {
    let file = line.rsplit('/').next().unwrap_or_default();
    let module = file.strip_suffix(".ko").unwrap_or_default();
    module.replace('-', "_") == name.replace('-', "_")
}

/// Where the modules of this kernel are.
pub(super) fn release_folder() -> io::Result<PathBuf> {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    Ok(Path::new(MODULES).join(release.trim()))
}

/// The aliases of all devices and of the processors. Those of `/sys/class` that are on no bus have their own: the machine itself (`dmi:`), and
/// keyboards and mice (`input:`).
fn present_aliases() -> BTreeSet<String> {
    aliases_in(Path::new("/sys"))
}

fn aliases_in(sys: &Path) -> BTreeSet<String> {
    let entries = |path: &Path| fs::read_dir(path).into_iter().flatten().flatten();
    let buses = entries(&sys.join("bus")).map(|bus| bus.path().join("devices"));
    let classes = entries(&sys.join("class")).map(|class| class.path());
    let devices = buses.chain(classes).flat_map(|folder| entries(&folder));
    let devices = devices.map(|device| device.path());
    let devices = devices.chain([sys.join(PROCESSORS)]);
    let aliases = devices.filter_map(|device| fs::read_to_string(device.join("modalias")).ok());
    aliases
        .map(|alias| alias.trim_end().to_owned())
        .filter(|alias| !alias.is_empty())
        .collect()
}

fn insert_with_dependencies(folder: &Path, index: &Index, module: &str) -> io::Result<()> {
    for file in index.files(module) {
        match insert(&folder.join(file)) {
            Ok(()) | Err(Errno::EEXIST) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn insert(file: &Path) -> Result<(), Errno> {
    let module =
        File::open(file).map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(0)))?;
    finit_module(&module, c"", ModuleInitFlags::empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_on_a_bus_or_in_a_class() {
        let sys = std::env::temp_dir().join(format!("tare-sys-{}", std::process::id()));
        for (device, alias) in [
            ("bus/pci/devices/0000:00:01.0", "pci:v1\n"),
            ("bus/usb/devices/1-0", "usb:v2\n"),
            ("bus/virtio/devices/virtio0", "\n"),
            ("class/dmi/id", "dmi:bvn3\n"),
            ("class/input/input0", "input:b4\n"),
            // A device of a bus that is in a class, too.
            ("class/usbmisc/1-0", "usb:v2\n"),
            ("devices/system/cpu", "cpu:type:x86\n"),
        ] {
            let device = sys.join(device);
            fs::create_dir_all(&device).unwrap();
            fs::write(device.join("modalias"), alias).unwrap();
        }
        fs::create_dir_all(sys.join("class/net/lo")).unwrap();
        let found = aliases_in(&sys);
        fs::remove_dir_all(&sys).unwrap();
        let want = ["cpu:type:x86", "dmi:bvn3", "input:b4", "pci:v1", "usb:v2"];
        assert_eq!(found.iter().map(String::as_str).collect::<Vec<_>>(), want);
    }
}
