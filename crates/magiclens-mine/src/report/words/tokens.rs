//! The words of an instruction.

/// Characters of a word that count; longer ones are cut off there.
const MAX_WORD_CHARS: usize = 40;

/// The words of a text in lower case: runs of letters, digits and marks, with apostrophes inside ("it's"). A Chinese character or a
/// Japanese kana is a word of its own. Everything else parts words, hyphens too.
pub(super) fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut length = 0;
    let mut end = |word: &mut String, length: &mut usize| {
        *length = 0;
        if !word.is_empty() {
            words.push(std::mem::take(word));
        }
    };
    let mut chars = text.chars().peekable();
    while let Some(char) = chars.next() {
        if stands_alone(char) {
            end(&mut word, &mut length);
            word.push(char);
            end(&mut word, &mut length);
        } else if char.is_alphanumeric() || (is_mark(char) && !word.is_empty()) {
            length += 1;
            if length <= MAX_WORD_CHARS {
                word.extend(char.to_lowercase());
            }
        } else if matches!(char, '\'' | '’')
            && !word.is_empty()
            && chars.peek().is_some_and(|next| next.is_alphanumeric())
        {
            word.push('\'');
        } else {
            end(&mut word, &mut length);
        }
    }
    end(&mut word, &mut length);
    words
}

/// Characters of scripts that write words without spaces, where a character is near to a word.
fn stands_alone(char: char) -> bool {
    matches!(char, '\u{3041}'..='\u{30ff}' | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}')
}

/// Signs within a word that are no letters: accents that stand for themselves, joiners, and those of the Indic scripts.
fn is_mark(char: char) -> bool {
    match char {
        '\u{0964}' | '\u{0965}' => false,
        '\u{0300}'..='\u{036f}' | '\u{0900}'..='\u{0dff}' | '\u{200c}' | '\u{200d}' => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_runs_of_letters() {
        for (text, expected) in [
            ("", &[][..]),
            (" ... —!", &[]),
            ("Show it from above.", &["show", "it", "from", "above"]),
            (
                "It's the dogs' close-up: 2 GIMP-2.10s",
                &["it's", "the", "dogs", "close", "up", "2", "gimp", "2", "10s"],
            ),
            ("Über ’n Straße’s", &["über", "n", "straße's"]),
            ("e\u{301}a", &["e\u{301}a"]),
            ("同じ cat", &["同", "じ", "cat"]),
            ("हिन्दी शब्द।", &["हिन्दी", "शब्द"]),
        ] {
            assert_eq!(words(text), expected, "{text}");
        }
        let long = words(&"a".repeat(100_000));
        assert_eq!(long, ["a".repeat(40)]);
        let apostrophes = words(&"a'".repeat(100_000));
        assert!(apostrophes.iter().map(String::len).sum::<usize>() <= 200_000);
    }
}
