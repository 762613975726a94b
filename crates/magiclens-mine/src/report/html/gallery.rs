//! Samples as cards: query image, instruction, target images, and where they come from. Printed, they are sheets to judge by.

use magiclens_data::{ImageAddress, ImageId, Provenance};

use super::thumbnails::Thumbnails;
use super::{escape, link, section};
use crate::page::Metadata;
use crate::report::gather::opt_outs;
use crate::report::tables::{percent, whole};
use crate::report::{Counted, MiningReport, Sample};

/// All samples in their order, then the relations with theirs.
pub(super) fn sections(report: &MiningReport, thumbnails: &Thumbnails) -> String {
    if report.samples.is_empty() {
        let none = "<p>There are no triplets.</p>\n";
        return section("samples", "Samples", none) + &section("relations", "By relation", none);
    }
    let cards = |extra: bool| -> String {
        let samples = report.samples.iter().filter(|sample| sample.extra == extra);
        samples.map(|sample| card(sample, thumbnails)).collect()
    };
    let drawn = report.samples.iter().filter(|sample| !sample.extra).count();
    let samples = format!(
        "<p class=\"about\">{drawn} of {} triplets, drawn at random with seed {}.</p>\n<div class=\"cards\">\n{}</div>\n",
        whole(report.triplets.triplets),
        report.config.seed,
        cards(false)
    );
    let extra = cards(true);
    let extra = if extra.is_empty() {
        extra
    } else {
        format!(
            "<p class=\"about\">Drawn besides, of relations that the samples above have too few of:</p>\n<div class=\"cards\">\n{extra}</div>\n"
        )
    };
    section("samples", "Samples", &samples) + &section("relations", "By relation", &(relations(report) + &extra))
}

/// Each relation with its share and its samples.
fn relations(report: &MiningReport) -> String {
    let row = |relation: &Counted| {
        let samples = report.samples.iter().filter(|sample| sample.relation == relation.value);
        let links: Vec<String> = samples
            .map(|sample| {
                format!(
                    "<a href=\"#sample-{0}\" title=\"{1}\">{0}</a>",
                    sample.number,
                    escape(&sample.instruction)
                )
            })
            .collect();
        let name = if relation.value.is_empty() {
            "(none)"
        } else {
            &relation.value
        };
        format!(
            "<tr><th scope=\"row\"><bdi>{}</bdi></th><td class=\"number\">{}</td><td class=\"number\">{}</td><td class=\"links\">{}</td></tr>\n",
            escape(name),
            whole(relation.items),
            percent(relation.items as f64 / report.triplets.triplets.max(1) as f64),
            links.join(" ")
        )
    };
    let relations = report
        .triplets
        .relations
        .values
        .iter()
        .take(report.config.max_relations);
    let rows: String = relations.map(row).collect();
    format!(
        "<div class=\"wide\" role=\"region\" aria-label=\"Relations and their samples\" tabindex=\"0\"><table>\n\
         <thead><tr><th scope=\"col\">relation</th><th scope=\"col\" class=\"number\">triplets</th>\
         <th scope=\"col\" class=\"number\">share</th><th scope=\"col\">samples</th></tr></thead>\n<tbody>\n{rows}</tbody>\n</table></div>\n"
    )
}

fn card(sample: &Sample, thumbnails: &Thumbnails) -> String {
    let Sample {
        number,
        instruction,
        relation,
        provenance,
        ..
    } = sample;
    let targets = sample.shown_targets();
    let hidden = sample.targets.len() - targets.len();
    let targets: String = targets
        .iter()
        .map(|&target| figure("Target", sample, target, thumbnails))
        .collect();
    let more = match hidden {
        0 => String::new(),
        hidden => format!("<p class=\"note\">{hidden} more targets</p>\n"),
    };
    format!(
        "<article id=\"sample-{number}\" aria-labelledby=\"instruction-{number}\">\n\
         <h3 id=\"instruction-{number}\"><span class=\"number\">{number}</span> <bdi>{}</bdi></h3>\n\
         <div class=\"pictures\">\n{}<span class=\"arrow\" aria-hidden=\"true\">→</span>\n{targets}</div>\n{more}\
         <p class=\"about\"><bdi>{}</bdi> · <bdi>{}</bdi></p>\n\
         <p class=\"judge\" aria-hidden=\"true\">☐ true ☐ not true ☐ unsure</p>\n\
         <details>\n<summary>Details</summary>\n{}</details>\n</article>\n",
        escape(instruction),
        figure("Query", sample, sample.query, thumbnails),
        escape(or(relation, "no relation")),
        escape(or(&provenance.generator, "generator not stated")),
        facts(sample),
    )
}

fn or<'a>(text: &'a str, otherwise: &'a str) -> &'a str {
    if text.is_empty() { otherwise } else { text }
}

fn figure(role: &str, sample: &Sample, image: ImageId, thumbnails: &Thumbnails) -> String {
    let words = sample.words(image);
    let shown = match thumbnails.get(image) {
        Ok(small) => format!(
            "<img src=\"{}\" width=\"{}\" height=\"{}\" alt=\"{role}: {}\">",
            small.uri,
            small.width,
            small.height,
            escape(or(words, "a picture without words"))
        ),
        Err(reason) => format!("<p class=\"missing\">{role} picture not shown: {}</p>", escape(reason)),
    };
    let caption = escape(or(words, "(no words)"));
    format!("<figure>\n{shown}\n<figcaption>{role}: <bdi>{caption}</bdi></figcaption>\n</figure>\n")
}

/// A list of names and what is known under them; what is empty is left out.
#[derive(Default)]
struct Facts(String);

impl Facts {
    fn html(&mut self, name: &str, html: &str) {
        if !html.is_empty() {
            self.0 += &format!("<dt>{}</dt><dd>{html}</dd>\n", escape(name));
        }
    }

    fn text(&mut self, name: &str, text: &str) {
        if !text.is_empty() {
            self.html(name, &format!("<bdi>{}</bdi>", escape(text)));
        }
    }

    fn address(&mut self, name: &str, address: &str) {
        if !address.is_empty() {
            self.html(name, &link(address));
        }
    }
}

/// Where the triplet comes from.
fn facts(sample: &Sample) -> String {
    let Provenance {
        source,
        license,
        models,
        scores,
        prompt,
        stages,
        ..
    } = &sample.provenance;
    let mut facts = Facts::default();
    let scores: Vec<String> = scores
        .iter()
        .map(|(name, score)| format!("{name} {score:.3}"))
        .collect();
    facts.text("scores", &scores.join(" · "));
    facts.address("source", source);
    facts.text("licence", or(license, "not stated"));
    let opt_outs: Vec<&str> = opt_outs(&sample.provenance).into_iter().collect();
    facts.text("opt-outs", or(&opt_outs.join(", "), "none stated"));
    facts.text("models", &models.join(", "));
    facts.text("prompt", prompt);
    let stages: Vec<String> = stages
        .iter()
        .map(|(name, version)| format!("{name} {version}"))
        .collect();
    facts.text("stage versions", &stages.join(", "));
    facts.html("hard negatives", &sample.hard_negatives.len().to_string());
    let roles = std::iter::once("query").chain(std::iter::repeat("target"));
    for (role, image) in roles.zip(sample.shown()) {
        facts_of_image(sample, role, image, &mut facts);
    }
    format!("<dl class=\"facts\">\n{}</dl>\n", facts.0)
}

fn facts_of_image(sample: &Sample, role: &str, image: ImageId, facts: &mut Facts) {
    let provenance = &sample.provenance;
    facts.html(&format!("{role} id"), &format!("<code>{image}</code>"));
    if let Some(ImageAddress { url, page, license, .. }) = provenance.urls.get(&image) {
        facts.address(&format!("{role} address"), url);
        if *page != provenance.source {
            facts.address(&format!("{role} page"), page);
        }
        if *license != provenance.license {
            facts.text(&format!("{role} licence"), license);
        }
    }
    if let Some(described) = sample.described.get(&image) {
        facts.html(
            &format!("{role} size"),
            &format!("{} × {}", described.width, described.height),
        );
        for (name, words) in words(&described.metadata) {
            facts.text(&format!("{role} {name}"), &words);
        }
    }
}

/// What is known in words, by name.
fn words(metadata: &Metadata) -> [(&'static str, String); 10] {
    [
        ("alt", metadata.alt.clone()),
        ("caption", metadata.caption.clone()),
        ("title", metadata.title.clone()),
        ("file words", metadata.file_words.clone()),
        ("heading", metadata.heading.clone()),
        ("context", metadata.context.clone()),
        ("page title", metadata.page_title.clone()),
        ("page heading", metadata.page_heading.clone()),
        ("labels", metadata.labels.join(", ")),
        ("model caption", metadata.model_caption.clone()),
    ]
}
