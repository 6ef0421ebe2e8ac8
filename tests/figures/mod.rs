//! How much of a long run is made, and how its result is told.
//!
//! `make test` makes a short form of each. `make figures` makes all of it, or so much
//! as `FRACTION` says, and prints lines for the table in docs/security.md.
#![allow(dead_code, reason = "each test file takes what it needs")]

use std::fmt::Display;
use std::time::Instant;

/// The fraction of the whole that is asked for, if one is.
fn fraction() -> Option<f64> {
    let fraction = std::env::var("CONTINUITY_FIGURES").ok()?;
    Some(fraction.parse().unwrap())
}

/// How many there are to be: of `whole`, or a few.
pub fn amount(whole: u64, few: u64) -> u64 {
    fraction().map_or(few, |fraction| ((whole as f64 * fraction) as u64).max(few))
}

/// Whether this is a long run, by an optimised program.
pub fn is_long() -> bool {
    fraction().is_some()
}

/// A run, whose result is told in the end.
pub struct Run {
    what: &'static str,
    begin: Instant,
}

impl Run {
    pub fn begin(what: &'static str) -> Self {
        let begin = Instant::now();
        Self { what, begin }
    }

    /// Prints a line of a table, with the day.
    pub fn tell(&self, result: impl Display) {
        let date = std::process::Command::new("date").arg("+%F").output();
        let date = String::from_utf8(date.unwrap().stdout).unwrap();
        let took = self.begin.elapsed().as_secs_f64();
        // The test runner may have begun a line.
        println!(
            "\n| {} | {} | {result} | {took:.1} s |",
            date.trim(),
            self.what
        );
    }
}

/// A number as people read it.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut shown = String::new();
    for (place, digit) in digits.char_indices() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}

/// Numbers that follow from a seed (splitmix64: Steele, Lea and Flood, 2014).
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Less than `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.roll() % bound.max(1)
    }

    /// So many bytes.
    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.roll() as u8).collect()
    }
}
