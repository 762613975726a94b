//! Findings of the pass -> a page: main content, context of each image, addresses, repetitions.

use std::collections::{HashMap, HashSet};

use url::Url;

use super::config::HtmlConfig;
use super::findings::{Findings, FoundImage, Heading, MainLevel};
use super::sources::{Base, resolve};
use super::statements::License;
use super::text::{Span, Text};
use crate::page::{Page, PageImage, RawPage, Region};

/// Makes the page. `url` is the parsed address of `raw`.
pub(super) fn assemble(mut findings: Findings, config: &HtmlConfig, raw: &RawPage, url: Url) -> Page {
    for tag in &raw.robots_tags {
        findings.statements.read_robots(tag);
    }
    let base = Base::new(url, findings.statements.base.as_deref());
    let main = main_content(&findings, config);
    let words = Words::new(&findings, &main);
    let images = images(&mut findings, config, &words, &main, &base);
    let main_text = words.main_text.pieces(whole(&findings));
    let statements = &findings.statements;
    let title = if statements.title.is_empty() {
        &statements.shared_title
    } else {
        &statements.title
    };
    Page {
        url: raw.url.clone(),
        title: title.clone(),
        heading: first_heading(&findings, config, &main),
        language: statements.language.clone(),
        license: match statements.license() {
            Some(License::Address(address)) => base.join(address).unwrap_or_else(|| address.to_owned()),
            Some(License::Words(words)) => words.to_owned(),
            None => String::new(),
        },
        opt_outs: statements.opt_outs(),
        text: findings.text.first_of(main_text, config.max_text_chars),
        images,
    }
}

/// The places of the main content, in their order.
fn main_content(findings: &Findings, config: &HtmlConfig) -> Vec<Span> {
    let of = |level: MainLevel| -> Vec<Span> {
        let parts = findings.mains.iter().filter(|part| part.level == level);
        let mut spans: Vec<Span> = parts.map(|part| part.span).collect();
        spans.sort_unstable();
        spans
    };
    let marked = of(MainLevel::Main);
    if !marked.is_empty() {
        return marked;
    }
    let beside = Cuts::new(findings.aside.clone());
    let length = |spans: &[Span]| -> usize {
        let pieces = spans.iter().flat_map(|span| beside.pieces(*span));
        let pieces = pieces.filter(|piece| !findings.text.is_blank(*piece));
        pieces.map(|piece| piece.end - piece.start).sum()
    };
    let all = length(&[whole(findings)]);
    [MainLevel::Article, MainLevel::Named]
        .map(of)
        .into_iter()
        // A teaser or a comment may be an `<article>`, too: the main content is much of the page.
        .find(|spans| 0 < length(spans) && config.min_main_share * all as f64 <= length(spans) as f64)
        .unwrap_or_else(|| vec![whole(findings)])
}

fn whole(findings: &Findings) -> Span {
    Span::new(0, findings.text.len())
}

/// The first `<h1>` of the main content, else of the page.
fn first_heading(findings: &Findings, config: &HtmlConfig, main: &[Span]) -> String {
    let mut headings: Vec<_> = findings.headings.iter().filter(|heading| heading.level == 1).collect();
    headings.sort_by_key(|heading| heading.span);
    let is_main = |heading: &&&Heading| heading.region == Region::Main && is_within(heading.span, main);
    let heading = headings.iter().find(is_main).or_else(|| headings.first());
    let words = heading.map(|heading| findings.text.tidy(heading.span, config.max_label_chars));
    words.unwrap_or_default()
}

fn is_within(span: Span, parts: &[Span]) -> bool {
    let holds = |part: &Span| part.start <= span.start && span.end <= part.end;
    parts.iter().any(holds)
}

/// Places of running text.
struct Words {
    /// Without captions, code, and what stands beside the main content.
    running: Cuts,
    /// With captions.
    main_text: Cuts,
    /// Headings in the order of their starts.
    headings: Vec<Span>,
}

impl Words {
    fn new(findings: &Findings, main: &[Span]) -> Self {
        let mut beside = findings.aside.clone();
        let mut start = 0;
        for part in main {
            if start < part.start {
                beside.push(Span::new(start, part.start));
            }
            start = start.max(part.end);
        }
        if start < findings.text.len() {
            beside.push(Span::new(start, findings.text.len()));
        }
        let mut headings: Vec<Span> = findings.headings.iter().map(|heading| heading.span).collect();
        headings.sort_unstable();
        Self {
            running: Cuts::new(beside.iter().chain(&findings.captions_and_code).copied().collect()),
            main_text: Cuts::new(beside.iter().chain(&findings.code).copied().collect()),
            headings,
        }
    }

    /// The running text around a place: before and after, as far as other images and headings allow.
    fn around(&self, at: Span, previous: usize, next: usize, text: &Text, max_chars: usize) -> (String, String) {
        let heading = self.headings.partition_point(|heading| heading.start < at.start);
        let above = self.headings[..heading].last().map_or(0, |last| last.end.min(at.start));
        let below = self.headings.get(heading).map_or(usize::MAX, |next| next.start);
        let mut before: Vec<Span> = self.running.pieces(Span::new(above.max(previous), at.start)).collect();
        before.reverse();
        let after = self.running.pieces(Span::new(at.end, below.min(next)));
        (text.last_of(before, max_chars), text.first_of(after, max_chars))
    }
}

fn images(findings: &mut Findings, config: &HtmlConfig, words: &Words, main: &[Span], base: &Base) -> Vec<PageImage> {
    let end = findings.text.len();
    let max_sources = config.max_alternatives.saturating_add(1);
    let found = std::mem::take(&mut findings.images).into_iter();
    let found = found.map(|found| (resolve(&found.sources, base, max_sources), found));
    let found: Vec<_> = found.filter(|(addresses, _)| !addresses.is_empty()).collect();
    let places: Vec<Span> = found.iter().map(|(_, found)| found.at).collect();
    // The last heading and its words: most images share it with the one before.
    let mut heading = (0, String::new());
    let images = found.into_iter().enumerate().map(|(at, (mut addresses, found))| {
        if heading.0 != found.heading {
            let above = found.heading.checked_sub(1).map(|at| findings.headings[at].span);
            let words = above.map(|span| findings.text.tidy(span, config.max_label_chars));
            heading = (found.heading, words.unwrap_or_default());
        }
        let region = region(&found, main);
        let (before, after) = if region == Region::Main {
            let previous = at.checked_sub(1).map_or(0, |previous| places[previous].end);
            let next = places.get(at + 1).map_or(end, |next| next.start);
            words.around(found.at, previous, next, &findings.text, config.max_context_chars)
        } else {
            Default::default()
        };
        PageImage {
            url: addresses.remove(0),
            alternatives: addresses,
            alt: found.alt,
            title: found.title,
            caption: found.caption.map(|(_, caption)| caption).unwrap_or_default(),
            heading: heading.1.clone(),
            before,
            after,
            link: base.join(&found.link).unwrap_or_default(),
            width: found.width,
            height: found.height,
            region,
            figure: found.figure,
            marks: found.marks,
        }
    });
    number_figures(without_repetitions(images.collect()))
}

fn region(found: &FoundImage, main: &[Span]) -> Region {
    match found.region {
        Region::Main if is_within(found.at, main) => Region::Main,
        // Above the main content stands the head of the page, even where nothing says so.
        Region::Main if main.first().is_some_and(|first| found.at.start < first.start) => Region::Header,
        Region::Main => Region::Aside,
        region => region,
    }
}

/// Of several images with one address the one about which most is said, at its place.
fn without_repetitions(images: Vec<PageImage>) -> Vec<PageImage> {
    let richness = |image: &PageImage| {
        (
            image.region == Region::Main,
            !image.caption.is_empty(),
            !image.alt.is_empty(),
            image.figure.is_some(),
            image.before.len() + image.after.len() + image.title.len(),
        )
    };
    let mut best: HashMap<&str, usize> = HashMap::new();
    for (at, image) in images.iter().enumerate() {
        let kept = best.entry(&image.url).or_insert(at);
        if richness(&images[*kept]) < richness(image) {
            *kept = at;
        }
    }
    let kept: HashSet<usize> = best.into_values().collect();
    let images = images.into_iter().enumerate();
    let images = images.filter(|(at, _)| kept.contains(at));
    images.map(|(_, image)| image).collect()
}

/// Numbers the figures that are left from 0, in the order of their first images.
fn number_figures(mut images: Vec<PageImage>) -> Vec<PageImage> {
    let mut numbers: HashMap<u32, u32> = HashMap::new();
    for figure in images.iter_mut().filter_map(|image| image.figure.as_mut()) {
        let next = numbers.len() as u32;
        *figure = *numbers.entry(*figure).or_insert(next);
    }
    images
}

/// Places that are skipped, sorted, without overlaps.
struct Cuts(Vec<Span>);

impl Cuts {
    fn new(mut spans: Vec<Span>) -> Self {
        spans.sort_unstable();
        let mut merged: Vec<Span> = Vec::new();
        for span in spans {
            match merged.last_mut() {
                Some(last) if span.start <= last.end => last.end = last.end.max(span.end),
                _ => merged.push(span),
            }
        }
        Self(merged)
    }

    /// The remainder of a place, first to last.
    fn pieces(&self, span: Span) -> impl Iterator<Item = Span> {
        let first = self.0.partition_point(|cut| cut.end <= span.start);
        let cuts = self.0[first..].iter().copied();
        let cuts = cuts.take_while(move |cut| cut.start < span.end);
        let ends = cuts.clone().map(|cut| cut.start).chain([span.end]);
        let starts = [span.start].into_iter().chain(cuts.map(|cut| cut.end));
        let pieces = starts.zip(ends).map(|(start, end)| Span::new(start, end));
        pieces.filter(|piece| piece.start < piece.end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_leave_pieces() {
        let span = |start, end| Span::new(start, end);
        let cuts = Cuts::new(vec![span(8, 10), span(2, 4), span(3, 5)]);
        assert_eq!(cuts.0, [span(2, 5), span(8, 10)]);
        assert_eq!(
            cuts.pieces(span(0, 12)).collect::<Vec<_>>(),
            [span(0, 2), span(5, 8), span(10, 12)]
        );
        assert_eq!(cuts.pieces(span(3, 9)).collect::<Vec<_>>(), [span(5, 8)]);
        assert_eq!(cuts.pieces(span(3, 4)).count(), 0);
    }
}
