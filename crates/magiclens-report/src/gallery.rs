//! Cards with images: queries that went wrong, samples, results.

use maud::{Markup, html};

use crate::text::{Text, clean};
use crate::thumbnail::ThumbnailResult;

/// Cards in a grid.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Gallery {
    /// The cards in their order.
    pub cards: Vec<Card>,
    /// Cards that the Markdown form tells in words; the HTML form has all.
    pub in_markdown: usize,
    /// True for a dense grid of cards with one image each.
    pub small: bool,
}

/// Images that belong together, with words about them. All parts but the title may be empty.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Card {
    /// The id that [`Text::jump`] leads to.
    pub id: String,
    /// Words above the images.
    pub title: Text,
    /// Images in groups, from left to right.
    pub groups: Vec<Group>,
    /// Lines below the images.
    pub about: Vec<Text>,
    /// Names and values that are folded.
    pub facts: Vec<(String, Text)>,
    /// A line for paper only, e.g. boxes to tick.
    pub print_only: String,
}

/// Images of one role.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Group {
    /// The role, e.g. "query"; may be empty.
    pub title: String,
    /// The images.
    pub figures: Vec<Figure>,
}

/// An image or a text in its place.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Figure {
    /// The image, or why it is not shown; `None` for a text.
    pub image: Option<ThumbnailResult>,
    /// The text alternative of the image, or the text.
    pub name: String,
    /// Words below the image; may be empty.
    pub caption: Text,
    /// True or false for an answer that is right or wrong.
    pub right: Option<bool>,
}

impl Card {
    /// Size of its images in the page.
    pub fn image_bytes(&self) -> usize {
        let figures = self.groups.iter().flat_map(|group| &group.figures);
        figures
            .filter_map(|figure| figure.image.as_ref()?.as_ref().ok())
            .map(|thumbnail| thumbnail.url.len())
            .sum()
    }

    fn html(&self) -> Markup {
        let id = Some(clean(&self.id)).filter(|id| !id.is_empty());
        html! {
            article id=[id] {
                @if !self.title.is_empty() { h3 { (self.title) } }
                div.groups { @for group in self.groups.iter().filter(|group| !group.figures.is_empty()) { (group.html()) } }
                @for line in &self.about { p.about { (line) } }
                @if !self.print_only.is_empty() { p.print-only aria-hidden="true" { (clean(&self.print_only)) } }
                @if !self.facts.is_empty() {
                    details { summary { "Details" } dl.facts {
                        @for (name, value) in &self.facts { dt { (clean(name)) } dd { (value) } }
                    } }
                }
            }
        }
    }

    /// One line of a list.
    fn markdown(&self) -> String {
        let groups = self
            .groups
            .iter()
            .filter(|group| !group.figures.is_empty())
            .map(Group::markdown);
        let about = self.about.iter().map(Text::markdown).filter(|line| !line.is_empty());
        let parts: Vec<String> = about.chain(groups).collect();
        format!("{}: {}", self.title.markdown(), parts.join("; "))
    }
}

impl Group {
    fn html(&self) -> Markup {
        html! {
            div {
                @if !self.title.is_empty() { h4 { (clean(&self.title)) } }
                ol { @for figure in &self.figures { (figure.html()) } }
            }
        }
    }

    fn markdown(&self) -> String {
        let names: Vec<String> = self
            .figures
            .iter()
            .map(|figure| Text::from(&figure.name).markdown())
            .collect();
        format!("{} {}", Text::from(&self.title).markdown(), names.join(", "))
    }
}

impl Figure {
    fn html(&self) -> Markup {
        let name = clean(&self.name);
        let class = self.right.map(|right| if right { "right" } else { "wrong" });
        html! {
            li class=[class] { figure {
                @match &self.image {
                    Some(Ok(small)) => {
                        img src=(small.url) width=[small.size.map(|size| size.0)] height=[small.size.map(|size| size.1)]
                            alt=(name) title=(name);
                    }
                    Some(Err(reason)) => { span.missing title=(clean(reason)) { bdi { (name) } small { "not shown: " (clean(reason)) } } }
                    None => { span.text { bdi { (name) } } }
                }
                @if !self.caption.is_empty() { figcaption { (self.caption) } }
            } }
        }
    }
}

impl Gallery {
    pub(crate) fn html(&self) -> Markup {
        html! { div.cards .small[self.small] { @for card in &self.cards { (card.html()) } } }
    }

    pub(crate) fn markdown(&self) -> String {
        let cards = (1..).zip(self.cards.iter().take(self.in_markdown));
        cards
            .map(|(number, card)| format!("{number}. {}\n", card.markdown()))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::Thumbnail;

    #[test]
    fn cards_show_images_texts_and_reasons() {
        let figure = |image, name: &str, right| Figure {
            image,
            name: name.into(),
            right,
            ..Figure::default()
        };
        let card = Card {
            id: "sample-1".into(),
            title: "find <i>".into(),
            groups: vec![
                Group {
                    title: "query".into(),
                    figures: vec![figure(Some(Ok(Arc::new(Thumbnail::from_jpeg(b"jpeg")))), "a cat", None)],
                },
                Group {
                    title: "answers".into(),
                    figures: vec![
                        figure(Some(Err("gone".into())), "2.jpg", Some(false)),
                        figure(None, "text", Some(true)),
                    ],
                },
                Group::default(),
            ],
            about: vec!["color".into()],
            facts: vec![("license".into(), "CC".into())],
            print_only: "☐ true".into(),
        };
        assert_eq!(card.image_bytes(), "data:image/jpeg;base64,anBlZw==".len());
        let gallery = Gallery {
            cards: vec![card.clone(), card],
            in_markdown: 1,
            small: false,
        };
        let html = gallery.html().into_string();
        for part in [
            "<article id=\"sample-1\"><h3>find &lt;i&gt;</h3>",
            "<img src=\"data:image/jpeg;base64,anBlZw==\" alt=\"a cat\" title=\"a cat\">",
            "<li class=\"wrong\"><figure><span class=\"missing\" title=\"gone\"><bdi>2.jpg</bdi>",
            "<li class=\"right\"><figure><span class=\"text\"><bdi>text</bdi></span>",
            "<dt>license</dt><dd>CC</dd>",
        ] {
            assert!(html.contains(part), "{part} is not in {html}");
        }
        assert_eq!(html.matches("<h4>").count(), 4, "empty groups are not shown");
        assert_eq!(
            gallery.markdown(),
            "1. find \\<i\\>: color; query a cat; answers 2.jpg, text\n"
        );
    }
}
