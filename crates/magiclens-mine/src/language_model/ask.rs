//! Asking again where an answer is useless.

use magiclens_web::DropReason;

use super::model::{Completion, LanguageModel, Prompt};
use super::reply;

/// Reads the answer to the prompt of an index, or names the reason why it is useless.
pub(super) type Read<'a, T> = &'a dyn Fn(usize, &Completion) -> Result<T, DropReason>;

/// Asks all prompts that could be made, and those with useless answers up to `max_asks` times in all.
pub(super) fn ask<T>(
    model: &dyn LanguageModel,
    prompts: Vec<Result<Prompt, DropReason>>,
    max_asks: u32,
    read: Read<'_, T>,
) -> anyhow::Result<Vec<Result<T, DropReason>>> {
    let mut answers = Vec::with_capacity(prompts.len());
    let (mut open, mut asked) = (Vec::new(), Vec::new());
    for (index, prompt) in prompts.into_iter().enumerate() {
        answers.push(Err(prompt.as_ref().err().copied().unwrap_or(reply::UNANSWERED)));
        if let Ok(prompt) = prompt {
            open.push(index);
            asked.push(prompt);
        }
    }
    for ask in 0..max_asks {
        if open.is_empty() {
            break;
        }
        asked.iter_mut().for_each(|prompt| prompt.ask = ask);
        let completions = model.complete(&asked)?;
        let (mut still_open, mut again) = (Vec::new(), Vec::new());
        for ((index, prompt), completion) in open.into_iter().zip(asked).zip(completions) {
            // A prompt without a completion was tried often enough by the model itself.
            let is_answered = completion.is_ok();
            answers[index] = completion.and_then(|completion| read(index, &completion));
            if is_answered && answers[index].is_err() {
                still_open.push(index);
                again.push(prompt);
            }
        }
        (open, asked) = (still_open, again);
    }
    Ok(answers)
}

#[cfg(test)]
mod tests {
    use super::super::scripted::Scripted;
    use super::*;
    use crate::language_model::message::Message;

    fn prompts(count: usize) -> Vec<Result<Prompt, DropReason>> {
        let prompt = |n| {
            Ok(Prompt {
                version: "test/1",
                messages: vec![Message::user(format!("{n}"))],
                ask: 0,
            })
        };
        (0..count).map(prompt).collect()
    }

    fn number(_: usize, completion: &Completion) -> Result<u32, DropReason> {
        completion.text.parse().map_err(|_| reply::NO_JSON)
    }

    #[test]
    fn useless_answers_are_asked_again_and_the_order_stays() {
        let model = Scripted::new(|prompt| match (prompt.messages[0].text().as_str(), prompt.ask) {
            ("1", 0) | ("2", _) => Ok("no number".to_owned()),
            ("3", _) => Err(reply::TIMED_OUT),
            (text, ask) => Ok(format!("{text}{ask}")),
        });
        let answers = ask(&model, prompts(4), 2, &number).unwrap();
        assert_eq!(answers, [Ok(0), Ok(11), Err(reply::NO_JSON), Err(reply::TIMED_OUT)]);
        let asked: Vec<_> = model
            .asked()
            .iter()
            .map(|prompt| (prompt.messages[0].text(), prompt.ask))
            .collect();
        let expected = [("0", 0), ("1", 0), ("2", 0), ("3", 0), ("1", 1), ("2", 1)];
        assert_eq!(asked, expected.map(|(text, ask)| (text.to_owned(), ask)));
    }

    #[test]
    fn prompts_that_cannot_be_made_keep_their_place() {
        let model = Scripted::new(|prompt| Ok(prompt.messages[0].text()));
        let mut some = prompts(3);
        some[1] = Err(reply::REFUSED);
        assert_eq!(
            ask(&model, some, 2, &number).unwrap(),
            [Ok(0), Err(reply::REFUSED), Ok(2)]
        );
        assert_eq!(model.asked().len(), 2);
        assert!(ask(&model, vec![Err(reply::REFUSED)], 2, &number).unwrap()[0].is_err());
        assert_eq!(model.asked().len(), 2, "nothing is not asked");
    }
}
