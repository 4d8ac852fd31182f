//! Tables and key/value blocks in Nomad's shape.
//!
//! A list's columns are padded to their widest cell and separated by two spaces; the last is not padded. A block's keys are
//! padded to the longest key of that block.

/// Rows with a header: `Title Case` words, two spaces between columns.
#[derive(Clone, Debug, Default)]
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with its header.
    pub fn new<T: ToString>(header: &[T]) -> Self {
        Self { rows: vec![header.iter().map(ToString::to_string).collect()] }
    }
    /// Adds a row; an empty cell stays empty.
    pub fn row<T: ToString>(&mut self, cells: impl IntoIterator<Item = T>) {
        self.rows.push(cells.into_iter().map(|cell| cell.to_string()).collect());
    }
    /// Whether there is only the header.
    pub fn is_empty(&self) -> bool {
        self.rows.len() <= 1
    }
    /// The text without a line end at the end.
    pub fn text(&self) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            self.rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let lines = self.rows.iter().map(|row| {
            let mut line = String::new();
            for (column, cell) in row.iter().enumerate() {
                line.push_str(cell);
                if column + 1 < row.len() {
                    let pad = widths.get(column).copied().unwrap_or(0).saturating_sub(cell.chars().count());
                    line.push_str(&" ".repeat(pad + 2));
                }
            }
            line
        });
        lines.collect::<Vec<_>>().join("\n")
    }
}

/// `Key   = value` lines.
#[derive(Clone, Debug, Default)]
pub struct Block {
    rows: Vec<(String, String)>,
}

impl Block {
    /// An empty block.
    pub fn new() -> Self {
        Self::default()
    }
    /// Adds a line; an empty value is `<none>`.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl ToString) -> Self {
        self.put(key, value);
        self
    }
    /// Adds a line; an empty value is `<none>`.
    pub fn put(&mut self, key: &str, value: impl ToString) {
        let value = value.to_string();
        self.rows.push((key.to_owned(), if value.is_empty() { "<none>".to_owned() } else { value }));
    }
    /// The text without a line end at the end.
    pub fn text(&self) -> String {
        let width = self.rows.iter().map(|(key, _)| key.chars().count()).max().unwrap_or(0);
        let lines =
            self.rows.iter().map(|(key, value)| format!("{key}{} = {value}", " ".repeat(width - key.chars().count())));
        lines.collect::<Vec<_>>().join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_padded_but_the_last() {
        let mut table = Table::new(&["ID", "Status"]);
        table.row(["web", "running"]);
        table.row(["a-long-name", ""]);
        assert_eq!(table.text(), "ID           Status\nweb          running\na-long-name  ");
        assert_eq!(Block::new().with("ID", "web").with("Priority", "").text(), "ID       = web\nPriority = <none>");
    }
}
