//! The files under `page/`, compiled into the program: the page works without any folder beside it.

use magiclens_http::ICON;

/// The page itself.
pub(crate) const INDEX: &str = include_str!("../page/index.html");

/// The files that it loads: name and content.
pub(crate) const FILES: &[(&str, &str)] = &[
    ("base.css", magiclens_report::STYLE),
    ("style.css", include_str!("../page/style.css")),
    ("app.js", include_str!("../page/app.js")),
    ("api.js", include_str!("../page/api.js")),
    ("details.js", include_str!("../page/details.js")),
    ("images.js", include_str!("../page/images.js")),
    ("indexing.js", include_str!("../page/indexing.js")),
    ("results.js", include_str!("../page/results.js")),
    ("steps.js", include_str!("../page/steps.js")),
    ("notice.js", include_str!("../page/notice.js")),
    ("icon.svg", ICON),
];
