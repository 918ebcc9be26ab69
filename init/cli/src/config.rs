//! `tare config`: what the machine's configuration says, and whether a text is one.

mod change;
mod validate;

use crate::Failed;
use crate::args::ConfigCommand;
use crate::run::Context;
use crate::style::{Look, Style};
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use tare_config::service::Services;
use tare_config::{Layers, Setting, Settings, defaults, is_in};
use tare_control::{GetConfiguration, Method, Source};

pub(crate) fn config(context: &Context, command: &ConfigCommand) -> Result<(), Failed> {
    match command {
        ConfigCommand::Show { origin, all } => {
            let known = Known::ask(context)?;
            let settings = match all {
                true => known.all(),
                false => known.set,
            };
            context.show(&answers(&settings), |_, style| {
                text(&settings, *origin, style)
            })
        }
        ConfigCommand::Get { key } => {
            let settings = Known::ask(context)?.get(key)?;
            context.show(&answers(&settings), |_, style| match settings.get(key) {
                Some(setting) => format!("{}\n", shown(setting)),
                None => text(&settings, false, style),
            })
        }
        ConfigCommand::Origin { key } => {
            let settings = Known::ask(context)?.get(key)?;
            context.show(&answers(&settings), |_, style| text(&settings, true, style))
        }
        ConfigCommand::Validate { file } => validate::validate(context, file),
        ConfigCommand::Apply { file, dry_run } => change::apply(context, file, *dry_run),
        ConfigCommand::Set {
            key,
            value,
            dry_run,
        } => change::set(context, key, value, *dry_run),
        ConfigCommand::Unset { key, dry_run } => change::unset(context, key, *dry_run),
    }
}

/// What is known of the configuration.
struct Known {
    set: Settings,
    defaults: Settings,
    /// What is set without what commands of this machine have set.
    weaker: Settings,
    /// What those have set, as text.
    local: String,
    services: Services,
}

impl Known {
    /// Asks PID 1.
    fn ask(context: &Context) -> Result<Self, Failed> {
        let told: GetConfiguration = context.call(&Method::GetConfiguration {})?;
        let services = services(told.services)?;
        let mut layers = Layers::new(&services);
        let is_local = |source: &&Source| source.name == change::LOCAL;
        for source in told.sources.iter().filter(|source| !is_local(source)) {
            layers.add(&source.name, source.text.as_bytes());
        }
        let weaker = layers.settings();
        let local = told.sources.iter().find(is_local);
        if let Some(local) = local {
            layers.add(&local.name, local.text.as_bytes());
        }
        let set = layers.settings();
        let defaults = defaults(&layers.finish().machine, &set);
        let local = local.map(|source| source.text.clone()).unwrap_or_default();
        Ok(Self {
            set,
            defaults,
            weaker,
            local,
            services,
        })
    }

    /// Whether something weaker than the commands of this machine sets `key`.
    fn is_weaker(&self, key: &str) -> bool {
        self.weaker.keys().any(|set| is_in(set, key))
    }

    fn all(self) -> Settings {
        self.defaults.into_iter().chain(self.set).collect()
    }

    /// The value of `key`, or those of all keys in it.
    fn get(self, key: &str) -> Result<Settings, Failed> {
        let services = self.services.clone();
        let mut found = self.all();
        found.retain(|known, _| is_in(known, key));
        match found.is_empty() {
            true => Err(Failed::NotSo(why_not(key, &services))),
            false => Ok(found),
        }
    }
}

/// The services of the image.
fn services(told: Value) -> Result<Services, Failed> {
    serde_json::from_value(told)
        .map_err(|error| Failed::NotSo(format!("services of PID 1: {error}")))
}

/// Why there is nothing at `key`: it is unknown, or it is not set.
fn why_not(key: &str, services: &Services) -> String {
    let text = format!("{key} = 0");
    let problems = tare_config::validate("", text.as_bytes(), services);
    let unknown = problems
        .into_iter()
        .find(|problem| problem.is_whole() || problem.message.starts_with("unknown "));
    match unknown {
        Some(problem) if problem.is_whole() => {
            format!("`{key}` is not a key: write it as in `network.interfaces.eth0.addresses`")
        }
        Some(problem) => problem.message,
        None => format!("`{key}` is not set"),
    }
}

/// A key as JSON.
#[derive(Debug, Serialize)]
struct Answer {
    value: Value,
    /// Null for a default.
    source: Option<String>,
    line: Option<usize>,
}

fn answers(settings: &Settings) -> BTreeMap<&str, Answer> {
    let answer = |setting: &Setting| Answer {
        value: match setting.is_secret {
            true => Value::String(HIDDEN.to_owned()),
            // Any value of TOML has a JSON form.
            false => serde_json::to_value(&setting.value).unwrap_or_default(),
        },
        source: setting.origin.as_ref().map(|origin| origin.source.clone()),
        line: setting.origin.as_ref().map(|origin| origin.line),
    };
    let settings = settings.iter();
    settings
        .map(|(key, setting)| (key.as_str(), answer(setting)))
        .collect()
}

/// What stands for a secret.
const HIDDEN: &str = "***";

fn shown(setting: &Setting) -> String {
    match setting.is_secret {
        true => format!("\"{HIDDEN}\""),
        false => setting.value.to_string(),
    }
}

/// The longest line that a comment is put beside.
const WIDE: usize = 60;

/// TOML, a line for each key, with a comment that says where it was set if `origin`.
fn text(settings: &Settings, origin: bool, style: Style) -> String {
    let lines: Vec<(String, &Setting)> = settings
        .iter()
        .map(|(key, setting)| (format!("{key} = {}", shown(setting)), setting))
        .collect();
    let width = |line: &str| line.chars().count();
    let widths = lines.iter().map(|(line, _)| width(line));
    let widest = widths.filter(|width| *width <= WIDE).max().unwrap_or(0);
    let line = |(line, setting): &(String, &Setting)| {
        if !origin {
            return format!("{line}\n");
        }
        let from = setting
            .origin
            .as_ref()
            .map_or("default".to_owned(), ToString::to_string);
        let comment = style.paint(Look::Dim, &format!("# {from}"));
        let gap = widest.saturating_sub(width(line));
        format!("{line}{:gap$}  {comment}\n", "")
    };
    lines.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVICE: &str = "description = 'x'\n[process]\nargs = ['/x']";

    fn known() -> Known {
        let service = tare_config::parse("ssh", SERVICE.as_bytes()).unwrap();
        let services = Services::from([("ssh".to_owned(), service)]);
        let text = "hostname = 'edge-17'\n[network.interfaces.eth0]\naddresses = ['192.0.2.10/24', '2001:db8::10/64']\n\
            [registries.'registry.example:5000']\nusername = 'me'\npassword = 'secret'\n\
            [apps.shop]\ncompose = '''\nservices:\n  web: { image: shop }\n'''";
        let mut layers = Layers::new(&services);
        layers.add("image", b"[log]\nrate = 500");
        layers.add("nocloud", text.as_bytes());
        let set = layers.settings();
        let defaults = defaults(&layers.finish().machine, &set);
        Known {
            weaker: set.clone(),
            local: String::new(),
            set,
            defaults,
            services,
        }
    }

    #[test]
    fn what_is_set_and_where() {
        crate::golden::check(
            "config-show.txt",
            &text(&known().set, false, Style { colors: false }),
        );
        crate::golden::check(
            "config-show-origin.txt",
            &text(&known().set, true, Style { colors: false }),
        );
        crate::golden::check(
            "config-show.json",
            &crate::run::json(&answers(&known().set)).unwrap(),
        );
        crate::golden::check(
            "config-show-all.txt",
            &text(&known().all(), true, Style { colors: false }),
        );
    }

    #[test]
    fn what_is_shown_is_user_data_again() {
        let mut known = known();
        known.set.retain(|_, setting| !setting.is_secret);
        known.set.retain(|key, _| !key.starts_with("registries"));
        let shown = text(&known.set, true, Style { colors: false });
        assert_eq!(
            tare_config::validate("shown", shown.as_bytes(), &known.services),
            []
        );
    }

    #[test]
    fn a_key_or_why_there_is_none() {
        for (key, want) in [
            ("hostname", Ok("hostname")),
            ("log", Ok("log.age log.burst log.file log.rate log.total")),
            ("log.rat", Err("unknown key `rat`, did you mean `rate`?")),
            (
                "hostnam",
                Err("unknown key `hostnam`, did you mean `hostname`?"),
            ),
            (
                "services.sh",
                Err("unknown service `sh`, did you mean `ssh`?"),
            ),
            (
                "services.ssh.enabled",
                Err("`services.ssh.enabled` is not set"),
            ),
            ("log.forward", Err("`log.forward` is not set")),
            (
                "a b",
                Err("`a b` is not a key: write it as in `network.interfaces.eth0.addresses`"),
            ),
        ] {
            let got = known().get(key).map_err(|failed| failed.to_string());
            let keys = got.map(|found| Vec::from_iter(found.into_keys()).join(" "));
            assert_eq!(keys.as_deref().map_err(String::as_str), want, "{key}");
        }
    }
}
