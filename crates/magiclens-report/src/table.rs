//! One table model for Markdown and HTML.

use maud::{Markup, html};

use crate::text::{Text, clean};

/// A table; the first cell of a row names the row. Built from its heads, then row by row with [`cells!`](crate::cells).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    /// Heading in Markdown, summary in HTML; may be empty.
    pub title: String,
    /// Rows, a cell for each head.
    pub rows: Vec<Row>,
    heads: Vec<Head>,
    notes: Vec<Text>,
    folded: bool,
}

/// A row of a table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Row {
    /// The cells from left to right.
    pub cells: Vec<Text>,
    /// True for rows that stand out, e.g. those measured here.
    pub strong: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Head {
    label: Text,
    is_number: bool,
}

/// The cells of a row from values of different types: whatever converts into a [`Text`].
#[macro_export]
macro_rules! cells {
    ($($cell:expr),* $(,)?) => { [$($crate::Text::from($cell)),*] };
}

impl Table {
    /// A table without columns.
    pub fn new(title: impl Into<String>) -> Self {
        let title = title.into();
        Self {
            title,
            ..Self::default()
        }
    }

    /// Adds columns of words.
    #[must_use]
    pub fn words<T: Into<Text>>(self, labels: impl IntoIterator<Item = T>) -> Self {
        self.heads(labels, false)
    }

    /// Adds columns of numbers, which are aligned at the right.
    #[must_use]
    pub fn numbers<T: Into<Text>>(self, labels: impl IntoIterator<Item = T>) -> Self {
        self.heads(labels, true)
    }

    /// Shows the rows of the HTML form only when its summary is opened.
    #[must_use]
    pub fn folded(mut self) -> Self {
        self.folded = true;
        self
    }

    /// Adds a row.
    pub fn row<T: Into<Text>>(&mut self, cells: impl IntoIterator<Item = T>) -> &mut Self {
        self.add(cells, false)
    }

    /// Adds a row that stands out.
    pub fn strong_row<T: Into<Text>>(&mut self, cells: impl IntoIterator<Item = T>) -> &mut Self {
        self.add(cells, true)
    }

    /// Adds a sentence below the table.
    pub fn note(&mut self, note: impl Into<Text>) -> &mut Self {
        self.notes.push(note.into());
        self
    }

    /// The table; `None` without rows.
    pub fn unless_empty(self) -> Option<Self> {
        (!self.rows.is_empty()).then_some(self)
    }

    fn heads<T: Into<Text>>(mut self, labels: impl IntoIterator<Item = T>, is_number: bool) -> Self {
        let heads = labels.into_iter().map(|label| Head {
            label: label.into(),
            is_number,
        });
        self.heads.extend(heads);
        self
    }

    fn add<T: Into<Text>>(&mut self, cells: impl IntoIterator<Item = T>, strong: bool) -> &mut Self {
        let mut cells: Vec<Text> = cells.into_iter().map(Into::into).collect();
        debug_assert_eq!(cells.len(), self.heads.len(), "{}: a cell for each head", self.title);
        cells.resize(self.heads.len(), Text::default());
        self.rows.push(Row { cells, strong });
        self
    }

    pub(crate) fn html(&self) -> Markup {
        let label = clean(&self.title);
        let table = html! {
            div.wide role="region" aria-label=(label) tabindex="0" { table {
                thead { tr { @for head in &self.heads { th scope="col" class=[head.class()] { (head.label) } } } }
                tbody { @for row in &self.rows { (self.html_row(row)) } }
            } }
            @for note in &self.notes { p.note { (note) } }
        };
        match self.title.as_str() {
            "" => table,
            title => html! { details open[!self.folded] { summary { (clean(title)) } (table) } },
        }
    }

    fn html_row(&self, row: &Row) -> Markup {
        html! {
            tr class=[row.strong.then_some("strong")] {
                @for (at, (cell, head)) in row.cells.iter().zip(&self.heads).enumerate() {
                    @if at == 0 { th scope="row" class=[head.class()] { (cell) } }
                    @else { td class=[head.class()] { (cell) } }
                }
            }
        }
    }

    /// The columns stand below each other, so that it reads well as plain text.
    pub(crate) fn markdown(&self) -> String {
        let heads: Vec<String> = self.heads.iter().map(|head| head.label.markdown()).collect();
        let rows: Vec<Vec<String>> = self.rows.iter().map(Row::markdown).collect();
        let all = || rows.iter().chain([&heads]);
        let width = |at: usize| all().map(|row| row[at].chars().count()).max().unwrap_or(0).max(3);
        let widths: Vec<usize> = (0..heads.len()).map(width).collect();
        let columns = || self.heads.iter().zip(&widths);
        let line = |cells: &Vec<String>| -> String {
            let padded = cells
                .iter()
                .zip(columns())
                .map(|(cell, (head, width))| match head.is_number {
                    true => format!(" {cell:>width$} |"),
                    false => format!(" {cell:<width$} |"),
                });
            format!("|{}\n", padded.collect::<String>())
        };
        let rule = columns().map(|(head, width)| match head.is_number {
            true => format!("{}:|", "-".repeat(width + 1)),
            false => format!("{}|", "-".repeat(width + 2)),
        });
        let title = match self.title.as_str() {
            "" => String::new(),
            title => format!("### {}\n\n", Text::from(title).markdown()),
        };
        let body: String = rows.iter().map(line).collect();
        let mut markdown = format!("{title}{}|{}\n{body}", line(&heads), rule.collect::<String>());
        if !self.notes.is_empty() {
            let notes: Vec<String> = self.notes.iter().map(Text::markdown).collect();
            markdown += &format!("\n{}\n", notes.join(" "));
        }
        markdown
    }
}

impl Head {
    fn class(&self) -> Option<&'static str> {
        self.is_number.then_some("number")
    }
}

impl Row {
    fn markdown(&self) -> Vec<String> {
        let mut cells: Vec<String> = self.cells.iter().map(Text::markdown).collect();
        if let (true, Some(name)) = (self.strong, cells.first_mut()) {
            *name = format!("**{name}**");
        }
        cells
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new("Results").words(["system"]).numbers(["R@1"]);
        table.row(cells!["a|b", 1234_u64]);
        table.strong_row([
            Text::from("ours"),
            Text::from("50.0").then(Text::small(" [43.8, 56.3]")),
        ]);
        table.note("One.").note("Two.");
        table
    }

    #[test]
    fn columns_stand_below_each_other() {
        let expected = "\
### Results

| system   |               R@1 |
|----------|------------------:|
| a\\|b     |             1,234 |
| **ours** | 50.0 [43.8, 56.3] |

One. Two.
";
        assert_eq!(table().markdown(), expected);
    }

    #[test]
    fn html_names_rows_and_columns() {
        let html = table().html().into_string();
        for part in [
            "<details open><summary>Results</summary>",
            "<th scope=\"col\" class=\"number\">R@1</th>",
            "<th scope=\"row\">a|b</th>",
            "<td class=\"number\"><bdi>50.0</bdi><small> [43.8, 56.3]</small></td>",
        ] {
            assert!(html.contains(part), "{part} is not in {html}");
        }
        assert!(!table().folded().html().into_string().contains("<details open"));
        assert_eq!(Table::new("empty").unless_empty(), None);
    }
}
