//! Options of the container engine.

use super::secrets::Lookup;
use super::{Reference, Secret, certificates, checked};
use crate::error::unknown;
use crate::text::reword;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};
use toml::{Table, Value};

/// The section `[engine]`: options of `daemon.json` (dockerd(8), "Daemon configuration file"), in TOML. The engine checks
/// their values when it starts.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(into = "Table")]
pub struct Engine(Table);

/// The type of an option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Boolean,
    Number,
    Text,
    List,
    Table,
}

use Kind::{Boolean, List, Number, Text};

/// The options of dockerd 26.1 that a machine may set.
pub(crate) const OPTIONS: [(&str, Kind); 56] = [
    ("allow-direct-routing", Boolean), // of 28; `tare-engine` has it in 26
    ("allow-nondistributable-artifacts", List),
    ("authorization-plugins", List),
    ("bip", Text),
    ("bridge", Text),
    ("builder", Kind::Table),
    ("debug", Boolean),
    ("default-address-pools", List),
    ("default-cgroupns-mode", Text),
    ("default-gateway", Text),
    ("default-gateway-v6", Text),
    ("default-network-opts", Kind::Table),
    ("default-runtime", Text),
    ("default-shm-size", Text),
    ("default-ulimits", Kind::Table),
    ("dns", List),
    ("dns-opts", List),
    ("dns-search", List),
    ("experimental", Boolean),
    ("features", Kind::Table),
    ("fixed-cidr", Text),
    ("fixed-cidr-v6", Text),
    ("host-gateway-ip", Text),
    ("hosts", List),
    ("icc", Boolean),
    ("init", Boolean),
    ("insecure-registries", List),
    ("ip", Text),
    ("ip-forward", Boolean),
    ("ip-masq", Boolean),
    ("ip6tables", Boolean),
    ("iptables", Boolean),
    ("ipv6", Boolean),
    ("labels", List),
    ("live-restore", Boolean),
    ("log-driver", Text),
    ("log-level", Text),
    ("log-opts", Kind::Table),
    ("max-concurrent-downloads", Number),
    ("max-concurrent-uploads", Number),
    ("max-download-attempts", Number),
    ("metrics-addr", Text),
    ("mtu", Number),
    ("no-new-privileges", Boolean),
    ("node-generic-resources", List),
    ("proxies", Kind::Table),
    ("registry-mirrors", List),
    ("runtimes", Kind::Table),
    ("seccomp-profile", Text),
    ("shutdown-timeout", Number),
    ("swarm-default-advertise-addr", Text),
    ("tlscacert", Text),
    ("tlscert", Text),
    ("tlskey", Text),
    ("tlsverify", Boolean),
    ("userland-proxy", Boolean),
];

/// The option that holds a secret.
const TLS_KEY: &str = "tlskey";

/// Options that go with it.
const WITH_TLS: [&str; 5] = ["hosts", "tlscacert", "tlscert", TLS_KEY, "tlsverify"];

/// Options whose values the image depends on.
const FIXED: [&str; 11] = [
    "cgroup-parent",
    "containerd",
    "data-root",
    "exec-opts",
    "exec-root",
    "group",
    "pidfile",
    "storage-driver",
    "tls",
    "userland-proxy-path",
    "userns-remap",
];

impl<'de> Deserialize<'de> for Engine {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let options = checked::table(from, check_name, check)?;
        check_tls(&options).map_err(D::Error::custom)?;
        Ok(Self(options))
    }
}

impl Engine {
    /// Where its private key is kept, if that is a reference.
    pub(super) fn reference(&self) -> Option<Reference> {
        let key = self.0.get(TLS_KEY).filter(|key| key.is_table())?;
        Reference::deserialize(key.clone()).ok()
    }

    /// Puts the private key in place of the reference to it. Without one, no client could show that it may be there.
    pub(super) fn fill(&mut self, lookup: &mut Lookup<'_>) {
        let Some(reference) = self.reference() else {
            return;
        };
        let cost = "the engine does without TLS and without `hosts`";
        let key = lookup.get("engine.tlskey", &reference, cost, |bytes| {
            let text = bytes.utf8()?;
            match is_key(text) {
                true => Ok(Value::String(text.to_owned())),
                false => Err(NO_KEY.to_owned()),
            }
        });
        match key {
            Some(key) => drop(self.0.insert(TLS_KEY.to_owned(), key)),
            None => self.0.retain(|name, _| !WITH_TLS.contains(&name)),
        }
    }
}

impl From<Engine> for Table {
    fn from(engine: Engine) -> Self {
        engine.0
    }
}

fn check_name(name: &str) -> Result<(), String> {
    if FIXED.contains(&name) {
        return Err(format!("engine.{name} is fixed: the image depends on it"));
    }
    if kind(name).is_some() {
        return Ok(());
    }
    let names: Vec<&str> = OPTIONS.iter().map(|(option, _)| *option).collect();
    Err(unknown("option of the engine", name, &names))
}

fn kind(name: &str) -> Option<Kind> {
    let option = OPTIONS.iter().find(|(option, _)| *option == name);
    option.map(|(_, kind)| *kind)
}

fn check(name: &str, value: &Value) -> Result<(), String> {
    let Some(kind) = kind(name) else {
        return Ok(());
    };
    let fits = match kind {
        Boolean => value.is_bool(),
        Number => value.is_integer(),
        Text if name == TLS_KEY => return check_key(value),
        Text => value.is_str(),
        List => value.is_array(),
        Kind::Table => value.is_table(),
    };
    if !fits {
        return Err(format!("engine.{name} must be {}", words(kind)));
    }
    match name {
        "hosts" => check_hosts(value),
        "log-level" => check_log_level(value),
        "tlscacert" | "tlscert" => check_pem(name, value.as_str().unwrap_or_default()),
        _ => Ok(()),
    }
}

fn words(kind: Kind) -> &'static str {
    match kind {
        Boolean => "true or false",
        Number => "a whole number",
        Text => "a string",
        List => "a list",
        Kind::Table => "a table",
    }
}

/// PID 1 holds the Unix socket; here, others are added.
fn check_hosts(hosts: &Value) -> Result<(), String> {
    let hosts = hosts.as_array().into_iter().flatten();
    for host in hosts {
        if !host.as_str().is_some_and(|host| host.starts_with("tcp://")) {
            return Err(format!(
                "engine.hosts: {host} is not of the form `tcp://ADDRESS:PORT`; the Unix socket is always there"
            ));
        }
    }
    Ok(())
}

/// A private key: a path, text in PEM, or a reference to such a text.
fn check_key(value: &Value) -> Result<(), String> {
    match Secret::deserialize(value.clone()) {
        Ok(Secret::Text(text)) => check_pem(TLS_KEY, &text),
        Ok(Secret::Reference(_)) => Ok(()),
        Err(error) => Err(format!("engine.{TLS_KEY}: {}", reword(error.message()))),
    }
}

/// Text in PEM may stand in place of dockerd's path.
fn check_pem(name: &str, text: &str) -> Result<(), String> {
    let wrong = match text.trim_start() {
        text if text.starts_with('/') => None,
        text if !text.starts_with("-----BEGIN ") => Some("is neither a path nor text in PEM"),
        text if name != TLS_KEY => certificates::check(text).err(),
        text if !is_key(text) => Some(NO_KEY),
        _ => None,
    };
    match wrong {
        Some(wrong) => Err(format!("engine.{name} {wrong}")),
        None => Ok(()),
    }
}

const NO_KEY: &str = "holds no private key in PEM";

fn is_key(text: &str) -> bool {
    text.trim_start().starts_with("-----BEGIN ") && text.contains("PRIVATE KEY-----")
}

/// Without them dockerd looks into its home folder, where nothing is.
fn check_tls(options: &Table) -> Result<(), String> {
    let needed = ["tlscacert", "tlscert", "tlskey"];
    let missing = needed.iter().find(|name| !options.contains_key(**name));
    match missing {
        Some(missing) if options.get("tlsverify") == Some(&Value::Boolean(true)) => Err(format!(
            "engine.tlsverify needs engine.{missing}: the CA of the clients, and the certificate and key of the engine"
        )),
        _ => Ok(()),
    }
}

/// `tare-engine` acts on messages that dockerd writes at level `info`.
fn check_log_level(level: &Value) -> Result<(), String> {
    match level.as_str() {
        Some("debug" | "info") => Ok(()),
        _ => Err(format!(
            "engine.log-level must be `debug` or `info`, is {level}: tare-engine acts on messages of the level `info`"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Machine;

    #[test]
    fn options_are_known_and_of_their_type() {
        let sorted = OPTIONS.is_sorted_by_key(|(name, _)| *name) && FIXED.is_sorted();
        assert!(sorted);
        for (text, want) in [
            ("bip = '10.9.0.1/16'", None),
            (
                "default-address-pools = [{ base = '10.8.0.0/16', size = 24 }]",
                None,
            ),
            ("hosts = ['tcp://0.0.0.0:2376']", None),
            ("log-level = 'debug'", None),
            (
                "log-level = 'warn'",
                Some(
                    "engine.log-level must be `debug` or `info`, is \"warn\": tare-engine acts on messages of the level `info`",
                ),
            ),
            (
                "log-drivr = 'local'",
                Some("unknown option of the engine `log-drivr`, did you mean `log-driver`?"),
            ),
            (
                "tlsverify = true\ntlscacert = '/srv/ca.pem'\ntlskey = '/srv/key.pem'",
                Some(
                    "engine.tlsverify needs engine.tlscert: the CA of the clients, and the certificate and key of the engine",
                ),
            ),
            (
                "tlsverify = true\ntlscacert = '/a'\ntlscert = '/b'\ntlskey = '/c'",
                None,
            ),
            (
                "tlscert = 'cert.pem'",
                Some("engine.tlscert is neither a path nor text in PEM"),
            ),
            (
                "tlscert = '-----BEGIN CERTIFICATE-----'",
                Some("engine.tlscert holds a certificate that is cut off, or damaged"),
            ),
            (
                "tlskey = '-----BEGIN CERTIFICATE-----'",
                Some("engine.tlskey holds no private key in PEM"),
            ),
            ("mtu = '1400'", Some("engine.mtu must be a whole number")),
            (
                "data-root = '/data'",
                Some("engine.data-root is fixed: the image depends on it"),
            ),
            (
                "hosts = ['unix:///a']",
                Some(
                    "engine.hosts: \"unix:///a\" is not of the form `tcp://ADDRESS:PORT`; the Unix socket is always there",
                ),
            ),
        ] {
            let read = toml::from_str::<Machine>(&format!("[engine]\n{text}"));
            let error = read.err().map(|error| error.message().to_owned());
            assert_eq!(error.as_deref(), want, "{text}");
        }
    }
}
