//! The pages in a real browser, which headless Chromium uses as people do. The search page: the real program serves an index
//! of images that the test draws, with the real small model. The comparison: in `compare.rs`.
#![allow(clippy::unwrap_used, missing_docs, unreachable_pub)]

mod browser;
mod compare;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use image::{Rgb, RgbImage};
use serde_json::{Value, json};
use tempfile::TempDir;

use browser::{Browser, DOWN, ENTER, ESCAPE, RIGHT, Running, TAB, start};

/// Images in the index.
const COUNT: usize = 12;

/// The results are those of the address, nothing is under way, and there is no bad news.
const SETTLED: &str = "document.querySelector('#grid').getAttribute('aria-busy') === 'false' \
    && document.querySelector('.card') && !document.querySelector('.notice')";

/// What the page does, and the check of it.
type Row = (&'static str, fn(&Page));

#[test]
#[expect(clippy::print_stderr, reason = "says how far the one long test came")]
fn the_page_in_a_real_browser() {
    let folder = TempDir::new().unwrap();
    let (server, url) = serve(folder.path());
    let stranger = folder.path().join("stranger.png");
    draw("circle", [150, 60, 200], 120).save(&stranger).unwrap();
    let page = Page {
        browser: Browser::open(),
        url,
        folder: folder.path().to_owned(),
        stranger,
    };

    let rows: [Row; 11] = [
        ("starts with a sample", starts_with_a_sample),
        (
            "searches from a chosen file, then with an instruction",
            searches_from_a_file,
        ),
        ("walks on from a result, back and forward", walks_and_returns),
        ("takes a pasted and a dropped image", pastes_and_drops),
        ("searches with words alone", searches_with_words),
        ("works by keyboard", works_by_keyboard),
        ("shows details", shows_details),
        ("fits a narrow screen", fits_a_narrow_screen),
        ("has names for everything", has_names),
        ("is readable in light and dark", is_readable),
        ("makes bad news clear and keeps its state", makes_errors_clear),
    ];
    for (name, check) in rows {
        eprintln!("the page {name}");
        page.start_anew();
        check(&page);
    }
    page.start_anew();
    survives_the_server(&page, server);
}

struct Page {
    browser: Browser,
    url: String,
    folder: PathBuf,
    /// An image that is not in the index.
    stranger: PathBuf,
}

impl Page {
    fn start_anew(&self) {
        self.browser.resize(1280, 900);
        self.browser.prefer("prefers-color-scheme", "light");
        self.browser.goto("about:blank");
        self.browser.goto(&self.url);
        self.browser.until(SETTLED);
        self.browser
            .until(&format!("document.querySelectorAll('.card').length === {COUNT}"));
        assert_eq!(self.browser.console(), Vec::<String>::new(), "the console");
    }

    fn value(&self, expression: &str) -> Value {
        self.browser.eval(expression)
    }

    fn text(&self, expression: &str) -> String {
        self.value(expression)
            .as_str()
            .unwrap_or_else(|| panic!("`{expression}` is not a text"))
            .to_owned()
    }

    fn number(&self, expression: &str) -> f64 {
        self.value(expression)
            .as_f64()
            .unwrap_or_else(|| panic!("`{expression}` is not a number"))
    }

    fn step(&self) -> String {
        self.text("location.hash")
    }

    /// The scores as shown, best first.
    fn scores(&self) -> Vec<f64> {
        let numbers = self.value("[...document.querySelectorAll('.card .number')].map(n => Number(n.textContent))");
        numbers
            .as_array()
            .unwrap()
            .iter()
            .map(|number| number.as_f64().unwrap())
            .collect()
    }

    /// Waits for the results of the step whose address contains all of `parts`.
    #[track_caller]
    fn until_results(&self, parts: &[&str]) {
        for part in parts {
            self.browser.until(&format!("location.hash.includes({part:?})"));
        }
        self.browser
            .until("document.querySelector('#heading').textContent === 'Results'");
        self.browser.until(SETTLED);
    }

    #[track_caller]
    fn check_scores(&self, count: usize) {
        let scores = self.scores();
        assert_eq!(scores.len(), count, "{scores:?}");
        assert!(scores.is_sorted_by(|a, b| a >= b), "{scores:?}");
        assert!(scores.iter().all(|score| (-1.0..=1.0).contains(score)), "{scores:?}");
        assert_eq!(
            self.text("document.querySelector('#live').textContent")
                .split(' ')
                .next(),
            Some(&*count.to_string())
        );
    }

    fn choose_stranger(&self) {
        self.browser.choose_file(&self.stranger);
        self.until_results(&["id="]);
    }
}

/// Draws images, indexes them with the real program, and serves them.
fn serve(folder: &Path) -> (Running, String) {
    let images = folder.join("pictures");
    std::fs::create_dir(&images).unwrap();
    for shape in ["circle", "square", "triangle"] {
        for (name, color) in [
            ("red", [220, 40, 40]),
            ("green", [40, 170, 60]),
            ("blue", [50, 80, 220]),
            ("ink", [20; 3]),
        ] {
            draw(shape, color, 96)
                .save(images.join(format!("{name}-{shape}.png")))
                .unwrap();
        }
    }
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../weights/small.safetensors");
    let index = folder.join("index");
    let program = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_magiclens"));
        command.env_remove("MAGICLENS_LOG");
        command
    };
    let indexed = program()
        .arg("index")
        .arg(&images)
        .arg("--index")
        .arg(&index)
        .arg("--model")
        .arg(&model)
        .output();
    let indexed = indexed.unwrap();
    assert!(
        indexed.status.success(),
        "magiclens index: {}",
        String::from_utf8_lossy(&indexed.stderr)
    );
    let mut serve = program();
    serve
        .args(["serve", "--port", "0", "--index"])
        .arg(&index)
        .arg("--model")
        .arg(&model);
    let (server, rest) = start(&mut serve, "magiclens is at ");
    let url = rest.split(' ').next().unwrap().to_owned();
    assert!(url.starts_with("http://127.0.0.1:"), "{url}");
    (server, url)
}

fn draw(shape: &str, color: [u8; 3], size: u32) -> RgbImage {
    RgbImage::from_fn(size, size, |x, y| {
        let (x, y) = (2.0 * x as f32 / size as f32 - 1.0, 2.0 * y as f32 / size as f32 - 1.0);
        let inside = match shape {
            "circle" => x * x + y * y < 0.5,
            "square" => x.abs().max(y.abs()) < 0.6,
            _ => y < 0.6 && x.abs() < (y + 0.8) / 2.0,
        };
        if inside { Rgb(color) } else { Rgb([255; 3]) }
    })
}

fn starts_with_a_sample(page: &Page) {
    assert_eq!(
        page.text("document.querySelector('#stats').textContent"),
        format!("{COUNT} images")
    );
    assert_eq!(
        page.text("document.querySelector('#live').textContent"),
        format!("{COUNT} images to start from")
    );
    assert!(
        page.scores().iter().all(|score| *score == 0.0),
        "a sample has no scores"
    );
    page.browser
        .until("[...document.querySelectorAll('.card img')].every(i => i.complete && i.naturalWidth > 0)");
    let foreign =
        "performance.getEntriesByType('resource').map(r => r.name).filter(n => !n.startsWith(location.origin))";
    assert_eq!(page.value(foreign), json!([]), "everything comes from this server");
}

fn searches_from_a_file(page: &Page) {
    page.choose_stranger();
    page.check_scores(COUNT);
    assert!(
        page.text("document.querySelector('#chosen-image').src")
            .starts_with("blob:")
    );
    assert!(page.number("document.querySelector('#chosen-image').naturalWidth") > 0.0);
    let entries = page.number("history.length");

    page.browser.type_into("#text", "the same");
    page.until_results(&["id=", "text=the+same"]);
    page.browser.type_into("#text", " in blue");
    page.until_results(&["id=", "text=the+same+in+blue"]);
    page.check_scores(COUNT);
    assert_eq!(
        page.number("history.length"),
        entries + 1.0,
        "typing makes one step, however often one pauses"
    );
    assert_eq!(page.text("document.title"), "the same in blue · magiclens");

    // What only the page has of the image survives a reload.
    page.browser.reload();
    page.until_results(&["text=the+same+in+blue"]);
    page.check_scores(COUNT);
    assert!(
        page.text("document.querySelector('#chosen-image').src")
            .starts_with("data:")
    );
    assert_eq!(page.text("document.querySelector('#text').value"), "the same in blue");

    page.browser.click("#remove");
    page.until_results(&["text=the+same+in+blue"]);
    page.browser.until("!location.hash.includes('id=')");
}

fn walks_and_returns(page: &Page) {
    let first = page.text("document.querySelector('.card').dataset.id");
    page.browser.click(".card a");
    page.until_results(&[&first]);
    page.check_scores(COUNT - 1);
    assert_eq!(
        page.value(&format!("document.querySelector('.card[data-id=\"{first}\"]')")),
        Value::Null
    );

    page.browser.click(".chip");
    page.until_results(&[&first, "text="]);
    let with_words = page.step();
    let shown = page.value("[...document.querySelectorAll('.card')].map(c => c.dataset.id)");

    let second = page.text("document.querySelectorAll('.card')[1].dataset.id");
    page.browser.click(".card:nth-child(2) a");
    page.until_results(&[&second]);
    assert!(!page.step().contains("text="), "a new image starts without words");
    assert_eq!(page.number("document.querySelectorAll('#steps li').length"), 4.0);

    page.browser.back();
    page.browser.until(&format!("location.hash === {with_words:?}"));
    page.browser.until(SETTLED);
    assert_eq!(
        page.value("[...document.querySelectorAll('.card')].map(c => c.dataset.id)"),
        shown
    );
    assert_eq!(
        page.value("document.querySelector('#text').value === document.querySelector('.chip').textContent"),
        json!(true)
    );
    page.browser.forward();
    page.until_results(&[&second]);

    page.browser.click("#steps li:first-child button");
    page.browser
        .until("location.hash === '' && document.querySelector('#heading').textContent !== 'Results'");
    page.browser.forward();
    page.until_results(&[&first]);

    // A search that is given up for a faster one leaves nothing behind.
    page.browser.run(
        "const real = window.fetch; window.fetch = (address, { signal }) => new Promise((_, refuse) => \
         signal.addEventListener('abort', () => refuse(signal.reason))); \
         document.querySelectorAll('.chip')[1].click(); history.back(); setTimeout(() => window.fetch = real, 300)",
    );
    std::thread::sleep(Duration::from_millis(500));
    page.until_results(&[&first]);
    assert_eq!(page.value("document.querySelector('.waiting')"), Value::Null);

    // The image itself comes first when it is wanted.
    page.browser.click("#include");
    page.browser
        .until(&format!("document.querySelector('.card').dataset.id === {first:?}"));
    page.check_scores(COUNT);
}

/// Makes `transfer`, which carries an image of another size than any in the index.
const TRANSFER: &str = "const canvas = Object.assign(document.createElement('canvas'), { width: 40, height: 30 }); \
    const paint = canvas.getContext('2d'); paint.fillStyle = COLOUR; paint.fillRect(0, 0, 40, 30); \
    const bytes = Uint8Array.from(atob(canvas.toDataURL('image/png').split(',')[1]), c => c.charCodeAt(0)); \
    const transfer = new DataTransfer(); transfer.items.add(new File([bytes], 'made.png', { type: 'image/png' }));";

fn pastes_and_drops(page: &Page) {
    let paste = "document.dispatchEvent(new ClipboardEvent('paste', { clipboardData: transfer, bubbles: true }))";
    page.browser
        .run(&format!("{};{paste}", TRANSFER.replace("COLOUR", "'#c33'")));
    page.until_results(&["id="]);
    page.check_scores(COUNT);
    let pasted = page.step();

    let transfer = TRANSFER.replace("COLOUR", "'#33c'");
    let over = "document.body.dispatchEvent(new DragEvent('dragenter', { dataTransfer: transfer, bubbles: true }))";
    page.browser.run(&format!("{transfer};{over}"));
    assert_eq!(page.value("document.querySelector('#drop').hidden"), json!(false));
    let drop = "document.body.dispatchEvent(new DragEvent('drop', { dataTransfer: transfer, bubbles: true, cancelable: true }))";
    page.browser.run(&format!("{transfer};{drop}"));
    page.browser.until(&format!("location.hash !== {pasted:?}"));
    page.until_results(&["id="]);
    page.check_scores(COUNT);
    assert_eq!(page.value("document.querySelector('#drop').hidden"), json!(true));
}

fn searches_with_words(page: &Page) {
    page.browser.type_into("#text", "a red circle\u{E007}");
    page.until_results(&["text=a+red+circle"]);
    page.check_scores(COUNT);
    // The address alone leads there, in a window that knows nothing else.
    page.browser.goto("about:blank");
    page.browser.goto(&format!("{}/#text=a+red+circle", page.url));
    page.until_results(&["text=a+red+circle"]);
    page.check_scores(COUNT);
}

fn works_by_keyboard(page: &Page) {
    let focus = |expression: &str| format!("document.activeElement.{expression}");
    page.browser.press(&[TAB]);
    page.browser.until(&focus("id === 'skip'"));
    page.browser.press(&[ENTER]);
    page.browser.until(&focus("id === 'heading'"));
    page.browser.press(&['/']);
    page.browser.until(&focus("id === 'text'"));

    page.browser.press(&[DOWN]);
    page.browser
        .until("document.activeElement === document.querySelector('.card a')");
    page.browser.press(&[RIGHT, DOWN]);
    let below = "(() => { const at = document.activeElement.closest('.card'); const all = [...document.querySelectorAll('.card')]; \
        return at.offsetLeft === all[1].offsetLeft && at.offsetTop > all[1].offsetTop })()";
    page.browser.until(below);
    let chosen = page.text("document.activeElement.closest('.card').dataset.id");
    page.browser.press(&[ENTER]);
    page.until_results(&[&chosen]);
    page.browser
        .until("document.activeElement === document.querySelector('.card a')");

    page.browser.press(&['i']);
    page.browser.until("document.querySelector('#details').open");
    page.browser.press(&[ESCAPE]);
    page.browser.until("!document.querySelector('#details').open");
    assert!(
        page.step().contains(&chosen),
        "Escape closed the details and nothing else"
    );
    page.browser.until("document.activeElement.closest('.card')");

    page.browser.press(&['/', 'b', 'l', 'u', 'e', ENTER]);
    page.until_results(&[&chosen, "text=blue"]);
    page.browser.press(&[ESCAPE]);
    page.browser
        .until("location.hash.includes('id=') && !location.hash.includes('text=')");
    page.browser.press(&[ESCAPE]);
    page.browser
        .until("location.hash === '' && document.querySelector('#heading').textContent !== 'Results'");
    page.browser.until(&focus("id === 'text'"));
    // Whatever has the focus shows it.
    page.browser.press(&[TAB]);
    let shown = "getComputedStyle(document.activeElement).outlineStyle !== 'none'";
    assert_eq!(
        page.value(shown),
        json!(true),
        "{}",
        page.text("document.activeElement.outerHTML")
    );
}

fn shows_details(page: &Page) {
    page.choose_stranger();
    let id = page.text("document.querySelectorAll('.card')[2].dataset.id");
    page.browser
        .run("document.querySelectorAll('.card')[2].querySelector('.about').focus()");
    page.browser.press(&[ENTER]);
    page.browser.until("document.querySelector('#details').open");
    page.browser
        .until("document.querySelector('#details-image').naturalWidth === 96");
    let text = page.text("document.querySelector('#details').innerText");
    for part in ["96 × 96 pixels", ".png", &id] {
        assert!(text.contains(part), "{part}: {text}");
    }
    page.browser.click("#details-search");
    page.until_results(&[&id]);
}

fn fits_a_narrow_screen(page: &Page) {
    let fits = |state: &str| {
        let width = page.number("document.documentElement.scrollWidth");
        assert!(
            width <= page.number("innerWidth"),
            "{state}: the page is {width} pixels wide"
        );
    };
    page.browser.resize(320, 640);
    fits("start");
    page.choose_stranger();
    page.browser
        .type_into("#text", "a rather long instruction that has to go somewhere\u{E007}");
    page.until_results(&["text=a+rather"]);
    for _ in 0..3 {
        page.browser.run("document.querySelector('.card a').click()");
        page.until_results(&["id="]);
        page.browser.until("!location.hash.includes('text=')");
    }
    fits("results and steps");
    assert!(
        page.number("getComputedStyle(document.querySelector('#grid')).gridTemplateColumns.split(' ').length") >= 2.0
    );
    page.browser.run("document.querySelector('.about').click()");
    page.browser.until("document.querySelector('#details').open");
    fits("details");
    page.browser.press(&[ESCAPE]);
    page.browser.choose_file(&page.folder.join("index/index.sqlite"));
    page.browser.until("document.querySelector('.notice')");
    fits("bad news");
    page.browser.console();
}

/// What a screen reader would hear, from the browser's own accessibility tree.
fn has_names(page: &Page) {
    let check = |state: &str| {
        let tree = page.browser.devtools("Accessibility.getFullAXTree", json!({}));
        let spoken = [
            "button",
            "link",
            "textbox",
            "searchbox",
            "switch",
            "checkbox",
            "image",
            "dialog",
            "list",
            "navigation",
        ];
        let mut counted = 0;
        for node in tree["nodes"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|node| node["ignored"] == false)
        {
            let role = node["role"]["value"].as_str().unwrap_or_default();
            if !spoken.contains(&role) || role == "list" && node["name"]["value"] == "" {
                continue;
            }
            let name = node["name"]["value"].as_str().unwrap_or_default();
            assert!(!name.trim().is_empty(), "{state}: a {role} has no name: {node}");
            counted += 1;
        }
        assert!(2 * COUNT < counted, "{state}: only {counted} things were found");
    };
    check("start");
    assert_eq!(page.text("document.documentElement.lang"), "en");
    assert_eq!(page.number("document.querySelectorAll('h1').length"), 1.0);
    page.choose_stranger();
    check("results");
    let label = page.text("document.querySelector('.card a').getAttribute('aria-label')");
    assert!(
        label.contains(".png, score ") && label.contains("Search from this image"),
        "{label}"
    );
}

/// Text against its background, as WCAG 2 counts: 4.5 is enough for small text, 3 for borders and large text.
fn is_readable(page: &Page) {
    let pairs = [
        ("--ink", "--paper", 7.0),
        ("--ink", "--card", 7.0),
        ("--soft", "--paper", 4.5),
        ("--soft", "--card", 4.5),
        ("--soft", "--sunken", 4.5),
        ("--accent", "--card", 4.5),
        ("--accent", "--accent-soft", 4.5),
        ("--accent-ink", "--accent", 4.5),
        ("--bad", "--bad-soft", 4.5),
        ("--ink", "--bad-soft", 7.0),
        ("--line-strong", "--card", 3.0),
        ("--line-strong", "--paper", 3.0),
    ];
    let mut papers = Vec::new();
    for scheme in ["light", "dark"] {
        page.browser.prefer("prefers-color-scheme", scheme);
        let color = |name: &str| {
            page.text(&format!(
                "getComputedStyle(document.documentElement).getPropertyValue('{name}').trim()"
            ))
        };
        for (front, back, least) in pairs {
            let contrast = contrast(&color(front), &color(back));
            assert!(least <= contrast, "{front} on {back} in {scheme}: {contrast:.2}");
        }
        papers.push(color("--paper"));
    }
    assert_ne!(papers[0], papers[1]);
    page.browser.prefer("prefers-reduced-motion", "reduce");
    let seconds = page.text("getComputedStyle(document.querySelector('.card')).animationDuration");
    assert!(
        seconds.trim_end_matches('s').parse::<f64>().unwrap() < 0.001,
        "{seconds}"
    );
}

fn contrast(a: &str, b: &str) -> f64 {
    let luminance = |color: &str| {
        let channel = |at: usize| {
            let value = f64::from(u8::from_str_radix(&color[at..at + 2], 16).unwrap()) / 255.0;
            if value <= 0.04045 {
                value / 12.92
            } else {
                ((value + 0.055) / 1.055).powf(2.4)
            }
        };
        0.2126 * channel(1) + 0.7152 * channel(3) + 0.0722 * channel(5) + 0.05
    };
    let (a, b) = (luminance(a), luminance(b));
    a.max(b) / a.min(b)
}

fn makes_errors_clear(page: &Page) {
    page.choose_stranger();
    page.browser.type_into("#text", "in green\u{E007}");
    page.until_results(&["text=in+green"]);
    let step = page.step();
    let kept = |what: &str| {
        assert_eq!(page.step(), step, "{what}");
        assert_eq!(page.text("document.querySelector('#text').value"), "in green", "{what}");
        assert_eq!(
            page.number("document.querySelectorAll('.card').length"),
            COUNT as f64,
            "{what}"
        );
        assert_eq!(
            page.value("document.querySelector('#chosen').hidden"),
            json!(false),
            "{what}"
        );
    };
    let notice = |part: &str| {
        page.browser.until(&format!(
            "document.querySelector('.notice')?.innerText.includes({part:?})"
        ))
    };

    let notes = page.folder.join("notes.txt");
    std::fs::write(&notes, "these are words").unwrap();
    page.browser.choose_file(&notes);
    notice("“notes.txt” cannot be used as an image");
    kept("not an image");
    page.browser.click(".notice button");
    page.browser.until("!document.querySelector('.notice')");

    page.browser.run(
        "const transfer = new DataTransfer(); transfer.items.add(new File([new Uint8Array(30e6)], 'poster.png')); \
         document.dispatchEvent(new ClipboardEvent('paste', { clipboardData: transfer, bubbles: true }))",
    );
    notice("“poster.png” is too large");
    kept("too large");

    // A busy server is asked again by the page itself.
    page.browser.run(
        "const real = window.fetch; window.asked = 0; window.fetch = (...request) => ++window.asked > 1 ? real(...request) \
         : Promise.resolve(new Response('{\"error\": \"the server is busy\"}', { status: 503, headers: { 'retry-after': '0.2' } }))",
    );
    page.browser
        .run("const text = document.querySelector('#text'); text.value = ''; text.focus()");
    page.browser.type_into("#text", "in red\u{E007}");
    page.until_results(&["text=in+red"]);
    assert_eq!(page.number("window.asked"), 2.0);
    // The browser itself notes the refused file; nothing else may be there.
    let console = page.browser.console();
    assert!(console.iter().all(|line| line.contains("422")), "{console:?}");
}

fn survives_the_server(page: &Page, server: Running) {
    page.choose_stranger();
    let cards = page.number("document.querySelectorAll('.card').length");
    drop(server);
    page.browser.type_into("#text", "in green\u{E007}");
    page.browser
        .until("document.querySelector('.notice')?.innerText.includes('does not answer')");
    assert_eq!(page.text("document.querySelector('#text').value"), "in green");
    assert_eq!(page.number("document.querySelectorAll('.card').length"), cards);
    assert_eq!(
        page.text("document.querySelector('.notice button').textContent"),
        "Try again"
    );
}
