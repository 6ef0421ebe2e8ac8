//! Lines of the log, and their parts: `key=value` pairs, and words behind them.

use std::borrow::Cow;

use serde::Serializer;
use serde::ser::SerializeMap;
use serde_json::Value;

use crate::escape::Escaped;

/// Longest value in JSON, in characters. A name can have four times as many when it
/// is escaped.
const VALUE_MAX: usize = 4096;

/// Pairs whose values are numbers.
const NUMBERS: [&str; 6] = ["chunk", "ino", "len", "lines", "off", "suppressed"];

/// How lines of the log look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogForm {
    /// A time, a level, and what there is to say.
    #[default]
    Text,
    /// Pairs and nothing else (<https://brandur.org/logfmt>).
    Logfmt,
    /// An object (<https://jsonlines.org>).
    Json,
}

impl LogForm {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Text, Self::Logfmt, Self::Json];

    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Logfmt => "logfmt",
            Self::Json => "json",
        }
    }

    /// A line, without its end. `message` has nothing that acts on a terminal.
    pub fn line(self, time: Option<&str>, level: log::Level, message: &str) -> String {
        match self {
            Self::Text => match time {
                Some(time) => format!("{time} {level:5} {message}"),
                None => message.to_owned(),
            },
            Self::Logfmt => logfmt(time, level, message),
            Self::Json => json(time, level, message),
        }
    }
}

fn logfmt(time: Option<&str>, level: log::Level, message: &str) -> String {
    let mut line = String::new();
    if let Some(time) = time {
        line = format!("time={time} ");
    }
    line += "level=";
    line += word(level);
    let (pairs, rest) = event(message);
    for Pair { key, value } in pairs {
        line += &if value.is_empty() || value.contains([' ', '"', '=']) {
            format!(" {key}=\"{value}\"")
        } else {
            format!(" {key}={value}")
        };
    }
    if !rest.is_empty() {
        line += &format!(" message={:?}", Escaped(rest.as_bytes()));
    }
    line
}

fn json(time: Option<&str>, level: log::Level, message: &str) -> String {
    let mut line = Vec::new();
    let mut serializer = serde_json::Serializer::new(&mut line);
    let (pairs, rest) = event(message);
    let mut write = || -> Result<(), serde_json::Error> {
        let mut map = serializer.serialize_map(None)?;
        if let Some(time) = time {
            map.serialize_entry("time", time)?;
        }
        map.serialize_entry("level", word(level))?;
        for pair in &pairs {
            let (key, value) = pair.to_json();
            map.serialize_entry(&key, &value)?;
        }
        if !rest.is_empty() {
            map.serialize_entry("message", &shorten(rest))?;
        }
        map.end()
    };
    // Nothing in it can fail.
    let _ = write();
    String::from_utf8(line).unwrap_or_default()
}

/// The pairs of an event, and the words behind them. What is none is words alone.
fn event(message: &str) -> (Vec<Pair<'_>>, &str) {
    if message.starts_with("event=") {
        split(message)
    } else {
        (Vec::new(), message)
    }
}

const fn word(level: log::Level) -> &'static str {
    match level {
        log::Level::Error => "error",
        log::Level::Warn => "warn",
        log::Level::Info => "info",
        log::Level::Debug => "debug",
        log::Level::Trace => "trace",
    }
}

/// A key, and its value as it stands in the line, without the quotation marks around
/// it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pair<'a> {
    pub key: &'a str,
    value: &'a str,
}

impl<'a> Pair<'a> {
    /// The value; what is escaped in it stays so, but for quotation marks.
    pub fn value(&self) -> Cow<'a, str> {
        if !self.value.contains("\\\"") {
            return self.value.into();
        }
        let mut plain = String::with_capacity(self.value.len());
        let mut rest = self.value.chars();
        while let Some(c) = rest.next() {
            match (c, rest.as_str().chars().next()) {
                ('\\', Some('"')) => {}
                ('\\', Some('\\')) => {
                    plain.push_str("\\\\");
                    rest.next();
                }
                _ => plain.push(c),
            }
        }
        plain.into()
    }

    pub fn to_json(self) -> (String, Value) {
        let value = self.value();
        let number = NUMBERS.contains(&self.key).then(|| value.parse::<u64>());
        let value = match number {
            Some(Ok(number)) => number.into(),
            _ => shorten(&value).into(),
        };
        (self.key.to_owned(), value)
    }
}

fn shorten(text: &str) -> String {
    match text.char_indices().nth(VALUE_MAX) {
        Some((end, _)) => text.get(..end).unwrap_or_default().to_owned() + "...",
        None => text.to_owned(),
    }
}

/// The pairs at the beginning of a message, and what stands behind them.
pub(super) fn split(message: &str) -> (Vec<Pair<'_>>, &str) {
    let mut pairs = Vec::new();
    let mut rest = message;
    while let Some((pair, behind)) = first(rest) {
        pairs.push(pair);
        rest = behind.trim_start_matches(' ');
    }
    (pairs, rest)
}

fn first(text: &str) -> Option<(Pair<'_>, &str)> {
    let (key, behind) = text.split_once('=')?;
    let is_key = !key.is_empty()
        && key
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    if !is_key {
        return None;
    }
    let Some(quoted) = behind.strip_prefix('"') else {
        // What stands in parentheses may have spaces.
        let mut depth = 0_usize;
        let end = behind.find(|c| {
            match c {
                '(' => depth = depth.saturating_add(1),
                ')' => depth = depth.saturating_sub(1),
                _ => {}
            }
            c == ' ' && depth == 0
        });
        let (value, rest) = behind.split_at_checked(end.unwrap_or(behind.len()))?;
        return (depth == 0).then_some((Pair { key, value }, rest));
    };
    let mut is_escaped = false;
    let end = quoted.find(|c| {
        let is_end = c == '"' && !is_escaped;
        is_escaped = c == '\\' && !is_escaped;
        is_end
    })?;
    let (value, rest) = quoted.split_at_checked(end)?;
    let rest = rest.strip_prefix('"')?;
    (rest.is_empty() || rest.starts_with(' ')).then_some((Pair { key, value }, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    use log::Level;

    const MESSAGE: &str = r#"event=refused path="/a b\"c\\\xff" off=7 error="" and more x=1"#;

    #[test]
    fn pairs_come_first() {
        let (pairs, rest) = split(MESSAGE);
        let pairs: Vec<_> = pairs.iter().map(|pair| (pair.key, pair.value())).collect();
        let wanted = [
            ("event", "refused"),
            ("path", r#"/a b"c\\\xff"#),
            ("off", "7"),
            ("error", ""),
        ];
        assert_eq!(pairs, wanted.map(|(key, value)| (key, value.into())));
        assert_eq!(rest, "and more x=1");
        for (message, count) in [
            ("", 0),
            ("mounted \"/x\"", 0),
            ("a=\"open", 0),
            ("A=1", 0),
            ("=1", 0),
            ("a=", 1),
            ("a=\"b\"c", 0),
            ("a=1  b=2", 2),
            ("a=full(2 b=1) c=3", 2),
            ("a=full(2 b=1", 0),
        ] {
            assert_eq!(split(message).0.len(), count, "{message}");
        }
    }

    #[test]
    fn each_form_has_all() {
        let line = |form: LogForm| form.line(Some("T"), Level::Error, MESSAGE);
        assert_eq!(line(LogForm::Text), format!("T ERROR {MESSAGE}"));
        assert_eq!(
            line(LogForm::Logfmt),
            r#"time=T level=error event=refused path="/a b\"c\\\xff" off=7 error="" message="and more x=1""#
        );
        let value: Value = serde_json::from_str(&line(LogForm::Json)).unwrap();
        assert_eq!(value["path"], r#"/a b"c\\\xff"#);
        assert_eq!((&value["off"], &value["time"]), (&7.into(), &"T".into()));
        assert_eq!(value["message"], "and more x=1");
        assert!(
            line(LogForm::Json)
                .starts_with(r#"{"time":"T","level":"error","event":"refused","path""#)
        );
        let sandbox = LogForm::Logfmt.line(None, Level::Warn, "event=sandbox a=full(2 x)");
        assert_eq!(sandbox, r#"level=warn event=sandbox a="full(2 x)""#);
        let words = LogForm::Logfmt.line(None, Level::Info, "mounted \"/x\"");
        assert_eq!(words, r#"level=info message="mounted \"/x\"""#);
        let (pairs, rest) = split(&words);
        assert_eq!((pairs[1].value(), rest), ("mounted \"/x\"".into(), ""));
    }

    #[test]
    fn long_values_are_cut() {
        let message = format!("event=x path=\"{}\"", "\u{e9}".repeat(20_000));
        let line = LogForm::Json.line(None, Level::Warn, &message);
        let value: Value = serde_json::from_str(&line).unwrap();
        let path = value["path"].as_str().unwrap();
        assert_eq!(path.chars().count(), VALUE_MAX + 3);
    }
}
