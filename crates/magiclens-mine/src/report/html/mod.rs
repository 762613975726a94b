//! The report as one HTML page that needs nothing else: the funnel, tables, plots, and samples with their images.
//!
//! There are no scripts. Everything that is not ours is escaped, images are encoded anew, addresses become links only if they are
//! `http` or `https`, and a content security policy forbids the page to load anything. Its size is bounded by the number of samples.

mod gallery;
mod plot;
mod thumbnails;

use url::Url;

use super::tables::{self, Head, Table, whole};
use super::words::GeneratorWords;
use super::{FunnelStep, MiningReport};
pub use thumbnails::Thumbnails;

const STYLE: &str = include_str!("page.css");
/// Characters of a text that are shown.
const MAX_TEXT: usize = 600;
/// Longer addresses are shown, but are no links.
const MAX_LINK: usize = 2000;

impl MiningReport {
    /// The report as a page, with the images of [`MiningReport::sampled_images`]. Its samples are numbered and print as sheets to
    /// judge by.
    pub fn to_html(&self, thumbnails: &Thumbnails) -> String {
        let title = escape(&self.title());
        format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'; \
             base-uri 'none'; form-action 'none'\">\n\
             <meta name=\"referrer\" content=\"no-referrer\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta name=\"color-scheme\" content=\"light dark\">\n\
             <title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n\
             <header>\n<h1>{title}</h1>\n{}<nav aria-label=\"Parts of the page\">\n\
             <a href=\"#funnel\">Funnel</a> <a href=\"#speed\">Time and speed</a> <a href=\"#triplets\">Triplets</a> \
             <a href=\"#instructions\">Instructions</a> <a href=\"#samples\">Samples</a> <a href=\"#relations\">By relation</a>\n\
             </nav>\n</header>\n<main>\n{}{}{}{}{}</main>\n</body>\n</html>\n",
            head(self),
            section("funnel", "Funnel", &funnel(self)),
            section("speed", "Time, memory, speed", &speed(self)),
            section("triplets", "Triplets", &triplets(self)),
            section("instructions", "Instructions", &instructions(self)),
            gallery::sections(self, thumbnails),
        )
    }
}

/// Key figures, settings, remarks and problems.
fn head(report: &MiningReport) -> String {
    // Steps may look at the same pages and images again: the most that any of them saw.
    let mut figures: Vec<(String, u64)> = Vec::new();
    for step in &report.steps {
        for rate in &step.rates {
            match figures.iter_mut().find(|(name, _)| *name == rate.unit) {
                Some((_, most)) => *most = rate.items.max(*most),
                None => figures.push((rate.unit.clone(), rate.items)),
            }
        }
    }
    figures.retain(|(name, _)| name != "triplets");
    figures.push(("triplets".to_owned(), report.triplets.triplets));
    let mut figures: Vec<(String, String)> = figures.into_iter().map(|(name, items)| (name, whole(items))).collect();
    let cpu: f64 = report.steps.iter().map(|step| step.cpu_seconds).sum();
    if cpu > 0.0 {
        figures.push(("CPU time".to_owned(), tables::seconds(cpu)));
    }
    let figures: String = figures
        .iter()
        .map(|(name, value)| format!("<div><dt>{}</dt><dd>{}</dd></div>\n", escape(name), escape(value)))
        .collect();
    let settings: String = report
        .run
        .settings
        .iter()
        .map(|(name, value)| format!("<li><bdi>{}</bdi>: <bdi>{}</bdi></li>\n", escape(name), escape(value)))
        .collect();
    let settings = if settings.is_empty() {
        settings
    } else {
        format!("<ul class=\"settings\">\n{settings}</ul>\n")
    };
    let remarks = report.run.remarks.iter();
    let remarks: String = remarks
        .map(|remark| format!("<p class=\"remark\">{}</p>\n", escape(remark)))
        .collect();
    let problems = report.problems.iter();
    let problems: String = problems
        .map(|problem| {
            format!(
                "<p class=\"warning\"><strong>Does not add up:</strong> {}</p>\n",
                escape(problem)
            )
        })
        .collect();
    format!("<dl class=\"figures\">\n{figures}</dl>\n{remarks}{problems}{settings}")
}

fn funnel(report: &MiningReport) -> String {
    if report.steps.is_empty() {
        return "<p>No step has run.</p>\n".to_owned();
    }
    let sound = match report.problems.is_empty() {
        true => "<p class=\"about\">In every stage, what went on and what was dropped add up to what came in.</p>\n",
        false => "",
    };
    let step = |step: &FunnelStep| details(&tables::funnel(step), true) + &optional(tables::reasons(step), true);
    let steps: String = report.steps.iter().map(step).collect();
    format!("{sound}{}{steps}", plot::funnel(report))
}

fn speed(report: &MiningReport) -> String {
    if report.steps.is_empty() {
        return "<p>Nothing was measured.</p>\n".to_owned();
    }
    details(&tables::resources(report), true)
        + &details(&tables::rates(report), true)
        + &optional(tables::numbers(report), false)
}

fn triplets(report: &MiningReport) -> String {
    let mut part = details(&tables::figures(report), true);
    let lists = tables::lists(report);
    if !lists.is_empty() {
        let lists: String = lists
            .iter()
            .map(|table| format!("<div>{}</div>\n", details(table, true)))
            .collect();
        part += &format!("<div class=\"columns\">\n{lists}</div>\n");
    }
    part += &optional(tables::scores(report), true);
    part += &plots(report.triplets.scores.iter().map(plot::score));
    part
}

fn instructions(report: &MiningReport) -> String {
    let Some(wording) = tables::wording(report) else {
        return "<p>There are none.</p>\n".to_owned();
    };
    let generators = &report.words.generators;
    let words = |generator: &GeneratorWords| {
        let words = generator.top_words.iter();
        let words: String = words
            .map(|word| {
                format!(
                    "<li><bdi>{}</bdi> <small>{}</small></li>\n",
                    escape(&word.value),
                    whole(word.items)
                )
            })
            .collect();
        format!(
            "<details>\n<summary>Most frequent words, <bdi>{}</bdi></summary>\n<ol class=\"words\">\n{words}</ol>\n</details>\n",
            escape(&generator.generator)
        )
    };
    let words: String = generators.iter().map(words).collect();
    details(&wording, true)
        + &plots(generators.iter().map(plot::lengths))
        + &plots(generators.iter().map(plot::openings))
        + &words
}

fn plots(plots: impl Iterator<Item = String>) -> String {
    let plots: String = plots.collect();
    if plots.is_empty() {
        plots
    } else {
        format!("<div class=\"plots\">\n{plots}</div>\n")
    }
}

fn section(id: &str, title: &str, content: &str) -> String {
    format!(
        "<section id=\"{id}\" aria-labelledby=\"{id}-title\">\n<h2 id=\"{id}-title\">{title}</h2>\n{content}</section>\n"
    )
}

fn optional(table: Option<Table>, open: bool) -> String {
    table.map(|table| details(&table, open)).unwrap_or_default()
}

/// A table that can be folded.
fn details(table: &Table, open: bool) -> String {
    let cell = |element: &str, scope: &str, head: &Head, text: &str| {
        let class = if head.numeric { " class=\"number\"" } else { "" };
        format!("<{element}{scope}{class}><bdi>{}</bdi></{element}>", escape(text))
    };
    let heads: String = table
        .heads
        .iter()
        .map(|head| cell("th", " scope=\"col\"", head, &head.label))
        .collect();
    let row = |cells: &Vec<String>| {
        let cells = cells.iter().zip(&table.heads).enumerate();
        let cells: String = cells
            .map(|(at, (text, head))| match at {
                0 => cell("th", " scope=\"row\"", head, text),
                _ => cell("td", "", head, text),
            })
            .collect();
        format!("<tr>{cells}</tr>\n")
    };
    let rows: String = table.rows.iter().map(row).collect();
    let notes = table.notes.iter();
    let notes: String = notes
        .map(|note| format!("<p class=\"note\">{}</p>\n", escape(note)))
        .collect();
    let title = escape(&table.title);
    format!(
        "<details{}>\n<summary>{title}</summary>\n\
         <div class=\"wide\" role=\"region\" aria-label=\"{title}\" tabindex=\"0\"><table>\n<thead><tr>{heads}</tr></thead>\n<tbody>\n{rows}</tbody>\n</table></div>\n{notes}</details>\n",
        if open { " open" } else { "" }
    )
}

/// An address: a link if it leads to the web, else text.
fn link(address: &str) -> String {
    let text = escape(address);
    match Url::parse(address) {
        // A name before the host makes an address look like another one.
        Ok(url)
            if matches!(url.scheme(), "http" | "https")
                && url.username().is_empty()
                && url.password().is_none()
                && url.as_str().len() <= MAX_LINK =>
        {
            let target = escape_all(url.as_str());
            format!("<a href=\"{target}\" rel=\"noreferrer noopener nofollow\" target=\"_blank\"><bdi>{text}</bdi></a>")
        }
        _ => format!("<bdi>{text}</bdi>"),
    }
}

/// Text that is no markup, in an element or a quoted attribute; cut off after [`MAX_TEXT`] characters.
fn escape(text: &str) -> String {
    match text.char_indices().nth(MAX_TEXT) {
        Some((end, _)) => format!("{}…", escape_all(&text[..end])),
        None => escape_all(text),
    }
}

fn escape_all(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '&' => escaped += "&amp;",
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '"' => escaped += "&quot;",
            '\'' => escaped += "&#39;",
            char if char.is_control() || turns_direction(char) => escaped.push(' '),
            char => escaped.push(char),
        }
    }
    escaped
}

/// Marks that let text run in the other direction: they would reach over what follows.
pub(super) fn turns_direction(char: char) -> bool {
    matches!(char, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}' | '\u{061c}')
}

#[cfg(test)]
mod tests {
    use magiclens_data::Triplet;
    use magiclens_data::decode::Limits;

    use super::super::{Gathering, ReportConfig, RunFacts, StepReport, examples};
    use super::*;

    fn gather(mined: &[Triplet], run: RunFacts, steps: &[StepReport]) -> MiningReport {
        let mut gathering = Gathering::new(ReportConfig::default());
        mined.iter().for_each(|mined| gathering.add(mined));
        gathering.finish(run, steps)
    }

    #[test]
    fn only_addresses_of_the_web_are_links() {
        for (address, is_link) in [
            ("https://a.example/p?x=1&y=\"><script>", true),
            ("HTTP://A.example", true),
            ("javascript:alert(1)", false),
            (" java\tscript:alert(1)", false),
            ("data:text/html,<script>alert(1)</script>", false),
            ("https://good.example@evil.example/", false),
            ("file:///etc/passwd", false),
            ("//a.example", false),
            ("", false),
            (&format!("https://a.example/{}", "x".repeat(3000)), false),
        ] {
            let html = link(address);
            assert_eq!(html.contains("<a href=\"http"), is_link, "{html}");
            assert!(
                !html.contains("<script") && (is_link || !html.contains("href")),
                "{html}"
            );
        }
        assert!(link("https://a.example/").contains("rel=\"noreferrer noopener nofollow\""));
    }

    #[test]
    fn texts_are_no_markup() {
        assert_eq!(
            escape("<a href=\"x\" id='y'>&amp;\n\u{202e}"),
            "&lt;a href=&quot;x&quot; id=&#39;y&#39;&gt;&amp;amp;  "
        );
        let hostile = "</style></title><script>alert(1)</script>\"' onload='x";
        let mut mined = examples::mined(1);
        let triplet = &mut mined[0];
        triplet.instruction = hostile.to_owned();
        triplet.relation = hostile.to_owned();
        let provenance = &mut triplet.provenance;
        for text in [
            &mut provenance.generator,
            &mut provenance.source,
            &mut provenance.license,
            &mut provenance.prompt,
        ] {
            *text = hostile.to_owned();
        }
        provenance.models = vec![hostile.to_owned()];
        provenance.scores = [(hostile.to_owned(), 0.5)].into();
        provenance.stages = [(hostile.to_owned(), 1)].into();
        for address in provenance.urls.values_mut() {
            address.url = hostile.to_owned();
            address.page = "javascript:alert(1)".to_owned();
            address.license = "<script>".to_owned();
            address.opt_outs = vec![hostile.to_owned()];
        }
        let run = RunFacts {
            name: hostile.to_owned(),
            settings: [(hostile.to_owned(), hostile.to_owned())].into(),
            remarks: vec![hostile.to_owned()],
        };
        let mut steps = examples::steps();
        steps[0].step = hostile.to_owned();
        steps[0]
            .pipeline
            .iter_mut()
            .for_each(|stage| stage.unit = hostile.to_owned());
        steps[1].stages[0].1.dropped.insert(hostile.to_owned(), 1);
        let mut report = gather(&mined, run, &steps);
        let mut described = examples::described(0, "a.example");
        described.page_url = "javascript:alert(1)".to_owned();
        described.metadata.alt = hostile.to_owned();
        described.metadata.labels = vec![hostile.to_owned()];
        report.describe(&described);
        assert_eq!(report.samples[0].described.len(), 1);
        let page = report.to_html(&Thumbnails::default());
        assert!(
            !page.contains("<script") && page.matches("</style>").count() == 1 && page.matches("</title>").count() > 1
        );
        assert!(!page.contains("href=\"javascript") && !page.contains("\" onload") && !page.contains("' onload"));
        assert!(
            page.matches("&lt;script&gt;").count() >= 20,
            "{}",
            page.matches("&lt;script&gt;").count()
        );
        assert!(page.contains("Does not add up:"));
    }

    #[test]
    fn the_page_shows_funnel_words_and_images() {
        let report = examples::report();
        let limits = Limits::default();
        let file = |image| {
            let number = (0..200).find(|&number| examples::image(number) == image);
            match number {
                Some(5) => Err("lost".to_owned()),
                Some(number) => Ok(examples::image_file(number)),
                None => Err("unknown".to_owned()),
            }
        };
        let thumbnails = Thumbnails::make(&report.sampled_images(), &limits, file);
        let page = report.to_html(&thumbnails);
        for part in [
            "<h1>Mining: example</h1>",
            "<th scope=\"row\"><bdi>parse</bdi></th><td><bdi>pages</bdi></td><td class=\"number\"><bdi>1,200</bdi></td>",
            "One shard of 4 is not done yet.",
            "From language to size the unit changes: 900 pages, then 4,000 pictures, 4.4 for each.",
            "add up to what came in",
            "width=\"240\" height=\"150\" alt=\"Query: Picture ",
            "<dt>triplets</dt><dd>60</dd>",
        ] {
            assert!(page.contains(part), "{part}\n-- is not in --\n{page}");
        }
        let shown = report
            .samples
            .iter()
            .map(|sample| 1 + sample.targets.len())
            .sum::<usize>();
        assert_eq!(
            page.matches("<img ").count() + page.matches("class=\"missing\"").count(),
            shown
        );
        assert_eq!(page, report.to_html(&thumbnails));
        for open in [
            "<details", "<section", "<article", "<svg", "<table", "<figure", "<bdi", "<li", "<dl",
        ] {
            let close = format!("</{}>", &open[1..]);
            let opened = page.matches(&format!("{open}>")).count() + page.matches(&format!("{open} ")).count();
            assert_eq!(opened, page.matches(&close).count(), "{open}");
        }
        let mut ids: Vec<&str> = page
            .split(" id=\"")
            .skip(1)
            .filter_map(|rest| rest.split('"').next())
            .collect();
        let all = ids.len();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), all);
        for target in page.split("href=\"#").skip(1).filter_map(|rest| rest.split('"').next()) {
            assert!(ids.contains(&target), "{target}");
        }
    }

    #[test]
    fn runs_without_triplets_are_pages() {
        let empty = gather(&[], RunFacts::default(), &[]).to_html(&Thumbnails::default());
        for part in [
            "<h1>Mining</h1>",
            "No step has run.",
            "There are none.",
            "<dt>triplets</dt><dd>0</dd>",
        ] {
            assert!(empty.contains(part), "{part}\n-- is not in --\n{empty}");
        }
        let dropped = StepReport {
            stages: vec![(
                "gates".to_owned(),
                crate::stage::StageCounts {
                    items: 3,
                    kept: 0,
                    dropped: [("leaks the caption".to_owned(), 3)].into(),
                },
            )],
            ..StepReport::default()
        };
        let page = gather(&[], RunFacts::default(), &[dropped]).to_html(&Thumbnails::default());
        assert!(
            page.contains("gates: 0 of 3 items went on; dropped: leaks the caption 3"),
            "{page}"
        );
        let one = gather(&examples::mined(1), RunFacts::default(), &[]).to_html(&Thumbnails::default());
        assert_eq!(one.matches("<article").count(), 1);
        for page in [empty, page, one] {
            assert!(!page.contains("NaN") && !page.contains("inf%"), "{page}");
        }
    }
}
