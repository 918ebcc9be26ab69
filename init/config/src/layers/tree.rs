//! Places in a tree of TOML values.

use std::fmt;
use std::ops::Range;
use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

/// A step from a table or an array to what is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// By key.
    Key(String),
    /// By number, from 0.
    Index(usize),
}

/// The way to a value from the root.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Path(pub(super) Vec<Step>);

impl Path {
    /// The way to `keys`.
    pub(super) fn of<T: AsRef<str>>(keys: &[T]) -> Self {
        let steps = keys.iter().map(|key| Step::Key(key.as_ref().to_owned()));
        Self(steps.collect())
    }

    /// The way to what is at `key` of this.
    pub(super) fn key(&self, key: &str) -> Self {
        self.then(Step::Key(key.to_owned()))
    }

    fn then(&self, step: Step) -> Self {
        Self([&self.0[..], &[step]].concat())
    }

    /// The first key of this; empty if there is none.
    pub(super) fn section(&self) -> &str {
        match self.0.first() {
            Some(Step::Key(key)) => key,
            _ => "",
        }
    }

    /// Whether this is `other`, or in it.
    pub(super) fn is_in(&self, other: &Self) -> bool {
        self.0.starts_with(&other.0)
    }

    /// Whether this matches `pattern`, in which `*` is any key.
    pub(super) fn matches(&self, pattern: &[&str]) -> bool {
        let fits = |(step, want): (&Step, &&str)| match step {
            Step::Key(key) => *want == "*" || key == want,
            Step::Index(_) => false,
        };
        self.0.len() == pattern.len() && self.0.iter().zip(pattern).all(fits)
    }

    /// The part of this that matches one of `patterns`, if there is one.
    pub(super) fn within(&self, patterns: &[&[&str]]) -> Option<Self> {
        let prefix = |pattern: &&[&str]| {
            self.0
                .get(..pattern.len())
                .map(|steps| Self(steps.to_vec()))
        };
        let mut prefixes = patterns
            .iter()
            .filter_map(|pattern| Some((prefix(pattern)?, pattern)));
        let found = prefixes.find(|(prefix, pattern)| prefix.matches(pattern));
        found.map(|(prefix, _)| prefix)
    }
}

/// As TOML spells a dotted key; elements of lists as in `dns[1]`.
impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (depth, step) in self.0.iter().enumerate() {
            match step {
                Step::Index(index) => write!(f, "[{index}]")?,
                Step::Key(key) => {
                    let dot = if depth == 0 { "" } else { "." };
                    let is_bare = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
                    match !key.is_empty() && key.chars().all(is_bare) {
                        true => write!(f, "{dot}{key}")?,
                        false => write!(f, "{dot}{key:?}")?,
                    }
                }
            }
        }
        Ok(())
    }
}

/// The way to what has `span`, or whose key has it. Spans of the TOML parser differ from value to value.
pub(super) fn find(table: &DeTable<'_>, span: &Range<usize>) -> Option<Path> {
    let mut path = Path::default();
    find_in(table, span, &mut path).then_some(path)
}

fn find_in(table: &DeTable<'_>, span: &Range<usize>, path: &mut Path) -> bool {
    for (key, value) in table {
        path.0.push(Step::Key(key.get_ref().to_string()));
        if key.span() == *span || find_value(value, span, path) {
            return true;
        }
        path.0.pop();
    }
    false
}

fn find_value(value: &Spanned<DeValue<'_>>, span: &Range<usize>, path: &mut Path) -> bool {
    if value.span() == *span {
        return true;
    }
    match value.get_ref() {
        DeValue::Table(table) => find_in(table, span, path),
        DeValue::Array(array) => {
            for (index, element) in array.iter().enumerate() {
                path.0.push(Step::Index(index));
                if find_value(element, span, path) {
                    return true;
                }
                path.0.pop();
            }
            false
        }
        _ => false,
    }
}

/// What is at `path`, with its key if it has one.
pub(super) fn get<'a, 't>(table: &'a DeTable<'t>, path: &Path) -> Option<&'a Spanned<DeValue<'t>>> {
    let mut steps = path.0.iter();
    let Some(Step::Key(first)) = steps.next() else {
        return None;
    };
    steps.try_fold(table.get(first.as_str())?, |value, step| {
        match (value.get_ref(), step) {
            (DeValue::Table(table), Step::Key(key)) => table.get(key.as_str()),
            (DeValue::Array(array), Step::Index(index)) => array.get(*index),
            _ => None,
        }
    })
}

/// The span of the key at `path`, or of what is there if that has none. Empty if there is nothing.
pub(super) fn span(table: &DeTable<'_>, path: &Path) -> Range<usize> {
    let (parent, key) = match &path.0[..] {
        [parent @ .., Step::Key(key)] => (Path(parent.to_vec()), key),
        _ => return get(table, path).map(Spanned::span).unwrap_or_default(),
    };
    let parent = match parent.0.is_empty() {
        true => Some(table),
        false => get(table, &parent).and_then(|value| value.get_ref().as_table()),
    };
    let entry = parent.and_then(|table| table.get_key_value(key.as_str()));
    entry.map(|(key, _)| key.span()).unwrap_or_default()
}

/// Removes what is at `path`, and the tables that are empty then; false if there is nothing.
pub(super) fn remove(table: &mut DeTable<'_>, path: &Path) -> bool {
    let [Step::Key(first), rest @ ..] = &path.0[..] else {
        return false;
    };
    if rest.is_empty() {
        return table.remove(first.as_str()).is_some();
    }
    let Some(inner) = table.get_mut(first.as_str()) else {
        return false;
    };
    let removed = remove_from(inner.get_mut(), rest);
    let is_empty = matches!(inner.get_ref(), DeValue::Table(inner) if inner.is_empty());
    if removed && is_empty {
        table.remove(first.as_str());
    }
    removed
}

fn remove_from(value: &mut DeValue<'_>, path: &[Step]) -> bool {
    match (value, path) {
        (DeValue::Table(table), _) => remove(table, &Path(path.to_vec())),
        (DeValue::Array(array), [Step::Index(index)]) if *index < array.len() => {
            let whole = std::mem::replace(array, DeArray::new());
            let others = whole.into_iter().enumerate().filter(|(at, _)| at != index);
            *array = others.map(|(_, element)| element).collect();
            true
        }
        (DeValue::Array(array), [Step::Index(index), rest @ ..]) => {
            let element = array.get_mut(*index);
            element.is_some_and(|element| remove_from(element.get_mut(), rest))
        }
        _ => false,
    }
}

/// The ways to all that matches `pattern`, in which `*` is any key.
pub(super) fn matching(table: &DeTable<'_>, pattern: &[&str]) -> Vec<Path> {
    let [first, rest @ ..] = pattern else {
        return Vec::new();
    };
    let mut found = Vec::new();
    let fits = |key: &str| *first == "*" || key == *first;
    for (key, value) in table.iter().filter(|(key, _)| fits(key.get_ref())) {
        let step = Step::Key(key.get_ref().to_string());
        match value.get_ref() {
            _ if rest.is_empty() => found.push(Path(vec![step])),
            DeValue::Table(inner) => {
                let inner = matching(inner, rest).into_iter();
                found.extend(inner.map(|path| Path([vec![step.clone()], path.0].concat())));
            }
            _ => {}
        }
    }
    found
}

/// Puts `value` at `path`, under a key that stands at `span`, with the tables that it needs. Nothing happens if one of them is
/// another value.
pub(super) fn insert<'t>(
    table: &mut DeTable<'t>,
    path: &[Step],
    span: &Range<usize>,
    value: Spanned<DeValue<'t>>,
) {
    let [Step::Key(first), rest @ ..] = path else {
        return;
    };
    if rest.is_empty() {
        table.insert(Spanned::new(span.clone(), first.clone().into()), value);
        return;
    }
    if !table.contains_key(first.as_str()) {
        // It stands in no text.
        let inner = Spanned::new(0..0, DeValue::Table(DeTable::new()));
        table.insert(Spanned::new(0..0, first.clone().into()), inner);
    }
    if let Some(DeValue::Table(inner)) = table.get_mut(first.as_str()).map(Spanned::get_mut) {
        insert(inner, rest, span, value);
    }
}

/// How many values are in `table`, at any depth.
pub(super) fn size(table: &DeTable<'_>) -> usize {
    table
        .values()
        .map(|value| 1 + size_of_value(value.get_ref()))
        .sum()
}

fn size_of_value(value: &DeValue<'_>) -> usize {
    match value {
        DeValue::Table(table) => size(table),
        DeValue::Array(array) => array
            .iter()
            .map(|element| 1 + size_of_value(element.get_ref()))
            .sum(),
        _ => 0,
    }
}
