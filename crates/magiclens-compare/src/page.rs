//! The files under `page/`, compiled into the program.

use magiclens_http::ICON;

/// The page itself.
pub(crate) const INDEX: &str = include_str!("../page/index.html");

/// The files that it loads: name and content.
pub(crate) const FILES: &[(&str, &str)] = &[
    ("base.css", magiclens_report::STYLE),
    ("style.css", include_str!("../page/style.css")),
    ("app.js", include_str!("../page/app.js")),
    ("api.js", include_str!("../page/api.js")),
    ("icon.svg", ICON),
];
