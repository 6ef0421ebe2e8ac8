//! What a benchmark prints, and the place in a document where it goes.

use std::fs;

use super::arguments;

/// Lines of Markdown. They are printed at once; with `--write FILE` they also
/// take the place of what stands between the two comments of this benchmark
/// in the file:
///
/// ```text
/// <!-- bench: NAME -->
/// <!-- bench: end -->
/// ```
pub struct Report {
    name: &'static str,
    lines: String,
}

impl Report {
    pub fn new(name: &'static str) -> Self {
        Self {
            name,
            lines: String::new(),
        }
    }

    pub fn line(&mut self, line: impl AsRef<str>) {
        println!("{}", line.as_ref());
        self.lines.push_str(line.as_ref());
        self.lines.push('\n');
    }

    /// A table's head, with all columns but the first to the right.
    pub fn head(&mut self, columns: &[&str]) {
        self.row(columns);
        self.line(format!("|---|{}", "---:|".repeat(columns.len() - 1)));
    }

    pub fn row(&mut self, cells: &[impl AsRef<str>]) {
        let cells: Vec<&str> = cells.iter().map(AsRef::as_ref).collect();
        self.line(format!("| {} |", cells.join(" | ")));
    }

    /// Writes it where `--write` says.
    pub fn finish(self) {
        let Some(path) = arguments::text("--write") else {
            return;
        };
        let document = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        let document = between(&document, self.name, &self.lines)
            .unwrap_or_else(|| panic!("{path} has no comments for the figures of {}", self.name));
        fs::write(&path, document).unwrap();
        println!("\nwritten to {path}");
    }
}

/// The document with other lines between the two comments.
fn between(document: &str, name: &str, lines: &str) -> Option<String> {
    let (before, rest) = document.split_once(&format!("<!-- bench: {name} -->\n"))?;
    let (_, after) = rest.split_once("<!-- bench: end -->")?;
    Some(format!(
        "{before}<!-- bench: {name} -->\n{lines}<!-- bench: end -->{after}"
    ))
}
