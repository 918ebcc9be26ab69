//! Texts and numbers that have a form of their own.

use super::keyword;
use crate::machine::{
    AuthorizedKey, Certificates, Checksum, Cidr, DevicePath, DiskId, DiskLabel, Domain, DottedKey,
    FileMode, GroupName, Hostname, JobVolume, Mirror, ModuleName, MountPoint, Mtu, Owner,
    Principal, PublicKey, Receiver, SYSTEM_NAMES, SchemaVersion, Serial, ServerName, SizeBound,
    SshPort, SwapSize, UserId, WatchdogTimeout, Word, ZoneName, ZramSize,
};
use crate::service::{Backoff, Condition, HttpTarget, Schedule};
use crate::{Bytes, MAX_ARGUMENT, Span};
use data_encoding::BASE64_NOPAD;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};
use std::borrow::Cow;

/// The words for types in the reference, and what they mean.
pub(super) fn glossary() -> Value {
    json!({
        "span": "a length of time: a whole number and `ms`, `s`, `min` (or `m`) or `h`, as in `30s`",
        "size": "a number of bytes: a whole number and `KiB`, `MiB` or `GiB`, as in `64MiB`",
        "address": "an IPv4 or IPv6 address, as in `192.0.2.1` or `2001:db8::1`",
        "reference": "where a secret is kept: `{ credential = \"NAME\" }` or `{ file = \"PATH\" }`",
        "PEM": "text in PEM (RFC 7468), best between `\"\"\"`: its lines from `-----BEGIN` to `-----END`",
    })
}

/// A path below one of the folders that apps may have files in.
pub(super) const FOLDERS: &str = "^/(data|home|mnt|opt|srv)/";
/// The path of a file below one of the folders that services and logins see, without `.` and `..`.
pub(super) const FILE: &str = r"^/(data|home|mnt|opt|root|srv)(/([^/.\x00-\x1f\x7f][^/\x00-\x1f\x7f]*|\.[^/.\x00-\x1f\x7f][^/\x00-\x1f\x7f]*|\.\.[^/\x00-\x1f\x7f]+))+$";
/// A registry's name.
pub(super) const HOST: &str = r"^[A-Za-z0-9:\[\]-][A-Za-z0-9.:\[\]-]{0,254}$";
/// Text that `execve(2)` takes.
pub(super) const NO_NUL: &str = r"^[^\x00]*$";

const LABEL: &str = "[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?";
const SHORT_LABEL: &str = "[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?";
/// From 1 to 65535, as `u16::from_str` reads it.
const PORT: &str =
    r"\+?0*(6553[0-5]|655[0-2][0-9]|65[0-4][0-9]{2}|6[0-4][0-9]{3}|[1-5][0-9]{4}|[1-9][0-9]{0,3})";
const V4: &str = r"((25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])\.){3}(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])";
const ABOVE_ZERO: &str = "0*[1-9][0-9]*";
/// 1 MiB at least.
const SWAP: &str = "0*([1-9][0-9]*(MiB|GiB)|(102[4-9]|10[3-9][0-9]|1[1-9][0-9]{2}|[2-9][0-9]{3}|[1-9][0-9]{4,})KiB)";
const PEM: &str = r"-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----";

/// The name of an app or a service ([`crate::check_name`]).
pub(super) fn name() -> String {
    "^[a-z][a-z0-9-]{0,62}$".to_owned()
}

/// An IPv6 address, as `Ipv6Addr::from_str` reads it.
fn v6() -> String {
    const H: &str = "[0-9A-Fa-f]{1,4}";
    let mut forms = vec![format!("({H}:){{7}}{H}"), format!("({H}:){{6}}{V4}")];
    for left in 0..=7_usize {
        let right = 7 - left;
        let before = match left {
            0 => String::new(),
            left => format!("({H}:){{{}}}{H}", left - 1),
        };
        let mut after = Vec::new();
        if right >= 1 {
            after.push(format!("({H}:){{0,{}}}{H}", right - 1));
        }
        if right >= 2 {
            after.push(format!("({H}:){{0,{}}}{V4}", right - 2));
        }
        let after = match after.is_empty() {
            true => String::new(),
            false => format!("({})?", after.join("|")),
        };
        forms.push(format!("{before}::{after}"));
    }
    forms.join("|")
}

/// The name of a user or a group.
pub(super) fn user_name() -> &'static str {
    "^[a-z_][a-z0-9_-]{0,31}$"
}

fn text(words: &str, pattern: &str) -> Schema {
    json_schema!({ "type": "string", "pattern": pattern, (keyword::TYPE): words })
}

/// The texts of `schema` that are no longer than `most`, in characters.
fn at_most(most: u32, mut schema: Schema) -> Schema {
    schema.insert("maxLength".to_owned(), json!(most));
    schema
}

/// The schemas of types that are written as text: the words for the type, its pattern, and its longest length.
macro_rules! texts {
    ($($type:ident: $words:expr, $pattern:expr $(, $most:expr)?;)*) => {$(
        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                let pattern: String = $pattern.into();
                let schema = text($words, &pattern);
                $(let schema = at_most($most, schema);)?
                schema
            }
        }
    )*};
}

texts! {
    Span: "span", "^[0-9]+(ms|s|min|m|h)$";
    Bytes: "size", "^[0-9]+(KiB|MiB|GiB)$";
    Hostname: "host name", format!(r"^{LABEL}(\.{LABEL})*$"), 64;
    Domain: "domain", format!(r"^{SHORT_LABEL}(\.{SHORT_LABEL})*$"), 253;
    ServerName: "host name or address", "^[A-Za-z0-9.:-]+$", 253;
    ModuleName: "module's name or alias", "^[A-Za-z0-9_:.][A-Za-z0-9_:.-]*$", 64;
    Mirror: "URL", r"^https?://[!$-.0-9;->A-\[\]-~][!$->A-\[\]-~]*$";
    Cidr: "`ADDRESS/PREFIX`", format!(
        r"^({V4}/\+?0*([12]?[0-9]|3[0-2])|({})/\+?0*([1-9]?[0-9]|1[01][0-9]|12[0-8]))$", v6()
    );
    DottedKey: "key", dotted_key();
    AuthorizedKey: "line of `authorized_keys`", authorized_key();
    PublicKey: "public key", format!(r"^\s*({})([ \t][^\n]*)?\s*$", keys());
    Principal: "principal", "^[A-Za-z0-9@._:/+=-]+$", 256;
    WatchdogTimeout: "span, `5s` to `300s` in whole seconds",
        "^0*(([5-9]|[1-9][0-9]|[12][0-9]{2}|300)(s|000ms)|[1-5](min|m))$";
    Receiver: "`udp://`, `tcp://` or `tls://HOST[:PORT]`", format!(
        r"^(udp|tcp|tls)://([A-Za-z0-9.-]{{1,253}}|\[[A-Za-z0-9.:-]{{1,253}}\])(:{PORT})?$"
    );
    Backoff: "`LEAST..MOST`, each a span", format!("^{ABOVE_ZERO}(ms|s|min|m|h)\\.\\.{ABOVE_ZERO}(ms|s|min|m|h)$");
    Condition: "condition", format!(
        "^(network:online|state:mounted|time:synced|path:{ABSOLUTE}|[^:]+:(ready|done))$"
    );
    HttpTarget: "`PORT/PATH`", format!("^{PORT}/[!-~]*$");
    Checksum: "SHA-256 in hexadecimal digits", "^[0-9A-Fa-f]{64}$";
    FileMode: "permissions in octal", "^0?[0-7]{3}$";
    Owner: "`USER:GROUP`, each a number", "^[0-9]+:[0-9]+$";
    DiskId: "name in `/dev/disk/by-id`", r"^(\.{3,}|\.{0,2}[!-,\-0-~])[!-.0-~]*$", 255;
    DevicePath: "path below `/dev`", r"^/dev(/(\.{0,2}[!-,\-0-~][!-.0-~]*|\.{3,}[!-.0-~]*))+$", 1024;
    Serial: "serial number", r"^[!-~]([ -~]*[!-~])?$", 128;
    DiskLabel: "label", "^[A-Za-z0-9._-]+$", 16;
    SizeBound: "`>=SIZE` or `<=SIZE`, in MB, GB, TB, MiB, GiB or TiB", "^[<>]=[0-9]+([MGT]i?B)$";
    MountPoint: "path", FILE.replace("|root", "");
    SwapSize: "size, `1MiB` at least", format!("^{SWAP}$");
    ZramSize: "size, `1MiB` at least, or `1%` to `200%` of the memory", format!(
        "^({SWAP}|0*([1-9][0-9]?|1[0-9]{{2}}|200)%)$"
    );
    ZoneName: "time zone", "^[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*$", 64;
    Word: "name", "^[A-Za-z0-9][!-~]*$";
    JobVolume: "`SOURCE:TARGET[:OPTIONS]`",
        r"^(/[^:\x00-\x1f\x7f-\x9f]*|[A-Za-z0-9][A-Za-z0-9_.-]*):/[^:\x00-\x1f\x7f-\x9f]*(:[a-z,]+)?$";
    Schedule: "span or calendar expression", schedule();
}

/// An absolute path without `..`.
const ABSOLUTE: &str = r"(/([^/.][^/]*|\.[^/.][^/]*|\.\.[^/]+|\.)?)+";

/// As TOML 1.0 spells a dotted key.
fn dotted_key() -> String {
    const KEY: &str = r#"([A-Za-z0-9_-]+|"([^"\\\n]|\\.)*"|'[^'\n]*')"#;
    format!(r"^[ \t]*{KEY}([ \t]*\.[ \t]*{KEY})*[ \t]*$")
}

/// A comment; or options, a key, and a comment.
fn authorized_key() -> String {
    const OPTIONS: &str = r#"(\\[^ \t]|[^\s"\\]|"(\\.|[^"\\])*")+\\?"#;
    let keys = keys();
    format!(r"^\s*(#[\s\S]*|({OPTIONS}\s+)?({keys})([ \t][^\n]*)?\s*)?$")
}

/// A type and a key that says its type (RFC 4253, 6.6).
fn keys() -> String {
    let keys = crate::machine::KEY_TYPES.map(|kind| {
        let length = u32::try_from(kind.len()).unwrap_or_default();
        let start = [&length.to_be_bytes()[..], kind.as_bytes()].concat();
        // A letter stands for six bits, and the last one may have some of what follows.
        let start: String = BASE64_NOPAD
            .encode(&start)
            .chars()
            .take(start.len() * 8 / 6)
            .collect();
        let kind = kind.replace('.', r"\.");
        format!(
            r"{kind}[ \t]+{}[A-Za-z0-9+/]+={{0,2}}",
            start.replace('+', r"\+")
        )
    });
    keys.join("|")
}

/// An interval of a second or more, or a calendar expression (systemd.time(7)).
fn schedule() -> String {
    const NUMBERS: &str = "[0-9*][0-9*,./]*";
    let any_case = |word: &str| -> String {
        word.chars()
            .map(|c| format!("[{}{c}]", c.to_ascii_uppercase()))
            .collect()
    };
    let days = crate::service::WEEKDAYS.map(|day| {
        let (short, rest) = day.split_at(3);
        format!("{}({})?", any_case(short), any_case(rest))
    });
    let words = crate::service::CALENDAR_WORDS
        .map(|(word, _)| word)
        .join("|");
    let day = format!("({})", days.join("|"));
    let item = format!(r"({day}(\.\.{day})?|\*)(/[0-9]+)?");
    let weekdays = format!(r"{day}(\.\.{day})?(/[0-9]+)?(,{item})*");
    let date = format!("{NUMBERS}(-{NUMBERS}){{1,2}}");
    let time = format!("{NUMBERS}(:{NUMBERS}){{1,2}}");
    let calendar = format!(r"({weekdays}(\s+{date})?(\s+{time})?|{date}(\s+{time})?|{time})");
    format!(r"^({ABOVE_ZERO}(s|min|m|h)|0*[1-9][0-9]{{3,}}ms|{words}|\s*{calendar}\s*)$")
}

impl JsonSchema for Certificates {
    fn schema_name() -> Cow<'static, str> {
        "Certificates".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": PEM,
            "not": { "pattern": "PRIVATE KEY-----" },
            (keyword::TYPE): "PEM",
        })
    }
}

impl JsonSchema for SchemaVersion {
    fn schema_name() -> Cow<'static, str> {
        "SchemaVersion".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "enum": [1] })
    }
}

impl JsonSchema for GroupName {
    fn schema_name() -> Cow<'static, str> {
        "GroupName".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let mut schema = text("name", user_name());
        schema.insert("not".to_owned(), json!({ "enum": SYSTEM_NAMES.as_slice() }));
        schema
    }
}

impl JsonSchema for SshPort {
    fn schema_name() -> Cow<'static, str> {
        "SshPort".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "minimum": 1, "maximum": 65535 })
    }
}

impl JsonSchema for UserId {
    fn schema_name() -> Cow<'static, str> {
        "UserId".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "minimum": 1000, "maximum": 59999 })
    }
}

impl JsonSchema for Mtu {
    fn schema_name() -> Cow<'static, str> {
        "Mtu".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "minimum": 68, "maximum": 65535 })
    }
}

/// Text with one or more certificates, or a path if that may stand in its place.
pub(super) fn certificate_or_path() -> Schema {
    // What is before the first certificate is another block.
    let block = PEM.trim_start_matches("-----BEGIN ");
    json_schema!({
        "type": "string",
        "pattern": format!(r"^\s*(/|-----BEGIN ([\s\S]*-----BEGIN )?{block})"),
        "not": { "pattern": r"^\s*-[\s\S]*PRIVATE KEY-----" },
        (keyword::TYPE): "path or PEM",
    })
}

/// An address.
fn address(_: &mut SchemaGenerator) -> Schema {
    text("address", &format!("^({V4}|{})$", v6()))
}

/// Addresses.
pub(crate) fn addresses(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "array", "items": address(generator) })
}

/// A gateway, or one of each family.
pub(crate) fn gateway(generator: &mut SchemaGenerator) -> Schema {
    let two_of =
        |family: &str| json!({ "type": "array", "items": { "pattern": family }, "minItems": 2 });
    json_schema!({
        "anyOf": [
            address(generator),
            {
                "type": "array",
                "items": address(generator),
                "maxItems": 2,
                "not": { "anyOf": [two_of(r"^[^:]*$"), two_of(":")] },
            },
        ],
        (keyword::TYPE): "address, or a list of one of each family",
    })
}

/// An address and a port, as `SocketAddr::from_str` reads them.
pub(crate) fn socket_address(_: &mut SchemaGenerator) -> Schema {
    let port = PORT.trim_start_matches(r"\+?");
    text(
        "`ADDRESS:PORT`",
        &format!(r"^({V4}|\[({})(%[0-9]+)?\]):({port}|0+)$", v6()),
    )
}

/// A program and its arguments.
pub(crate) fn args(_: &mut SchemaGenerator) -> Schema {
    let most = MAX_ARGUMENT - 1;
    json_schema!({
        "type": "array",
        "items": [{ "type": "string", "pattern": r"^/[^\x00]*$", "maxLength": most }],
        "additionalItems": { "type": "string", "pattern": NO_NUL, "maxLength": most },
        "minItems": 1,
        (keyword::TYPE): "list of strings",
    })
}

/// Arguments of a program.
pub(crate) fn texts(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "items": { "type": "string", "pattern": NO_NUL, "maxLength": MAX_ARGUMENT - 1 },
        (keyword::TYPE): "list of strings",
    })
}

/// At least 1 MiB.
pub(crate) fn memory_max(_: &mut SchemaGenerator) -> Schema {
    let kib = "(102[4-9]|10[3-9][0-9]|1[1-9][0-9]{2}|[2-9][0-9]{3}|[1-9][0-9]{4,})KiB";
    text(
        "size, `1MiB` or more",
        &format!("^0*([1-9][0-9]*(MiB|GiB)|{kib})$"),
    )
}

/// A `T` that is not zero.
pub(crate) fn positive<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    let mut schema = generator.subschema_for::<T>();
    let pattern = schema.get("pattern").and_then(Value::as_str);
    match pattern.map(|pattern| pattern.replace("[0-9]+", ABOVE_ZERO)) {
        Some(pattern) => schema.insert("pattern".to_owned(), json!(pattern)),
        None => schema.insert("minimum".to_owned(), json!(1)),
    };
    schema
}
