//! Tables that fit the terminal.

use console::{measure_text_width, truncate_str};

use super::clean;

const GAP: usize = 2;

/// The last column gets at least so many columns, however narrow the terminal.
const LAST_COLUMN: usize = 12;

/// A table of text; the last column is cut where the terminal ends.
#[derive(Debug)]
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these headers.
    pub(crate) fn new(headers: &[&str]) -> Self {
        Self { rows: vec![headers.iter().map(ToString::to_string).collect()] }
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().map(|cell| clean(&cell)).collect());
    }

    /// The table as text, at most `width` columns wide; `None` cuts nothing.
    pub(crate) fn render(&self, width: Option<usize>) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let widest = |at: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(at));
            cells.map(|cell| measure_text_width(cell)).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(widest).collect();
        let mut text = String::new();
        for row in &self.rows {
            let mut line = String::new();
            let mut used = 0;
            for (at, cell) in row.iter().enumerate() {
                if at + 1 == columns {
                    let room = width.map(|width| width.saturating_sub(used).max(LAST_COLUMN));
                    line.push_str(&room.map_or(cell.into(), |room| truncate_str(cell, room, "…")));
                } else {
                    line.push_str(cell);
                    let padding = widths[at] - measure_text_width(cell) + GAP;
                    line.extend(std::iter::repeat_n(' ', padding));
                    used += widths[at] + GAP;
                }
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_the_last_one_is_cut() {
        let mut table = Table::new(&["A", "B", "ERROR"]);
        table.row(["月次".to_owned(), "x".to_owned(), "the partner\nis away".to_owned()]);
        let whole = "A     B  ERROR\n月次  x  the partner\\nis away\n";
        assert_eq!(table.render(None), whole);
        assert_eq!(table.render(Some(24)), "A     B  ERROR\n月次  x  the partner\\ni…\n");
        assert!(table.render(Some(3)).contains("the partner…"));
    }
}
