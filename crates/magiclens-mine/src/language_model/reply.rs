//! Reading of answers: the JSON object and its sentences, or the reason why they are useless.

use magiclens_web::DropReason;
use serde_json::{Map, Value};

use super::model::Completion;

/// No reply in time.
pub(super) const TIMED_OUT: DropReason = DropReason("model: no reply in time");
/// The connection broke.
pub(super) const BROKEN_OFF: DropReason = DropReason("model: connection broken off");
/// The server says that it failed.
pub(super) const SERVER_ERROR: DropReason = DropReason("model: server error");
/// Too many requests, up to the last attempt.
pub(super) const RATE_LIMITED: DropReason = DropReason("model: too many requests");
/// The server does not take this prompt.
pub(super) const REFUSED: DropReason = DropReason("model: prompt refused");
/// A reply that is not the protocol's.
pub(super) const FOREIGN: DropReason = DropReason("model: reply not in the protocol");
/// A reply larger than allowed.
pub(super) const TOO_LARGE: DropReason = DropReason("model: reply too large");
/// Not answered, for no reason of its own.
pub(super) const UNANSWERED: DropReason = DropReason("model: not answered");
/// The model declined.
pub(super) const DECLINED: DropReason = DropReason("reply: declined");
/// Nothing said.
pub(super) const EMPTY: DropReason = DropReason("reply: empty");
/// The limit of tokens came before the end.
pub(super) const CUT_OFF: DropReason = DropReason("reply: cut off");
/// Words, but no JSON object.
pub(super) const NO_JSON: DropReason = DropReason("reply: no JSON object");
/// A JSON object without the field that counts.
pub(super) const FIELD_MISSING: DropReason = DropReason("reply: field missing");
/// The field that counts holds something else than text.
pub(super) const WRONG_TYPE: DropReason = DropReason("reply: wrong type");
/// Another pair's reply.
pub(super) const OTHER_PAIR: DropReason = DropReason("reply: about another pair");
/// Not in the language that was asked for.
pub(super) const OTHER_LANGUAGE: DropReason = DropReason("reply: other language");
/// A text without a word.
pub(super) const NO_WORDS: DropReason = DropReason("reply: no words");
/// A text longer than allowed.
pub(super) const TOO_LONG: DropReason = DropReason("reply: text too long");
/// A web address in a text.
pub(super) const ADDRESS: DropReason = DropReason("reply: web address");

/// The JSON object of an answer, with the words before it, where models that reason aloud put their reasoning.
#[derive(Debug, PartialEq)]
pub(super) struct Answer<'a> {
    pub(super) before: &'a str,
    pub(super) object: Map<String, Value>,
}

/// The first JSON object that has one of these fields, else the first at all. Prose and code fences around it are fine.
pub(super) fn find_object<'a>(completion: &'a Completion, fields: &[&str]) -> Result<Answer<'a>, DropReason> {
    /// So many braces are tried: an answer has one object, and prose few braces.
    const MAX_TRIES: usize = 64;
    if completion.is_declined {
        return Err(DECLINED);
    }
    let text = after_thinking(&completion.text);
    let mut found: Option<Answer> = None;
    let mut from = 0;
    for _ in 0..MAX_TRIES {
        let Some(start) = text[from..].find('{').map(|offset| from + offset) else {
            break;
        };
        let mut values = serde_json::Deserializer::from_str(&text[start..]).into_iter::<Value>();
        let Some(Ok(Value::Object(object))) = values.next() else {
            from = start + 1;
            continue;
        };
        from = start + values.byte_offset();
        let before = text[..start].trim_end().trim_end_matches("```json");
        let before = before.trim_end_matches("```").trim();
        let answer = Answer { before, object };
        if fields.iter().any(|field| answer.object.contains_key(*field)) {
            return Ok(answer);
        }
        found.get_or_insert(answer);
    }
    found.ok_or(match (text.trim().is_empty(), completion.is_cut_off) {
        (_, true) => CUT_OFF,
        (true, false) => EMPTY,
        (false, false) => NO_JSON,
    })
}

/// The answer without the thoughts that some models write before it.
pub(super) fn after_thinking(text: &str) -> &str {
    match text.rfind("</think>") {
        Some(end) => &text[end + "</think>".len()..],
        // Thoughts that never ended hold no answer.
        None if text.trim_start().starts_with("<think>") => "",
        None => text,
    }
}

/// Text in one line: controls and runs of white space become one space, invisible characters go.
pub(super) fn one_line(text: &str) -> String {
    let visible = text.chars().filter(|&c| !is_invisible(c));
    let line: String = visible.map(|c| if c.is_control() { ' ' } else { c }).collect();
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Characters that show nothing, or turn the direction of others: they hide words from people, not from models.
fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{AD}' | '\u{61C}' | '\u{180E}' | '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{206F}'
        | '\u{FE00}'..='\u{FE0F}' | '\u{FEFF}' | '\u{FFF9}'..='\u{FFFB}' | '\u{E0000}'..='\u{E0FFF}')
}

/// A sentence as a model wrote it, without the quotes or the list mark that it put around.
pub(super) fn sentence(text: &str) -> String {
    let line = one_line(text);
    let mut line = without_list_mark(&line);
    for (open, close) in [('"', '"'), ('\u{201C}', '\u{201D}'), ('\'', '\''), ('`', '`')] {
        if let Some(inner) = line.strip_prefix(open).and_then(|line| line.strip_suffix(close)) {
            line = inner.trim();
        }
    }
    line.to_owned()
}

/// Without `- `, `* `, `1. ` or `1) `.
fn without_list_mark(line: &str) -> &str {
    let (mark, rest) = line.split_once(' ').unwrap_or((line, ""));
    let number = mark.trim_end_matches(['.', ')']);
    let is_number =
        number.len() < mark.len() && (1..=2).contains(&number.len()) && number.bytes().all(|b| b.is_ascii_digit());
    if matches!(mark, "-" | "*" | "\u{2022}") || is_number {
        rest
    } else {
        line
    }
}

/// Checks a sentence, whatever it is about.
pub(super) fn check_sentence(sentence: &str, max_chars: usize) -> Result<(), DropReason> {
    let lower = sentence.to_lowercase();
    let addresses = ["http://", "https://", "www."];
    if !sentence.chars().any(char::is_alphabetic) {
        Err(NO_WORDS)
    } else if max_chars < sentence.chars().count() {
        Err(TOO_LONG)
    } else if addresses.iter().any(|address| lower.contains(address)) {
        Err(ADDRESS)
    } else {
        Ok(())
    }
}

/// True if a text is surely in another language than that of the ISO 639-3 code. Short texts are hard to tell, and pass
/// unless they are in another script.
pub(super) fn is_other_language(text: &str, language: &str) -> bool {
    let Some(wanted) = whatlang::Lang::from_code(language) else {
        return false;
    };
    let Some(found) = whatlang::detect(text) else {
        return false;
    };
    let script_of_wanted = |script: whatlang::Script| script.langs().contains(&wanted);
    !script_of_wanted(found.script()) || (found.lang() != wanted && found.is_reliable())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn completion(text: &str) -> Completion {
        Completion {
            text: text.to_owned(),
            ..Completion::default()
        }
    }

    fn field(text: &str) -> Result<(String, String), DropReason> {
        let completion = completion(text);
        let answer = find_object(&completion, &["a"])?;
        Ok((
            answer.before.to_owned(),
            answer.object.get("a").map_or_else(String::new, ToString::to_string),
        ))
    }

    #[test]
    fn the_object_is_found_wherever_it_stands() {
        for (text, before, a) in [
            (r#"{"a":1}"#, "", "1"),
            ("```json\n{\"a\":1}\n```", "", "1"),
            (
                "Both are red.\n```json\n{\"a\":1}\n```\nI hope this helps!",
                "Both are red.",
                "1",
            ),
            (
                "As in {this} and {\"b\":2}: {\"a\":1}",
                "As in {this} and {\"b\":2}:",
                "1",
            ),
            ("[{\"a\":[\"x\"]}]", "[", "[\"x\"]"),
            ("<think>{\"a\":0}</think> {\"a\":1}", "", "1"),
            ("{\"a\":1}{\"a\":2}", "", "1"),
            ("{\"b\":2}", "", ""),
            ("ä{\"a\":\"ö\"}", "ä", "\"ö\""),
        ] {
            assert_eq!(field(text), Ok((before.to_owned(), a.to_owned())), "{text}");
        }
    }

    #[test]
    fn what_holds_no_object_is_named() {
        let deep = "{\"a\":".repeat(10_000);
        for (text, reason) in [
            ("", EMPTY),
            (" \n", EMPTY),
            ("<think>hm, well", EMPTY),
            ("I cannot see the images", NO_JSON),
            ("{\"a\":1", NO_JSON),
            ("[1,2]", NO_JSON),
            (&deep, NO_JSON),
        ] {
            assert_eq!(field(text), Err(reason), "{:.40}", text);
        }
        let mut cut_off = completion("{\"a\":[\"x\",");
        cut_off.is_cut_off = true;
        assert_eq!(find_object(&cut_off, &["a"]), Err(CUT_OFF));
        // Whole objects count, also where blanks ran on until the limit.
        cut_off.text = "{\"a\":1}\n\n\n".to_owned();
        assert!(find_object(&cut_off, &["a"]).is_ok());
        let declined = Completion {
            is_declined: true,
            ..completion("{\"a\":1}")
        };
        assert_eq!(find_object(&declined, &["a"]), Err(DECLINED));
    }

    #[test]
    fn sentences_lose_their_wrapping() {
        for (text, expected) in [
            ("  make it \n night ", "make it night"),
            ("1. make it night", "make it night"),
            ("12) make it night", "make it night"),
            ("- \"make it night\"", "make it night"),
            ("\u{201C}make it night\u{201D}", "make it night"),
            ("3 cats instead", "3 cats instead"),
            ("2024. The same car", "2024. The same car"),
            ("ma\u{200B}ke\u{202E} it\u{7} night", "make it night"),
            ("-", ""),
            ("\"", "\""),
        ] {
            assert_eq!(sentence(text), expected, "{text}");
        }
    }

    #[test]
    fn sentences_have_words_and_a_length() {
        assert_eq!(check_sentence("make it night", 13), Ok(()));
        assert_eq!(check_sentence("make it night", 12), Err(TOO_LONG));
        assert_eq!(check_sentence("", 100), Err(NO_WORDS));
        assert_eq!(check_sentence("... 12 !", 100), Err(NO_WORDS));
        assert_eq!(check_sentence("see HTTPS://example.org", 100), Err(ADDRESS));
    }

    #[test]
    fn other_languages_are_told_where_that_is_sure() {
        for (text, is_other) in [
            ("show me the same castle at night with all its windows lit", false),
            ("at night", false),
            ("", false),
            (
                "zeige mir dasselbe Schloss bei Nacht, wenn alle Fenster hell erleuchtet sind",
                true,
            ),
            ("夜の同じ城を見せて", true),
            ("тот же замок ночью", true),
        ] {
            assert_eq!(is_other_language(text, "eng"), is_other, "{text}");
        }
        assert!(!is_other_language("夜の同じ城を見せて", ""));
    }
}
