//! `tare config`: what the machine's configuration says, and whether a text is one.

mod change;
mod edit;
mod generations;
mod validate;

use crate::Failed;
use crate::args::ConfigCommand;
use crate::run::Context;
use crate::style::{Look, Style};
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{self, Write};
use tare_config::service::Services;
use tare_config::{Layers, Setting, Settings, defaults, is_in};
use tare_control::{GetConfiguration, Method, Source};

/// Of this release.
const SCHEMA: &str = include_str!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../docs/tare.schema.json"
));

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
            let known = Known::ask(context)?;
            let settings = known.clone().get(key)?;
            let comings = generations::comings(context, &known, &settings)?;
            let answers = answers(&settings);
            let answers = generations::with_comings(answers, &comings);
            context.show(&answers, |_, style| {
                text_with(&settings, style, |key, setting| {
                    comings.get(key).map_or_else(
                        || from(setting),
                        |coming| format!("{}, {coming}", from(setting)),
                    )
                })
            })
        }
        ConfigCommand::Schema => Ok(io::stdout().write_all(SCHEMA.as_bytes())?),
        ConfigCommand::Validate { file } => validate::validate(context, file),
        ConfigCommand::Apply { file, how } => change::apply(context, file, how),
        ConfigCommand::Set { key, value, how } => change::set(context, key, value, how),
        ConfigCommand::Unset { key, how } => change::unset(context, key, how),
        ConfigCommand::Edit { how } => edit::edit(context, how),
        ConfigCommand::Pull { dry_run, confirm } => change::pull(context, *dry_run, *confirm),
        ConfigCommand::Confirm { number } => generations::confirm(context, *number),
        ConfigCommand::Generations => generations::list(context),
        ConfigCommand::Diff { from, to } => generations::diff(context, *from, *to),
        ConfigCommand::Rollback {
            number,
            dry_run,
            confirm,
        } => generations::roll_back(context, *number, *dry_run, *confirm),
    }
}

/// What is known of the configuration.
#[derive(Clone)]
struct Known {
    set: Settings,
    defaults: Settings,
    /// From the weakest to the strongest.
    sources: Vec<Source>,
    /// The generation in force.
    number: u64,
    services: Services,
}

impl Known {
    /// Asks PID 1.
    fn ask(context: &Context) -> Result<Self, Failed> {
        let told: GetConfiguration = context.call(&Method::GetConfiguration {})?;
        let services = services(told.services)?;
        let mut layers = Layers::new(&services);
        for source in &told.sources {
            layers.add(&source.name, source.text.as_bytes());
        }
        let set = layers.settings();
        let defaults = defaults(&layers.finish().machine, &set);
        Ok(Self {
            set,
            defaults,
            sources: told.sources,
            number: told.number,
            services,
        })
    }

    /// The text of a source; empty if there is none.
    fn text(&self, name: &str) -> &str {
        let source = self.sources.iter().find(|source| source.name == name);
        source.map_or("", |source| &source.text)
    }

    /// What all sources set together once that called `name` has this text.
    fn with(&self, name: &str, text: &str) -> Settings {
        let mut sources = self.sources.clone();
        sources.retain(|source| source.name != name);
        let above = sources
            .iter()
            .position(|source| rank(&source.name) > rank(name));
        let source = Source {
            name: name.to_owned(),
            text: text.to_owned(),
        };
        sources.insert(above.unwrap_or(sources.len()), source);
        settings(&self.services, sources.iter())
    }

    /// What the sources below `name` set.
    fn below(&self, name: &str) -> Settings {
        let weaker = |source: &&Source| rank(&source.name) < rank(name);
        settings(&self.services, self.sources.iter().filter(weaker))
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

/// The place of a source among those above user-data, from the weakest to the strongest; `None` below them.
fn rank(name: &str) -> Option<usize> {
    let above = [change::LOCAL, change::ONCE, "cmdline"];
    above.iter().position(|above| *above == name)
}

/// What `sources` set together.
fn settings<'s>(services: &Services, sources: impl Iterator<Item = &'s Source>) -> Settings {
    let mut layers = Layers::new(services);
    for source in sources {
        layers.add(&source.name, source.text.as_bytes());
    }
    layers.settings()
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
    /// Since when it is so.
    #[serde(flatten)]
    coming: Option<generations::Coming>,
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
        coming: None,
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

/// A key and its value as TOML.
fn written(key: &str, setting: &Setting) -> String {
    format!("{key} = {}", shown(setting))
}

/// The longest line that a comment is put beside.
const WIDE: usize = 60;

/// TOML, a line for each key, with a comment that says where it was set if `origin`.
fn text(settings: &Settings, origin: bool, style: Style) -> String {
    match origin {
        true => text_with(settings, style, |_, setting| from(setting)),
        false => text_with(settings, style, |_, _| String::new()),
    }
}

/// Where it was set.
fn from(setting: &Setting) -> String {
    let origin = setting.origin.as_ref();
    origin.map_or("default".to_owned(), ToString::to_string)
}

/// The same with a comment on each key.
fn text_with(
    settings: &Settings,
    style: Style,
    comment: impl Fn(&str, &Setting) -> String,
) -> String {
    let lines: Vec<(String, &str, &Setting)> = settings
        .iter()
        .map(|(key, setting)| (written(key, setting), key.as_str(), setting))
        .collect();
    let width = |line: &str| line.chars().count();
    let widths = lines.iter().map(|(line, ..)| width(line));
    let widest = widths.filter(|width| *width <= WIDE).max().unwrap_or(0);
    let line = |(line, key, setting): &(String, &str, &Setting)| {
        let comment = comment(key, setting);
        if comment.is_empty() {
            return format!("{line}\n");
        }
        let comment = style.paint(Look::Dim, &format!("# {comment}"));
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
            sources: Vec::new(),
            number: 1,
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
