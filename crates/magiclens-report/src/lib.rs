//! One kit for reports: tables, HTML, Markdown, SVG charts, thumbnails, and the style sheet that all pages share.
