//! Rows of columns: aligned under a heading for people, separated by tabs and without one for programs.

use std::io::{self, IsTerminal, Write};

use crate::output::printable;
use crate::style;

/// A column: its heading, and whether what it has stands at its right side, as numbers do.
#[derive(Clone, Copy)]
pub(crate) struct Column {
    heading: &'static str,
    right: bool,
}

/// A column of text.
pub(crate) const fn text(heading: &'static str) -> Column {
    Column {
        heading,
        right: false,
    }
}

/// A column of numbers.
pub(crate) const fn number(heading: &'static str) -> Column {
    Column {
        heading,
        right: true,
    }
}

/// Rows that are printed together.
pub(crate) struct Table<const N: usize> {
    columns: [Column; N],
    rows: Vec<[String; N]>,
}

impl<const N: usize> Table<N> {
    pub(crate) const fn new(columns: [Column; N]) -> Self {
        Self {
            columns,
            rows: Vec::new(),
        }
    }

    /// Adds a row. What comes from a file or a server moves no cursor and ends no line.
    pub(crate) fn row(&mut self, cells: [String; N]) {
        self.rows
            .push(cells.map(|cell| printable(&cell).replace('\n', " ")));
    }

    /// Prints all rows; nothing if there are none.
    pub(crate) fn print(&self, out: &mut impl Write) -> io::Result<()> {
        if io::stdout().is_terminal() {
            self.aligned(out, style::enabled())
        } else {
            self.separated(out)
        }
    }

    fn separated(&self, out: &mut impl Write) -> io::Result<()> {
        for row in &self.rows {
            writeln!(out, "{}", row.join("\t"))?;
        }
        out.flush()
    }

    /// Prints rows under the headings, indented by nothing.
    pub(crate) fn aligned(&self, out: &mut impl Write, styled: bool) -> io::Result<()> {
        if self.rows.is_empty() {
            return Ok(());
        }
        let width = |column: usize| {
            let cells = self.rows.iter().map(|row| row[column].chars().count());
            let heading = self.columns[column].heading.chars().count();
            cells.max().unwrap_or(0).max(heading)
        };
        let widths: [usize; N] = std::array::from_fn(width);
        let line = |cells: [&str; N]| {
            let mut line = String::new();
            for (index, cell) in cells.into_iter().enumerate() {
                let gap = " ".repeat(widths[index] - cell.chars().count());
                if self.columns[index].right {
                    line.push_str(&gap);
                }
                line.push_str(cell);
                if !self.columns[index].right {
                    line.push_str(&gap);
                }
                line.push_str("  ");
            }
            line.trim_end().to_owned()
        };
        let (start, end) = if styled {
            (style::DIM, style::RESET)
        } else {
            ("", "")
        };
        let headings = line(self.columns.map(|column| column.heading));
        writeln!(out, "{start}{headings}{end}")?;
        for row in &self.rows {
            writeln!(
                out,
                "{}",
                line(std::array::from_fn(|index| row[index].as_str()))
            )?;
        }
        out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_see_columns_and_programs_tabs() {
        let mut table = Table::new([text("NAME"), number("SIZE"), text("REFS")]);
        table.row(["a".to_owned(), "1.0 GiB".to_owned(), "main".to_owned()]);
        table.row(["a\u{1b}[2J\nb".to_owned(), "2 B".to_owned(), String::new()]);
        let mut out = Vec::new();
        table.aligned(&mut out, false).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "NAME             SIZE  REFS\n\
             a             1.0 GiB  main\n\
             a\\u{1b}[2J b      2 B\n"
        );
        let mut out = Vec::new();
        table.separated(&mut out).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "a\t1.0 GiB\tmain\na\\u{1b}[2J b\t2 B\t\n"
        );
    }
}
