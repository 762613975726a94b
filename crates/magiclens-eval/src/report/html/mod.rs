//! The report as one HTML page that needs nothing else: tables, plots, and the images of queries that went wrong.
//!
//! There are no scripts. Everything that is not ours is escaped, and a content security policy forbids the page to load
//! anything. Its size is bounded: galleries share 32 MiB, and texts are cut off.

mod gallery;
mod plot;
mod thumbnails;

use super::tables::{self, Cell, Head, Row, Table};
use super::{BenchmarkReport, Report};
use thumbnails::Thumbnails;

const STYLE: &str = include_str!("page.css");
/// Characters of a text that are shown.
const MAX_TEXT: usize = 400;

/// The report as a page. Images are read from their files; one that cannot be read shows its name.
pub fn to_html(report: &Report) -> String {
    let galleries = report
        .benchmarks
        .iter()
        .flat_map(|benchmark| &benchmark.systems)
        .filter(|system| !system.failures.is_empty())
        .count();
    let budget = gallery::MAX_GALLERY_BYTES / galleries.max(1);
    let links: String = report
        .benchmarks
        .iter()
        .enumerate()
        .map(|(at, benchmark)| format!("<a href=\"#benchmark-{at}\">{}</a>\n", escape(&benchmark.title)))
        .collect();
    let sections: String = report
        .benchmarks
        .iter()
        .enumerate()
        .map(|(at, benchmark)| section(at, benchmark, budget))
        .collect();
    let speed = tables::speed(report).map(|table| render(&table)).unwrap_or_default();
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>Evaluation</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n\
         <header>\n<h1>Evaluation</h1>\n<p>Figures in %, with 95 % bootstrap intervals. \
         <span class=\"key ours\">measured here</span> <span class=\"key\">published</span></p>\n\
         <nav>\n{links}</nav>\n</header>\n<main>\n{sections}\
         <section>\n<h2>Speed</h2>\n{speed}<p>{}</p>\n</section>\n</main>\n</body>\n</html>\n",
        escape(&report.resources())
    )
}

fn section(at: usize, report: &BenchmarkReport, budget: usize) -> String {
    let mut page = format!(
        "<section id=\"benchmark-{at}\">\n<h2>{}</h2>\n<p class=\"about\">{}, split {}, template {}</p>\n",
        escape(&report.title),
        escape(&report.benchmark),
        escape(&report.split),
        escape(&report.template)
    );
    let reasons = tables::incomparable(report);
    if !reasons.is_empty() {
        page += &format!(
            "<p class=\"warning\"><strong>Not comparable with published figures:</strong> {}.</p>\n",
            escape(&reasons.join("; "))
        );
    }
    for remark in &report.remarks {
        page += &format!("<p class=\"remark\">{}</p>\n", escape(remark));
    }
    page += &plot::of_benchmark(report);
    for (number, table) in tables::of_benchmark(report).iter().enumerate() {
        let open = if number == 0 { " open" } else { "" };
        page += &format!(
            "<details{open}>\n<summary>{}</summary>\n{}</details>\n",
            escape(&table.title),
            render(table)
        );
    }
    let mut thumbnails = Thumbnails::default();
    for system in &report.systems {
        page += &gallery::of_system(report, system, &mut thumbnails, budget);
    }
    page += "</section>\n";
    page
}

fn render(table: &Table) -> String {
    let heads: String = table
        .heads
        .iter()
        .map(|head| element("th", head, &head.label))
        .collect();
    let rows: String = table.rows.iter().map(|row| render_row(row, &table.heads)).collect();
    let notes: String = table
        .notes
        .iter()
        .map(|note| format!("<p class=\"note\">{}</p>\n", escape(note)))
        .collect();
    format!(
        "<div class=\"wide\"><table>\n<thead><tr>{heads}</tr></thead>\n<tbody>\n{rows}</tbody>\n</table></div>\n{notes}"
    )
}

fn render_row(row: &Row, heads: &[Head]) -> String {
    let cells: String = row
        .cells
        .iter()
        .zip(heads)
        .map(|(Cell { text, detail }, head)| {
            let detail = detail
                .as_deref()
                .map(|detail| format!(" <small>{}</small>", escape(detail)));
            let class = if head.numeric { " class=\"number\"" } else { "" };
            format!("<td{class}>{}{}</td>", escape(text), detail.unwrap_or_default())
        })
        .collect();
    let class = if row.ours { " class=\"ours\"" } else { "" };
    format!("<tr{class}>{cells}</tr>\n")
}

fn element(name: &str, head: &Head, text: &str) -> String {
    let class = if head.numeric { " class=\"number\"" } else { "" };
    format!("<{name}{class}>{}</{name}>", escape(text))
}

/// Text that is no markup, in an element or a quoted attribute; cut off after [`MAX_TEXT`] characters.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len().min(MAX_TEXT));
    for (count, char) in text.chars().enumerate() {
        if count == MAX_TEXT {
            escaped.push('…');
            break;
        }
        match char {
            '&' => escaped += "&amp;",
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '"' => escaped += "&quot;",
            '\'' => escaped += "&#39;",
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
    use crate::benchmark::Crop;
    use crate::report::{Answer, Shown};

    #[test]
    fn texts_are_no_markup() {
        assert_eq!(
            escape("<a href=\"x\" id='y'>&amp;\n"),
            "&lt;a href=&quot;x&quot; id=&#39;y&#39;&gt;&amp;amp; "
        );
        assert_eq!(escape(&"é".repeat(401)), format!("{}…", "é".repeat(400)));
        let hostile = "</style><script>alert(1)</script>\"'";
        let mut report = samples::report();
        let circo = &mut report.benchmarks[0];
        for text in [
            &mut circo.title,
            &mut circo.split,
            &mut circo.template,
            &mut circo.benchmark,
        ] {
            *text = hostile.to_owned();
        }
        circo.remarks = vec![hostile.to_owned()];
        circo.columns[0].label = hostile.to_owned();
        let system = &mut circo.systems[0];
        system.system = hostile.to_owned();
        system.model_id = Some(hostile.to_owned());
        let failure = &mut system.failures[0];
        failure.text = hostile.to_owned();
        failure.task = hostile.to_owned();
        failure.query = hostile.to_owned();
        failure.images = vec![samples::image(hostile.into())];
        failure.truth = vec![Shown::Text(hostile.to_owned())];
        failure.values = [(hostile.to_owned(), 0.5)].into();
        let page = to_html(&report);
        assert!(!page.contains("<script") && page.matches("</style>").count() == 1);
        assert!(page.matches("&lt;script&gt;").count() >= 9);
    }

    #[test]
    fn tables_and_plots_show_published_and_own_figures() {
        let page = to_html(&samples::report());
        for part in [
            "<tr><td>MagicLens-B</td><td>CLIP-B</td><td class=\"number\">166M</td><td class=\"number\">23.1</td>",
            "<tr class=\"ours\"><td>small</td><td></td><td class=\"number\"></td>\
             <td class=\"number\">25.0 <small>[18.8, 31.3]</small></td>",
            "<strong>Not comparable with published figures:</strong> these are of the split val",
            "Threads 2, peak memory 1536 MiB.",
            "<a href=\"#benchmark-0\">CIRCO</a>",
        ] {
            assert!(page.contains(part), "{part}\n-- is not in --\n{page}");
        }
        // CIRCO has one column with figures of both kinds; nothing is published on the other benchmark.
        assert_eq!(page.matches("<svg").count(), 1);
    }

    #[test]
    fn failures_show_images_and_names_of_missing_ones() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("red.png");
        image::RgbImage::from_pixel(300, 150, image::Rgb([255, 0, 0]))
            .save(&file)
            .unwrap();
        let mut report = samples::report();
        let failure = &mut report.benchmarks[0].systems[0].failures[0];
        failure.came.push(Answer {
            shown: samples::image(file.clone()),
            right: true,
        });
        let page = to_html(&report);
        assert_eq!(page.matches("<img").count(), 1);
        assert!(page.contains("width=\"128\" height=\"64\""), "{page}");
        assert!(page.contains("<li class=\"right\">") && page.contains("<li class=\"wrong\">"));
        assert_eq!(page.matches("<span class=\"missing\"").count(), 3);
        assert!(page.contains("missing/2.jpg") && page.contains("find a cat but it is black"));
        // GeneCIS shows a square around an object: 17 pixels of a box of 10.
        report.benchmarks[0].systems[0].failures[0].images = vec![Shown::Image {
            id: "box".to_owned(),
            path: file,
            crop: Some(Crop {
                left: 50.0,
                top: 50.0,
                width: 10.0,
                height: 10.0,
            }),
        }];
        assert!(to_html(&report).contains("width=\"17\" height=\"17\""));
    }

    #[test]
    fn an_empty_report_is_a_page() {
        let page = to_html(&Report::default());
        assert!(page.starts_with("<!doctype html>") && page.ends_with("</html>\n"));
    }
}
