//! Messages of a chat, as they stand in a request.

use serde::{Deserialize, Serialize};

/// One message of a conversation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// The speaker.
    pub role: Role,
    /// Its words and images.
    pub content: Content,
}

/// The speaker of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Sets the task.
    System,
    /// Asks.
    User,
    /// Answers.
    Assistant,
}

/// Words and images: a plain text wherever no image is shown, since some servers know nothing else.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Content {
    /// Words alone.
    Text(String),
    /// Words and images.
    Parts(Vec<Part>),
}

/// A piece of a message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Part {
    /// Words.
    Text {
        /// The words.
        text: String,
    },
    /// An image.
    ImageUrl {
        /// Its address.
        image_url: ImageUrl,
    },
}

/// An image as a data URL: no server ever fetches one for us.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ImageUrl {
    /// `data:image/jpeg;base64,...`
    pub url: String,
}

impl Message {
    /// The task.
    pub fn system(text: impl Into<String>) -> Self {
        Self::new(Role::System, text)
    }

    /// A question.
    pub fn user(text: impl Into<String>) -> Self {
        Self::new(Role::User, text)
    }

    /// An answer, in a demonstration.
    pub fn assistant(text: impl Into<String>) -> Self {
        Self::new(Role::Assistant, text)
    }

    fn new(role: Role, text: impl Into<String>) -> Self {
        Self {
            role,
            content: Content::Text(text.into()),
        }
    }

    /// Its words, without images.
    pub fn text(&self) -> String {
        match &self.content {
            Content::Text(text) => text.clone(),
            Content::Parts(parts) => {
                let text = |part: &Part| match part {
                    Part::Text { text } => Some(text.clone()),
                    Part::ImageUrl { .. } => None,
                };
                parts.iter().filter_map(text).collect::<Vec<_>>().join("\n")
            }
        }
    }

    pub(super) fn images(&self) -> usize {
        match &self.content {
            Content::Text(_) => 0,
            Content::Parts(parts) => parts
                .iter()
                .filter(|part| matches!(part, Part::ImageUrl { .. }))
                .count(),
        }
    }
}
