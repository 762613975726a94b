//! The report as Markdown that reads well as plain text, too.

use super::tables::{self, Table, whole};
use super::{MiningReport, Sample};

/// Samples that are told in words.
const MAX_SAMPLES: usize = 12;
/// Characters of a text that are shown.
const MAX_TEXT: usize = 300;

impl MiningReport {
    /// The report as Markdown: the funnel and its reasons, time and speed, the triplets in numbers, the wording of instructions by
    /// generator, and some samples in words.
    pub fn to_markdown(&self) -> String {
        let mut page = format!("# {}\n", escape(&self.title()));
        for remark in &self.run.remarks {
            page += &format!("\n> {}\n", escape(remark));
        }
        for problem in &self.problems {
            page += &format!("\n> **Does not add up:** {}\n", escape(problem));
        }
        page += &settings(self);
        page += "\n## Funnel\n";
        if self.steps.is_empty() {
            page += "\nNo step has run.\n";
        }
        for step in &self.steps {
            page += &render(&tables::funnel(step));
            page += &tables::reasons(step).map(|table| render(&table)).unwrap_or_default();
        }
        if !self.steps.is_empty() {
            page += "\n## Time, memory, speed\n";
            page += &render(&tables::resources(self));
            page += &render(&tables::rates(self));
            page += &tables::numbers(self).map(|table| render(&table)).unwrap_or_default();
        }
        page += "\n## Triplets\n";
        page += &render(&tables::figures(self));
        for table in tables::lists(self).iter().chain(&tables::scores(self)) {
            page += &render(table);
        }
        page += "\n## Instructions\n";
        match tables::wording(self) {
            Some(table) => page += &render(&table),
            None => page += "\nThere are none.\n",
        }
        page += &openings(self);
        page += &samples(&self.samples);
        page
    }

    /// What the pages are called.
    pub(super) fn title(&self) -> String {
        match self.run.name.as_str() {
            "" => "Mining".to_owned(),
            name => format!("Mining: {name}"),
        }
    }
}

fn settings(report: &MiningReport) -> String {
    let items = report.run.settings.iter();
    let items: String = items
        .map(|(name, value)| format!("- {}: {}\n", escape(name), escape(value)))
        .collect();
    if items.is_empty() { items } else { format!("\n{items}") }
}

/// The commonest words and openings of each generator.
fn openings(report: &MiningReport) -> String {
    let mut page = String::new();
    for generator in &report.words.generators {
        let words: Vec<String> = generator
            .top_words
            .iter()
            .map(|word| format!("{} {}", escape(&word.value), whole(word.items)))
            .collect();
        let openings: Vec<String> = generator
            .openings
            .iter()
            .map(|first| {
                let second: Vec<String> = first.next.iter().map(|next| escape(&next.word)).collect();
                let next = if second.is_empty() {
                    String::new()
                } else {
                    format!(" ({})", second.join(", "))
                };
                format!("{} {}{next}", escape(&first.word), whole(first.items))
            })
            .collect();
        page += &format!(
            "\n### Words of {}\n\nMost frequent: {}.\n\nFirst words, and what follows: {}.\n",
            escape(&generator.generator),
            words.join(", "),
            openings.join("; ")
        );
    }
    page
}

fn samples(samples: &[Sample]) -> String {
    if samples.is_empty() {
        return "\n## Samples\n\nThere are none.\n".to_owned();
    }
    let mut page = "\n## Samples\n\n".to_owned();
    for sample in samples.iter().filter(|sample| !sample.extra).take(MAX_SAMPLES) {
        let target = sample
            .targets
            .first()
            .map(|target| sample.words(*target))
            .unwrap_or_default();
        page += &format!(
            "{}. \"{}\" ({}, {}): from {} to {}\n",
            sample.number,
            escape(&sample.instruction),
            escape(&sample.relation),
            escape(&sample.provenance.generator),
            quoted(sample.words(sample.query)),
            quoted(target),
        );
    }
    page
}

fn quoted(words: &str) -> String {
    if words.is_empty() {
        "a picture without words".to_owned()
    } else {
        format!("\"{}\"", escape(words))
    }
}

/// A table whose columns stand below each other.
fn render(table: &Table) -> String {
    let heads: Vec<String> = table.heads.iter().map(|head| escape(&head.label)).collect();
    let rows: Vec<Vec<String>> = table
        .rows
        .iter()
        .map(|row| row.iter().map(|cell| escape(cell)).collect())
        .collect();
    let widths: Vec<usize> = (0..heads.len())
        .map(|at| {
            let cells = rows.iter().chain([&heads]).map(|row| row[at].chars().count());
            cells.max().unwrap_or(0).max(3)
        })
        .collect();
    let line = |cells: &[String]| -> String {
        let padded = cells
            .iter()
            .zip(&widths)
            .zip(&table.heads)
            .map(|((cell, width), head)| {
                if head.numeric {
                    format!(" {cell:>width$} |")
                } else {
                    format!(" {cell:<width$} |")
                }
            });
        format!("|{}\n", padded.collect::<String>())
    };
    let rule = widths.iter().zip(&table.heads).map(|(width, head)| match head.numeric {
        true => format!("{}:|", "-".repeat(width + 1)),
        false => format!("{}|", "-".repeat(width + 2)),
    });
    let mut page = format!("\n### {}\n\n{}", escape(&table.title), line(&heads));
    page += &format!("|{}\n", rule.collect::<String>());
    page.extend(rows.iter().map(|row| line(row)));
    if !table.notes.is_empty() {
        page += &format!("\n{}\n", escape_all(&table.notes.join(" ")));
    }
    page
}

/// Text of others: no markup, no new cell or line, cut off after [`MAX_TEXT`] characters.
fn escape(text: &str) -> String {
    match text.char_indices().nth(MAX_TEXT) {
        Some((end, _)) => format!("{}…", escape_all(&text[..end])),
        None => escape_all(text),
    }
}

/// Text that is neither markup nor a new cell or line.
fn escape_all(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(char) = chars.next() {
        match char {
            '\\' | '`' | '*' | '|' | '#' | '[' | ']' | '>' | '~' | '&' | '!' => escaped.extend(['\\', char]),
            // Within a word it is no markup.
            '_' if !escaped.ends_with(char::is_alphanumeric) => escaped += "\\_",
            // A tag begins so, and "<0.1 %" is none.
            '<' if !chars.peek().is_some_and(char::is_ascii_digit) => escaped += "\\<",
            // Addresses become links by themselves.
            ':' if escaped.ends_with("http") || escaped.ends_with("https") => escaped += "\\:",
            char if char.is_control() || super::html::turns_direction(char) => escaped.push(' '),
            char => escaped.push(char),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::super::{Gathering, ReportConfig, RunFacts, examples};
    use super::*;

    #[track_caller]
    fn check(page: &str, lines: &[&str]) {
        let all: Vec<&str> = page.lines().collect();
        assert!(
            all.windows(lines.len()).any(|window| window == lines),
            "{}\n-- is not in --\n{page}",
            lines.join("\n")
        );
    }

    #[test]
    fn the_page_tells_the_run() {
        let page = examples::report().to_markdown();
        check(
            &page,
            &[
                "# Mining: example",
                "",
                "> One shard of 4 is not done yet.",
                "",
                "- generator: template",
                "- shards: 3",
            ],
        );
        check(
            &page,
            &[
                "### Step triplets: why items were dropped",
                "",
                "| stage    | reason            | dropped | what         | of what came in |",
                "|----------|-------------------|--------:|--------------|----------------:|",
                "| band     | too similar       |     300 | pairs        |          50.0 % |",
                "| band     | not related       |     240 | pairs        |          40.0 % |",
                "| instruct | no template fits  |      10 | pairs        |          16.7 % |",
                "| gates    | leaks the caption |      20 | instructions |          25.0 % |",
            ],
        );
        check(
            &page,
            &["| effect   |       45 | 75.0 % |", "| variant  |       15 | 25.0 % |"],
        );
        assert!(
            page.contains("First words, and what follows: with 45 (effect)."),
            "{page}"
        );
        assert_eq!(
            page.lines().filter(|line| line.contains(": from \"Picture ")).count(),
            MAX_SAMPLES
        );
    }

    #[test]
    fn an_empty_run_is_a_page() {
        let page = Gathering::new(ReportConfig::default())
            .finish(RunFacts::default(), &[])
            .to_markdown();
        check(&page, &["# Mining", "", "## Funnel", "", "No step has run."]);
        check(
            &page,
            &[
                "## Instructions",
                "",
                "There are none.",
                "",
                "## Samples",
                "",
                "There are none.",
            ],
        );
    }

    #[test]
    fn texts_are_no_markup() {
        assert_eq!(
            escape("a|b\n<i> [x](y) *c* &amp; http://x"),
            "a\\|b \\<i\\> \\[x\\](y) \\*c\\* \\&amp; http\\://x"
        );
        assert_eq!(
            escape("same_subject _x_ <0.1 % 3 < 4"),
            "same_subject \\_x_ <0.1 % 3 \\< 4"
        );
        assert_eq!(escape(&"é".repeat(301)), format!("{}…", "é".repeat(300)));
        let mut mined = examples::mined(1).remove(0);
        mined.instruction = "<script>alert(1)</script>\n# Title | `x`".to_owned();
        mined.relation = "a\n| b |".to_owned();
        let mut gathering = Gathering::new(ReportConfig::default());
        gathering.add(&mined);
        let page = gathering.finish(RunFacts::default(), &[]).to_markdown();
        assert!(!page.contains("<script>") && !page.contains("\n# Title"), "{page}");
        assert!(page.contains("| a \\| b \\| |"), "{page}");
    }
}
