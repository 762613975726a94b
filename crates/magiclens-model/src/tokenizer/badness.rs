//! The rule by which ftfy tells mojibake from text that is meant so.

use std::sync::LazyLock;

use regex::Regex;

/// True if neighboring characters hardly ever meet, except in mojibake.
pub(super) fn is_bad(text: &str) -> bool {
    BADNESS.is_match(text)
}

static BADNESS: LazyLock<Regex> = LazyLock::new(|| {
    let common = r"\u{A0}\u{AD}·´–—―…’";
    let c1 = r"\u{80}-\u{9F}";
    let bad = "¦¤¨¬¯¸ƒˆˇ˘˛˜†‡‰⌐◊\u{FFFD}ªº";
    let law = "¶§";
    let money = "¢£¥₧€";
    let start = "¡«¿©΄΅‘‚“„•‹\u{F8FF}";
    let end = "®»˝”›™";
    let numeric = "²³¹±¼½¾×µ÷⁄∂∆∏∑√∞∩∫≈≠≡≤≥№";
    let kaomoji = "Ò-ÖÙ-Üò-öø-üŐŌŪŲ°";
    let upper = "À-ÑØÜÝĂĀĄĆČĎĐĘĚĒĖĞĢİĪĶĹĽŁĻŃŇŅŒŘŚŞŠŢŤŮŰŸŹŻŽҐ";
    let lower = "ßà-ñăąāćčďđęěēėğģįīķĺľłļœŕśşšťüźżžґﬁﬂ";
    let upper_common = "ÞΑ-ΩΆΈΉΊΌΎΏΪΫЁ-Я";
    let lower_common = "α-ωάέήίΰа-џ";
    let line = "│┌┐┘├┤┬┼═-╬▀▄█▌▐░▒▓";
    // As Python has them, not as Rust has.
    let space = r"\s\x1C-\x1F";
    let word = r"\p{L}\p{N}_";
    let rules = [
        format!("[{c1}]"),
        format!("[{bad}{lower}{upper}{line}{start}{end}{money}{numeric}{law}][{bad}]"),
        format!("[a-zA-Z][{lower_common}{upper_common}][{bad}]"),
        format!("[{bad}][{lower}{upper}{line}{start}{end}{money}{numeric}{law}]"),
        format!("[{lower}{lower_common}{line}{end}{money}{numeric}][{upper}]"),
        format!("[{line}{end}{money}{numeric}][{lower}]"),
        format!("[{lower}{line}{end}][{money}]"),
        format!("[{space}][{upper}][{money}]"),
        format!("[{upper}{line}][{numeric}{law}]"),
        format!("[{lower}{upper}{line}{money}{end}][{start}][{numeric}]"),
        format!("[{lower}{upper}{money}{numeric}{line}{law}][{end}][{start}]"),
        format!("[{money}{numeric}{line}][{start}]"),
        format!("[a-z][{upper}][{start}{money}]"),
        format!("[{line}][{kaomoji}]"),
        format!("[{lower}{upper}{money}{numeric}{start}{end}{law}][{line}]"),
        format!("[{line}][{end}]"),
        format!("[{lower}{upper}][{start}{end}][{word}]"),
        // A ligature without a Latin letter behind it, and a degree sign behind a capital.
        "[Œœ][^A-Za-z]".to_owned(),
        format!("[{upper}]°"),
        // Windows-1252: two characters, Arabic, South Asian alphabets.
        format!(r"[ÂÃÎÐ][€œŠš¢£Ÿž\u{{A0}}\u{{AD}}®©°·»{start}{end}–—´]"),
        "×[²³]".to_owned(),
        format!("(?:[ØÙ][{common}{money}{bad}{numeric}{start}ŸŠ®°µ»]){{2}}"),
        "à[²µ¹¼½¾]".to_owned(),
        // MacRoman.
        "√[±∂†≠®™´≤≥¥µø]".to_owned(),
        "≈[°¢]".to_owned(),
        "‚Ä[ìîïòôúùû†°¢π]".to_owned(),
        "‚[âó][àä°ê]".to_owned(),
        // Windows-1251.
        "вЂ".to_owned(),
        format!("[ВГРС][{c1}{bad}{start}{end}{money}°µ][ВГРС]"),
        "ГўВЂВ.[A-Za-z ]".to_owned(),
        // The letter a with an accent, and the no-break space.
        r"Ã[\u{A0}¡]".to_owned(),
        format!("[a-z][{space}]?[ÃÂ] "),
        "^[ÃÂ] ".to_owned(),
        format!("[a-z.,?!{end}]Â[ {start}{end}]"),
        // Windows-1253 and Windows-1257.
        r"β€[™\u{A0}Ά\u{AD}®°]".to_owned(),
        format!("[ΒΓΞΟ][{c1}{bad}{start}{end}{money}°][ΒΓΞΟ]"),
        "ā€".to_owned(),
    ];
    Regex::new(&rules.join("|")).expect("the pattern is valid")
});
