//! Rows in columns, for people.

use std::fmt;

use super::output::shown;

/// A table: a line of headings, then a line for each row, columns as wide as their widest cell.
#[derive(Debug)]
pub(super) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(super) fn new(headings: &[&str]) -> Self {
        let headings = headings.iter().map(ToString::to_string);
        Self {
            rows: vec![headings.collect()],
        }
    }

    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let cells = cells.into_iter();
        self.rows.push(cells.map(|cell| shown(&cell)).collect());
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or_default();
        let body = self.rows.iter().skip(1);
        let columns: Vec<(usize, bool)> = (0..columns)
            .map(|column| {
                let cells = self.rows.iter().filter_map(|row| row.get(column));
                let width = cells.map(|cell| cell.chars().count()).max();
                let numbers = body
                    .clone()
                    .filter_map(|row| row.get(column))
                    .all(|cell| cell.bytes().all(|byte| byte.is_ascii_digit()));
                (width.unwrap_or_default(), numbers && self.rows.len() > 1)
            })
            .collect();
        for (number, row) in self.rows.iter().enumerate() {
            if number > 0 {
                writeln!(f)?;
            }
            let mut line = String::new();
            for (cell, (width, is_number)) in row.iter().zip(&columns) {
                if *is_number {
                    line.push_str(&format!("{cell:>width$}  "));
                } else {
                    line.push_str(&format!("{cell:width$}  "));
                }
            }
            f.write_str(line.trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Table;

    #[test]
    fn texts_stand_left_and_numbers_right() {
        let mut table = Table::new(&["name", "runs"]);
        table.row(["a longer one".to_owned(), "7".to_owned()]);
        table.row(["ж".to_owned(), "12345".to_owned()]);
        assert_eq!(
            table.to_string(),
            "name           runs\na longer one      7\nж             12345"
        );
    }
}
