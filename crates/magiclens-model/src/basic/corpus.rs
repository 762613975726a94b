//! The two word lists of BASIC, written by us: names of objects, which the projection keeps, and styles and contexts, which it
//! drops. A text a line.

/// Names of objects of all kinds.
pub(super) const OBJECTS: &str = include_str!("objects.txt");
/// Styles of images, and surroundings and conditions that things are shown in.
pub(super) const STYLES: &str = include_str!("styles.txt");
/// Texts for the minima.
const UNRELATED: usize = 256;

/// The lines of [`OBJECTS`].
pub(super) fn objects() -> Vec<&'static str> {
    OBJECTS.lines().collect()
}

/// The lines of [`STYLES`].
pub(super) fn styles() -> Vec<&'static str> {
    STYLES.lines().collect()
}

/// An object in a style each, spread over both lists.
pub(super) fn unrelated() -> Vec<String> {
    let (objects, styles) = (objects(), styles());
    let at = |number: usize| {
        let object = objects[number * objects.len() / UNRELATED];
        format!("{object}, {}", styles[number % styles.len()])
    };
    (0..UNRELATED).map(at).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn lists_are_long_plain_and_without_repeats() {
        for (lines, least) in [(objects(), 700), (styles(), 150)] {
            assert!(lines.len() >= least, "{}", lines.len());
            assert_eq!(lines.iter().collect::<HashSet<_>>().len(), lines.len());
            for line in lines {
                let plain = |c: char| c.is_ascii_lowercase() || " -'".contains(c);
                assert!(
                    !line.is_empty() && line == line.trim() && line.chars().all(plain),
                    "`{line}`"
                );
            }
        }
        assert!(
            objects()
                .iter()
                .collect::<HashSet<_>>()
                .is_disjoint(&styles().iter().collect())
        );
        let unrelated = unrelated();
        assert_eq!(unrelated.iter().collect::<HashSet<_>>().len(), UNRELATED);
    }
}
