//! Columns of text.

use crate::style::{Look, Style};

/// How a column is aligned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Align {
    Left,
    Right,
}

/// A cell: a text and how it is shown.
#[derive(Debug, Clone)]
pub(crate) struct Cell(String, Look);

impl Cell {
    pub(crate) fn new(text: impl Into<String>, look: Look) -> Self {
        Self(text.into(), look)
    }

    /// A figure, or a dash if there is none.
    pub(crate) fn or_dash(text: Option<String>) -> Self {
        match text {
            Some(text) => text.into(),
            None => Self::new("-", Look::Dim),
        }
    }

    fn width(&self) -> usize {
        self.0.chars().count()
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::new(text, Look::Plain)
    }
}

/// A table with a header. Columns are as wide as needed and two spaces apart.
pub(crate) fn table<const N: usize>(
    head: [(&str, Align); N],
    rows: Vec<[Cell; N]>,
    style: Style,
) -> String {
    let titles = head.map(|(title, _)| Cell::new(title, Look::Bold));
    let rows: Vec<[Cell; N]> = std::iter::once(titles).chain(rows).collect();
    let width = |n: usize| rows.iter().map(|row| row[n].width()).max().unwrap_or(0);
    let widths: [usize; N] = std::array::from_fn(width);
    let line = |row: &[Cell; N]| {
        let cells = row.iter().enumerate();
        let padded = cells.map(|(n, cell)| pad(cell, widths[n], head[n].1, style));
        let line = padded.collect::<Vec<_>>().join("  ");
        format!("{}\n", line.trim_end())
    };
    rows.iter().map(line).collect()
}

fn pad(cell: &Cell, width: usize, align: Align, style: Style) -> String {
    let blanks = " ".repeat(width.saturating_sub(cell.width()));
    let text = style.paint(cell.1, &cell.0);
    match align {
        Align::Left => text + &blanks,
        Align::Right => blanks + &text,
    }
}
