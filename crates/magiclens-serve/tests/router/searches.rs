//! What a search finds, and how searches share the model.

use axum::http::StatusCode;
use serde_json::json;

use crate::house::{BLUE, GREEN, House, RED, form, png, search};

#[tokio::test]
async fn a_image_finds_its_like_but_not_itself() {
    let house = House::new();
    let answer = house.search(json!({ "id": house.red })).await;
    assert_eq!(answer.ids().len(), 2);
    assert!(!answer.ids().contains(&house.red));
    assert_eq!(answer.json()["query_id"], house.red.to_string());
    assert!(answer.json()["took_ms"].as_f64().unwrap() >= 0.0);

    let answer = house.search(json!({ "id": house.red, "include_query": true })).await;
    assert_eq!(answer.ids()[0], house.red);
    let hit = &answer.json()["hits"][0];
    assert!((hit["score"].as_f64().unwrap() - 1.0).abs() < 1e-3, "{hit}");
    assert_eq!(
        (&hit["width"], &hit["height"], &hit["caption"]),
        (&json!(8), &json!(6), &json!("red square"))
    );
    assert_eq!(hit["path"], "red.png");
}

#[tokio::test]
async fn an_instruction_changes_what_a_image_finds() {
    let house = House::new();
    for (instruction, expected) in [("the same in blue", house.blue), ("the same in green", house.green)] {
        let answer = house
            .search(json!({ "id": house.red, "text": instruction, "k": 1 }))
            .await;
        assert_eq!(answer.ids(), [expected], "{instruction}");
    }
}

#[tokio::test]
async fn words_alone_search_the_image_space() {
    let house = House::new();
    let answer = house.search(json!({ "text": " green " })).await;
    assert_eq!(answer.ids()[0], house.green);
    assert_eq!(answer.ids().len(), 3);
    assert_eq!(answer.json()["query_id"], json!(null));
}

#[tokio::test]
async fn a_sent_image_can_be_named_by_its_id_afterwards() {
    let house = House::new();
    let file = png(GREEN, 20, 20);
    let answer = house
        .send(form(&[("text", ""), ("k", "2")], Some(("leaf.png", &file))))
        .await;
    assert_eq!(answer.ids().len(), 2);
    assert_eq!(answer.ids()[0], house.green);
    let id = answer.json()["query_id"].clone();

    let answer = house.search(json!({ "id": id, "text": "blue", "k": 1 })).await;
    assert_eq!(answer.ids(), [house.blue]);
    let answer = house
        .send(form(&[("text", "red"), ("k", "1")], Some(("again.png", &file))))
        .await;
    assert_eq!(answer.ids(), [house.red]);
    assert_eq!(
        *house.gate.encoded_images.lock().unwrap(),
        1,
        "the image tower runs once for an image"
    );
}

#[tokio::test]
async fn a_sent_image_that_is_in_the_index_is_left_out_too() {
    let house = House::new();
    let file = png(RED, 8, 6);
    let answer = house.send(form(&[], Some(("mine.png", &file)))).await;
    assert!(!answer.ids().contains(&house.red));
    let answer = house
        .send(form(&[("include_query", "true")], Some(("mine.png", &file))))
        .await;
    assert_eq!(answer.ids()[0], house.red);
}

#[tokio::test]
async fn searches_that_come_together_get_their_own_answers() {
    let house = House::new();
    let waiting = tokio::spawn({
        let app = house.app.clone();
        async move {
            tower::ServiceExt::oneshot(app, search(json!({ "text": "wait" })))
                .await
                .unwrap()
                .status()
        }
    });
    // These gather in the queue behind the one that waits, and are embedded as one batch with two bad ones.
    let red = png(RED, 30, 30);
    let blue = png(BLUE, 30, 30);
    let together = async {
        tokio::join!(
            house.search(json!({ "text": "green" })),
            house.search(json!({ "text": "fail" })),
            house.send(form(&[("text", "blue"), ("k", "1")], Some(("a.png", &red)))),
            house.search(json!({ "text": "panic" })),
            house.send(form(&[("k", "1")], Some(("b.png", &blue)))),
            house.search(json!({ "id": house.green, "text": "red", "k": 1 })),
        )
    };
    let open = async {
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        house.gate.open();
    };
    let ((green, failed, to_blue, panicked, blue, to_red), ()) = tokio::join!(together, open);
    assert_eq!(waiting.await.unwrap(), StatusCode::OK);
    assert_eq!(green.ids()[0], house.green);
    assert_eq!(to_blue.ids(), [house.blue]);
    assert_eq!(blue.ids(), [house.blue]);
    assert_eq!(to_red.ids(), [house.red]);
    for failed in [failed, panicked] {
        assert_eq!(failed.status, StatusCode::INTERNAL_SERVER_ERROR);
        assert!(!failed.text().contains("secret"), "{}", failed.text());
    }
    assert_eq!(house.get("/healthz").await.status, StatusCode::OK);
}
