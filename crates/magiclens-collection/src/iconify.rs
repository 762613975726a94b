//! Icon sets in the Iconify JSON form: SVG bodies by name, and aliases that may flip or rotate them.

use std::collections::BTreeMap;

use serde::Deserialize;

/// The longest chain of aliases that is followed; a longer one is a circle.
const MAX_ALIAS_DEPTH: usize = 8;

/// An icon set, as `icons.json` holds it.
#[derive(Debug, Deserialize)]
pub(crate) struct IconSet {
    icons: BTreeMap<String, Icon>,
    #[serde(default)]
    aliases: BTreeMap<String, Alias>,
    #[serde(flatten)]
    defaults: Shape,
}

#[derive(Debug, Deserialize)]
struct Icon {
    body: String,
    #[serde(flatten)]
    shape: Shape,
}

#[derive(Debug, Deserialize)]
struct Alias {
    parent: String,
    #[serde(flatten)]
    shape: Shape,
}

/// Everything an icon, an alias and a whole set may say about the view box and its transforms.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Shape {
    left: Option<f64>,
    top: Option<f64>,
    width: Option<f64>,
    height: Option<f64>,
    rotate: Option<u8>,
    h_flip: bool,
    v_flip: bool,
    hidden: bool,
}

impl IconSet {
    /// The names of icons that are shown, without plain aliases, with those aliases that flip or rotate.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        let icons = self.icons.iter().filter(|(_, icon)| !icon.shape.hidden);
        let turned = self.aliases.iter().filter(|(_, alias)| alias.shape.turns());
        let names = icons.map(|(name, _)| name).chain(turned.map(|(name, _)| name));
        names.map(String::as_str)
    }

    /// Aliases that only give another name, each with the name it stands for, which may be an alias again.
    pub(crate) fn same_icons(&self) -> impl Iterator<Item = (&str, &str)> {
        let plain = self.aliases.iter().filter(|(_, alias)| !alias.shape.turns());
        plain.map(|(name, alias)| (name.as_str(), alias.parent.as_str()))
    }

    /// The SVG document of an icon or alias; nothing if the name or a parent is unknown.
    pub(crate) fn svg(&self, name: &str) -> Option<String> {
        let mut shape = Shape::default();
        let mut name = name;
        for _ in 0..MAX_ALIAS_DEPTH {
            if let Some(icon) = self.icons.get(name) {
                return Some(document(&icon.body, &shape.over(icon.shape).over(self.defaults)));
            }
            let alias = self.aliases.get(name)?;
            shape = shape.over(alias.shape);
            name = &alias.parent;
        }
        None
    }
}

impl Shape {
    fn turns(&self) -> bool {
        self.h_flip || self.v_flip || !self.rotate.unwrap_or(0).is_multiple_of(4)
    }

    /// `self` laid over `below`: sizes replace, flips toggle, rotations add up.
    fn over(self, below: Self) -> Self {
        Self {
            left: self.left.or(below.left),
            top: self.top.or(below.top),
            width: self.width.or(below.width),
            height: self.height.or(below.height),
            rotate: Some((self.rotate.unwrap_or(0) + below.rotate.unwrap_or(0)) % 4),
            h_flip: self.h_flip ^ below.h_flip,
            v_flip: self.v_flip ^ below.v_flip,
            hidden: self.hidden || below.hidden,
        }
    }
}

/// The SVG document of a body. Iconify rotates by quarters about the middle of the box, after flipping.
fn document(body: &str, shape: &Shape) -> String {
    let (left, top) = (shape.left.unwrap_or(0.0), shape.top.unwrap_or(0.0));
    let (width, height) = (shape.width.unwrap_or(16.0), shape.height.unwrap_or(16.0));
    let (x, y) = (left + width / 2.0, top + height / 2.0);
    let quarters = shape.rotate.unwrap_or(0) % 4;
    let transforms = [
        (quarters != 0).then(|| format!("rotate({} {x} {y})", u32::from(quarters) * 90)),
        shape.h_flip.then(|| format!("translate({} 0) scale(-1 1)", 2.0 * x)),
        shape.v_flip.then(|| format!("translate(0 {}) scale(1 -1)", 2.0 * y)),
    ];
    let transforms: Vec<String> = transforms.into_iter().flatten().collect();
    // A quarter turn exchanges the sides of the box about its middle.
    let (left, top, width, height) = if quarters % 2 == 1 {
        (x - height / 2.0, y - width / 2.0, height, width)
    } else {
        (left, top, width, height)
    };
    let body = if transforms.is_empty() {
        body.to_owned()
    } else {
        format!(r#"<g transform="{}">{body}</g>"#, transforms.join(" "))
    };
    format!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" width="{width}" height="{height}" viewBox="{left} {top} {width} {height}">{body}</svg>"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const SET: &str = r#"{"prefix": "t", "width": 32, "height": 20, "icons": {
        "hand": {"body": "<b/>"}, "old": {"body": "<o/>", "hidden": true},
        "wide": {"body": "<w/>", "width": 64, "left": 2, "top": -1, "hFlip": true}},
        "aliases": {"paw": {"parent": "hand"}, "right": {"parent": "hand", "hFlip": true},
        "again": {"parent": "right"}, "twice": {"parent": "right", "hFlip": true},
        "up": {"parent": "hand", "rotate": 1}, "back": {"parent": "wide", "hFlip": true},
        "lost": {"parent": "nothing"}, "circle": {"parent": "round"}, "round": {"parent": "circle"}}}"#;

    #[test]
    fn names_and_other_names_are_told_apart() {
        let set: IconSet = serde_json::from_str(SET).unwrap();
        assert_eq!(
            set.names().collect::<Vec<_>>(),
            ["hand", "wide", "back", "right", "twice", "up"]
        );
        assert!(set.same_icons().any(|same| same == ("paw", "hand")));
        assert!(!set.same_icons().any(|(alias, _)| alias == "right"));
    }

    #[test]
    fn documents_carry_box_and_transforms() {
        let set: IconSet = serde_json::from_str(SET).unwrap();
        let check = |name: &str, view_box: &str, inside: &str| {
            let svg = set.svg(name).unwrap();
            assert!(svg.contains(&format!(r#"viewBox="{view_box}""#)), "{name}: {svg}");
            assert!(svg.ends_with(&format!(">{inside}</svg>")), "{name}: {svg}");
        };
        check("hand", "0 0 32 20", "<b/>");
        check("paw", "0 0 32 20", "<b/>");
        check(
            "right",
            "0 0 32 20",
            r#"<g transform="translate(32 0) scale(-1 1)"><b/></g>"#,
        );
        check(
            "again",
            "0 0 32 20",
            r#"<g transform="translate(32 0) scale(-1 1)"><b/></g>"#,
        );
        check("twice", "0 0 32 20", "<b/>");
        check("up", "6 -6 20 32", r#"<g transform="rotate(90 16 10)"><b/></g>"#);
        check(
            "wide",
            "2 -1 64 20",
            r#"<g transform="translate(68 0) scale(-1 1)"><w/></g>"#,
        );
        check("back", "2 -1 64 20", "<w/>");
        for name in ["lost", "circle", "unknown"] {
            assert_eq!(set.svg(name), None, "{name}");
        }
    }
}
