//! A report: sections of blocks, rendered as Markdown and as one HTML page.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::chart::{BarChart, Histogram};
use crate::gallery::Gallery;
use crate::lines::LineChart;
use crate::table::Table;
use crate::text::{Text, clean};

const REPORT_STYLE: &str = concat!(include_str!("report.css"), include_str!("chart.css"));
/// The page may load nothing: what it shows is in it.
const POLICY: &str =
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";

/// A report with a title, an introduction, and sections.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Document {
    title: Text,
    lead: Section,
    sections: Vec<Section>,
}

/// A part of a report under a title.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Section {
    title: String,
    blocks: Vec<Block>,
}

/// One thing of a report. Texts, tables, charts and galleries convert into it; the variants are for the rest.
#[derive(Clone, Debug, PartialEq)]
pub enum Block {
    /// A paragraph.
    Text(Text),
    /// A paragraph in small letters.
    Note(Text),
    /// A remark that readers should know.
    Remark(Text),
    /// A paragraph that must not be missed.
    Warning(Text),
    /// A heading within a section.
    Heading(Text),
    /// Short lines.
    List(Vec<Text>),
    /// Names and their values, large.
    Facts(Vec<(String, Text)>),
    /// A table.
    Table(Table),
    /// Horizontal bars.
    Bars(BarChart),
    /// Vertical bars.
    Histogram(Histogram),
    /// Lines.
    Lines(LineChart),
    /// Cards with images.
    Gallery(Gallery),
    /// Blocks beside each other where there is room.
    Columns(Vec<Block>),
    /// Blocks that are folded in the HTML form, under a summary.
    Folded(Text, Vec<Block>),
    /// Blocks of the HTML form only, where the Markdown form would be too long.
    HtmlOnly(Vec<Block>),
}

impl Document {
    /// A report without content.
    pub fn new(title: impl Into<Text>) -> Self {
        let title = title.into();
        Self {
            title,
            ..Self::default()
        }
    }

    /// Adds to the introduction.
    pub fn push(&mut self, block: impl Into<Block>) -> &mut Self {
        self.lead.push(block);
        self
    }

    /// Adds a section, to be filled.
    pub fn section(&mut self, title: impl Into<String>) -> &mut Section {
        let title = title.into();
        self.sections.push(Section {
            title,
            ..Section::default()
        });
        self.sections.last_mut().expect("one was just added")
    }

    /// The report as Markdown that reads well as plain text, too. Charts are omitted.
    pub fn to_markdown(&self) -> String {
        let mut parts = vec![format!("# {}\n", self.title.markdown())];
        parts.extend(self.lead.blocks.iter().map(Block::markdown));
        for section in &self.sections {
            parts.push(format!("## {}\n", Text::from(&section.title).markdown()));
            parts.extend(section.blocks.iter().map(Block::markdown));
        }
        join(parts)
    }

    /// The report as one page that needs nothing else.
    pub fn to_html(&self) -> String {
        let page = html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta http-equiv="Content-Security-Policy" content=(POLICY);
                    meta name="referrer" content="no-referrer";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    title { (clean(&self.title.plain())) }
                    style { (PreEscaped(crate::STYLE)) (PreEscaped(REPORT_STYLE)) }
                }
                body.report {
                    header { h1 { (self.title) } (blocks(&self.lead.blocks)) (self.navigation()) }
                    main { @for (number, section) in self.sections.iter().enumerate() {
                        section id={ "part-" (number) } aria-labelledby={ "part-" (number) "-title" } {
                            h2 id={ "part-" (number) "-title" } { (Text::from(&section.title)) }
                            (blocks(&section.blocks))
                        }
                    } }
                }
            }
        };
        page.into_string() + "\n"
    }

    fn navigation(&self) -> Markup {
        html! { @if self.sections.len() > 1 { nav aria-label="Parts of the page" {
            @for (number, section) in self.sections.iter().enumerate() {
                a href={ "#part-" (number) } { (Text::from(&section.title)) } " "
            }
        } } }
    }
}

impl Section {
    /// Adds a block.
    pub fn push(&mut self, block: impl Into<Block>) -> &mut Self {
        self.blocks.push(block.into());
        self
    }
}

/// Adds all of a list, or what an `Option` holds.
impl<B: Into<Block>> Extend<B> for Section {
    fn extend<I: IntoIterator<Item = B>>(&mut self, blocks: I) {
        self.blocks.extend(blocks.into_iter().map(Into::into));
    }
}

impl Block {
    fn html(&self) -> Markup {
        match self {
            Self::Text(text) => html! { p { (text) } },
            Self::Note(text) => html! { p.note { (text) } },
            Self::Remark(text) => html! { p.remark { (text) } },
            Self::Warning(text) => html! { p.warning { (text) } },
            Self::Heading(text) => html! { h3 { (text) } },
            Self::List(lines) => html! { ul.lines { @for line in lines { li { (line) } } } },
            Self::Facts(facts) => html! {
                dl.scores { @for (name, value) in facts { div { dt { (clean(name)) } dd { (value) } } } }
            },
            Self::Table(table) => table.html(),
            Self::Bars(chart) => chart.html(),
            Self::Histogram(chart) => chart.html(),
            Self::Lines(chart) => chart.html(),
            Self::Gallery(gallery) => gallery.html(),
            Self::Columns(columns) => html! { div.columns { @for block in columns { div { (block.html()) } } } },
            Self::Folded(summary, content) => html! { details { summary { (summary) } (blocks(content)) } },
            Self::HtmlOnly(content) => blocks(content),
        }
    }

    fn markdown(&self) -> String {
        match self {
            Self::Text(text) | Self::Note(text) => format!("{}\n", text.markdown()),
            Self::Remark(text) | Self::Warning(text) => format!("> {}\n", text.markdown()),
            Self::Heading(text) => format!("### {}\n", text.markdown()),
            Self::List(lines) => lines.iter().map(|line| format!("- {}\n", line.markdown())).collect(),
            Self::Facts(facts) => {
                let fact = |(name, value): &(String, Text)| {
                    format!("- {}: {}\n", Text::from(name).markdown(), value.markdown())
                };
                facts.iter().map(fact).collect()
            }
            Self::Table(table) => table.markdown(),
            Self::Bars(_) | Self::Histogram(_) | Self::Lines(_) | Self::HtmlOnly(_) => String::new(),
            Self::Gallery(gallery) => gallery.markdown(),
            Self::Columns(blocks) => join(blocks.iter().map(Self::markdown)),
            Self::Folded(summary, content) => {
                let heading = format!("### {}\n", summary.markdown());
                join(std::iter::once(heading).chain(content.iter().map(Self::markdown)))
            }
        }
    }
}

fn blocks(blocks: &[Block]) -> Markup {
    html! { @for block in blocks { (block.html()) } }
}

/// Parts with an empty line between them.
fn join(parts: impl IntoIterator<Item = String>) -> String {
    let parts: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    parts.join("\n")
}

macro_rules! into_block {
    ($($from:ty => $variant:ident),*) => { $(impl From<$from> for Block {
        fn from(content: $from) -> Self {
            Self::$variant(content.into())
        }
    })* };
}

into_block!(
    Text => Text, &str => Text, String => Text, Table => Table, BarChart => Bars, Histogram => Histogram,
    LineChart => Lines, Gallery => Gallery
);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cells;

    fn document(text: &str) -> Document {
        let mut table = Table::new(text).words(["name"]).numbers(["n"]);
        table.row(cells![text, 3_usize]);
        let mut document = Document::new(text);
        document.push(Block::Warning(Text::strong("Careful:").then(text)));
        let section = document.section(text);
        section
            .push(text)
            .push(table.clone())
            .push(BarChart::new(text))
            .push(Block::Facts(vec![(text.into(), 5_u64.into())]));
        section.push(Block::Folded(
            text.into(),
            vec![Block::List(vec!["a".into(), text.into()])],
        ));
        section.extend(Some(Block::Columns(vec![
            table.into(),
            Block::HtmlOnly(vec![text.into()]),
        ])));
        document.section("Last").push(Gallery::default());
        document
    }

    #[test]
    fn both_forms_have_the_same_order() {
        let expected = "\
# Run

> **Careful:**Run

## Run

Run

### Run

| name |   n |
|------|----:|
| Run  |   3 |

- Run: 5

### Run

- a
- Run

### Run

| name |   n |
|------|----:|
| Run  |   3 |

## Last
";
        assert_eq!(document("Run").to_markdown(), expected);
        let html = document("Run").to_html();
        let places = [
            "<h1>Run",
            "Careful:",
            "<nav",
            "<h2 id=\"part-0-title\">Run",
            "<table>",
            "<svg",
            "class=\"columns\"",
            "</html>\n",
        ];
        let found: Vec<usize> = places.iter().map(|part| html.find(part).expect(part)).collect();
        assert!(found.is_sorted(), "{found:?}");
    }

    #[test]
    fn hostile_texts_stay_texts() {
        let page = document("</style></title><script>alert(1)</script>\"' onload='x\u{202e}").to_html();
        assert!(
            !page.contains("<script") && page.matches("</style>").count() == 1 && page.matches("</title>").count() == 1
        );
        assert!(!page.contains("\" onload") && !page.contains('\u{202e}'), "{page}");
        for open in [
            "<details", "<section", "<svg", "<table", "<figure", "<bdi", "<li", "<dl", "<div", "<p",
        ] {
            let opened = page.matches(&format!("{open}>")).count() + page.matches(&format!("{open} ")).count();
            assert_eq!(opened, page.matches(&format!("</{}>", &open[1..])).count(), "{open}");
        }
        let markdown = document("<script>\n# x | `y`").to_markdown();
        assert!(
            !markdown.contains("<script>") || markdown.contains("\\<script"),
            "{markdown}"
        );
        assert!(!markdown.contains("\n# x"), "{markdown}");
    }

    #[test]
    fn the_page_loads_nothing() {
        let page = document("Run").to_html();
        assert!(
            page.contains("default-src 'none'")
                && !page.contains("http:")
                && !page.contains("https:")
                && !page.contains("@import")
        );
        let empty = Document::default();
        assert!(empty.to_html().starts_with("<!DOCTYPE html>") && !empty.to_html().contains("<nav"));
        assert_eq!(empty.to_markdown(), "# \n");
    }
}
