//! A service over a real index of three images, with a fake model that sees mean colors.

use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Request, StatusCode, header};
use image::{ImageFormat, Rgb, RgbImage};
use magiclens_data::{Embedding, ImageId};
use magiclens_http::Hosts;
use magiclens_index::{FileStamp, Index, ModelStamp, NewImage, Payload, make_thumbnail};
use magiclens_search::{EncodeError, Encoder, IndexProgress};
use magiclens_serve::{AppState, Indexing, Limits, ModelQueue, Store, router};
use serde_json::Value;
use tempfile::TempDir;
use tower::ServiceExt;

pub const RED: [u8; 3] = [230, 20, 20];
pub const GREEN: [u8; 3] = [20, 230, 20];
pub const BLUE: [u8; 3] = [20, 20, 230];
pub const PINK: [u8; 3] = [230, 130, 130];
pub const GRAY: [u8; 3] = [128, 128, 128];

const DIM: usize = 4;

/// Image tower: the mean color. Text tower: the colors that are named. Fusion: text counts twice.
/// Some words make trouble: "wait" (until [`Gate::open`]), "fail", "panic".
pub struct FakeModel(pub Arc<Gate>);

#[derive(Default)]
pub struct Gate {
    is_open: Mutex<bool>,
    changed: Condvar,
    pub encoded_images: Mutex<usize>,
}

impl Gate {
    pub fn open(&self) {
        *self.is_open.lock().unwrap() = true;
        self.changed.notify_all();
    }

    fn pass(&self) {
        let is_open = self.is_open.lock().unwrap();
        let waited = self
            .changed
            .wait_timeout_while(is_open, Duration::from_secs(20), |is_open| !*is_open)
            .unwrap();
        assert!(*waited.0, "nobody opened the gate");
    }
}

impl Encoder for FakeModel {
    fn model_id(&self) -> &str {
        "fake"
    }

    fn dim(&self) -> usize {
        DIM
    }

    fn encode_images(&self, images: &[&RgbImage]) -> Result<Vec<Vec<f32>>, EncodeError> {
        *self.0.encoded_images.lock().unwrap() += images.len();
        Ok(images.iter().copied().map(mean_color).collect())
    }

    fn encode_texts(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, EncodeError> {
        texts.iter().map(|text| self.encode_text(text)).collect()
    }

    fn fuse(&self, images: &[Vec<f32>], texts: &[Vec<f32>]) -> Result<Vec<Embedding>, EncodeError> {
        assert_eq!(images.len(), texts.len());
        let fuse = |(image, text): (&Vec<f32>, &Vec<f32>)| image.iter().zip(text).map(|(i, t)| i + 2.0 * t).collect();
        images
            .iter()
            .zip(texts)
            .map(fuse)
            .map(|sum| Ok(Embedding::normalize(sum)?))
            .collect()
    }
}

impl FakeModel {
    fn encode_text(&self, text: &str) -> Result<Vec<f32>, EncodeError> {
        match text {
            "wait" => self.0.pass(),
            "fail" => return Err("a secret detail".into()),
            "panic" => panic!("a secret detail"),
            _ => {}
        }
        let named = |word| if text.contains(word) { 1.0 } else { 0.0 };
        Ok(vec![
            named("red"),
            named("green"),
            named("blue"),
            if text.is_empty() { 0.0 } else { 0.01 },
        ])
    }
}

fn mean_color(image: &RgbImage) -> Vec<f32> {
    let mut sums = [0.0; 3];
    for pixel in image.pixels() {
        for (sum, value) in sums.iter_mut().zip(pixel.0) {
            *sum += f32::from(value) / 255.0;
        }
    }
    let count = (image.width() * image.height()) as f32;
    sums.iter().map(|sum| sum / count).chain([0.01]).collect()
}

/// Progress that nobody hears of.
struct Unheard;

impl IndexProgress for Unheard {
    fn hashed(&self, _: usize, _: usize) {}
    fn indexed(&self, _: usize, _: usize) {}
}

/// A PNG of one color; other sizes are other images.
pub fn png(color: [u8; 3], width: u32, height: u32) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    RgbImage::from_pixel(width, height, Rgb(color))
        .write_to(&mut bytes, ImageFormat::Png)
        .unwrap();
    bytes.into_inner()
}

/// The service, its folder (images and index), and the ids of its red, green and blue image.
pub struct House {
    pub dir: TempDir,
    pub app: Router,
    pub gate: Arc<Gate>,
    pub red: ImageId,
    pub green: ImageId,
    pub blue: ImageId,
}

/// The limits of the tests: small, so that breaking them is cheap.
pub fn limits() -> Limits {
    Limits {
        max_body_bytes: 100_000,
        max_pixels: 10_000,
        timeout: Duration::from_secs(10),
        ..Limits::default()
    }
}

impl House {
    pub fn new() -> Self {
        Self::with(limits(), Hosts::loopback())
    }

    pub fn with(limits: Limits, hosts: Hosts) -> Self {
        Self::build(limits, hosts, &[])
    }

    /// A service that indexes the files of these names in the background.
    pub fn indexing(names: &[&str]) -> Self {
        Self::build(limits(), Hosts::loopback(), names)
    }

    fn build(limits: Limits, hosts: Hosts, names: &[&str]) -> Self {
        let dir = TempDir::new().unwrap();
        for (name, color) in [("pink.png", PINK), ("gray.png", GRAY)] {
            fs_err::write(dir.path().join(name), png(color, 8, 6)).unwrap();
        }
        let gate = Arc::new(Gate::default());
        let model = FakeModel(gate.clone());
        let [red, green, blue] = build_index(dir.path(), &model);
        let store = Store::open(&dir.path().join("index")).unwrap();
        let stamp = model.stamp();
        let (queue, background) = ModelQueue::start(model, limits.max_searches).unwrap();
        let mut state = AppState::new(queue, store, limits, hosts);
        if !names.is_empty() {
            let index = Index::create_or_open(&dir.path().join("index"), &stamp).unwrap();
            let paths = names.iter().map(|name| dir.path().join(name)).collect();
            state = state.with_indexing(Indexing::start(index, background, paths, Unheard).unwrap());
        }
        let app = router(state);
        Self {
            dir,
            app,
            gate,
            red,
            green,
            blue,
        }
    }

    pub async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.app.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = axum::body::to_bytes(body, 10_000_000).await.unwrap();
        Answer {
            status: parts.status,
            headers: parts.headers,
            body,
        }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(get(path)).await
    }

    pub async fn search(&self, json: Value) -> Answer {
        self.send(search(json)).await
    }
}

/// A whole answer.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("not JSON: {:?}", self.text()))
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn header(&self, name: impl header::AsHeaderName) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The ids of the hits, best first.
    pub fn ids(&self) -> Vec<ImageId> {
        assert_eq!(self.status, StatusCode::OK, "{}", self.text());
        let json = self.json();
        json["hits"]
            .as_array()
            .unwrap()
            .iter()
            .map(|hit| hit["id"].as_str().unwrap().parse().unwrap())
            .collect()
    }
}

pub fn get(path: &str) -> Request<Body> {
    Request::get(path)
        .header(header::HOST, "localhost:7878")
        .body(Body::empty())
        .unwrap()
}

pub fn search(json: Value) -> Request<Body> {
    post("application/json", json.to_string().into())
}

pub fn post(content_type: &str, body: Bytes) -> Request<Body> {
    Request::post("/api/search")
        .header(header::HOST, "127.0.0.1:7878")
        .header(header::CONTENT_TYPE, content_type)
        .header(header::CONTENT_LENGTH, body.len())
        .body(body.into())
        .unwrap()
}

/// A form as a browser sends it: `image` is a file name and its content.
pub fn form(fields: &[(&str, &str)], image: Option<(&str, &[u8])>) -> Request<Body> {
    let mut body = Vec::new();
    for (name, value) in fields {
        let part = format!("--edge\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
        body.extend_from_slice(part.as_bytes());
    }
    if let Some((name, bytes)) = image {
        let head = format!("--edge\r\ncontent-disposition: form-data; name=\"image\"; filename=\"{name}\"\r\n\r\n");
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(bytes);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"--edge--\r\n");
    post("multipart/form-data; boundary=edge", body.into())
}

fn build_index(dir: &Path, model: &FakeModel) -> [ImageId; 3] {
    let stamp = ModelStamp {
        name: String::new(),
        model_id: model.model_id().to_owned(),
        dim: DIM,
    };
    let mut index = Index::create_or_open(&dir.join("index"), &stamp).unwrap();
    let images = [("red", RED), ("green", GREEN), ("blue", BLUE)].map(|(name, color)| {
        let bytes = png(color, 8, 6);
        let path = dir.join(format!("{name}.png"));
        fs_err::write(&path, &bytes).unwrap();
        let rgb = image::load_from_memory(&bytes).unwrap().into_rgb8();
        let tower = mean_color(&rgb);
        NewImage {
            id: ImageId::of_bytes(&bytes),
            files: vec![FileStamp {
                path,
                size: bytes.len() as u64,
                mtime_ns: 0,
            }],
            width: 8,
            height: 6,
            payload: Payload {
                caption: Some(format!("{name} square")),
                tags: vec![name.to_owned()],
                license: Some("CC0-1.0".to_owned()),
                source: Some("drawn by the test".to_owned()),
            },
            thumbnail: make_thumbnail(&bytes, &magiclens_data::decode::Limits::default())
                .unwrap()
                .jpeg,
            target: Embedding::normalize(tower.clone()).unwrap(),
            image: Embedding::normalize(tower).unwrap(),
        }
    });
    index.add(&images).unwrap();
    images.map(|image| image.id)
}
