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

/// Makes the elements: name and rules.
macro_rules! tags {
    ($($variant:ident = $name:literal: $rules:expr,)+) => {
        names! {
            /// An element.
            Tag { $($variant = $name,)+ }
        }

        impl Tag {
            const fn rules(self) -> u16 {
                match self {
                    $(Self::$variant => $rules,)+
                    Self::Other(_) => INLINE,
                }
            }
        }
    };
}

/// Has no content and no end tag.
pub(super) const VOID: u16 = 1;
/// Runs along in a line of text, so that its ends part no words.
pub(super) const INLINE: u16 = 1 << 1;
/// Its start tag ends an open paragraph.
pub(super) const BLOCK: u16 = 1 << 2;
/// Part of the skeleton of a table.
pub(super) const PART: u16 = 1 << 3;
/// End tags of other elements do not reach over it.
pub(super) const BOUND: u16 = 1 << 4;
/// Shows something that is neither text nor an image that we read: a caption beside it may be its own.
pub(super) const MEDIA: u16 = 1 << 5;
/// Its content is not shown as text of the page, or not at all.
pub(super) const SILENT: u16 = 1 << 6;
/// The tokenizer sees no tags in its content.
pub(super) const RAW: u16 = 1 << 7;
/// Something is done when it ends, or how many of it are open matters.
pub(super) const ACTS: u16 = 1 << 8;
/// Can stand in a `<head>`.
pub(super) const HEAD: u16 = 1 << 9;
/// Cannot stand in an `<svg>`: there it is HTML again.
pub(super) const HTML: u16 = 1 << 10;

tags! {
    A = b"a": INLINE | ACTS, Abbr = b"abbr": INLINE, Address = b"address": BLOCK, AmpImg = b"amp-img": INLINE,
    Area = b"area": VOID, Article = b"article": BLOCK, Aside = b"aside": BLOCK, Audio = b"audio": MEDIA | SILENT,
    B = b"b": INLINE | HTML, Base = b"base": VOID | HEAD, Blockquote = b"blockquote": BLOCK | HTML,
    Body = b"body": HEAD | HTML, Br = b"br": VOID | HTML, Button = b"button": BOUND | SILENT,
    Canvas = b"canvas": MEDIA | SILENT, Caption = b"caption": PART | BOUND, Center = b"center": BLOCK | HTML,
    Cite = b"cite": INLINE, Code = b"code": INLINE | HTML, Col = b"col": VOID, Colgroup = b"colgroup": PART,
    Dd = b"dd": BLOCK | HTML, Details = b"details": BLOCK, Div = b"div": BLOCK | HTML, Dl = b"dl": BLOCK | HTML,
    Dt = b"dt": BLOCK | HTML, Em = b"em": INLINE | HTML, Embed = b"embed": VOID | MEDIA | HTML,
    Fieldset = b"fieldset": BLOCK, Figcaption = b"figcaption": BLOCK, Figure = b"figure": BLOCK,
    Font = b"font": INLINE, Footer = b"footer": BLOCK, Form = b"form": BLOCK, H1 = b"h1": BLOCK | ACTS | HTML,
    H2 = b"h2": BLOCK | ACTS | HTML, H3 = b"h3": BLOCK | ACTS | HTML, H4 = b"h4": BLOCK | ACTS | HTML,
    H5 = b"h5": BLOCK | ACTS | HTML, H6 = b"h6": BLOCK | ACTS | HTML, Head = b"head": SILENT | HEAD | HTML,
    Header = b"header": BLOCK, Hr = b"hr": VOID | BLOCK | HTML, Html = b"html": BOUND | HEAD,
    I = b"i": INLINE | HTML, Iframe = b"iframe": MEDIA | SILENT | RAW, Img = b"img": VOID | INLINE | HTML,
    Input = b"input": VOID, Label = b"label": INLINE, Li = b"li": BLOCK | HTML,
    Link = b"link": VOID | INLINE | HEAD, Main = b"main": BLOCK, Math = b"math": INLINE,
    Meta = b"meta": VOID | INLINE | HEAD | HTML, Nav = b"nav": BLOCK, Noembed = b"noembed": SILENT | RAW,
    Noframes = b"noframes": SILENT | RAW | HEAD, Noscript = b"noscript": INLINE | ACTS | HEAD,
    Object = b"object": BOUND | MEDIA | SILENT, Ol = b"ol": BLOCK | HTML, P = b"p": BLOCK | ACTS | HTML,
    Param = b"param": VOID, Image = b"picture": INLINE | ACTS, Plaintext = b"plaintext": BLOCK | RAW,
    Pre = b"pre": BLOCK | ACTS | HTML, Q = b"q": INLINE, S = b"s": INLINE | HTML,
    Script = b"script": INLINE | SILENT | RAW | ACTS | HEAD, Section = b"section": BLOCK | ACTS,
    Select = b"select": SILENT, Small = b"small": INLINE | HTML, Source = b"source": VOID | INLINE,
    Span = b"span": INLINE | HTML, Strong = b"strong": INLINE | HTML,
    Style = b"style": INLINE | SILENT | RAW | HEAD, Sub = b"sub": INLINE | HTML, Summary = b"summary": BLOCK,
    Sup = b"sup": INLINE | HTML, Svg = b"svg": INLINE | SILENT | ACTS,
    Table = b"table": BLOCK | PART | BOUND | ACTS | HTML, Tbody = b"tbody": PART,
    Td = b"td": PART | BOUND | ACTS | HTML, Template = b"template": INLINE | BOUND | SILENT | HEAD,
    Textarea = b"textarea": SILENT | RAW, Tfoot = b"tfoot": PART, Th = b"th": PART | BOUND | ACTS | HTML,
    Thead = b"thead": PART, Time = b"time": INLINE, Title = b"title": SILENT | RAW | ACTS | HEAD,
    Tr = b"tr": PART | HTML, Track = b"track": VOID, Tt = b"tt": INLINE | HTML, U = b"u": INLINE | HTML,
    Ul = b"ul": BLOCK | HTML, Var = b"var": INLINE | HTML, Video = b"video": MEDIA | SILENT,
    Wbr = b"wbr": VOID | INLINE, Xmp = b"xmp": BLOCK | RAW,
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

impl Default for Tag {
    fn default() -> Self {
        Self::Other(0)
    }
}

impl Tag {
    /// True if one of the rules holds.
    pub(super) fn has(self, rule: u16) -> bool {
        self.rules() & rule != 0
    }

    /// Images inside are not shown on the page, or are stills and drawings.
    pub(super) fn hides_images(self) -> bool {
        self.has(SILENT) && !matches!(self, Self::Button | Self::Object)
    }

    /// The level of a heading, 1 to 6.
    pub(super) fn heading_level(self) -> Option<u8> {
        let levels = [Self::H1, Self::H2, Self::H3, Self::H4, Self::H5, Self::H6];
        (1..)
            .zip(levels)
            .find_map(|(level, tag)| (tag == self).then_some(level))
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
