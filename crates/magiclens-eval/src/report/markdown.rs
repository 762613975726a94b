//! The report as Markdown that reads well as plain text, too.

use super::tables::{self, Cell, Row, Table};
use super::{BenchmarkReport, Report};

impl Report {
    /// The report as Markdown: for each benchmark published rows and ours in one table, then variants, tasks, groups and
    /// paired differences; speed and memory at the end. Figures are in %, ours with their 95 % intervals.
    pub fn to_markdown(&self) -> String {
        let mut page = "# Evaluation\n".to_owned();
        for benchmark in &self.benchmarks {
            page += &section(benchmark);
        }
        if let Some(speed) = tables::speed(self) {
            page += &render(&speed, "##");
        }
        page += &format!("\n{}\n", self.resources());
        page
    }

    /// Threads and memory, in one line.
    pub(super) fn resources(&self) -> String {
        let memory = match self.peak_memory_bytes {
            Some(bytes) => format!("peak memory {:.0} MiB", bytes as f64 / f64::from(1 << 20)),
            None => "peak memory unknown".to_owned(),
        };
        format!("Threads {}, {memory}.", self.threads)
    }
}

fn section(report: &BenchmarkReport) -> String {
    let mut page = format!(
        "\n## {}\n\n`{}`, split {}, template {}. Figures in %, with 95 % bootstrap intervals; **bold** is measured here.\n",
        escape(&report.title),
        escape(&report.benchmark),
        escape(&report.split),
        escape(&report.template)
    );
    let reasons = tables::incomparable(report);
    if !reasons.is_empty() {
        page += &format!(
            "\n> not comparable with published figures: {}.\n",
            escape(&reasons.join("; "))
        );
    }
    for remark in &report.remarks {
        page += &format!("\n> {}\n", escape(remark));
    }
    for table in tables::of_benchmark(report) {
        page += &render(&table, "###");
    }
    page
}

/// A table whose columns stand below each other.
fn render(table: &Table, heading: &str) -> String {
    let heads: Vec<String> = table.heads.iter().map(|head| escape(&head.label)).collect();
    let rows: Vec<Vec<String>> = table.rows.iter().map(texts).collect();
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
    let rule = widths.iter().zip(&table.heads).map(|(width, head)| {
        if head.numeric {
            format!("{}:|", "-".repeat(width + 1))
        } else {
            format!("{}|", "-".repeat(width + 2))
        }
    });
    let mut page = format!("\n{heading} {}\n\n", escape(&table.title));
    page += &line(&heads);
    page += &format!("|{}\n", rule.collect::<String>());
    for row in &rows {
        page += &line(row);
    }
    if !table.notes.is_empty() {
        page += &format!("\n{}\n", escape(&table.notes.join(" ")));
    }
    page
}

fn texts(row: &Row) -> Vec<String> {
    let text = |Cell { text, detail }: &Cell| match detail {
        Some(detail) => format!("{} {detail}", escape(text)),
        None => escape(text),
    };
    let mut texts: Vec<String> = row.cells.iter().map(text).collect();
    if row.ours {
        texts[0] = format!("**{}**", texts[0]);
    }
    texts
}

/// Text that is neither markup nor a new cell or line.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(char) = chars.next() {
        match char {
            '\\' | '`' | '*' | '|' | '#' => escaped.extend(['\\', char]),
            // A tag begins so, and "<0.001" is none.
            '<' if chars.peek().is_some_and(|next| !next.is_ascii_digit() && *next != ' ') => escaped += "\\<",
            // Only this makes a link of brackets, which intervals have.
            '(' if escaped.ends_with(']') => escaped += "\\(",
            char if char.is_control() => escaped.push(' '),
            char => escaped.push(char),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::super::samples;
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
    fn published_rows_stand_beside_ours() {
        let page = samples::report().to_markdown();
        check(
            &page,
            &[
                "# Evaluation",
                "",
                "## CIRCO",
                "",
                "`circo`, split val, template magiclens. Figures in %, with 95 % bootstrap intervals; **bold** is measured here.",
                "",
                "> not comparable with published figures: these are of the split val, published ones of test; 20 val queries instead of 220.",
                "",
                "> A remark.",
                "",
                "### Results",
                "",
                "| system                | backbone | params |             mAP@5 | mAP@10 | source                   |",
                "|-----------------------|----------|-------:|------------------:|-------:|--------------------------|",
                "| MagicLens-B           | CLIP-B   |   166M |              23.1 |   23.8 | MegaPairs, appendix D    |",
            ],
        );
        check(
            &page,
            &[
                "| BGE-VL-large          | CLIP-L   |   428M |              39.2 |      - | MegaPairs                |",
                "| **small**             |          |        | 25.0 [18.8, 31.3] |      - | here, model 0123456789ab |",
                "| **base**              |          |        | 50.0 [43.8, 56.3] |      - | here, model 0123456789ab |",
                "",
                "(a) the released weights, which were converted from the ones of the paper.",
            ],
        );
    }

    #[test]
    fn breakdowns_differences_and_speed_follow() {
        let page = samples::report().to_markdown();
        check(
            &page,
            &[
                "| system | variant | mAP@5 |",
                "|--------|---------|------:|",
                "| small  | kept    |  25.0 |",
                "| small  | removed |  37.5 |",
                "| base   | kept    |  50.0 |",
                "| base   | removed |  62.5 |",
                "",
                "kept: query picture kept. removed: query picture removed.",
            ],
        );
        check(
            &page,
            &[
                "### By group: val, kept",
                "",
                "| group | queries | system |             mAP@5 | mAP@10 |",
                "|-------|--------:|--------|------------------:|-------:|",
                "| color |       7 | small  | 50.0 [43.8, 56.3] |      - |",
            ],
        );
        check(
            &page,
            &[
                "### Paired differences from small, in points",
                "",
                "| system | measure | difference | 95 % interval |     p |",
                "|--------|---------|-----------:|--------------:|------:|",
                "| base   | mAP@5   |      +25.0 |  [12.5, 37.5] | 0.031 |",
                "",
                "## Own",
            ],
        );
        check(
            &page,
            &[
                "| system    |               R@1 | source         |",
                "|-----------|------------------:|----------------|",
                "| **small** | 25.0 [18.8, 31.3] | here, rankings |",
                "| **base**  |  12.5 [6.3, 18.8] | here, rankings |",
            ],
        );
        check(
            &page,
            &[
                "## Speed",
                "",
                "| benchmark | system | pictures embedded | pictures/s | from the cache | queries | queries/s |",
                "|-----------|--------|------------------:|-----------:|---------------:|--------:|----------:|",
                "| CIRCO     | small  |               100 |       25.0 |             20 |      30 |      60.0 |",
                "",
                "Threads 2, peak memory 1536 MiB.",
            ],
        );
    }

    #[test]
    fn names_are_no_markup() {
        let mut report = samples::report();
        report.benchmarks[1].systems[0].system = "a|b\n<script> [x](y) `c`".to_owned();
        check(
            &report.to_markdown(),
            &[
                "| **a\\|b \\<script> [x]\\(y) \\`c\\`** | 25.0 [18.8, 31.3] | here, rankings |",
                "| **base**                         |  12.5 [6.3, 18.8] | here, rankings |",
            ],
        );
    }

    #[test]
    fn an_empty_report_is_a_page() {
        assert_eq!(
            Report::default().to_markdown(),
            "# Evaluation\n\nThreads 0, peak memory unknown.\n"
        );
    }
}
