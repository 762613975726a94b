//! A model that says what a test tells it to.

use std::sync::Mutex;

use magiclens_web::DropReason;

use super::model::{Completion, LanguageModel, Prompt};

type Script = Box<dyn Fn(&Prompt) -> Result<String, DropReason> + Sync>;

/// Answers by a script, and remembers what it was asked.
pub(super) struct Scripted {
    script: Script,
    asked: Mutex<Vec<Prompt>>,
}

impl Scripted {
    pub(super) fn new(script: impl Fn(&Prompt) -> Result<String, DropReason> + Sync + 'static) -> Self {
        Self {
            script: Box::new(script),
            asked: Mutex::default(),
        }
    }

    pub(super) fn asked(&self) -> Vec<Prompt> {
        self.asked.lock().unwrap().clone()
    }
}

impl LanguageModel for Scripted {
    fn name(&self) -> &str {
        "scripted"
    }

    fn complete(&self, prompts: &[Prompt]) -> anyhow::Result<Vec<Result<Completion, DropReason>>> {
        self.asked.lock().unwrap().extend_from_slice(prompts);
        let answer = |prompt| {
            (self.script)(prompt).map(|text| Completion {
                text,
                ..Completion::default()
            })
        };
        Ok(prompts.iter().map(answer).collect())
    }
}
