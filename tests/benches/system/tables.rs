//! Markdown tables that are readable as plain text.

/// A table under construction.
#[derive(Debug)]
pub(crate) struct Table(Vec<Vec<String>>);

impl Table {
    /// A table with these headings; all columns but the first are aligned to the right.
    pub(crate) fn new(headings: &[&str]) -> Self {
        Self(vec![
            headings.iter().map(|&heading| heading.to_owned()).collect(),
        ])
    }

    /// Adds a row of as many cells as there are headings.
    pub(crate) fn row(&mut self, cells: Vec<String>) {
        self.0.push(cells);
    }

    /// The table's lines.
    pub(crate) fn text(&self) -> String {
        let widths = self.widths();
        let mut lines: Vec<String> = self.0.iter().map(|row| line(row, &widths)).collect();
        lines.insert(1, rule(&widths));
        lines.concat()
    }

    fn widths(&self) -> Vec<usize> {
        let width = |column: usize| {
            let cells = self.0.iter().map(|row| row[column].chars().count());
            cells.max().unwrap_or(0).max(3)
        };
        (0..self.0[0].len()).map(width).collect()
    }
}

fn line(row: &[String], widths: &[usize]) -> String {
    let mut cells = row.iter().zip(widths);
    let first = cells
        .next()
        .map(|(cell, width)| format!("| {cell:<width$} |"));
    let rest = cells.map(|(cell, width)| format!(" {cell:>width$} |"));
    first
        .into_iter()
        .chain(rest)
        .chain(["\n".to_owned()])
        .collect()
}

fn rule(widths: &[usize]) -> String {
    let mut widths = widths.iter();
    let first = widths
        .next()
        .map(|width| format!("|{}|", "-".repeat(width + 2)));
    let rest = widths.map(|width| format!("{}:|", "-".repeat(width + 1)));
    first
        .into_iter()
        .chain(rest)
        .chain(["\n".to_owned()])
        .collect()
}
