//! Counts and costs of requests and answers.

use std::ops::Sub;

use serde::{Deserialize, Serialize};

/// Totals since an endpoint was made. `requests + cached + failed`, and tokens spent and saved together, are the same at
/// every run over the same input; `retries` and the split between spent and saved are not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Usage {
    /// Prompts that the server answered.
    pub requests: u64,
    /// Prompts whose answer was known: from the cache, or asked twice at once.
    pub cached: u64,
    /// Prompts given up or refused.
    pub failed: u64,
    /// Requests sent again after a failure.
    pub retries: u64,
    /// Tokens of the prompts that the server answered.
    pub prompt_tokens: u64,
    /// Tokens of its answers.
    pub completion_tokens: u64,
    /// Cost of those, by the prices of the configuration.
    pub cost: f64,
    /// Tokens of prompts that were not sent, since their answer was known.
    pub saved_prompt_tokens: u64,
    /// Tokens of known answers.
    pub saved_completion_tokens: u64,
    /// Cost that those would have had.
    pub saved_cost: f64,
}

impl Sub for Usage {
    type Output = Self;

    /// The usage since an earlier reading.
    fn sub(self, earlier: Self) -> Self {
        let count = u64::saturating_sub;
        Self {
            requests: count(self.requests, earlier.requests),
            cached: count(self.cached, earlier.cached),
            failed: count(self.failed, earlier.failed),
            retries: count(self.retries, earlier.retries),
            prompt_tokens: count(self.prompt_tokens, earlier.prompt_tokens),
            completion_tokens: count(self.completion_tokens, earlier.completion_tokens),
            cost: self.cost - earlier.cost,
            saved_prompt_tokens: count(self.saved_prompt_tokens, earlier.saved_prompt_tokens),
            saved_completion_tokens: count(self.saved_completion_tokens, earlier.saved_completion_tokens),
            saved_cost: self.saved_cost - earlier.saved_cost,
        }
    }
}

/// Tokens of one request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tokens {
    pub(super) prompt: u64,
    pub(super) completion: u64,
}

/// Counts, and keeps requests from costing more than is allowed.
#[derive(Debug)]
pub(super) struct Budget {
    prompt_price: f64,
    completion_price: f64,
    max_cost: Option<f64>,
    reserved: f64,
    /// Without costs, which follow from the tokens.
    usage: Usage,
}

impl Budget {
    pub(super) fn new(prompt_price: f64, completion_price: f64, max_cost: Option<f64>) -> Self {
        Self {
            prompt_price,
            completion_price,
            max_cost,
            reserved: 0.0,
            usage: Usage::default(),
        }
    }

    pub(super) fn cost(&self, tokens: Tokens) -> f64 {
        (tokens.prompt as f64 * self.prompt_price + tokens.completion as f64 * self.completion_price) / 1e6
    }

    /// Lays aside what a request costs at most; false if that is more than is left.
    pub(super) fn reserve(&mut self, at_most: Tokens) -> bool {
        let cost = self.cost(at_most);
        let total = self.usage().cost + self.reserved + cost;
        let has_room = self.max_cost.is_none_or(|max_cost| total <= max_cost);
        if has_room {
            self.reserved += cost;
        }
        has_room
    }

    /// Gives back what was laid aside.
    pub(super) fn release(&mut self, at_most: Tokens) {
        self.reserved -= self.cost(at_most);
    }

    pub(super) fn spend(&mut self, tokens: Tokens) {
        self.usage.requests += 1;
        self.usage.prompt_tokens = self.usage.prompt_tokens.saturating_add(tokens.prompt);
        self.usage.completion_tokens = self.usage.completion_tokens.saturating_add(tokens.completion);
    }

    pub(super) fn save(&mut self, tokens: Tokens) {
        self.usage.cached += 1;
        self.usage.saved_prompt_tokens = self.usage.saved_prompt_tokens.saturating_add(tokens.prompt);
        self.usage.saved_completion_tokens = self.usage.saved_completion_tokens.saturating_add(tokens.completion);
    }

    pub(super) fn fail(&mut self) {
        self.usage.failed += 1;
    }

    pub(super) fn retry(&mut self) {
        self.usage.retries += 1;
    }

    pub(super) fn usage(&self) -> Usage {
        // Costs of the totals, so that the order of the answers does not show in the last digits.
        let cost = |prompt, completion| self.cost(Tokens { prompt, completion });
        let usage = self.usage;
        Usage {
            cost: cost(usage.prompt_tokens, usage.completion_tokens),
            saved_cost: cost(usage.saved_prompt_tokens, usage.saved_completion_tokens),
            ..usage
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_be_too_much_is_not_reserved() {
        let tokens = |prompt, completion| Tokens { prompt, completion };
        // One unit a prompt token, two a token of the answer.
        let mut budget = Budget::new(1e6, 2e6, Some(10.0));
        assert!(budget.reserve(tokens(2, 2))); // 6 of 10
        assert!(!budget.reserve(tokens(1, 2))); // 5 more
        assert!(budget.reserve(tokens(2, 1))); // 4 more
        budget.release(tokens(2, 2));
        budget.spend(tokens(1, 1)); // 3 spent, 4 reserved
        assert!(budget.reserve(tokens(3, 0)));
        assert!(!budget.reserve(tokens(1, 0)));
        assert_eq!(budget.usage().cost, 3.0);
    }

    #[test]
    fn saved_tokens_are_told_but_not_spent() {
        let mut budget = Budget::new(1e6, 0.0, None);
        let before = budget.usage();
        budget.save(Tokens {
            prompt: 7,
            completion: 5,
        });
        let usage = budget.usage() - before;
        assert_eq!(
            (usage.cached, usage.requests, usage.cost, usage.saved_cost),
            (1, 0, 0.0, 7.0)
        );
    }
}
