//! `tare config generations`, `diff`, `rollback` and `confirm`, and since when a key is as it is.

use super::{Answer, Known, change, settings, written};
use crate::Failed;
use crate::run::Context;
use crate::style::{Look, Style};
use crate::table::{Align, Cell, table};
use humantime::format_rfc3339_seconds;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};
use std::iter;
use std::time::{Duration, SystemTime};
use tare_config::Settings;
use tare_control::{
    ApplyConfiguration, Generation, GetGeneration, GetGenerations, Method, Source, Verdict,
};

pub(super) fn list(context: &Context) -> Result<(), Failed> {
    let told = ask(context)?;
    context.show(&told, text)
}

fn ask(context: &Context) -> Result<GetGenerations, Failed> {
    context.call(&Method::GetGenerations {})
}

fn text(told: &GetGenerations, style: Style) -> String {
    let head = [
        ("NUMBER", Align::Right),
        ("SINCE", Align::Left),
        ("BY", Align::Left),
        ("CHANGED", Align::Left),
        ("STATE", Align::Left),
    ];
    let rows = told.generations.iter().rev().map(|generation| {
        let changed = match generation.rollback_of {
            Some(number) => format!("back to {number}"),
            None if generation.sources.is_empty() => "nothing".to_owned(),
            None => generation.sources.join(", "),
        };
        [
            generation.number.to_string().into(),
            time(generation.time).into(),
            by(generation.uid).into(),
            changed.into(),
            state(generation, told.unconfirmed),
        ]
    });
    table(head, rows.collect(), style)
}

fn state(generation: &Generation, unconfirmed: Option<u64>) -> Cell {
    let (word, look) = match (generation.verdict, &generation.reason) {
        (Verdict::Good, _) => ("good".to_owned(), Look::Good),
        (Verdict::Untried, _) => ("not ready with it yet".to_owned(), Look::Busy),
        (Verdict::Bad, Some(why)) => (format!("bad: {why}"), Look::Bad),
        (Verdict::Bad, None) => ("bad".to_owned(), Look::Bad),
    };
    match (generation.running, unconfirmed) {
        (false, _) => Cell::new(word, look),
        (true, None) => Cell::new(format!("{word}, in force"), look),
        (true, Some(seconds)) => Cell::new(
            format!("in force, taken back in {seconds} s unless confirmed"),
            Look::Busy,
        ),
    }
}

/// In UTC.
fn time(seconds: u64) -> String {
    let time = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds));
    time.map_or_else(
        || seconds.to_string(),
        |time| format_rfc3339_seconds(time).to_string(),
    )
}

fn by(uid: Option<u32>) -> String {
    match uid {
        None => "boot".to_owned(),
        Some(0) => "root".to_owned(),
        Some(uid) => format!("user {uid}"),
    }
}

/// Keeps the change that waits, which must be `number` if that is given.
pub(super) fn confirm(context: &Context, number: Option<u64>) -> Result<(), Failed> {
    let kept: ApplyConfiguration = context.call(&Method::ConfirmConfiguration { number })?;
    context.show(&kept, |kept, _| {
        format!("configuration {} is kept\n", kept.number)
    })
}

pub(super) fn roll_back(
    context: &Context,
    number: Option<u64>,
    dry_run: bool,
    confirm: Option<u64>,
) -> Result<(), Failed> {
    let method = Method::RollBackConfiguration {
        number,
        dry_run: Some(dry_run),
        confirm,
    };
    let applied: ApplyConfiguration = context.call(&method)?;
    change::told(context, applied)
}

/// Shows what differs between two generations.
pub(super) fn diff(context: &Context, from: Option<u64>, to: Option<u64>) -> Result<(), Failed> {
    let known = Known::ask(context)?;
    let generations = ask(context)?.generations;
    let to = to.unwrap_or(known.number);
    let before = lineage(&generations, to).nth(1);
    let from = from
        .or(before.map(|generation| generation.number))
        .ok_or_else(|| Failed::NotSo(format!("there is no configuration before {to}")))?;
    let (old, new) = (of(context, &known, from)?, of(context, &known, to)?);
    let changes = differences(&old, &new);
    context.show(&changes, |changes, style| {
        changes.iter().map(|change| change.text(style)).collect()
    })
}

/// Generation `number`, the one that it was made from, and so on. Those in between that were taken back, set aside or gone back
/// from before are not among them.
fn lineage(generations: &[Generation], number: u64) -> impl Iterator<Item = &Generation> {
    let of = |number: u64| generations.iter().find(|one| one.number == number);
    iter::successors(of(number), move |one| match one.base {
        Some(base) => of(base),
        None => generations.iter().rev().find(|two| two.number < one.number),
    })
}

/// A key that differs.
#[derive(Debug, Serialize)]
struct Difference {
    key: String,
    /// As TOML; null where it is not set.
    old: Option<String>,
    new: Option<String>,
}

impl Difference {
    fn text(&self, style: Style) -> String {
        let line = |sign, line: &Option<String>, look| {
            let line = line.as_ref()?;
            Some(style.paint(look, &format!("{sign} {line}")) + "\n")
        };
        let old = line('-', &self.old, Look::Bad);
        let new = line('+', &self.new, Look::Good);
        old.into_iter().chain(new).collect()
    }
}

/// Secrets are compared, but not shown.
fn differences(old: &Settings, new: &Settings) -> Vec<Difference> {
    let keys: std::collections::BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let value = |settings: &Settings, key: &str| settings.get(key).map(|one| one.value.clone());
    let differs = |key: &&&String| value(old, key) != value(new, key);
    let line = |settings: &Settings, key: &str| settings.get(key).map(|one| written(key, one));
    keys.iter()
        .filter(differs)
        .map(|key| Difference {
            key: (*key).clone(),
            old: line(old, key),
            new: line(new, key),
        })
        .collect()
}

/// What a generation sets, with the image.
fn of(context: &Context, known: &Known, number: u64) -> Result<Settings, Failed> {
    let told: GetGeneration = context.call(&Method::GetGeneration { number })?;
    Ok(with_image(known, &told.sources))
}

/// The order of sources, from the weakest to the strongest.
const ORDER: [&str; 3] = ["nocloud", "fw_cfg", change::LOCAL];

fn with_image(known: &Known, sources: &[Source]) -> Settings {
    let image = known.sources.iter().filter(|source| source.name == "image");
    let rest = ORDER.iter();
    let rest = rest.filter_map(|name| sources.iter().find(|source| source.name == *name));
    settings(&known.services, image.chain(rest))
}

/// Since when a key is as it is.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Coming {
    generation: u64,
    /// In seconds since 1970.
    time: u64,
    uid: Option<u32>,
}

impl Display for Coming {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (number, time, by) = (self.generation, time(self.time), by(self.uid));
        write!(f, "configuration {number} of {time}, by {by}")
    }
}

/// For each key with a source that generations know: the earliest of the generations that the one in force was made from, one
/// after the other, that have it so.
pub(super) fn comings(
    context: &Context,
    known: &Known,
    wanted: &Settings,
) -> Result<BTreeMap<String, Coming>, Failed> {
    let mut open: Vec<&String> = wanted
        .iter()
        .filter(|(_, setting)| {
            let origin = setting.origin.as_ref();
            origin.is_some_and(|origin| ORDER.contains(&origin.source.as_str()))
        })
        .map(|(key, _)| key)
        .collect();
    let mut comings = BTreeMap::new();
    let generations = ask(context)?.generations;
    for generation in lineage(&generations, known.number) {
        if open.is_empty() {
            break;
        }
        let then = of(context, known, generation.number)?;
        open.retain(|key| {
            let same = |settings: &Settings| {
                let setting = settings.get(*key)?;
                let source = setting.origin.as_ref().map(|origin| origin.source.clone());
                Some((setting.value.clone(), source))
            };
            let holds = same(&then).is_some() && same(&then) == same(wanted);
            if holds {
                let coming = Coming {
                    generation: generation.number,
                    time: generation.time,
                    uid: generation.uid,
                };
                comings.insert((*key).clone(), coming);
            }
            holds
        });
    }
    Ok(comings)
}

/// The answers with what is known of their coming.
pub(super) fn with_comings<'k>(
    mut answers: BTreeMap<&'k str, Answer>,
    comings: &BTreeMap<String, Coming>,
) -> BTreeMap<&'k str, Answer> {
    for (key, answer) in &mut answers {
        answer.coming = comings.get(*key).cloned();
    }
    answers
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Style = Style { colors: false };

    fn generation(number: u64, uid: Option<u32>, verdict: Verdict) -> Generation {
        Generation {
            number,
            time: 1_796_000_000 + number,
            base: None,
            sources: vec!["local".to_owned()],
            uid,
            rollback_of: None,
            verdict,
            reason: None,
            running: false,
        }
    }

    #[test]
    fn the_newest_generation_comes_first() {
        let mut generations = vec![
            Generation {
                sources: vec!["fw_cfg".to_owned(), "nocloud".to_owned()],
                ..generation(1, None, Verdict::Good)
            },
            Generation {
                reason: Some("not confirmed within 60 s".to_owned()),
                ..generation(2, Some(0), Verdict::Bad)
            },
            generation(3, Some(1000), Verdict::Good),
            Generation {
                rollback_of: Some(1),
                running: true,
                ..generation(4, Some(0), Verdict::Untried)
            },
        ];
        let shown = |generations: &[Generation], unconfirmed| {
            let generations = generations.to_vec();
            text(
                &GetGenerations {
                    generations,
                    unconfirmed,
                },
                PLAIN,
            )
        };
        crate::golden::check("config-generations.txt", &shown(&generations, None));
        generations[3].verdict = Verdict::Good;
        let good = shown(&generations, None);
        assert!(good.contains("back to 1        good, in force\n"), "{good}");
        let unconfirmed = shown(&generations, Some(42));
        assert!(
            unconfirmed.contains("in force, taken back in 42 s unless confirmed\n"),
            "{unconfirmed}"
        );
    }

    #[test]
    fn a_generation_comes_from_that_in_force_before() {
        // 2 was taken back; 5 comes from an earlier release.
        let bases = [
            (1, Some(0)),
            (2, Some(1)),
            (3, Some(1)),
            (4, Some(3)),
            (5, None),
            (7, Some(6)),
        ];
        let generations = bases.map(|(number, base)| Generation {
            base,
            ..generation(number, None, Verdict::Good)
        });
        for (number, want) in [
            (3, &[3, 1][..]),
            (2, &[2, 1]),
            (5, &[5, 4, 3, 1]),
            // What it was made from is forgotten.
            (7, &[7]),
            (9, &[]),
        ] {
            let line = lineage(&generations, number).map(|one| one.number);
            assert_eq!(line.collect::<Vec<_>>(), want, "{number}");
        }
    }

    #[test]
    fn keys_that_differ() {
        let settings = |text: &str| {
            let source = Source {
                name: "local".to_owned(),
                text: text.to_owned(),
            };
            settings(&BTreeMap::new(), [source].iter())
        };
        let old = settings(
            "hostname = 'a'\nlog.rate = 1\n[registries.r]\nusername = 'u'\npassword = 'p'",
        );
        let new = settings(
            "hostname = 'a'\nlog.burst = 2\n[registries.r]\nusername = 'u'\npassword = 'q'",
        );
        let changes = differences(&old, &new);
        let text: String = changes.iter().map(|change| change.text(PLAIN)).collect();
        assert_eq!(
            text,
            "+ log.burst = 2\n- log.rate = 1\n- registries.r.password = \"***\"\n+ registries.r.password = \"***\"\n"
        );
    }
}
