//! How findings of a comparison are written, whichever command found them.

use std::io::{self, IsTerminal, Write};
use std::path::Path;

use crate::check::{Difference, Finding, GoWords, JsonFindings, JsonForm, Short, Summary};

use super::manifest_output::OutputError;
use super::output::{self, Output};
use super::progress::Shown;
use super::{Outcome, report};

/// The form of the findings.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct FormArguments {
    /// Form of the findings: text, json (an array), ndjson (an object a line) or
    /// paths0 (the paths that differ, each with a NUL behind it)
    #[arg(long, value_name = "FORM", value_enum, default_value_t = Form::Text)]
    #[arg(hide_possible_values = true)]
    format: Form,

    /// The same as --format=json
    #[arg(long, conflicts_with = "format")]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Form {
    Text,
    Json,
    Ndjson,
    Paths0,
}

/// The words of the text form.
#[derive(Clone, Copy, Debug)]
pub(super) enum Words<'a> {
    /// Those of the Go tool, of this directory.
    Go(&'a Path),
    /// A line a path.
    Short,
}

/// Writes findings to standard output, and what could not be compared to
/// standard error where the form has no place for it.
#[derive(Debug)]
pub(super) struct FindingsWriter<'a> {
    sink: Sink<'a>,
    shown: Shown,
}

#[derive(Debug)]
enum Sink<'a> {
    /// Only the exit status tells.
    Nothing,
    Text {
        out: Output,
        words: Words<'a>,
        is_coloured: bool,
    },
    Json(JsonFindings<Output>),
    Paths0(Output),
}

impl FormArguments {
    pub const fn form(&self) -> Form {
        if self.json { Form::Json } else { self.format }
    }

    /// `shown` is what must not get mixed up with the findings.
    pub fn writer<'a>(&self, quiet: bool, words: Words<'a>, shown: Shown) -> FindingsWriter<'a> {
        let form = self.form();
        let json = |form| Sink::Json(JsonFindings::new(Output::stdout(), form));
        let sink = match form {
            _ if quiet => Sink::Nothing,
            Form::Text => Sink::Text {
                out: Output::stdout(),
                words,
                is_coloured: output::is_coloured(),
            },
            Form::Json => json(JsonForm::Array),
            Form::Ndjson => json(JsonForm::Lines),
            Form::Paths0 => Sink::Paths0(Output::stdout()),
        };
        FindingsWriter { sink, shown }
    }
}

impl FindingsWriter<'_> {
    /// Writes a finding.
    ///
    /// # Errors
    /// Whatever writing says, but not that nobody reads any more: the exit
    /// status still tells.
    pub fn tell(&mut self, finding: &Finding) -> io::Result<()> {
        let Self { sink, shown } = self;
        let told = match (&mut *sink, finding) {
            (Sink::Nothing, _) => Ok(()),
            (Sink::Json(json), finding) => shown.beside_output(|| {
                json.tell(finding)?;
                flush_for_people(json.get_mut())
            }),
            (Sink::Text { .. } | Sink::Paths0(_), Finding::Trouble(trouble)) => {
                shown.beside(|| report::line(&trouble.to_string()));
                Ok(())
            }
            (Sink::Paths0(out), Finding::Different(difference)) => shown.beside_output(|| {
                out.write_all(difference.path.as_bytes())?;
                out.write_all(b"\0")
            }),
            (
                Sink::Text {
                    out,
                    words,
                    is_coloured,
                },
                Finding::Different(difference),
            ) => shown.beside_output(|| {
                match words {
                    Words::Go(root) => writeln!(out, "{}", GoWords { root, difference }),
                    Words::Short => write_short(out, difference, *is_coloured),
                }?;
                flush_for_people(out)
            }),
        };
        if !output::is_still_read(told)? {
            self.sink = Sink::Nothing;
        }
        Ok(())
    }

    /// Writes what is left, and how it ended.
    ///
    /// # Errors
    /// As [`Self::tell`].
    pub fn finish(mut self, summary: &Summary) -> Result<Outcome, OutputError> {
        let sink = std::mem::replace(&mut self.sink, Sink::Nothing);
        let (written, line) = match sink {
            Sink::Nothing => (Ok(()), None),
            Sink::Json(json) => (json.finish(summary).and_then(Output::finish), None),
            Sink::Paths0(out) => (out.finish(), None),
            Sink::Text { out, words, .. } => {
                let line = match words {
                    Words::Go(_) => format!(
                        "differences: {}, could not be checked: {}, resources: {}",
                        summary.differences, summary.troubles, summary.resources
                    ),
                    Words::Short => format!(
                        "added: {}, missing: {}, changed: {}, could not be compared: {}",
                        summary.added, summary.missing, summary.changed, summary.troubles
                    ),
                };
                (out.finish(), Some(line))
            }
        };
        output::is_still_read(written).map_err(OutputError::Stdout)?;
        // The progress goes away first.
        drop(self);
        if let (Some(line), false) = (line, summary.is_same()) {
            report::line(&line);
        }
        Ok(Outcome::of(summary.differences, summary.troubles))
    }
}

/// Who looks at a terminal wants to see each line when it is known.
pub(super) fn flush_for_people(out: &mut Output) -> io::Result<()> {
    if io::stdout().is_terminal() {
        out.flush()?;
    }
    Ok(())
}

fn write_short(out: &mut Output, difference: &Difference, is_coloured: bool) -> io::Result<()> {
    let short = Short(difference);
    if !is_coloured {
        return writeln!(out, "{short}");
    }
    // Colours of ECMA-48: red, green, yellow, magenta.
    let colour = match short.letter() {
        'D' => 31,
        'A' => 32,
        'M' => 33,
        _ => 35,
    };
    writeln!(out, "\x1b[{colour}m{short}\x1b[0m")
}
