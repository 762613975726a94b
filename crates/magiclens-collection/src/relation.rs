//! The relations that triplets are made of.

use crate::image::LabeledImage;
use crate::wordings::Ask;

/// Another style of another design family.
pub const STYLE: &str = "style";
/// Another style of the same design family, where the shapes are shared.
pub const STYLE_FAMILY: &str = "style_family";
/// Another style, where the query's or the target's is never trained on.
pub const STYLE_UNSEEN: &str = "style_unseen";
/// A line drawing, and colored images of the same thing.
pub const SKETCH_TO_COLOR: &str = "sketch_to_colour";
/// The same image with another skin tone.
pub const SKIN_TONE: &str = "skin_tone";
/// The same role with another gender.
pub const GENDER: &str = "gender";
/// The same thing in another color.
pub const COLOR: &str = "colour";
/// Something else of the same subgroup, in the same style.
pub const GROUP: &str = "group";
/// A photograph, and drawings of the same thing.
pub const PHOTO_TO_DRAWING: &str = "photo_to_drawing";
/// A drawing, and photographs of the same thing.
pub const DRAWING_TO_PHOTO: &str = "drawing_to_photo";

/// The same thing in any color but one. Asked in training only; `magiclens eval robustness` has its own probe of it.
pub const NOT_COLOR: &str = "not_colour";
/// The same thing in any style but one. Asked in training only, like [`NOT_COLOR`].
pub const NOT_STYLE: &str = "not_style";
/// The same thing in whatever style of another family. Asked in training only, like [`NOT_COLOR`].
pub const SAME_THING: &str = "same_thing";
/// The same thing in the style of a second image. Asked in training only, like [`NOT_COLOR`].
pub const STYLE_OF_SECOND: &str = "style_of_second";
/// Something else of the same subgroup and style as two images. Asked in training only, like [`NOT_COLOR`].
pub const LIKE_BOTH: &str = "like_both";

impl<'a> Ask<'a> {
    /// The request of a query of this relation, by one of its right answers. None for relations where the answer does
    /// not tell: a drawing may answer "as a drawing" and "in this style".
    pub fn of(relation: &str, answer: &'a LabeledImage) -> Option<Self> {
        match relation {
            STYLE | STYLE_FAMILY | STYLE_UNSEEN => Some(Self::Style(&answer.style)),
            SKETCH_TO_COLOR => Some(Self::SketchToColor),
            SKIN_TONE => answer.skin_tone.as_deref().map(Self::SkinTone),
            GENDER => Some(Self::Gender(gender_phrase(&answer.concept, answer.gender.as_deref()?))),
            COLOR => answer.color.as_deref().map(Self::Color),
            GROUP => Some(Self::Group(&answer.subgroup)),
            DRAWING_TO_PHOTO => Some(Self::DrawingToPhoto),
            _ => None,
        }
    }
}

fn gender_phrase(concept: &str, gender: &str) -> &'static str {
    let first = concept.split([' ', ':']).next().unwrap_or_default();
    match (first, gender) {
        ("girl", _) => "a girl",
        ("boy", _) => "a boy",
        ("child", _) => "a child",
        ("women", _) => "women",
        ("men", _) => "men",
        ("people", _) => "people of any gender",
        (_, "woman") => "a woman",
        (_, "man") => "a man",
        _ => "a gender-neutral person",
    }
}
