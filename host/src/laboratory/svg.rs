//! An SVG document in the making. It brings its own background, so that it is readable on
//! light and dark pages alike.

/// The look of what all pictures have: text, grid and page.
const STYLE: &str = "\
text{font-family:system-ui,-apple-system,'Segoe UI',Helvetica,Arial,'DejaVu Sans',sans-serif;\
font-size:13px;fill:#57606a}\
.title{font-size:17px;font-weight:600;fill:#1f2328}.strong{font-weight:600;fill:#1f2328}\
.page{fill:#ffffff;stroke:#d0d7de}.grid{stroke:#d8dee4}\
.alpha{fill:#4a86cf}.beta{fill:#2f9a63}\
.kill{stroke:#cf3d3d;stroke-width:1.5}.kill-text{fill:#cf3d3d;font-weight:600}";

/// The same on a dark page.
const DARK_STYLE: &str = "\
text{fill:#9aa4af}.title,.strong{fill:#e6edf3}\
.page{fill:#12171e;stroke:#30363d}.grid{stroke:#2a3139}\
.alpha{fill:#6aa5ec}.beta{fill:#48bd80}\
.kill{stroke:#f2706b}.kill-text{fill:#f2706b}";

/// The drawing so far.
#[derive(Debug, Default)]
pub(crate) struct Svg {
    body: String,
}

/// What a picture is as a whole.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Page<'a> {
    /// Width and height in pixels.
    pub(crate) size: (f64, f64),
    /// What it shows, for those who cannot see it.
    pub(crate) label: &'a str,
    /// Style rules beyond those of all pictures, for light and for dark pages.
    pub(crate) style: (&'a str, &'a str),
}

impl Svg {
    pub(crate) fn text(&mut self, x: f64, y: f64, class: &str, anchor: &str, text: &str) {
        let text = text.replace('&', "&amp;").replace('<', "&lt;");
        self.put(&format!(
            "<text x=\"{x:.1}\" y=\"{y:.1}\" class=\"{class}\" text-anchor=\"{anchor}\">{text}</text>"
        ));
    }

    pub(crate) fn line(&mut self, class: &str, from: (f64, f64), to: (f64, f64)) {
        self.put(&format!(
            "<line class=\"{class}\" x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\"/>",
            from.0, from.1, to.0, to.1
        ));
    }

    pub(crate) fn path(&mut self, class: &str, path: &str) {
        self.put(&format!("<path class=\"{class}\" d=\"{path}\"/>"));
    }

    pub(crate) fn rect(&mut self, class: &str, from: (f64, f64), to: (f64, f64)) {
        self.put(&format!(
            "<rect class=\"{class}\" x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\"/>",
            from.0,
            from.1,
            to.0 - from.0,
            to.1 - from.1
        ));
    }

    pub(crate) fn dot(&mut self, class: &str, x: f64, y: f64) {
        self.put(&format!("<circle class=\"{class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4.5\"/>"));
    }

    /// The document.
    pub(crate) fn finish(self, page: Page<'_>) -> String {
        let Page { size: (width, height), label, style: (style, dark_style) } = page;
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
             width=\"{width}\" height=\"{height}\" role=\"img\" aria-label=\"{label}\">\n\
             <style>{STYLE}{style}@media(prefers-color-scheme:dark){{{DARK_STYLE}{dark_style}}}\
             </style>\n\
             <rect class=\"page\" x=\".5\" y=\".5\" width=\"{}\" height=\"{}\" rx=\"10\"/>\n{}</svg>\n",
            width - 1.0,
            height - 1.0,
            self.body
        )
    }

    fn put(&mut self, element: &str) {
        self.body.push_str(element);
        self.body.push('\n');
    }
}
