//! System calls by their number, with whatever arguments: what somebody would
//! make who has taken a process over. Only for tests. A package of its own, since
//! the program's own code has no unsafe line at all.

use std::io;

/// Makes a system call.
///
/// Pointers are the caller's: what they point to has to outlive the call and to
/// be as large as the call takes it for. Whoever breaks that breaks a test
/// process.
///
/// # Errors
/// As the call.
pub fn syscall(number: i64, arguments: &[usize]) -> io::Result<i64> {
    let mut six = [0; 6];
    for (to, from) in six.iter_mut().zip(arguments) {
        *to = *from;
    }
    let [a, b, c, d, e, f] = six;
    // SAFETY: none in general, see above. The callers in tests/ pass numbers, null,
    // or pointers to locals that are alive, and map memory only to give it back.
    let result = unsafe { libc::syscall(number, a, b, c, d, e, f) };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}
