//! The encodings of one byte a character that text is repaired from.

use std::collections::HashMap;
use std::sync::LazyLock;

/// The character of a byte in Windows-1252, where unassigned bytes stand for themselves.
pub(super) fn windows_1252(byte: u8) -> char {
    CODE_PAGES[1].decode(byte)
}

/// An encoding of one byte a character, whose lower half is ASCII.
pub(super) struct CodePage {
    pub(super) kind: Kind,
    upper: [char; 128],
    bytes: HashMap<char, u8>,
}

#[derive(Clone, Copy, PartialEq)]
pub(super) enum Kind {
    Latin1,
    /// Unassigned bytes stand for themselves, and byte 1A for the replacement character.
    Sloppy,
    Strict,
    /// A0 is no space but a dagger.
    MacRoman,
}

impl CodePage {
    /// `upper` has the characters of bytes 80 to FF; `�` where a byte is unassigned.
    fn new(kind: Kind, upper: &str) -> Self {
        let mut table = [' '; 128];
        let mut characters = upper.chars();
        for (byte, entry) in (0x80..=0xFF).zip(&mut table) {
            *entry = match characters.next() {
                Some(character) if character != char::REPLACEMENT_CHARACTER => character,
                _ => char::from(byte),
            };
        }
        let bytes = (0x80..=0xFF)
            .zip(table)
            .map(|(byte, character)| (character, byte))
            .collect();
        Self {
            kind,
            upper: table,
            bytes,
        }
    }

    pub(super) fn decode(&self, byte: u8) -> char {
        if byte < 0x80 {
            char::from(byte)
        } else {
            self.upper[usize::from(byte - 0x80)]
        }
    }

    /// None if some character is not in this encoding.
    pub(super) fn encode(&self, text: &str) -> Option<Vec<u8>> {
        let is_sloppy = self.kind == Kind::Sloppy;
        let byte = |character| match character {
            '\x1A' if is_sloppy => None,
            char::REPLACEMENT_CHARACTER if is_sloppy => Some(0x1A),
            '\0'..='\x7F' => Some(character as u8),
            _ => self.bytes.get(&character).copied(),
        };
        text.chars().map(byte).collect()
    }
}

/// In the order in which they are tried.
pub(super) static CODE_PAGES: LazyLock<[CodePage; 10]> = LazyLock::new(|| {
    [
        CodePage::new(Kind::Latin1, ""),
        // Windows-1252, which differs from Latin-1 in bytes 80 to 9F only.
        CodePage::new(Kind::Sloppy, "€�‚ƒ„…†‡ˆ‰Š‹Œ�Ž��‘’“”•–—˜™š›œ�žŸ"),
        CodePage::new(
            Kind::Sloppy, // Windows-1251
            "ЂЃ‚ѓ„…†‡€‰Љ‹ЊЌЋЏђ‘’“”•–—�™љ›њќћџ�ЎўЈ¤Ґ¦§Ё©Є«¬�®Ї°±Ііґµ¶·ё№є»јЅѕїАБВГДЕЖЗИЙКЛМНОПРСТУФХЦЧШЩЪЫЬЭЮЯабвгдежзийклмнопрстуфхцчшщъыьэюя",
        ),
        CodePage::new(
            Kind::Sloppy, // Windows-1250
            "€�‚�„…†‡�‰Š‹ŚŤŽŹ�‘’“”•–—�™š›śťžź�ˇ˘Ł¤Ą¦§¨©Ş«¬�®Ż°±˛ł´µ¶·¸ąş»Ľ˝ľżŔÁÂĂÄĹĆÇČÉĘËĚÍÎĎĐŃŇÓÔŐÖ×ŘŮÚŰÜÝŢßŕáâăäĺćçčéęëěíîďđńňóôőö÷řůúűüýţ˙",
        ),
        CodePage::new(
            Kind::Sloppy, // Windows-1253
            "€�‚ƒ„…†‡�‰�‹�����‘’“”•–—�™�›�����΅Ά£¤¥¦§¨©�«¬�®―°±²³΄µ¶·ΈΉΊ»Ό½ΎΏΐΑΒΓΔΕΖΗΘΙΚΛΜΝΞΟΠΡ�ΣΤΥΦΧΨΩΪΫάέήίΰαβγδεζηθικλμνξοπρςστυφχψωϊϋόύώ�",
        ),
        CodePage::new(
            Kind::Sloppy, // Windows-1254
            "€�‚ƒ„…†‡ˆ‰Š‹Œ����‘’“”•–—˜™š›œ��Ÿ�¡¢£¤¥¦§¨©ª«¬�®¯°±²³´µ¶·¸¹º»¼½¾¿ÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏĞÑÒÓÔÕÖ×ØÙÚÛÜİŞßàáâãäåæçèéêëìíîïğñòóôõö÷øùúûüışÿ",
        ),
        CodePage::new(
            Kind::Sloppy, // Windows-1257
            "€�‚�„…†‡�‰�‹�¨ˇ¸�‘’“”•–—�™�›�¯˛���¢£¤�¦§Ø©Ŗ«¬�®Æ°±²³´µ¶·ø¹ŗ»¼½¾æĄĮĀĆÄÅĘĒČÉŹĖĢĶĪĻŠŃŅÓŌÕÖ×ŲŁŚŪÜŻŽßąįāćäåęēčéźėģķīļšńņóōõö÷ųłśūüżž˙",
        ),
        CodePage::new(
            Kind::Strict, // ISO 8859-2
            "���������������������������������Ą˘Ł¤ĽŚ§¨ŠŞŤŹ�ŽŻ°ą˛ł´ľśˇ¸šşťź˝žżŔÁÂĂÄĹĆÇČÉĘËĚÍÎĎĐŃŇÓÔŐÖ×ŘŮÚŰÜÝŢßŕáâăäĺćçčéęëěíîďđńňóôőö÷řůúűüýţ˙",
        ),
        CodePage::new(
            Kind::MacRoman,
            "ÄÅÇÉÑÖÜáàâäãåçéèêëíìîïñóòôöõúùûü†°¢£§•¶ß®©™´¨≠ÆØ∞±≤≥¥µ∂∑∏π∫ªºΩæø¿¡¬√ƒ≈∆«»…\u{A0}ÀÃÕŒœ–—“”‘’÷◊ÿŸ⁄€‹›ﬁﬂ‡·‚„‰ÂÊÁËÈÍÎÏÌÓÔ\u{F8FF}ÒÚÛÙıˆ˜¯˘˙˚¸˝˛ˇ",
        ),
        CodePage::new(
            Kind::Strict, // Code page 437
            "ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒáíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■\u{A0}",
        ),
    ]
});
