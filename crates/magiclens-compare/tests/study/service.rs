//! The service as raters meet it: blinded, one judgment an item, resumable.

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode, header};
use magiclens_compare::{AppState, ItemView, Kind, Side, Study, turns};
use serde_json::{Value, json};
use tempfile::TempDir;
use tower::ServiceExt;

use crate::house::{order, rater, study};

struct House {
    folder: TempDir,
    study: Study,
    state: AppState,
    app: Router,
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: String,
}

impl Answer {
    fn json(&self) -> Value {
        assert_eq!(self.status, StatusCode::OK, "{}", self.body);
        serde_json::from_str(&self.body).unwrap()
    }

    fn key(&self) -> String {
        self.json()["item"]["key"].as_str().unwrap().to_owned()
    }
}

impl House {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let study = study(folder.path());
        let state = AppState::open(folder.path()).unwrap();
        let app = magiclens_compare::router(state.clone());
        Self {
            folder,
            study,
            state,
            app,
        }
    }

    async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.app.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = axum::body::to_bytes(body, 1_000_000).await.unwrap();
        Answer {
            status: parts.status,
            headers: parts.headers,
            body: String::from_utf8(body.to_vec()).unwrap(),
        }
    }

    async fn get(&self, path: &str) -> Answer {
        let request = Request::get(path).header(header::HOST, "127.0.0.1:80");
        self.send(request.body(Body::empty()).unwrap()).await
    }

    async fn post(&self, path: &str, body: &Value) -> Answer {
        let request = Request::post(path).header(header::HOST, "127.0.0.1:80");
        let request = request.header(header::CONTENT_TYPE, "application/json");
        self.send(request.body(body.to_string().into()).unwrap()).await
    }

    async fn item(&self, name: &str) -> Answer {
        self.get(&format!("/api/item?rater={name}")).await
    }

    async fn judge(&self, name: &str, key: &str, choice: &str) -> Answer {
        self.post("/api/judge", &json!({ "rater": name, "item": key, "choice": choice }))
            .await
    }

    async fn undo(&self, name: &str, key: &str) -> Answer {
        self.post("/api/undo", &json!({ "rater": name, "item": key })).await
    }
}

#[tokio::test]
async fn a_rater_goes_through_all_items_once() {
    let house = House::new();
    let expected = order(&house.study, "anna");
    let mut answer = house.item("Anna").await;
    for (done, item) in expected.iter().enumerate() {
        let view = answer.json();
        assert_eq!((&view["done"], &view["total"]), (&json!(done), &json!(8)));
        assert_eq!(view["rater"], "anna");
        assert_eq!(view["item"]["query"], json!(item.image));
        assert_eq!(view["item"]["instruction"], json!(item.instruction));
        answer = house
            .judge("anna", &answer.key(), ["left", "right", "tie"][done % 3])
            .await;
    }
    let view = answer.json();
    assert_eq!((&view["done"], &view["item"]), (&json!(8), &Value::Null));
    let judged: Vec<_> = house.state.judgments()[&rater("anna")]
        .iter()
        .map(|j| j.item.clone())
        .collect();
    assert_eq!(judged, expected.iter().map(|item| item.id.clone()).collect::<Vec<_>>());
}

#[tokio::test]
async fn nothing_says_which_side_is_which_or_what_is_a_check() {
    let house = House::new();
    let mut shapes = Vec::new();
    let mut answer = house.item("anna").await;
    for item in order(&house.study, "anna") {
        let view = answer.json();
        let text = format!("{} {:?}", answer.body, answer.headers);
        // The names, models and ids of the study all hold the word; the two words of the log are `a` and `b`.
        for word in ["secret", "\"a\"", "\"b\"", "check", "real", "model", "intent", "visual"] {
            assert!(!text.contains(word), "`{word}` in {text}");
        }
        let key = answer.key();
        let (length, headers) = (answer.body.len(), answer.headers.clone());
        answer = house.judge("anna", &key, "left").await;
        let keys: Vec<String> = view["item"].as_object().unwrap().keys().cloned().collect();
        assert_eq!(keys, ["instruction", "key", "left", "query", "right"]);
        // Once an item can be taken back, all views have the same length.
        shapes.push((
            item.kind,
            view["done"] == 0,
            length,
            format!("{headers:?}").replace(&length.to_string(), ""),
        ));
    }
    let later: Vec<_> = shapes.iter().filter(|(_, first, ..)| !first).collect();
    assert!(later.iter().any(|(kind, ..)| matches!(kind, Kind::Check { .. })));
    assert!(
        later
            .iter()
            .all(|(_, _, length, headers)| (length, headers) == (&later[0].2, &later[0].3)),
        "{shapes:?}"
    );

    // An image is the same whoever found it, and its address is its content.
    let (one, two) = (house.study.items[0].a[0], house.study.items[0].b[0]);
    let [one, two] = [
        house.get(&format!("/api/pictures/{one}")).await,
        house.get(&format!("/api/pictures/{two}")).await,
    ];
    assert_eq!((one.status, two.status), (StatusCode::OK, StatusCode::OK));
    let mut headers = [one.headers, two.headers];
    headers.iter_mut().for_each(|headers| _ = headers.remove(header::ETAG));
    assert_eq!(headers[0], headers[1]);
}

#[test]
fn swapped_systems_in_mirrored_places_are_the_same_page_to_the_byte() {
    let folder = TempDir::new().unwrap();
    let study = study(folder.path());
    let mut swapped = study.clone();
    for item in &mut swapped.items {
        std::mem::swap(&mut item.a, &mut item.b);
    }
    let bytes = |study: &Study, turn: &magiclens_compare::Turn| {
        serde_json::to_vec(&ItemView::new(&study.items[turn.item], turn, "key".to_owned())).unwrap()
    };
    for name in ["anna", "bert"] {
        let turns = [&study, &swapped].map(|study| turns(&study.items, study.settings.seed, &rater(name)));
        assert_eq!(turns[0], turns[1], "the rankings do not decide the places");
        for turn in &turns[0] {
            let mirrored = magiclens_compare::Turn {
                left: turn.left.other(),
                ..turn.clone()
            };
            assert_eq!(bytes(&study, turn), bytes(&swapped, &mirrored));
            assert_ne!(bytes(&study, turn), bytes(&swapped, turn));
        }
        assert!(turns[0].iter().any(|turn| turn.left == Side::A) && turns[0].iter().any(|turn| turn.left == Side::B));
    }
}

#[tokio::test]
async fn an_item_is_judged_once_whatever_is_clicked() {
    let house = House::new();
    let first = house.item("anna").await.key();
    let second = house.judge("anna", &first, "left").await.key();
    assert_ne!(first, second);
    // A double click, or another tab that says the same: it goes on from where the rater is.
    assert_eq!(house.judge("anna", &first, "left").await.key(), second);
    // Another tab that says something else.
    let conflict = house.judge("anna", &first, "tie").await;
    assert_eq!(conflict.status, StatusCode::CONFLICT);
    assert!(
        conflict.body.contains("already, with `left`") && conflict.body.contains("Undo"),
        "{}",
        conflict.body
    );
    let judgments = house.state.judgments();
    assert_eq!(judgments[&rater("anna")].len(), 1);

    // Undo names the item, so that it, too, works once.
    assert_eq!(house.undo("anna", &second).await.key(), second, "nothing to take back");
    assert_eq!(house.undo("anna", &first).await.key(), first);
    assert_eq!(house.undo("anna", &first).await.key(), first);
    assert_eq!(
        house.judge("anna", &second, "left").await.status,
        StatusCode::CONFLICT,
        "not at hand"
    );
    assert_eq!(house.judge("anna", &first, "tie").await.key(), second);
    house.judge("anna", &second, "right").await.json();
    assert_eq!(
        house.undo("anna", &first).await.status,
        StatusCode::CONFLICT,
        "not the last one"
    );
    let choices: Vec<_> = house.state.judgments()[&rater("anna")]
        .iter()
        .map(|j| j.choice.word())
        .collect();
    assert_eq!(choices, ["tie", "right"]);
}

#[tokio::test]
async fn raters_do_not_meet_and_a_restart_changes_nothing() {
    let mut house = House::new();
    let key = house.item("anna").await.key();
    house.judge("anna", &key, "left").await.json();
    let view = house.item("bert").await.json();
    assert_eq!((&view["done"], &view["last"]), (&json!(0), &Value::Null));
    // A key belongs to one rater.
    assert_eq!(house.judge("bert", &key, "left").await.status, StatusCode::NOT_FOUND);
    assert_eq!(house.undo("bert", &key).await.status, StatusCode::NOT_FOUND);
    let before = house.item("anna").await.body;

    let dir = house.folder.path().to_owned();
    house.app = Router::new();
    let House { folder, state, .. } = house;
    drop(state);
    let state = AppState::open(&dir).unwrap();
    let app = magiclens_compare::router(state.clone());
    let study = Study::open(&dir).unwrap();
    let house = House {
        folder,
        study,
        state,
        app,
    };
    assert_eq!(house.item("anna").await.body, before);
    assert_eq!(
        house.item("%20ANNA%20").await.body,
        before,
        "names are read as people write them"
    );
}

#[tokio::test]
async fn bad_requests_are_refused_with_words() {
    let house = House::new();
    let key = house.item("anna").await.key();
    let bad = StatusCode::BAD_REQUEST;
    let judge = async |body: Value| house.post("/api/judge", &body).await;
    let rows = [
        (house.item("").await, bad, "`rater` is empty"),
        (house.item("%3Cb%3E").await, bad, "`rater` may hold letters"),
        (house.get("/api/item").await, bad, "missing field `rater`"),
        (house.get("/api/item?rater=a&side=b").await, bad, "unknown field `side`"),
        (
            judge(json!({ "rater": "anna", "item": key })).await,
            bad,
            "missing field `choice`",
        ),
        (
            judge(json!({ "rater": "anna", "item": key, "choice": "a" })).await,
            bad,
            "unknown variant `a`",
        ),
        (
            judge(json!({ "rater": "anna", "item": "secret query 0", "choice": "tie" })).await,
            StatusCode::NOT_FOUND,
            "no such question",
        ),
        (
            judge(json!({ "rater": "x".repeat(20_000) })).await,
            StatusCode::PAYLOAD_TOO_LARGE,
            "larger than 16384",
        ),
        (
            house.get("/api/judge").await,
            StatusCode::METHOD_NOT_ALLOWED,
            "`/api/judge`",
        ),
        (
            house.get("/api/pictures/..%2Fstudy.json").await,
            bad,
            "`id` is not an id",
        ),
        (
            house.get(&format!("/api/pictures/{}", "0".repeat(32))).await,
            StatusCode::NOT_FOUND,
            "is not known",
        ),
        (
            house.get("/study.json").await,
            StatusCode::NOT_FOUND,
            "nothing at `/study.json`",
        ),
        (
            house.get("/page/../study.json").await,
            StatusCode::NOT_FOUND,
            "nothing at",
        ),
    ];
    for (answer, status, words) in rows {
        assert_eq!(answer.status, status, "{words}: {}", answer.body);
        let error: Value = serde_json::from_str(&answer.body).unwrap();
        assert!(
            error["error"].as_str().unwrap().contains(words),
            "{words}: {}",
            answer.body
        );
        assert_eq!(answer.headers[header::CACHE_CONTROL], "no-store", "{words}");
    }
    assert_eq!(house.state.judgments().len(), 0);
}

#[tokio::test]
async fn only_this_machine_and_this_page_are_answered() {
    let house = House::new();
    for (host, origin, status) in [
        ("evil.example", None, StatusCode::FORBIDDEN),
        ("localhost:80", Some("http://evil.example"), StatusCode::FORBIDDEN),
        ("localhost:80", Some("http://localhost:80"), StatusCode::OK),
    ] {
        let mut request = Request::get("/").header(header::HOST, host);
        if let Some(origin) = origin {
            request = request.header(header::ORIGIN, origin);
        }
        let answer = house.send(request.body(Body::empty()).unwrap()).await;
        assert_eq!(answer.status, status, "{host} {origin:?}");
        let policy = answer.headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'; script-src 'self'"), "{policy}");
    }
    let index = house.get("/").await.body;
    for name in ["base.css", "style.css", "app.js", "icon.svg"] {
        assert!(index.contains(&format!("/page/{name}")), "{name}");
        assert_eq!(house.get(&format!("/page/{name}")).await.status, StatusCode::OK);
    }
    assert_eq!(house.get("/page/api.js").await.status, StatusCode::OK);
    assert!(
        !index.contains("onclick") && !index.contains("style="),
        "nothing that the policy forbids"
    );
}
