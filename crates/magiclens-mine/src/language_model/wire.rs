//! The protocol: the JSON of a chat request, and the replies of servers in the shapes of vLLM, llama.cpp, Ollama and OpenAI.

use std::collections::BTreeMap;

use reqwest::StatusCode;
use serde::Serialize;
use serde_json::{Value, json};

use super::config::{LimitField, ModelConfig};
use super::message::Message;
use super::model::{Completion, Prompt};
use super::reply;
use super::usage::Tokens;

#[derive(Serialize)]
struct Request<'a> {
    model: &'a str,
    messages: &'a [Message],
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_completion_tokens: Option<u32>,
    temperature: f64,
    seed: u64,
    stream: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_format: Option<Value>,
    #[serde(flatten)]
    extra: &'a BTreeMap<String, Value>,
}

/// The body of the request: the same bytes for the same prompt and settings.
pub(super) fn request_body(config: &ModelConfig, prompt: &Prompt) -> String {
    let limit = |field| (config.limit_field == field).then_some(config.max_tokens);
    let request = Request {
        model: &config.model,
        messages: &prompt.messages,
        max_tokens: limit(LimitField::MaxTokens),
        max_completion_tokens: limit(LimitField::MaxCompletionTokens),
        temperature: if prompt.ask == 0 {
            config.temperature
        } else {
            config.repeat_temperature
        },
        seed: config.seed.wrapping_add(u64::from(prompt.ask)),
        stream: false,
        response_format: config.json_mode.then(|| json!({ "type": "json_object" })),
        extra: &config.extra,
    };
    serde_json::to_string(&request).expect("strings, numbers and JSON values always serialise")
}

/// More tokens than open models make of an image (LLaVA-NeXT 2,880; Qwen2.5-VL one for 28 x 28 pixels).
const MAX_IMAGE_TOKENS: u64 = 3_000;
/// More tokens than chat templates put around a message.
const MAX_FRAME_TOKENS: u64 = 16;

/// Upper bound of a request's tokens: a token is at least one byte of text.
pub(super) fn at_most(config: &ModelConfig, prompt: &Prompt) -> Tokens {
    let message =
        |message: &Message| message.text().len() as u64 + message.images() as u64 * MAX_IMAGE_TOKENS + MAX_FRAME_TOKENS;
    Tokens {
        prompt: prompt.messages.iter().map(message).sum(),
        completion: u64::from(config.max_tokens),
    }
}

/// Reads the body of a reply. Servers that count no tokens give none.
///
/// # Errors
/// The status of an error that came with a good one, as some versions of servers send it; none of something else: a web page,
/// another service, half a reply.
pub(super) fn read_reply(body: &str) -> Result<(Completion, Option<Tokens>), Option<StatusCode>> {
    let reply: Value = serde_json::from_str(body).map_err(|_| None)?;
    let Some(choice) = reply.pointer("/choices/0").filter(|choice| choice.is_object()) else {
        let error = reply.get("error").filter(|error| !error.is_null());
        let code = error.and_then(|error| error.get("code")).or_else(|| reply.get("code"));
        let code = code.and_then(Value::as_u64).and_then(|code| u16::try_from(code).ok());
        let status = code.and_then(|code| StatusCode::from_u16(code).ok());
        return Err(status.filter(|status| status.is_client_error() || status.is_server_error()));
    };
    let message = choice.get("message").unwrap_or(&Value::Null);
    let finish = choice.get("finish_reason").and_then(Value::as_str).unwrap_or_default();
    let thinking = ["reasoning_content", "reasoning"]
        .iter()
        .find_map(|field| message.get(field)?.as_str());
    let refusal = message.get("refusal").and_then(Value::as_str).unwrap_or_default();
    let completion = Completion {
        text: content_text(message.get("content").unwrap_or(&Value::Null)),
        thinking: thinking.unwrap_or_default().to_owned(),
        is_cut_off: finish == "length",
        is_declined: finish == "content_filter" || !refusal.is_empty(),
    };
    let count = |field: &str| reply.get("usage")?.get(field)?.as_u64();
    let counts = count("prompt_tokens").zip(count("completion_tokens"));
    let tokens = counts.map(|(prompt, completion)| Tokens { prompt, completion });
    Ok((completion, tokens))
}

/// A string, or the texts of an array of parts.
fn content_text(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts.iter().filter_map(|part| part.get("text")?.as_str()).collect(),
        _ => String::new(),
    }
}

/// A server's error message, in one line that can be printed.
pub(super) fn error_message(body: &str) -> String {
    const MAX_CHARS: usize = 300;
    let json: Option<Value> = serde_json::from_str(body).ok();
    let said = json.as_ref().and_then(|json| {
        let places = ["/error/message", "/message", "/detail", "/error"];
        places.iter().find_map(|place| json.pointer(place)?.as_str())
    });
    let line = reply::one_line(said.unwrap_or(body));
    match line.char_indices().nth(MAX_CHARS) {
        _ if line.is_empty() => "(nothing said)".to_owned(),
        Some((end, _)) => format!("{} ...", &line[..end]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::super::message::{ImageUrl, Part};
    use super::*;

    fn prompt(ask: u32) -> Prompt {
        Prompt {
            version: "test/1",
            messages: vec![Message::system("be brief"), Message::user("hello")],
            ask,
        }
    }

    #[test]
    fn the_request_is_the_protocols() {
        let config = ModelConfig {
            model: "m".to_owned(),
            seed: 3,
            extra: BTreeMap::from([("top_k".to_owned(), 1.into())]),
            ..ModelConfig::default()
        };
        let expected = concat!(
            r#"{"model":"m","messages":[{"role":"system","content":"be brief"},{"role":"user","content":"hello"}],"#,
            r#""max_tokens":1024,"temperature":0.0,"seed":3,"stream":false,"response_format":{"type":"json_object"},"top_k":1}"#
        );
        assert_eq!(request_body(&config, &prompt(0)), expected);
        let again = expected.replace("\"temperature\":0.0,\"seed\":3", "\"temperature\":0.7,\"seed\":4");
        assert_eq!(request_body(&config, &prompt(1)), again);
    }

    #[test]
    fn an_image_is_a_data_url_in_a_part() {
        let part = Part::ImageUrl {
            image_url: ImageUrl {
                url: "data:image/jpeg;base64,AA==".to_owned(),
            },
        };
        let json = serde_json::to_string(&part).unwrap();
        assert_eq!(
            json,
            r#"{"type":"image_url","image_url":{"url":"data:image/jpeg;base64,AA=="}}"#
        );
    }

    #[test]
    fn the_upper_bound_counts_bytes_images_and_the_answer() {
        let tokens = at_most(&ModelConfig::default(), &prompt(0));
        let expected = 8 + 5 + 2 * MAX_FRAME_TOKENS;
        assert_eq!((tokens.prompt, tokens.completion), (expected, 1_024));
    }

    #[test]
    fn replies_of_servers_are_read() {
        let (completion, tokens) = read_reply(
            r#"{"choices":[{"message":{"role":"assistant","content":"hi","reasoning_content":"hm"},"finish_reason":"stop"}],
                "usage":{"prompt_tokens":5,"completion_tokens":2,"total_tokens":7}}"#,
        )
        .unwrap();
        assert_eq!((completion.text.as_str(), completion.thinking.as_str()), ("hi", "hm"));
        assert_eq!(
            tokens,
            Some(Tokens {
                prompt: 5,
                completion: 2
            })
        );

        let (completion, tokens) = read_reply(
            r#"{"choices":[{"message":{"content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]},"finish_reason":"length"}]}"#,
        )
        .unwrap();
        assert_eq!(
            (completion.text.as_str(), completion.is_cut_off, tokens),
            ("ab", true, None)
        );

        let filtered = r#"{"choices":[{"message":{"content":null,"refusal":"I cannot"},"finish_reason":"stop"}]}"#;
        assert!(read_reply(filtered).unwrap().0.is_declined);
    }

    #[test]
    fn other_bodies_are_no_completion() {
        for body in [
            "",
            "<html>502</html>",
            "{}",
            "[]",
            "null",
            r#"{"choices":[]}"#,
            r#"{"choices":[1]}"#,
            r#"{"choices":[{"#,
        ] {
            assert_eq!(read_reply(body).unwrap_err(), None, "{body}");
        }
        let body = r#"{"error":{"code":400,"message":"the request exceeds the available context size","type":"exceed_context_size_error"}}"#;
        assert_eq!(read_reply(body).unwrap_err(), Some(StatusCode::BAD_REQUEST));
        assert_eq!(error_message(body), "the request exceeds the available context size");
    }

    #[test]
    fn errors_are_one_short_line() {
        assert_eq!(
            error_message(r#"{"object":"error","message":"no such\nmodel","code":404}"#),
            "no such model"
        );
        assert_eq!(
            error_message(r#"{"error":"model 'x' not found"}"#),
            "model 'x' not found"
        );
        assert_eq!(error_message(r#"{"detail":[1]}"#), r#"{"detail":[1]}"#);
        assert_eq!(error_message(" \n"), "(nothing said)");
        assert_eq!(error_message(&"ä".repeat(1000)).chars().count(), 304);
    }
}
