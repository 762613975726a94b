//! Indexing in the background of the service.

use std::time::{Duration, Instant};

use axum::http::StatusCode;
use magiclens_data::ImageId;
use serde_json::{Value, json};

use crate::house::{House, PINK, png};

/// `/api/info` once the indexing is in this state.
async fn info_when(house: &House, state: &str) -> Value {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let info = house.get("/api/info").await.json();
        if info["indexing"]["state"] == state {
            return info;
        }
        assert!(Instant::now() < deadline, "{info}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn images_are_found_as_soon_as_they_are_indexed() {
    let house = House::indexing(&["pink.png", "gray.png", "red.png"]);
    // The service answers from the first moment.
    assert_eq!(house.search(json!({ "text": "red" })).await.status, StatusCode::OK);
    let info = info_when(&house, "done").await;
    assert_eq!(info["count"], 5);
    let expected = json!({ "state": "done", "done": 2, "total": 2, "skipped": 0 });
    assert_eq!(info["indexing"], expected);
    let pink = ImageId::of_bytes(&png(PINK, 8, 6));
    let answer = house.search(json!({ "id": house.red, "k": 1 })).await;
    assert_eq!(answer.ids(), [pink]);
}

#[tokio::test]
async fn a_failure_is_told_and_costs_nothing_else() {
    let house = House::indexing(&["no such folder"]);
    info_when(&house, "failed").await;
    assert_eq!(house.search(json!({ "text": "red" })).await.ids()[0], house.red);
}

#[tokio::test]
async fn a_service_without_indexing_says_so() {
    assert_eq!(House::new().get("/api/info").await.json()["indexing"], json!(null));
}
