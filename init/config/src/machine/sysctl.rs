//! Settings of the kernel.

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// The section `[sysctl]`: settings below `/proc/sys` by name, with their values as they are written there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Sysctl(pub BTreeMap<String, String>);

/// Settings, or the beginnings of their names, that the machine sets itself: another value would make it less safe, or
/// keep PID 1 or services from their work.
pub(crate) const FIXED: [&str; 39] = [
    "fs.epoll.",
    "fs.file-max",
    "fs.inotify.",
    "fs.mount-max",
    "fs.nr_open",
    "fs.pipe-user-pages-hard",
    "fs.protected_",
    "kernel.cap_last_cap",
    "kernel.core_pattern",
    "kernel.core_pipe_limit",
    "kernel.ctrl-alt-del",
    "kernel.dmesg_restrict",
    "kernel.domainname",
    "kernel.hostname",
    "kernel.kexec_",
    "kernel.kptr_restrict",
    "kernel.modprobe",
    "kernel.modules_disabled",
    "kernel.ns_last_pid",
    "kernel.oops_limit",
    "kernel.panic",
    "kernel.panic_",
    "kernel.pid_max",
    "kernel.printk",
    "kernel.printk_",
    "kernel.pty.",
    "kernel.sysrq",
    "kernel.threads-max",
    "kernel.unprivileged_bpf_disabled",
    "kernel.usermodehelper.",
    "kernel.warn_limit",
    "kernel.yama.",
    "net.core.bpf_jit_",
    "net.unix.max_dgram_qlen",
    "user.",
    "vm.min_free_kbytes",
    "vm.mmap_min_addr",
    "vm.overcommit_ratio",
    "vm.panic_on_oom",
];

impl<'de> Deserialize<'de> for Sysctl {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let mut settings = BTreeMap::new();
        from.deserialize_map(Setting {
            name: String::new(),
            settings: &mut settings,
        })?;
        Ok(Self(settings))
    }
}

/// The setting `name`, or those that begin so: `vm.overcommit_memory = 1` is a table in a table,
/// `"vm.overcommit_memory" = 1` is not; both mean the same.
struct Setting<'a> {
    name: String,
    settings: &'a mut BTreeMap<String, String>,
}

impl Setting<'_> {
    fn set<E: Error>(self, text: String) -> Result<(), E> {
        if self.name.is_empty() {
            return Err(E::custom("invalid type, expected a table of settings"));
        }
        let name = check(self.name).map_err(E::custom)?;
        check_value(&name, &text).map_err(E::custom)?;
        if self.settings.contains_key(&name) {
            let message = format!("sysctl {name} is set twice, in two spellings");
            return Err(E::custom(message));
        }
        self.settings.insert(name, text);
        Ok(())
    }

    fn is_no_value<E: Error>(&self) -> E {
        E::custom(format!(
            "sysctl {} must be a number, true, false or one line of text",
            self.name
        ))
    }
}

impl<'de> DeserializeSeed<'de> for Setting<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Setting<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table of settings")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            // The library's name for a date.
            if key.starts_with("$__toml") {
                return Err(self.is_no_value());
            }
            let name = match self.name.is_empty() {
                true => key,
                false => format!("{}.{key}", self.name),
            };
            let settings = &mut *self.settings;
            map.next_value_seed(Setting { name, settings })?;
        }
        Ok(())
    }

    fn visit_bool<E: Error>(self, on: bool) -> Result<(), E> {
        self.set(u8::from(on).to_string())
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<(), E> {
        self.set(number.to_string())
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<(), E> {
        self.set(number.to_string())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        match text.contains(['\n', '\0']) {
            true => Err(self.is_no_value()),
            false => self.set(text.to_owned()),
        }
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        Err(self.is_no_value())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, _: A) -> Result<(), A::Error> {
        Err(self.is_no_value())
    }
}

/// The kernel's default; no program starts with much fewer.
pub(crate) const LEAST_MAPS: u32 = 65530;

/// Values with which programs would not start.
fn check_value(name: &str, text: &str) -> Result<(), String> {
    match name {
        // With 2, as much as the machine's memory would be refused to all, PID 1 among them. Without that,
        // `vm.admin_reserve_kbytes` and `vm.user_reserve_kbytes` have no effect.
        "vm.overcommit_memory"
        // With 2, runc could not copy itself into memory, from where it starts containers.
        | "vm.memfd_noexec" => match text {
            "0" | "1" => Ok(()),
            _ => Err(format!("sysctl {name} must be 0 or 1, is {text}")),
        },
        "vm.max_map_count" => match text.parse::<u32>() {
            Ok(LEAST_MAPS..) => Ok(()),
            _ => Err(format!("sysctl {name} must be at least {LEAST_MAPS}, is {text}")),
        },
        _ => Ok(()),
    }
}

/// Names are those of sysctl(8): `.` or `/` between the parts, the other one within them.
fn check(name: String) -> Result<String, String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "._-/".contains(c);
    let dotted = match name.find(['.', '/']) {
        Some(first) if name[first..].starts_with('/') => swap(&name),
        _ => name,
    };
    let is_name = dotted.contains('.') && dotted.chars().all(fits);
    if !is_name
        || dotted
            .split('.')
            .any(|part| part.is_empty() || part.starts_with('/'))
    {
        return Err(format!(
            "`{dotted}` is not a sysctl: write its name as in `vm.overcommit_memory`"
        ));
    }
    let is_fixed = |fixed: &&&str| match fixed.ends_with(['.', '_']) {
        true => dotted.starts_with(**fixed),
        false => dotted == **fixed,
    };
    match FIXED.iter().find(is_fixed) {
        Some(_) => Err(format!(
            "sysctl {dotted} is fixed: the machine sets it itself"
        )),
        None => Ok(dotted),
    }
}

fn swap(name: &str) -> String {
    let swapped = name.chars().map(|c| match c {
        '.' => '/',
        '/' => '.',
        c => c,
    });
    swapped.collect()
}

#[cfg(test)]
mod tests {
    use crate::Machine;

    #[test]
    fn names_and_values() {
        for (text, want) in [
            (
                "vm.overcommit_memory = 1",
                Ok(vec!["vm.overcommit_memory=1"]),
            ),
            (
                "\"net.ipv4.tcp_rmem\" = '4096 131072 6291456'\n\"net/ipv4/conf/eth0.1/forwarding\" = true",
                Ok(vec![
                    "net.ipv4.conf.eth0/1.forwarding=1",
                    "net.ipv4.tcp_rmem=4096 131072 6291456",
                ]),
            ),
            (
                "vm.swappiness = 1.5",
                Err("sysctl vm.swappiness must be a number, true, false or one line of text"),
            ),
            (
                "overcommit = 1",
                Err("`overcommit` is not a sysctl: write its name as in `vm.overcommit_memory`"),
            ),
            (
                "\"vm..x\" = 1",
                Err("`vm..x` is not a sysctl: write its name as in `vm.overcommit_memory`"),
            ),
            (
                "\"../../etc.x\" = 1",
                Err("`../../etc.x` is not a sysctl: write its name as in `vm.overcommit_memory`"),
            ),
            (
                "vm.swappiness = 1\n\"vm/swappiness\" = 2",
                Err("sysctl vm.swappiness is set twice, in two spellings"),
            ),
            (
                "vm.overcommit_memory = 2",
                Err("sysctl vm.overcommit_memory must be 0 or 1, is 2"),
            ),
            (
                "vm.memfd_noexec = 2",
                Err("sysctl vm.memfd_noexec must be 0 or 1, is 2"),
            ),
            (
                "vm.max_map_count = 100",
                Err("sysctl vm.max_map_count must be at least 65530, is 100"),
            ),
            (
                "vm.max_map_count = '0x100000'",
                Err("sysctl vm.max_map_count must be at least 65530, is 0x100000"),
            ),
            (
                "vm.max_map_count = 262144",
                Ok(vec!["vm.max_map_count=262144"]),
            ),
            (
                "vm.mmap_min_addr = 9999999",
                Err("sysctl vm.mmap_min_addr is fixed: the machine sets it itself"),
            ),
            (
                "user.max_pid_namespaces = 0",
                Err("sysctl user.max_pid_namespaces is fixed: the machine sets it itself"),
            ),
            (
                "kernel.modprobe = '/x'",
                Err("sysctl kernel.modprobe is fixed: the machine sets it itself"),
            ),
            (
                "kernel.pty.max = 0",
                Err("sysctl kernel.pty.max is fixed: the machine sets it itself"),
            ),
            (
                "fs.protected_regular = 0",
                Err("sysctl fs.protected_regular is fixed: the machine sets it itself"),
            ),
        ] {
            let read = toml::from_str::<Machine>(&format!("[sysctl]\n{text}"));
            let read = read
                .map_err(|error| error.message().to_owned())
                .map(|machine| {
                    let settings = machine.sysctl.0.iter();
                    settings
                        .map(|(name, value)| format!("{name}={value}"))
                        .collect()
                });
            let want = want
                .map(|settings| settings.into_iter().map(str::to_owned).collect::<Vec<_>>())
                .map_err(str::to_owned);
            assert_eq!(read, want, "{text}");
        }
    }
}
