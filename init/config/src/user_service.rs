//! A service that user-data brings: an OCI image, and what may be said about a service of the image but for what belongs
//! to the image as a whole.

use crate::service::{
    Capability, Lifecycle, Mount, Process, Resources, Sandbox, Service, Socket, program, yes,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// `[services.NAME]` with an `image`. [`Policy`](crate::Policy) says what of it is granted.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct UserService {
    /// Where its root filesystem and the defaults of its process come from.
    pub image: ImageName,
    /// A one-line description; the name of the image by default.
    #[serde(default)]
    pub description: Option<String>,
    /// False keeps the service from ever starting.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// The program that runs in it.
    #[serde(default)]
    pub process: UserProcess,
    /// Variables to add to those of the image, or to replace.
    #[serde(default, deserialize_with = "program::environment")]
    pub environment: BTreeMap<String, String>,
    /// What isolates it from the host.
    #[serde(default)]
    pub sandbox: Sandbox,
    /// Mounts in addition to its root filesystem.
    #[serde(default)]
    pub mounts: Vec<Mount>,
    /// Sockets that PID 1 holds for it and passes as descriptors 3 and up.
    #[serde(default)]
    pub sockets: Vec<Socket>,
    /// When it starts, becomes ready, restarts and stops.
    #[serde(default)]
    pub lifecycle: Lifecycle,
    /// Its resource limits.
    #[serde(default)]
    pub resources: Resources,
}

/// The program of a service of the user. It reads no section of the configuration, which may hold secrets.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct UserProcess {
    /// Program (absolute path) and its arguments, in place of the image's entry point and command.
    #[serde(deserialize_with = "program::args")]
    pub args: Option<Vec<String>>,
    /// A user in the image's `/etc/passwd`, in place of the image's user.
    pub user: Option<String>,
    /// The directory that the process starts in, in place of the image's.
    pub working_directory: Option<String>,
    /// Capabilities that it keeps.
    pub capabilities: Vec<Capability>,
    /// Whether it has a `syslog(3)` socket at `/dev/log`.
    pub log_socket: bool,
}

/// What an image says about its process (image-spec, config.md).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImageProcess {
    /// `Entrypoint`, then `Cmd`.
    pub args: Vec<String>,
    /// `Env`, by name.
    pub environment: BTreeMap<String, String>,
    /// `User`; empty means root.
    pub user: String,
    /// `WorkingDir`; empty means `/`.
    pub working_directory: String,
}

impl UserService {
    /// The service to run, with what `image` says where the user says nothing.
    ///
    /// # Errors
    /// If neither names a program.
    pub fn resolve(self, image: ImageProcess) -> Result<Service, String> {
        let args = self.process.args.unwrap_or(image.args);
        if args.is_empty() {
            let image = self.image.as_str();
            return Err(format!(
                "image `{image}` names no program: write process.args"
            ));
        }
        let mut environment = image.environment;
        environment.extend(self.environment);
        Ok(Service {
            description: self.description.unwrap_or(self.image.0),
            enabled: self.enabled,
            enabled_with: None,
            for_each: None,
            image: crate::service::Image::default(),
            process: Process {
                args,
                user: or_default(self.process.user, image.user, "root"),
                working_directory: or_default(
                    self.process.working_directory,
                    image.working_directory,
                    "/",
                ),
                capabilities: self.process.capabilities,
                config: Vec::new(),
                log_socket: self.process.log_socket,
                collects_output: false,
            },
            environment,
            sandbox: self.sandbox,
            mounts: self.mounts,
            sockets: self.sockets,
            lifecycle: self.lifecycle,
            resources: self.resources,
        })
    }
}

fn or_default(users: Option<String>, images: String, usual: &str) -> String {
    match users {
        Some(value) => value,
        None if images.is_empty() => usual.to_owned(),
        None => images,
    }
}

/// The name of an image as Docker writes it: `[REGISTRY/]NAME[:TAG][@DIGEST]` (distribution, `reference/reference.go`).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct ImageName(String);

/// The longest name without tag and digest, in bytes.
const MAX_NAME: usize = 255;
/// The longest tag, in bytes.
const MAX_TAG: usize = 128;

impl ImageName {
    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for ImageName {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        if is_image(&name) {
            return Ok(Self(name));
        }
        Err(format!(
            "`{}` is not an image: write its name, all lower case, and a tag or a digest, as in `registry.example/web:1.4`",
            name.escape_debug()
        ))
    }
}

impl From<ImageName> for String {
    fn from(name: ImageName) -> Self {
        name.0
    }
}

fn is_image(text: &str) -> bool {
    let (text, digest) = match text.split_once('@') {
        Some((text, digest)) => (text, Some(digest)),
        None => (text, None),
    };
    // A colon before the last slash is that of a port.
    let last = text.rfind('/').map_or(0, |slash| slash + 1);
    let (name, tag) = match text[last..].split_once(':') {
        Some((end, tag)) => (&text[..last + end.len()], Some(tag)),
        None => (text, None),
    };
    name.len() <= MAX_NAME
        && is_name(name)
        && tag.is_none_or(is_tag)
        && digest.is_none_or(is_digest)
}

fn is_name(name: &str) -> bool {
    match name.split_once('/') {
        Some((first, rest)) => {
            let registry = first == "localhost" || first.contains(['.', ':']);
            (if registry {
                is_registry(first)
            } else {
                is_component(first)
            }) && rest.split('/').all(is_component)
        }
        None => is_component(name),
    }
}

fn is_registry(registry: &str) -> bool {
    let (host, port) = match registry.rsplit_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (registry, None),
    };
    let label = |label: &str| {
        let inner = |c: char| c.is_ascii_alphanumeric() || c == '-';
        !label.is_empty()
            && label.chars().all(inner)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    host.split('.').all(label) && port.is_none_or(|port| port.parse::<u16>().is_ok())
}

/// Lower-case letters and digits, with single `.` or `_`, `__` or any number of `-` between them.
fn is_component(component: &str) -> bool {
    let alphanumeric = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let ends = component.starts_with(alphanumeric) && component.ends_with(alphanumeric);
    let mut between = component.split(alphanumeric);
    ends && between.all(|separator| {
        matches!(separator, "" | "." | "_" | "__") || separator.chars().all(|c| c == '-')
    })
}

fn is_tag(tag: &str) -> bool {
    let inner = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    (1..=MAX_TAG).contains(&tag.len()) && tag.chars().all(inner) && !tag.starts_with(['.', '-'])
}

/// Of SHA-256, which is what registries use.
fn is_digest(digest: &str) -> bool {
    let hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
    let digits = digest.strip_prefix("sha256:");
    digits.is_some_and(|digits| digits.len() == 64 && digits.chars().all(hex))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(text: &str) -> Result<UserService, String> {
        crate::parse("t", text.as_bytes()).map_err(|error| error.to_string())
    }

    #[test]
    fn names_of_images_are_those_of_docker() {
        let digest = format!("web@sha256:{}", "0a".repeat(32));
        let long = "a".repeat(255);
        for name in [
            "web",
            "web:1.4",
            "a/b/c",
            "a__b/c-----d:Tag_1.x-",
            "localhost/web",
            "localhost:5000/web",
            "registry.example:5000/a.b/c:v1",
            "Registry.Example/web",
            "10.0.0.1/web",
            &digest,
            &long,
        ] {
            assert!(is_image(name), "{name}");
        }
        let longer = "a".repeat(256);
        let tag = format!("web:{}", "a".repeat(129));
        for name in [
            "",
            "Web",
            "web:",
            "web:-1",
            "web:1:2",
            "/web",
            "web/",
            "a//b",
            "a/../b",
            "../a",
            "-a",
            "a_",
            "a..b",
            "a___b",
            "a b",
            "a\nb",
            "registry.example:x/web",
            "registry.example:65536/web",
            ".registry/web",
            "-r.example/web",
            "web@sha256:0a",
            "web@md5:00",
            "@",
            "a;b",
            &longer,
            &tag,
        ] {
            assert!(!is_image(name), "{name}");
        }
    }

    #[test]
    fn the_image_says_what_the_user_does_not() {
        let image = || ImageProcess {
            args: vec!["/entry".to_owned(), "serve".to_owned()],
            environment: [("A", "image"), ("B", "image")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
            user: "app".to_owned(),
            working_directory: "/app".to_owned(),
        };
        let resolved = |text: &str, image: ImageProcess| {
            let service = service(text).unwrap().resolve(image)?;
            let process = service.process;
            let environment: Vec<String> = service
                .environment
                .iter()
                .map(|(name, value)| format!("{name}={value}"))
                .collect();
            Ok::<_, String>(format!(
                "{}: {} as {} in {} with {}",
                service.description,
                process.args.join(" "),
                process.user,
                process.working_directory,
                environment.join(" "),
            ))
        };
        assert_eq!(
            resolved("image='web:1'", image()).unwrap(),
            "web:1: /entry serve as app in /app with A=image B=image"
        );
        let all = "image='web:1'\ndescription='the shop'\nenvironment={B='user'}\n\
                   process={args=['/a','b'],user='other',working-directory='/w'}";
        assert_eq!(
            resolved(all, image()).unwrap(),
            "the shop: /a b as other in /w with A=image B=user"
        );
        let least = ImageProcess {
            args: vec!["/x".to_owned()],
            ..ImageProcess::default()
        };
        assert_eq!(
            resolved("image='web'", least).unwrap(),
            "web: /x as root in / with "
        );
        assert_eq!(
            resolved("image='web:1'", ImageProcess::default()).unwrap_err(),
            "image `web:1` names no program: write process.args"
        );
    }

    #[test]
    fn what_belongs_to_the_system_has_no_key() {
        let process = "known are args, user, working-directory, capabilities, log-socket";
        let service_keys = "known are image, description, enabled, process, environment, sandbox, mounts, sockets, \
                            lifecycle, resources";
        for (text, want) in [
            ("process={args=['/a']}", "1:1: missing key `image`".to_owned()),
            (
                "image='Web'",
                "1:7: `Web` is not an image: write its name, all lower case, and a tag or a digest, as in \
                 `registry.example/web:1.4`"
                    .to_owned(),
            ),
            (
                "image='web'\nprocess={config=['ssh']}",
                format!("2:10: unknown key `config`, {process}"),
            ),
            (
                "image='web'\nprocess={collects-output=true}",
                format!("2:10: unknown key `collects-output`, {process}"),
            ),
            (
                "image='web'\nfor-each='apps'",
                format!("2:1: unknown key `for-each`, {service_keys}"),
            ),
            (
                "image='web'\nenabled-with='metrics'",
                format!("2:1: unknown key `enabled-with`, {service_keys}"),
            ),
            (
                "image='web'\nprocess={args=['serve']}",
                "2:15: args must start with the absolute path of a program".to_owned(),
            ),
        ] {
            assert_eq!(service(text), Err(format!("t:{want}")));
        }
    }
}
