//! Text in columns, as Go's `text/tabwriter` sets it with padding 2 and spaces
//! (<https://pkg.go.dev/text/tabwriter>).
//!
//! A tab ends a cell. A column is a run of consecutive lines that have a cell
//! there, and is as wide as the widest of them; what stands behind the last
//! tab of a line belongs to no column. The text is made twice: [`Measure`]
//! learns the width of every column, then [`Align`] writes. So only the widths
//! are kept, not the text.

use std::collections::VecDeque;
use std::io::{self, Write};

const PADDING: usize = 2;

/// Where in the text we are.
#[derive(Debug, Default)]
struct Cursor {
    /// Cells of this line that have ended.
    cell: usize,
    /// Characters of the cell that has not.
    width: usize,
    /// How many cells the line above had: a cell further to the right begins
    /// a new column.
    above: usize,
}

impl Cursor {
    const fn begins_column(&self) -> bool {
        self.cell >= self.above
    }

    const fn end_cell(&mut self) {
        self.cell += 1;
        self.width = 0;
    }

    /// A form feed ends every column.
    const fn end_line(&mut self, form_feed: bool) {
        self.above = if form_feed { 0 } else { self.cell };
        self.cell = 0;
        self.width = 0;
    }
}

/// The text between two control characters, and the one behind it.
fn parts(bytes: &[u8]) -> impl Iterator<Item = (&[u8], Option<u8>)> {
    let ends = |byte: &u8| matches!(byte, b'\t' | b'\x0b' | b'\n' | b'\x0c');
    bytes
        .split_inclusive(ends)
        .map(move |part| match part.split_last() {
            Some((last, text)) if ends(last) => (text, Some(*last)),
            _ => (part, None),
        })
}

/// As Go counts runes: what is no UTF-8 counts byte by byte.
fn width(text: &[u8]) -> usize {
    text.utf8_chunks()
        .map(|chunk| chunk.valid().chars().count() + chunk.invalid().len())
        .sum()
}

/// The widths of all columns: for each cell of a line, those of its columns
/// from top to bottom.
pub(super) type Widths = Vec<VecDeque<usize>>;

/// Takes the text and learns the widths.
#[derive(Debug, Default)]
pub(super) struct Measure {
    cursor: Cursor,
    widths: Widths,
}

impl Measure {
    pub fn finish(self) -> Widths {
        self.widths
    }

    fn end_cell(&mut self) {
        let cell = self.cursor.cell;
        if self.widths.len() <= cell {
            self.widths.resize_with(cell + 1, VecDeque::new);
        }
        if let Some(columns) = self.widths.get_mut(cell) {
            let found = self.cursor.width + PADDING;
            match columns.back_mut() {
                Some(width) if !self.cursor.begins_column() => *width = found.max(*width),
                _ => columns.push_back(found),
            }
        }
        self.cursor.end_cell();
    }
}

impl Write for Measure {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for (text, end) in parts(bytes) {
            self.cursor.width += width(text);
            match end {
                Some(b'\t' | b'\x0b') => self.end_cell(),
                Some(end) => self.cursor.end_line(end == b'\x0c'),
                None => {}
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Takes the same text again, and writes it with spaces for tabs.
#[derive(Debug)]
pub(super) struct Align<W> {
    cursor: Cursor,
    widths: Widths,
    /// The widths of the columns that the line before had.
    current: Vec<usize>,
    out: W,
}

impl<W: Write> Align<W> {
    pub const fn new(widths: Widths, out: W) -> Self {
        Self {
            cursor: Cursor {
                cell: 0,
                width: 0,
                above: 0,
            },
            widths,
            current: Vec::new(),
            out,
        }
    }

    fn end_cell(&mut self) -> io::Result<()> {
        let cell = self.cursor.cell;
        if self.cursor.begins_column() {
            let next = self.widths.get_mut(cell).and_then(VecDeque::pop_front);
            self.current.truncate(cell);
            self.current.push(next.unwrap_or(PADDING));
        }
        let width = self.current.get(cell).copied().unwrap_or_default();
        write!(
            self.out,
            "{:1$}",
            "",
            width.saturating_sub(self.cursor.width)
        )?;
        self.cursor.end_cell();
        Ok(())
    }
}

impl<W: Write> Write for Align<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for (text, end) in parts(bytes) {
            self.out.write_all(text)?;
            self.cursor.width += width(text);
            match end {
                Some(b'\t' | b'\x0b') => self.end_cell()?,
                Some(end) => {
                    self.out.write_all(b"\n")?;
                    self.cursor.end_line(end == b'\x0c');
                }
                None => {}
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn aligned(text: &str) -> String {
        let mut measure = Measure::default();
        measure.write_all(text.as_bytes()).unwrap();
        let mut out = Vec::new();
        let mut align = Align::new(measure.finish(), &mut out);
        // In pieces, as it comes.
        for byte in text.split_inclusive(|_| true) {
            align.write_all(byte.as_bytes()).unwrap();
        }
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn sets_columns_as_go_does() {
        for (text, set) in [
            ("a\tb\nccc\td\n", "a    b\nccc  d\n"),
            // A line without the cell ends the column.
            ("a\tb\nx\nccc\td\n", "a  b\nx\nccc  d\n"),
            // The second column ends, the first goes on.
            (
                "a\tb\tc\nlong\tx\nq\tbbbb\tc\n",
                "a     b  c\nlong  x\nq     bbbb  c\n",
            ),
            // A form feed is a line feed that ends every column.
            ("a\tb\x0cccc\td\n", "a  b\nccc  d\n"),
            ("a\x0bb\nccc\x0bd\n", "a    b\nccc  d\n"),
            ("\u{e9}\tb\nee\td\n", "\u{e9}   b\nee  d\n"),
            ("\ta\n\tb\n", "  a\n  b\n"),
        ] {
            assert_eq!(aligned(text), set, "{text:?}");
        }
    }
}
