//! The comparison in a real browser: two raters judge a small study, one by mouse and one by keyboard, through a reload, a
//! double click, a second tab, and a server that is killed; then the export has the figures worked out by hand.

use std::path::Path;
use std::process::Command;

use magiclens_compare::{ComparedSystem, Intent, Item, Kind, Method, Preference, Settings, Study, image_path};
use magiclens_data::ImageId;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::browser::{Browser, ENTER, ESCAPE, LEFT, RIGHT, Running, start};
use crate::draw;

const NAMES: [&str; 2] = ["MagicLens-L", "LinCIR"];

/// What the raters think of each item. Together: simple 3 to 1, complex 2 to 0 and 2 ties, beyond 1 to 3. Bert fails the check.
const OPINIONS: [(&str, Preference, Preference); 7] = [
    ("simple 0", Preference::A, Preference::B),
    ("simple 1", Preference::A, Preference::A),
    ("complex 0", Preference::A, Preference::A),
    ("complex 1", Preference::Tie, Preference::Tie),
    ("beyond 0", Preference::A, Preference::B),
    ("beyond 1", Preference::B, Preference::B),
    ("known answer", Preference::A, Preference::B),
];

#[test]
fn two_raters_judge_a_study() {
    let folder = TempDir::new().unwrap();
    let study = study(folder.path());
    let (server, url) = serve(folder.path(), 0);
    let anna = Rater::enter(&study, &url, "Anna", |browser| browser.click("#start .go"));
    let bert = Rater::enter(&study, &url, "Bert", |browser| browser.press(&[ENTER]));

    anna.has_names();
    anna.says_nothing_of_the_systems(&study);
    anna.enlarges_a_image();
    anna.click_opinion(0);
    bert.press_opinion(0);
    anna.is_not_misled_by_a_double_click(1);
    bert.press_opinion(1);
    anna.goes_on_after_a_reload(2);
    anna.click_opinion(2);
    bert.changes_its_mind(2);
    assert_eq!(
        [anna.browser.console(), bert.browser.console()],
        [const { Vec::<String>::new() }; 2]
    );

    anna.hears_of_another_tab(3);
    let port = url.rsplit(':').next().unwrap().parse().unwrap();
    // Dropped, the program is killed with SIGKILL.
    drop(server);
    bert.click(bert.place(bert.opinion()));
    bert.browser
        .until("document.querySelector('.notice')?.innerText.includes('does not answer')");
    let (_server, again) = serve(folder.path(), port);
    assert_eq!(again, url);
    bert.browser.click(".notice button");
    bert.until_ready(4);

    for done in 4..7 {
        anna.click_opinion(done);
        bert.press_opinion(done);
    }
    for rater in [&anna, &bert] {
        rater.browser.until("!document.querySelector('#end').hidden");
        let text = rater.text("document.body.innerText");
        assert!(text.contains("All 7 answers are kept"), "{text}");
        rater.browser.reload();
        rater.browser.until("!document.querySelector('#end').hidden");
    }
    check_export(folder.path());
}

struct Rater {
    browser: Browser,
    name: &'static str,
    items: Vec<Item>,
}

impl Rater {
    fn enter(study: &Study, url: &str, name: &'static str, send: impl Fn(&Browser)) -> Self {
        let browser = Browser::open();
        browser.goto(url);
        browser.until("document.activeElement.id === 'rater'");
        browser.type_into("#rater", name);
        send(&browser);
        let items = study.items.clone();
        let rater = Self { browser, name, items };
        rater.until_ready(0);
        rater
    }

    fn until_ready(&self, done: usize) {
        let count = format!("{done} of {} answered", self.items.len());
        self.browser.until(&format!(
            "document.querySelector('#choices').getAttribute('aria-busy') === 'false' \
             && document.querySelector('#count').textContent === {count:?}"
        ));
    }

    fn text(&self, expression: &str) -> String {
        self.browser.eval(expression).as_str().unwrap().to_owned()
    }

    fn item(&self) -> &Item {
        let instruction = self.text("document.querySelector('#instruction').textContent");
        self.items.iter().find(|item| item.instruction == instruction).unwrap()
    }

    fn opinion(&self) -> Preference {
        let (_, anna, bert) = OPINIONS.iter().find(|(id, ..)| *id == self.item().id).unwrap();
        if self.name == "Anna" { *anna } else { *bert }
    }

    /// Where an opinion has to be clicked, told by the images, as people do.
    fn place(&self, opinion: Preference) -> &'static str {
        let left = self.text("document.querySelector('#left img').src");
        let shows = |ranking: &[ImageId]| left.ends_with(&format!("/api/images/{}", ranking[0]));
        let (a, b) = (shows(&self.item().a), shows(&self.item().b));
        assert_ne!(a, b);
        match (opinion, a) {
            (Preference::Tie, _) => "tie",
            (Preference::A, true) | (Preference::B, false) => "left",
            _ => "right",
        }
    }

    fn click(&self, place: &str) {
        self.browser.click(&format!("[data-choice={place}]"));
    }

    fn click_opinion(&self, done: usize) {
        self.until_ready(done);
        self.click(self.place(self.opinion()));
        self.until_done(done + 1);
    }

    /// By arrows and T, or by digits, by turns.
    fn press_opinion(&self, done: usize) {
        self.until_ready(done);
        let key = match (self.place(self.opinion()), done % 2) {
            ("left", 0) => LEFT,
            ("left", _) => '1',
            ("right", 0) => RIGHT,
            ("right", _) => '3',
            (_, 0) => 't',
            _ => '2',
        };
        self.browser.press(&[key]);
        self.until_done(done + 1);
    }

    fn until_done(&self, done: usize) {
        self.browser.until(&format!(
            "document.querySelector('#count').textContent.startsWith('{done} of')"
        ));
    }

    fn has_names(&self) {
        let nameless = self.browser.eval(
            "[...document.querySelectorAll('button, img, input, progress')].filter(e => e.checkVisibility()).filter(e => \
             !(e.getAttribute('aria-label') || e.alt || e.innerText || e.labels?.length)).map(e => e.outerHTML)",
        );
        // The mark beside the word is decoration.
        assert_eq!(nameless.as_array().unwrap().len(), 1, "{nameless}");
        assert_eq!(self.text("document.activeElement.id"), "instruction");
        let live = self.text("document.querySelector('#live').textContent");
        assert!(live.starts_with("Question 1 of 7: "), "{live}");
        let overflow = "document.documentElement.scrollWidth > document.documentElement.clientWidth";
        for width in [360, 1280] {
            self.browser.resize(width, 900);
            assert_eq!(self.browser.eval(overflow), json!(false), "at {width} px");
        }
    }

    fn says_nothing_of_the_systems(&self, study: &Study) {
        let page = self.text("document.documentElement.outerHTML + location.href");
        let ids = study.items.iter().map(|item| item.id.as_str());
        for word in ids.chain(NAMES).chain(["model one", "model two"]) {
            assert!(!page.contains(word), "`{word}` is on the page");
        }
    }

    fn enlarges_a_image(&self) {
        self.browser.click("#right .frame");
        self.browser.until("document.querySelector('#zoom').open");
        // While an image is enlarged no key is an answer.
        self.browser.press(&['t', ESCAPE]);
        self.browser.until("!document.querySelector('#zoom').open");
        self.until_ready(0);
    }

    fn is_not_misled_by_a_double_click(&self, done: usize) {
        self.until_ready(done);
        let place = self.place(self.opinion());
        self.browser.double_click(&format!("[data-choice={place}]"));
        self.until_ready(done + 1);
    }

    fn goes_on_after_a_reload(&self, done: usize) {
        self.until_ready(done);
        let before = self.text("document.querySelector('#task').innerHTML");
        self.browser.reload();
        self.until_ready(done);
        assert_eq!(self.text("document.querySelector('#task').innerHTML"), before);
    }

    fn changes_its_mind(&self, done: usize) {
        self.until_ready(done);
        let before = self.text("document.querySelector('#task').innerHTML");
        let wrong = if self.opinion() == Preference::Tie { LEFT } else { 't' };
        self.browser.press(&[wrong]);
        self.until_ready(done + 1);
        self.browser.press(&['u']);
        self.until_ready(done);
        assert_eq!(self.text("document.querySelector('#task').innerHTML"), before);
        self.press_opinion(done);
    }

    /// Another tab of the same rater answers first: this page learns of it and does not answer again.
    fn hears_of_another_tab(&self, done: usize) {
        self.until_ready(done);
        let place = self.place(self.opinion());
        let status = self.browser.run(&format!(
            "return fetch('/api/item?rater=anna').then(r => r.json()).then(view => fetch('/api/judge', {{ method: 'POST', \
             headers: {{ 'content-type': 'application/json' }}, \
             body: JSON.stringify({{ rater: 'anna', item: view.item.key, choice: '{place}' }}) }})).then(r => r.status)"
        ));
        assert_eq!(status, json!(200));
        self.click(if place == "tie" { "left" } else { "tie" });
        self.browser
            .until("document.querySelector('.notice')?.innerText.includes('answered already')");
        self.until_ready(done + 1);
    }
}

fn study(dir: &Path) -> Study {
    let system = |model: &str| ComparedSystem {
        model: model.to_owned(),
        method: Method::ImageText,
        gallery: "gallery".to_owned(),
        images: 42,
    };
    let settings = Settings {
        queries: "queries".to_owned(),
        a: system("model one"),
        b: system("model two"),
        k: 6,
        seed: 3,
        automatic_checks: 0,
        question: Settings::QUESTION.to_owned(),
    };
    let instructions = [
        "the same shape in another colour",
        "a larger one",
        "two of them, one behind the other",
        "seen from the side, at night",
        "what it is used for",
        "where it comes from",
        "something that goes with it",
    ];
    let items = OPINIONS
        .iter()
        .zip(instructions)
        .enumerate()
        .map(|(number, ((id, ..), instruction))| Item {
            id: (*id).to_owned(),
            kind: match number {
                0 | 1 => Kind::Query {
                    intent: Intent::SimpleVisual,
                },
                2 | 3 => Kind::Query {
                    intent: Intent::ComplexVisual,
                },
                4 | 5 => Kind::Query {
                    intent: Intent::BeyondVisual,
                },
                _ => Kind::Check { real: None },
            },
            image: image(dir, 20 * number),
            instruction: instruction.to_owned(),
            a: (1..7).map(|rank| image(dir, 20 * number + rank)).collect(),
            b: (7..13).map(|rank| image(dir, 20 * number + rank)).collect(),
        });
    let study = Study::new(settings, NAMES.map(str::to_owned), items.collect());
    study.write(dir).unwrap();
    study
}

/// Another image for each number.
fn image(dir: &Path, number: usize) -> ImageId {
    let id = ImageId::of_bytes(&number.to_le_bytes());
    let path = image_path(dir, id);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let part = |step: usize| (40 + number * step % 180) as u8;
    let shape = ["circle", "square", "triangle"][number % 3];
    draw(shape, [part(37), part(59), part(83)], 160).save(path).unwrap();
    id
}

fn serve(dir: &Path, port: u16) -> (Running, String) {
    let mut command = program();
    command.arg("--resume").arg(dir).args(["--port", &port.to_string()]);
    let (server, rest) = start(&mut command, "the comparison is at ");
    (server, rest.split(' ').next().unwrap().to_owned())
}

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_magiclens"));
    command.env_remove("MAGICLENS_LOG").arg("compare");
    command
}

fn check_export(dir: &Path) {
    let [json, csv] = ["report.json", "judgements.csv"].map(|name| dir.join(name));
    let mut command = program();
    let output = command
        .arg("--export")
        .arg(dir)
        .arg("--json")
        .arg(&json)
        .arg("--csv")
        .arg(&csv)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    // Without the spaces that align the columns.
    let text = String::from_utf8(output.stdout).unwrap();
    let lines = text
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
    let text = lines.collect::<Vec<_>>().join("\n");
    // By query: won by A, tied, and so on: A simple 1 and complex 0, B beyond 1; 2 · (1 + 3) / 8 is 1.
    // Alpha: 1 − 11 · (2 + 2) / (6·6 + 4·8 + 2·10).
    for row in [
        "| intent | MagicLens-L | LinCIR | tie |",
        "| simple visual | 75.0 | 25.0 | 0.0 |",
        "| complex visual | 50.0 | 0.0 | 50.0 |",
        "| beyond visual | 25.0 | 75.0 | 0.0 |",
        "12 judgments of 6 queries by 2 raters",
        "| overall | 2 / 1 | 1.000 | 6 / 4 | 0.754 | 0.500 |",
        "| anna | 6 | 4 | 1 | 1 | 1 | 0 |",
        "| bert (dropped below) | 6 | 2 | 3 | 1 | 0 | 1 |",
    ] {
        assert!(text.contains(row), "{row} is not in {text}");
    }
    let (_, trusted) = text.split_once("## Without raters who failed").unwrap();
    assert!(
        trusted.contains("| simple visual | 100.0 | 0.0 | 0.0 |\n| complex visual | 50.0 | 0.0 | 50.0 |"),
        "{trusted}"
    );

    let json: Value = serde_json::from_slice(&std::fs::read(json).unwrap()).unwrap();
    assert_eq!(json["systems"], json!(NAMES));
    assert_eq!(json["all"]["overall"]["a"]["count"], 6);
    let left = json["all"]["position"]["left"].as_u64().unwrap();
    assert_eq!(left + json["all"]["position"]["right"].as_u64().unwrap(), 10);
    let csv = std::fs::read_to_string(csv).unwrap();
    assert_eq!(csv.lines().count(), 1 + 14, "{csv}");
    assert!(csv.contains(",known answer,check,"), "{csv}");
}
