//! The elements and attributes that matter, and their rules in HTML: which are void, which close a paragraph.

/// Makes an enum of names with a look-up by name.
macro_rules! names {
    ($(#[$doc:meta])* $type:ident { $($variant:ident = $first:literal $(| $more:literal)*,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum $type {
            $($variant,)+
            /// Any other name, told apart by a hash.
            Other(u32),
        }

        impl $type {
            /// By its name in lower case.
            pub(super) fn from_name(name: &[u8]) -> Self {
                match name {
                    $($first $(| $more)* => Self::$variant,)+
                    _ => Self::Other(hash(name)),
                }
            }
        }
    };
}

names! {
    /// An element.
    Tag {
        A = b"a", Abbr = b"abbr", Address = b"address", AmpImg = b"amp-img", Area = b"area", Article = b"article",
        Aside = b"aside", Audio = b"audio", B = b"b", Base = b"base", Blockquote = b"blockquote", Body = b"body",
        Br = b"br", Button = b"button", Canvas = b"canvas", Caption = b"caption", Center = b"center", Cite = b"cite",
        Code = b"code", Col = b"col", Colgroup = b"colgroup", Dd = b"dd", Details = b"details", Div = b"div",
        Dl = b"dl", Dt = b"dt", Em = b"em", Embed = b"embed", Fieldset = b"fieldset", Figcaption = b"figcaption",
        Figure = b"figure", Font = b"font", Footer = b"footer", Form = b"form", H1 = b"h1", H2 = b"h2", H3 = b"h3",
        H4 = b"h4", H5 = b"h5", H6 = b"h6", Head = b"head", Header = b"header", Hr = b"hr", Html = b"html", I = b"i",
        Iframe = b"iframe", Img = b"img", Input = b"input", Label = b"label", Li = b"li", Link = b"link",
        Main = b"main", Math = b"math", Meta = b"meta", Nav = b"nav", Noembed = b"noembed", Noframes = b"noframes",
        Noscript = b"noscript", Object = b"object", Ol = b"ol", P = b"p", Param = b"param", Image = b"picture",
        Plaintext = b"plaintext", Pre = b"pre", Q = b"q", S = b"s", Script = b"script", Section = b"section",
        Select = b"select", Small = b"small", Source = b"source", Span = b"span", Strong = b"strong", Style = b"style",
        Sub = b"sub", Summary = b"summary", Sup = b"sup", Svg = b"svg", Table = b"table", Tbody = b"tbody",
        Td = b"td", Template = b"template", Textarea = b"textarea", Tfoot = b"tfoot", Th = b"th", Thead = b"thead",
        Time = b"time", Title = b"title", Tr = b"tr", Track = b"track", Tt = b"tt", U = b"u", Ul = b"ul", Var = b"var",
        Video = b"video", Wbr = b"wbr", Xmp = b"xmp",
    }
}

names! {
    /// An attribute.
    Attribute {
        Align = b"align", Alt = b"alt", AriaHidden = b"aria-hidden", Charset = b"charset", Class = b"class",
        Content = b"content", DataCaption = b"data-caption", Height = b"height", Hidden = b"hidden", Href = b"href",
        Id = b"id", Lang = b"lang", Name = b"name", Property = b"property", Rel = b"rel", Role = b"role", Src = b"src",
        Srcset = b"srcset", Style = b"style", Title = b"title", Type = b"type", Width = b"width",
        XmlLang = b"xml:lang",
        FullSource = b"data-orig-file" | b"data-large-file" | b"data-large_image" | b"data-full" | b"data-full-src"
            | b"data-full-url" | b"data-zoom-image" | b"data-hires" | b"data-highres" | b"data-hi-res-src",
        LazySource = b"data-src" | b"data-original" | b"data-lazy-src" | b"data-lazy" | b"data-lazyload"
            | b"data-actualsrc" | b"data-echo" | b"data-img-src" | b"data-image-src" | b"data-original-src"
            | b"data-orig-src" | b"data-defer-src" | b"data-cfsrc" | b"data-pagespeed-lazy-src" | b"data-delayed-url"
            | b"data-url" | b"data-ezsrc",
        LazySrcset = b"data-srcset" | b"data-lazy-srcset" | b"data-original-set" | b"data-ezsrcset",
    }
}

impl Tag {
    /// Has no content and no end tag.
    pub(super) fn is_void(self) -> bool {
        use Tag::*;
        matches!(
            self,
            Area | Base | Br | Col | Embed | Hr | Img | Input | Link | Meta | Param | Source | Track | Wbr
        )
    }

    /// Runs along in a line of text, so that its ends part no words.
    pub(super) fn is_inline(self) -> bool {
        use Tag::*;
        matches!(
            self,
            A | Abbr
                | B
                | Cite
                | Code
                | Em
                | Font
                | I
                | Img
                | Label
                | Link
                | Meta
                | Noscript
                | Image
                | Q
                | S
                | Script
                | Small
                | Source
                | Span
                | Strong
                | Style
                | Sub
                | Sup
                | Svg
                | Template
                | Time
                | Tt
                | U
                | Var
                | Wbr
                | Math
                | AmpImg
                | Other(_)
        )
    }

    /// Its start tag ends an open paragraph.
    pub(super) fn closes_paragraph(self) -> bool {
        use Tag::*;
        matches!(
            self,
            Address
                | Article
                | Aside
                | Blockquote
                | Center
                | Details
                | Div
                | Dl
                | Dt
                | Dd
                | Fieldset
                | Figcaption
                | Figure
                | Footer
                | Form
                | H1
                | H2
                | H3
                | H4
                | H5
                | H6
                | Header
                | Hr
                | Li
                | Main
                | Nav
                | Ol
                | P
                | Plaintext
                | Pre
                | Section
                | Summary
                | Table
                | Ul
                | Xmp
        )
    }

    /// The level of a heading, 1 to 6.
    pub(super) fn heading_level(self) -> Option<u8> {
        Some(match self {
            Tag::H1 => 1,
            Tag::H2 => 2,
            Tag::H3 => 3,
            Tag::H4 => 4,
            Tag::H5 => 5,
            Tag::H6 => 6,
            _ => return None,
        })
    }

    /// Part of the skeleton of a table.
    pub(super) fn is_table_part(self) -> bool {
        use Tag::*;
        matches!(self, Table | Tbody | Thead | Tfoot | Tr | Td | Th | Caption | Colgroup)
    }

    /// End tags of other elements do not reach over it.
    pub(super) fn bounds_scope(self) -> bool {
        use Tag::*;
        matches!(self, Table | Td | Th | Caption | Template | Object | Html | Button)
    }

    /// Shows something that is neither text nor an image that we read: a caption beside it may be its own.
    pub(super) fn is_other_media(self) -> bool {
        use Tag::*;
        matches!(self, Video | Audio | Iframe | Object | Embed | Canvas)
    }

    /// Its content is not shown as text of the page, or not at all.
    pub(super) fn is_silent(self) -> bool {
        use Tag::*;
        matches!(
            self,
            Head | Script
                | Style
                | Template
                | Svg
                | Title
                | Textarea
                | Select
                | Button
                | Iframe
                | Noembed
                | Noframes
                | Video
                | Audio
                | Canvas
                | Object
        )
    }

    /// Images inside are not shown on the page, or are stills and drawings.
    pub(super) fn hides_images(self) -> bool {
        self.is_silent() && !matches!(self, Tag::Button | Tag::Object)
    }

    /// The tokenizer sees no tags in its content.
    pub(super) fn is_raw_text(self) -> bool {
        use Tag::*;
        matches!(
            self,
            Script | Style | Title | Textarea | Iframe | Noembed | Noframes | Xmp | Plaintext
        )
    }

    /// Something is done when it ends, or how many of it are open matters.
    pub(super) fn acts_at_its_end(self) -> bool {
        use Tag::*;
        self.heading_level().is_some()
            || matches!(
                self,
                A | Noscript | P | Image | Pre | Script | Section | Svg | Table | Td | Th | Title
            )
    }

    /// Can stand in a `<head>`.
    pub(super) fn belongs_in_head(self) -> bool {
        use Tag::*;
        matches!(
            self,
            Base | Head | Html | Link | Meta | Noframes | Noscript | Script | Style | Template | Title | Body
        )
    }

    /// Cannot stand in an `<svg>`: there it is HTML again.
    pub(super) fn ends_drawing(self) -> bool {
        use Tag::*;
        self.heading_level().is_some()
            || matches!(
                self,
                B | Blockquote
                    | Body
                    | Br
                    | Center
                    | Code
                    | Dd
                    | Div
                    | Dl
                    | Dt
                    | Em
                    | Embed
                    | Head
                    | Hr
                    | I
                    | Img
                    | Li
                    | Meta
                    | Ol
                    | P
                    | Pre
                    | S
                    | Small
                    | Span
                    | Strong
                    | Sub
                    | Sup
                    | Table
                    | Td
                    | Th
                    | Tr
                    | Tt
                    | U
                    | Ul
                    | Var
            )
    }
}

/// FNV-1a.
fn hash(name: &[u8]) -> u32 {
    name.iter().fold(0x811c_9dc5, |hash, &byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_and_others_told_apart() {
        assert_eq!(Tag::from_name(b"img"), Tag::Img);
        assert_eq!(Attribute::from_name(b"data-original"), Attribute::LazySource);
        assert_eq!(Tag::from_name(b"my-box"), Tag::from_name(b"my-box"));
        assert_ne!(Tag::from_name(b"my-box"), Tag::from_name(b"my-bag"));
        assert_eq!(Tag::H4.heading_level(), Some(4));
        assert_eq!(Tag::Head.heading_level(), None);
    }
}
