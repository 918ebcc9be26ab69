//! What the log keeps and where it is forwarded.

use crate::{Bytes, Span};
use serde::{Deserialize, Serialize};

/// The section `[log]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case", try_from = "RawLog")]
#[cfg_attr(feature = "schema", schemars(
    !try_from,
    deny_unknown_fields,
    default,
    extend("x-tare-see" = "logs.md"),
))]
pub struct Log {
    /// Size limit of all files of the log together; never more than a quarter of the disk.
    #[cfg_attr(feature = "schema", schemars(extend("examples" = ["256MiB"])))]
    pub total: Bytes,
    /// The size at which a file is rotated: half of `log.total` at most.
    #[cfg_attr(feature = "schema", schemars(
        schema_with = "crate::schema::positive::<Bytes>",
        extend(
            "examples" = ["16MiB"],
            "x-tare-default" = "or half of `log.total`, if that is less",
        ),
    ))]
    pub file: Bytes,
    /// Lines older than this are deleted.
    #[cfg_attr(feature = "schema", schemars(
        schema_with = "crate::schema::positive::<Span>",
        extend("examples" = ["168h"]),
    ))]
    pub age: Span,
    /// Lines a second that each service may write in the long run; 0 means no limit.
    #[cfg_attr(feature = "schema", schemars(extend("examples" = [0, 200])))]
    pub rate: u32,
    /// Lines that a service may write at once.
    #[cfg_attr(feature = "schema", schemars(
        schema_with = "crate::schema::positive::<u32>",
        extend("examples" = [2000]),
    ))]
    pub burst: u32,
    /// Where every line is also sent: a receiver of syslog (RFC 5424).
    #[cfg_attr(feature = "schema", schemars(extend("x-tare-see" = "logs.md#forwarding")))]
    pub forward: Option<Forward>,
}

impl Default for Log {
    fn default() -> Self {
        Self {
            total: Bytes::mib(64),
            file: Bytes::mib(8),
            age: Span::seconds(30 * 24 * 3600),
            rate: 1000,
            burst: 10_000,
            forward: None,
        }
    }
}

/// The section as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawLog {
    total: Option<Bytes>,
    file: Option<Bytes>,
    age: Option<Span>,
    rate: Option<u32>,
    burst: Option<u32>,
    forward: Option<Forward>,
}

impl TryFrom<RawLog> for Log {
    type Error = String;

    fn try_from(raw: RawLog) -> Result<Self, String> {
        let default = Self::default();
        let total = raw.total.unwrap_or(default.total);
        let log = Self {
            total,
            // At most half of it; otherwise the last rotation would leave nothing to read.
            file: raw.file.unwrap_or(default.file.min(Bytes(total.0 / 2))),
            age: raw.age.unwrap_or(default.age),
            rate: raw.rate.unwrap_or(default.rate),
            burst: raw.burst.unwrap_or(default.burst),
            forward: raw.forward,
        };
        let [total, file] = [log.total, log.file].map(String::from);
        match log {
            _ if log.file.0 == 0 => Err("log.file must not be 0".to_owned()),
            _ if log.file.0 > log.total.0 / 2 => Err(format!(
                "log.file is {file}: it must be half of log.total, {total}, at most"
            )),
            _ if log.age.0.is_zero() => Err("log.age must not be 0".to_owned()),
            _ if log.burst == 0 => Err("log.burst must not be 0".to_owned()),
            _ => Ok(log),
        }
    }
}

/// The section `[log.forward]`: a receiver of syslog (RFC 5424).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case", try_from = "RawForward")]
#[cfg_attr(feature = "schema", schemars(!try_from, deny_unknown_fields, extend(
        "anyOf" = [
            { "properties": { "to": { "pattern": "^tls" } }, "required": ["ca"] },
            { "properties": { "to": { "pattern": "^(udp|tcp)" } }, "not": { "required": ["ca"] } },
        ],
        "examples" = [
            { "to": "udp://192.0.2.9:514", "containers": false },
            { "to": "tls://log.example:6514", "ca": "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n" },
        ],
    )))]
pub struct Forward {
    /// The receiver. Without a port, it is 514 for `udp`, 601 for `tcp` and 6514 for `tls`.
    #[cfg_attr(feature = "schema", schemars(extend(
        "examples" = ["udp://192.0.2.9:514", "tls://log.example:6514"],
        "x-tare-default" = "none, and nothing is sent",
    )))]
    pub to: Receiver,
    /// Certificates of those that may have signed the receiver's: with `tls`, and only with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(
        extend(
            "examples" = ["-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n"],
            "x-tare-default" = "none",
            "x-tare-type" = "PEM",
        ),
        regex(pattern = "-----BEGIN CERTIFICATE-----"),
    ))]
    pub ca: Option<String>,
    /// Whether what containers write is sent, too.
    #[cfg_attr(feature = "schema", schemars(
        extend("examples" = [false], "x-tare-see" = "logs.md#lines-of-containers"),
        default = "crate::service::yes",
    ))]
    pub containers: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawForward {
    to: Receiver,
    ca: Option<String>,
    containers: Option<bool>,
}

impl TryFrom<RawForward> for Forward {
    type Error = String;

    fn try_from(raw: RawForward) -> Result<Self, String> {
        let RawForward { to, ca, containers } = raw;
        let containers = containers.unwrap_or(true);
        let is_pem = |ca: &String| ca.contains("-----BEGIN CERTIFICATE-----");
        match (to.transport, &ca) {
            (Transport::Tls, None) => Err(
                "log.forward.ca must hold the certificate of the CA that signed the receiver's"
                    .to_owned(),
            ),
            (_, Some(ca)) if !is_pem(ca) => {
                Err("log.forward.ca holds no certificate in PEM".to_owned())
            }
            (Transport::Udp | Transport::Tcp, Some(_)) => {
                Err("log.forward.ca is for receivers at tls:// only".to_owned())
            }
            _ => Ok(Self { to, ca, containers }),
        }
    }
}

/// A receiver, written `TRANSPORT://HOST:PORT`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Receiver {
    /// How it is reached.
    pub transport: Transport,
    /// A host name or address.
    pub host: String,
    /// The port.
    pub port: u16,
}

/// How a receiver is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// RFC 5426, port 514.
    Udp,
    /// RFC 6587 with octet counting, port 601.
    Tcp,
    /// RFC 5425, port 6514.
    Tls,
}

/// Names of transports, with the ports that IANA lists for syslog.
const TRANSPORTS: [(&str, Transport, u16); 3] = [
    ("udp", Transport::Udp, 514),
    ("tcp", Transport::Tcp, 601),
    ("tls", Transport::Tls, 6514),
];

impl TryFrom<String> for Receiver {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        // It may hold a password, as URLs of other receivers do.
        parse(&text).ok_or_else(|| {
            "this is not a receiver: write `udp://HOST`, `tcp://HOST:PORT` or `tls://HOST:PORT`"
                .to_owned()
        })
    }
}

fn parse(text: &str) -> Option<Receiver> {
    let (scheme, rest) = text.split_once("://")?;
    let (_, transport, default) = TRANSPORTS.into_iter().find(|(name, ..)| *name == scheme)?;
    let (host, port) = match rest.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?,
        None => rest.split_at(rest.find(':').unwrap_or(rest.len())),
    };
    let port = match port.strip_prefix(':') {
        Some(port) => port.parse().ok()?,
        None if port.is_empty() => default,
        None => return None,
    };
    let fits = |c: char| c.is_ascii_alphanumeric() || ".-:".contains(c);
    let valid = (1..=253).contains(&host.len()) && host.chars().all(fits) && port > 0;
    valid.then(|| Receiver {
        transport,
        host: host.to_owned(),
        port,
    })
}

impl From<Receiver> for String {
    fn from(receiver: Receiver) -> Self {
        let Receiver {
            transport,
            host,
            port,
        } = receiver;
        let named = TRANSPORTS.iter().find(|(_, known, _)| *known == transport);
        let scheme = named.map_or("", |(name, ..)| name);
        match host.contains(':') {
            true => format!("{scheme}://[{host}]:{port}"),
            false => format!("{scheme}://{host}:{port}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Machine;

    fn log(text: &str) -> Result<Log, String> {
        let machine: Result<Machine, _> = crate::parse("u", text.as_bytes());
        machine
            .map(|machine| machine.log)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_not_said_has_a_default_that_fits() {
        for (text, total, file) in [
            ("", 64, 8),
            ("[log]\ntotal='4MiB'", 4, 2),
            ("[log]\nfile='1MiB'", 64, 1),
        ] {
            let log = log(text).unwrap();
            assert_eq!(
                (log.total, log.file),
                (Bytes::mib(total), Bytes::mib(file)),
                "{text}"
            );
        }
    }

    #[test]
    fn receivers() {
        for (text, want) in [
            ("udp://log.example", "udp://log.example:514"),
            ("tcp://192.0.2.1:10514", "tcp://192.0.2.1:10514"),
            ("tls://[2001:db8::1]", "tls://[2001:db8::1]:6514"),
        ] {
            let receiver = Receiver::try_from(text.to_owned()).unwrap();
            assert_eq!(String::from(receiver), want);
        }
        for text in [
            "log.example",
            "http://a",
            "tcp://",
            "tcp://a:0",
            "tcp://a:b",
            "tcp://a b",
            "udp://[::1]x",
        ] {
            let want = "this is not a receiver: write `udp://HOST`, `tcp://HOST:PORT` or `tls://HOST:PORT`";
            assert_eq!(Receiver::try_from(text.to_owned()), Err(want.to_owned()));
        }
    }

    #[test]
    fn refusals() {
        for (text, want) in [
            (
                "[log]\nfile='33MiB'",
                "log.file is 33MiB: it must be half of log.total, 64MiB, at most",
            ),
            (
                "[log]\nrates=1",
                "u:2:1: unknown key `rates`, did you mean `rate`?",
            ),
            ("[log]\nfile='0KiB'", "log.file must not be 0"),
            ("[log]\nage='0s'", "log.age must not be 0"),
            ("[log]\nburst=0", "log.burst must not be 0"),
            (
                "[log.forward]\nto='tls://a'",
                "log.forward.ca must hold the certificate of the CA that signed the receiver's",
            ),
            (
                "[log.forward]\nto='tls://a'\nca='x'",
                "log.forward.ca holds no certificate in PEM",
            ),
            (
                "[log.forward]\nto='udp://a'\nca='-----BEGIN CERTIFICATE-----'",
                "log.forward.ca is for receivers at tls:// only",
            ),
        ] {
            let error = log(text).unwrap_err();
            assert!(error.ends_with(want), "{text}: {error}");
        }
    }

    #[test]
    fn containers_are_forwarded_unless_that_is_switched_off() {
        for (text, want) in [
            ("", true),
            ("containers=true", true),
            ("containers=false", false),
        ] {
            let log = log(&format!("[log.forward]\nto='udp://a'\n{text}")).unwrap();
            assert_eq!(log.forward.map(|forward| forward.containers), Some(want));
        }
    }

    #[test]
    fn a_log_survives_being_written() {
        let text = "[log]\nage='2h'\nrate=0\n[log.forward]\nto='tcp://a:1'\ncontainers=false";
        let log = log(text).unwrap();
        let text = toml::to_string(&log).unwrap();
        assert_eq!(crate::parse::<Log>("t", text.as_bytes()).unwrap(), log);
    }
}
