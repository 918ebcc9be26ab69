//! One field of a calendar expression: `*`, `3`, `1,15`, `1..5`, `0/15`.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

/// The numbers that match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Field(BTreeSet<u16>);

impl Field {
    /// Parses one field whose numbers are in `range`; `number` parses one of them.
    pub(super) fn parse(
        text: &str,
        range: &RangeInclusive<u16>,
        number: impl Fn(&str) -> Option<u16> + Copy,
    ) -> Option<Self> {
        let mut matching = BTreeSet::new();
        for item in text.split(',') {
            matching.extend(parse_item(item, range, number)?);
        }
        Some(Self(matching))
    }

    pub(super) fn has(&self, number: u16) -> bool {
        self.0.contains(&number)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = i64> + '_ {
        self.0.iter().copied().map(i64::from)
    }
}

fn parse_item(
    item: &str,
    range: &RangeInclusive<u16>,
    number: impl Fn(&str) -> Option<u16> + Copy,
) -> Option<impl Iterator<Item = u16>> {
    let (span, step) = match item.split_once('/') {
        Some((span, step)) => (span, Some(decimal(step).filter(|step| *step > 0)?)),
        None => (item, None),
    };
    let (first, last) = match span.split_once("..") {
        _ if span == "*" => (*range.start(), *range.end()),
        Some((first, last)) => (number(first)?, number(last)?),
        // `0/15` extends to the end of the range, `0` does not.
        None if step.is_some() => (number(span)?, *range.end()),
        None => (number(span)?, number(span)?),
    };
    let fits = first <= last && range.contains(&first) && range.contains(&last);
    fits.then(|| (first..=last).step_by(usize::from(step.unwrap_or(1))))
}

/// A decimal number.
pub(super) fn decimal(text: &str) -> Option<u16> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields() {
        for (text, want) in [
            ("*", Some(vec![0, 1, 2, 3, 4, 5])),
            ("3", Some(vec![3])),
            ("1,5", Some(vec![1, 5])),
            ("2..4", Some(vec![2, 3, 4])),
            ("1/2", Some(vec![1, 3, 5])),
            ("*/3", Some(vec![0, 3])),
            ("0..3/2,5", Some(vec![0, 2, 5])),
            ("6", None),
            ("4..2", None),
            ("1/0", None),
            ("", None),
            ("+1", None),
            ("1,", None),
        ] {
            let field = Field::parse(text, &(0..=5), decimal);
            let got = field.map(|field| field.iter().collect::<Vec<_>>());
            assert_eq!(got, want, "{text}");
        }
    }
}
