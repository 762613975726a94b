//! Wishes of publishers that images be left alone, and the names by which they address a crawler.

/// Directives of `X-Robots-Tag` that forbid to index an image or to learn from it. The first two and `none` are Google's, the
/// next two DeviantArt's, which img2dataset honors too. The last stands for the header `TDM-Reservation: 1`.
const DIRECTIVES: &str = "noindex noimageindex none noai noimageai tdm-reservation";

/// Directives with a value of their own, whose colon follows no name of a crawler.
const WITH_VALUE: &str = "unavailable_after max-snippet max-image-preview max-video-preview";

/// All directives of these `X-Robots-Tag` values that ask the crawler of this product token to leave an image.
///
/// `noai` speaks to everybody, `otherbot: noai` to another crawler alone; a name holds up to the next name or the
/// end of its value.
pub(crate) fn opt_outs(values: &[String], product_token: &str) -> Vec<&'static str> {
    let of_value = |value: &String| opt_outs_of_value(value, product_token);
    values.iter().flat_map(of_value).collect()
}

fn opt_outs_of_value(value: &str, product_token: &str) -> Vec<&'static str> {
    let mut opt_outs = Vec::new();
    let mut is_for_us = true;
    for part in value.split(',') {
        let mut directive = part.trim();
        // More than one name may stand before a directive; the last counts.
        while let Some((name, rest)) = directive.split_once(':') {
            let name = name.trim();
            if find(WITH_VALUE, name).is_some() {
                break;
            }
            is_for_us = name == "*" || match_len(name.as_bytes(), product_token).is_some();
            directive = rest.trim();
        }
        opt_outs.extend(find(DIRECTIVES, directive).filter(|_| is_for_us));
    }
    opt_outs
}

/// All wishes in a robots `<meta>` or `X-Robots-Tag`, for whichever crawler they are meant; `none` is `noindex`.
pub(crate) fn wishes(value: &str) -> impl Iterator<Item = &'static str> {
    let known = value
        .split([',', ';', ' ', ':', '\t', '\n'])
        .filter_map(|word| find(DIRECTIVES, word.trim()));
    known.map(|known| if known == "none" { "noindex" } else { known })
}

/// The word among `words` that this is, whatever its case.
fn find(words: &'static str, word: &str) -> Option<&'static str> {
    words.split(' ').find(|known| known.eq_ignore_ascii_case(word))
}

/// Quality of a match between a name in robots.txt or a header and the crawler: its length if the product token is the name, or begins
/// with it and goes on with `-` or `_`. Anything after the name's own letters, such as a version, is skipped.
pub(crate) fn match_len(name: &[u8], product_token: &str) -> Option<usize> {
    let len = name.iter().take_while(|&&byte| is_token_char(char::from(byte))).count();
    let (start, rest) = product_token.as_bytes().split_at_checked(len)?;
    let ends_there = matches!(rest.first(), None | Some(b'-' | b'_'));
    (len > 0 && ends_there && start.eq_ignore_ascii_case(&name[..len])).then_some(len)
}

/// The letters of a product token, RFC 9309 section 2.2.1.
pub(crate) fn is_token_char(c: char) -> bool {
    c.is_ascii_alphabetic() || c == '-' || c == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directives_for_us_are_found() {
        for (values, expected) in [
            (&["noindex"][..], Some("noindex")),
            (&["NoImageIndex"], Some("noimageindex")),
            (&["nofollow, noai"], Some("noai")),
            (&["nofollow", " noimageai "], Some("noimageai")),
            (&["none"], Some("none")),
            (&["MyBot: noindex"], Some("noindex")),
            (&["mybot/2.0: nofollow, noai"], Some("noai")),
            (&["*: noai"], Some("noai")),
            (&["otherbot: noindex, noai"], None),
            (&["otherbot: noindex", "noai"], Some("noai")),
            (&["otherbot: nofollow, mybot: noai"], Some("noai")),
            (&["mybot: nofollow, otherbot: noai"], None),
            (
                &["unavailable_after: 25 Jun 2010 15:00:00 PST, noindex"],
                Some("noindex"),
            ),
            (&["max-image-preview: none"], None),
            (&["googlebot: unavailable_after: 1 Jan 2010, noindex"], None),
            (&["all", "index, follow", "noindexing", "", ",,:,"], None),
            (&[], None),
        ] {
            let values: Vec<String> = values.iter().map(|value| (*value).to_owned()).collect();
            assert_eq!(opt_outs(&values, "MyBot").first().copied(), expected, "{values:?}");
        }
    }
}
