//! Images, thumbnails, the sample, and what caches hear.

use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use magiclens_data::ImageId;
use serde_json::json;

use crate::house::{House, RED, get, png};

#[tokio::test]
async fn a_image_is_described() {
    let house = House::new();
    let answer = house.get(&format!("/api/images/{}", house.red)).await;
    let json = answer.json();
    assert_eq!(json["id"], house.red.to_string());
    assert_eq!(json["caption"], "red square");
    assert_eq!(
        (&json["license"], &json["licence"]),
        (&json!("CC0-1.0"), &json!("CC0-1.0"))
    );
    assert_eq!(json["source"], "drawn by the test");
    assert_eq!(json["tags"], json!(["red"]));
    assert_eq!(
        (&json["path"], &json["paths"]),
        (&json!("red.png"), &json!(["red.png"]))
    );
}

#[tokio::test]
async fn files_and_thumbnails_carry_type_and_tag() {
    let house = House::new();
    for (kind, content_type) in [("file", "image/png"), ("thumbnail", "image/jpeg")] {
        let path = format!("/api/images/{}/{kind}", house.red);
        let answer = house.get(&path).await;
        assert_eq!(answer.status, StatusCode::OK);
        assert_eq!(answer.header(header::CONTENT_TYPE), content_type);
        assert!(answer.header(header::CACHE_CONTROL).starts_with("private"));
        assert!(image::load_from_memory(&answer.body).is_ok());

        let tag = answer.header(header::ETAG).to_owned();
        for (sent, status) in [
            (tag.clone(), StatusCode::NOT_MODIFIED),
            (format!("\"other\", W/{tag}"), StatusCode::NOT_MODIFIED),
            ("\"other\"".to_owned(), StatusCode::OK),
        ] {
            let mut request = get(&path);
            request
                .headers_mut()
                .insert(header::IF_NONE_MATCH, sent.parse().unwrap());
            let again = house.send(request).await;
            assert_eq!(again.status, status, "{sent}");
            assert_eq!(again.body.is_empty(), status == StatusCode::NOT_MODIFIED);
        }
    }
    let file = house.get(&format!("/api/images/{}/file", house.red)).await;
    assert_eq!(file.body, png(RED, 8, 6), "the file comes as it is");
}

#[tokio::test]
async fn a_file_that_is_gone_or_changed_is_not_given_out() {
    let house = House::new();
    fs_err::remove_file(house.dir.path().join("red.png")).unwrap();
    fs_err::write(house.dir.path().join("green.png"), "something private").unwrap();
    for id in [house.red, house.green] {
        let answer = house.get(&format!("/api/images/{id}/file")).await;
        assert_eq!(answer.status, StatusCode::GONE);
        assert!(answer.json()["error"].as_str().unwrap().contains(&id.to_string()));
        assert!(answer.json()["hint"].as_str().unwrap().contains("magiclens index"));
        assert_eq!(
            house.get(&format!("/api/images/{id}/thumbnail")).await.status,
            StatusCode::OK
        );
        // By itself it is still found by its vector; with an instruction its pixels would be needed.
        assert_eq!(house.search(json!({ "id": id })).await.status, StatusCode::OK);
        assert_eq!(
            house.search(json!({ "id": id, "text": "blue" })).await.status,
            StatusCode::GONE
        );
    }
}

#[tokio::test]
async fn a_image_that_is_not_in_the_index_is_not_found() {
    let house = House::new();
    let stranger = ImageId::of_bytes(b"stranger");
    for path in ["", "/file", "/thumbnail"] {
        let answer = house.get(&format!("/api/images/{stranger}{path}")).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
    }
    for body in [json!({ "id": stranger }), json!({ "id": stranger, "text": "blue" })] {
        let answer = house.search(body).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND);
        assert!(answer.json()["error"].as_str().unwrap().contains(&stranger.to_string()));
    }
}

#[tokio::test]
async fn the_sample_has_pages_and_bounds() {
    let house = House::new();
    let ids = async |path: &str| {
        let answer = house.get(path).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}");
        answer
            .json()
            .as_array()
            .unwrap()
            .iter()
            .map(|image| image["id"].clone())
            .collect::<Vec<_>>()
    };
    let all = ids("/api/sample").await;
    assert_eq!(all.len(), 3);
    assert_eq!(ids("/api/sample?n=2").await, all[..2]);
    assert_eq!(ids("/api/sample?n=2&page=1").await, all[2..]);
    assert_eq!(ids("/api/sample?n=2&page=2").await.len(), 0);
    for bad in ["n=0", "n=201", "n=x", "n=2&page=41", "n=-1", "m=3"] {
        assert_eq!(
            house.get(&format!("/api/sample?{bad}")).await.status,
            StatusCode::BAD_REQUEST,
            "{bad}"
        );
    }
}

#[tokio::test]
async fn the_service_describes_itself() {
    let house = House::new();
    let info = house.get("/api/info").await.json();
    assert_eq!(
        (&info["model"], &info["dim"], &info["count"]),
        (&json!("fake"), &json!(4), &json!(3))
    );
    assert_eq!(info["limits"]["max_body_bytes"], 100_000);
    assert_eq!(house.get("/healthz").await.json(), json!({ "status": "ok" }));
    let head = Request::head("/healthz")
        .header(header::HOST, "localhost")
        .body(Body::empty())
        .unwrap();
    assert_eq!(house.send(head).await.status, StatusCode::OK);
}

#[tokio::test]
async fn the_routes_of_before_still_answer() {
    let house = House::new();
    for rest in ["", "/file", "/thumbnail"] {
        let [old, new] = ["pictures", "images"].map(|name| format!("/api/{name}/{}{rest}", house.red));
        assert_eq!(house.get(&old).await.body, house.get(&new).await.body, "{rest}");
        assert_eq!(house.get(&old).await.status, StatusCode::OK, "{rest}");
    }
}

#[tokio::test]
async fn no_answer_tells_where_the_images_lie() {
    let house = House::new();
    let place = house.dir.path().to_str().unwrap();
    let image = format!("/api/images/{}", house.red);
    let answers = [
        house.get("/api/sample").await,
        house.get(&image).await,
        house.get("/api/info").await,
        house.search(json!({ "text": "red" })).await,
    ];
    for answer in answers {
        assert_eq!(answer.status, StatusCode::OK);
        assert!(!answer.text().contains(place), "{}", answer.text());
    }
}
