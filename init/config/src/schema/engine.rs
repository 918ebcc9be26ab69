//! `[engine]`: what the options of dockerd are for, with their defaults. Their types are the reader's.

use super::keyword;
use super::secrets::or_reference;
use super::texts::certificate_or_path;
use crate::machine::{Engine, OPTIONS, OptionKind};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value, json};
use std::borrow::Cow;
use toml::Table;

/// The default of an option.
enum Default {
    /// A value, in TOML.
    Is(&'static str),
    /// In words.
    From(&'static str),
}

use Default::{From, Is};

/// What an option is for, its default, and an example in TOML.
struct Doc(&'static str, Default, &'static str);

impl JsonSchema for Engine {
    fn schema_name() -> Cow<'static, str> {
        "Engine".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let options: Map<String, Value> = OPTIONS
            .iter()
            .map(|(name, kind)| ((*name).to_owned(), option(name, *kind)))
            .collect();
        json_schema!({
            "type": "object",
            "properties": options,
            "additionalProperties": false,
            "anyOf": [
                { "properties": { "tlsverify": { "enum": [false] } } },
                { "required": ["tlscacert", "tlscert", "tlskey"] },
            ],
            "examples": [{
                "hosts": ["tcp://0.0.0.0:2376"],
                "tlsverify": true,
                "tlscacert": "/srv/tls/ca.pem",
                "tlscert": "/srv/tls/cert.pem",
                "tlskey": "/srv/tls/key.pem",
            }],
        })
    }
}

fn option(name: &str, kind: OptionKind) -> Value {
    let mut schema = match name {
        "tlscacert" | "tlscert" => certificate_or_path().to_value(),
        "tlskey" => {
            let pattern = r"^\s*(/|-----BEGIN [\s\S]*PRIVATE KEY-----)";
            or_reference(
                "path or PEM",
                &json!({ "type": "string", "pattern": pattern }),
            )
            .to_value()
        }
        "hosts" => json!({
            "type": "array",
            "items": { "type": "string", "pattern": "^tcp://" },
            (keyword::TYPE): "list of `tcp://ADDRESS:PORT`",
        }),
        "log-level" => json!({ "enum": ["debug", "info"] }),
        _ => match kind {
            OptionKind::Boolean => json!({ "type": "boolean" }),
            OptionKind::Number => json!({ "type": "integer" }),
            OptionKind::Text => json!({ "type": "string" }),
            OptionKind::List => json!({ "type": "array" }),
            OptionKind::Table => json!({ "type": "object" }),
        },
    };
    // A test has it that each has one.
    if let Some(Doc(meaning, default, example)) = doc(name) {
        schema["description"] = json!(meaning);
        schema["examples"] = json!([value(example)]);
        match default {
            Is(text) => schema["default"] = value(text),
            From(words) => schema[keyword::DEFAULT] = json!(words),
        }
    }
    schema
}

/// What `text` is in TOML; null if it is not TOML.
fn value(text: &str) -> Value {
    let table: Option<Table> = format!("value = {text}").parse().ok();
    json!(table.as_ref().and_then(|table| table.get("value")))
}

/// From dockerd(8) of 26.1 and our `daemon.json`.
#[rustfmt::skip]
fn doc(name: &str) -> Option<Doc> {
    Some(match name {
        "allow-direct-routing" => Doc("Whether other machines, and a VPN of the machine, reach containers by the containers' own IPv4 addresses, as before Docker 28.", Is("false"), "true"),
        "allow-nondistributable-artifacts" => Doc("Registries to which layers are pushed that may not be distributed.", Is("[]"), "[\"registry.example:5000\"]"),
        "authorization-plugins" => Doc("Plugins that allow or refuse each request, in their order.", Is("[]"), "[\"example/authz\"]"),
        "bip" => Doc("The address and prefix of the bridge `docker0`.", From("the first free one of `default-address-pools`"), "\"10.200.0.1/24\""),
        "bridge" => Doc("An existing bridge in place of `docker0`; `none` for no default network.", From("`docker0`, which the engine makes"), "\"none\""),
        "builder" => Doc("How BuildKit keeps its cache (`gc`), and what builds may ask for (`entitlements`).", From("dockerd's"), "{ gc = { enabled = true, defaultKeepStorage = \"10GB\" } }"),
        "debug" => Doc("Whether the engine logs what only its developers need.", Is("false"), "true"),
        "default-address-pools" => Doc("Address ranges from which networks are taken, each of the prefix length `size`.", From("dockerd's"), "[{ base = \"10.200.0.0/16\", size = 24 }]"),
        "default-cgroupns-mode" => Doc("Whether containers have a cgroup namespace of their own: `private` or `host`.", Is("\"private\""), "\"host\""),
        "default-gateway" => Doc("The IPv4 gateway of containers on the default bridge.", From("the address of the bridge"), "\"10.200.0.254\""),
        "default-gateway-v6" => Doc("The IPv6 gateway of containers on the default bridge.", From("the address of the bridge"), "\"2001:db8:1::1\""),
        "default-network-opts" => Doc("Options of each new network, by driver.", Is("{}"), "{ bridge = { \"com.docker.network.driver.mtu\" = \"1400\" } }"),
        "default-runtime" => Doc("The OCI runtime of containers that name none.", Is("\"runc\""), "\"runc\""),
        "default-shm-size" => Doc("The size of `/dev/shm` of containers that name none.", Is("\"64M\""), "\"256M\""),
        "default-ulimits" => Doc("Limits (getrlimit(2)) of containers that name none.", Is("{ nofile = { Name = \"nofile\", Soft = 1024, Hard = 524288 } }"), "{ nofile = { Name = \"nofile\", Soft = 65536, Hard = 524288 } }"),
        "dns" => Doc("Resolvers of containers.", From("the machine's of the moment"), "[\"192.0.2.53\"]"),
        "dns-opts" => Doc("Options of containers' resolvers (resolv.conf(5)).", Is("[]"), "[\"ndots:1\"]"),
        "dns-search" => Doc("Domains that complete short names in containers.", From("the machine's"), "[\"example.com\"]"),
        "experimental" => Doc("Whether the engine offers experimental features.", Is("false"), "true"),
        "features" => Doc("Features to switch on or off, by name.", Is("{}"), "{ containerd-snapshotter = false }"),
        "fixed-cidr" => Doc("The part of `bip` from which containers on the default bridge have addresses.", From("all of `bip`"), "\"10.200.0.128/25\""),
        "fixed-cidr-v6" => Doc("The IPv6 network of the default bridge; with `ipv6`.", From("none"), "\"2001:db8:1::/64\""),
        "host-gateway-ip" => Doc("What `host-gateway` stands for in `--add-host`.", From("the address of the default bridge"), "\"10.200.0.1\""),
        "hosts" => Doc("Addresses at which the engine listens besides its Unix socket. A client that reaches one is root on the machine: set `tlsverify`, too.", From("only the Unix socket"), "[\"tcp://127.0.0.1:2375\"]"),
        "icc" => Doc("Whether containers on the default bridge reach each other.", Is("true"), "false"),
        "init" => Doc("Whether containers have an init process that reaps.", Is("false"), "true"),
        "insecure-registries" => Doc("Registries, by name or network, for which plain HTTP or a self-signed certificate will do. `registries` says it of one by name.", Is("[]"), "[\"10.0.0.0/8\"]"),
        "ip" => Doc("The address at which ports are published that name none.", From("every address"), "\"127.0.0.1\""),
        "ip-forward" => Doc("Whether the engine switches on forwarding between links.", Is("true"), "false"),
        "ip-masq" => Doc("Whether containers reach other machines by the machine's address.", Is("true"), "false"),
        "ip6tables" => Doc("Whether the engine sets firewall rules for IPv6; with `experimental`.", Is("false"), "true"),
        "iptables" => Doc("Whether the engine sets firewall rules for IPv4. Without them, no port is published.", Is("true"), "false"),
        "ipv6" => Doc("Whether the default bridge has IPv6; with `fixed-cidr-v6`.", Is("false"), "true"),
        "labels" => Doc("Labels of the engine.", Is("[]"), "[\"rack=3\"]"),
        "live-restore" => Doc("Whether containers keep running while the engine restarts.", Is("true"), "false"),
        "log-driver" => Doc("Where the output of containers goes that name no driver.", Is("\"local\""), "\"json-file\""),
        "log-level" => Doc("The least severe messages that the engine logs. `tare-engine` acts on messages of the level `info`.", Is("\"info\""), "\"debug\""),
        "log-opts" => Doc("Options of the log driver.", Is("{ max-size = \"10m\", max-file = \"3\" }"), "{ max-size = \"50m\", max-file = \"5\" }"),
        "max-concurrent-downloads" => Doc("Layers that a pull fetches at once.", Is("3"), "6"),
        "max-concurrent-uploads" => Doc("Layers that a push sends at once.", Is("5"), "2"),
        "max-download-attempts" => Doc("How often a layer is tried.", Is("5"), "10"),
        "metrics-addr" => Doc("Where the engine serves Prometheus metrics, as `ADDRESS:PORT`.", From("nowhere"), "\"127.0.0.1:9323\""),
        "mtu" => Doc("The largest packet on the default bridge, in bytes.", Is("1500"), "1400"),
        "no-new-privileges" => Doc("Whether setuid programs in containers gain nothing.", Is("false"), "true"),
        "node-generic-resources" => Doc("Resources that this machine offers a swarm.", Is("[]"), "[\"NVIDIA-GPU=UUID1\"]"),
        "proxies" => Doc("Proxies for pulls, pushes and builds: `http-proxy`, `https-proxy`, `no-proxy`.", Is("{}"), "{ https-proxy = \"http://proxy.example:3128\" }"),
        "registry-mirrors" => Doc("Mirrors of Docker Hub. `registries.\"docker.io\".mirrors` says the same.", Is("[]"), "[\"https://mirror.example\"]"),
        "runtimes" => Doc("Further OCI runtimes, by name.", Is("{}"), "{ other = { path = \"/srv/bin/other\" } }"),
        "seccomp-profile" => Doc("The path of a seccomp profile in place of dockerd's; `unconfined` for none.", From("dockerd's"), "\"/srv/seccomp.json\""),
        "shutdown-timeout" => Doc("How long containers have to stop at shutdown, in seconds.", Is("10"), "30"),
        "swarm-default-advertise-addr" => Doc("The address or link that a swarm is told.", From("none"), "\"eth0\""),
        "tlscacert" => Doc("The CA of clients: a path, or the text in PEM.", From("none"), "\"/srv/tls/ca.pem\""),
        "tlscert" => Doc("The engine's certificate: a path, or the text in PEM.", From("none"), "\"/srv/tls/cert.pem\""),
        "tlskey" => Doc("The engine's private key: a path, the text in PEM, or a reference to that.", From("none"), "\"/srv/tls/key.pem\""),
        "tlsverify" => Doc("Whether clients at `hosts` must show a certificate. It needs `tlscacert`, `tlscert` and `tlskey`.", Is("false"), "true"),
        "userland-proxy" => Doc("Whether each published port has a process that also serves the machine's own connections to it.", Is("true"), "false"),
        _ => return None,
    })
}
