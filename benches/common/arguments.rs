//! Flags, which can stand in the environment as well: `--large-mib 512` is
//! `BENCH_LARGE_MIB=512`.

/// The number behind a flag.
pub fn number(flag: &str, default: u64) -> u64 {
    match text(flag) {
        Some(text) => text.parse().unwrap_or_else(|_| panic!("{flag} {text:?}")),
        None => default,
    }
}

/// The text behind a flag.
pub fn text(flag: &str) -> Option<String> {
    let variable = format!(
        "BENCH_{}",
        flag.trim_start_matches('-')
            .replace('-', "_")
            .to_uppercase()
    );
    std::env::args()
        .skip_while(|argument| argument != flag)
        .nth(1)
        .or_else(|| std::env::var(variable).ok())
}

/// Whether a flag is there.
pub fn has(flag: &str) -> bool {
    std::env::args().any(|argument| argument == flag)
}
