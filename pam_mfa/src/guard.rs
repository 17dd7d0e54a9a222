//! What a mistake of ours does: it neither ends the host program nor writes on somebody's terminal.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, Once, PoisonError};

static QUIET: Once = Once::new();
static LAST_PANIC: Mutex<String> = Mutex::new(String::new());

/// Runs a hook; where it panics, says where and why instead.
pub(crate) fn catch<T>(hook: impl FnOnce() -> T) -> Result<T, String> {
    QUIET.call_once(|| {
        // This module's own copy of std has this hook to itself. The default one writes to standard error:
        // under su that is the user's terminal.
        std::panic::set_hook(Box::new(|panic| {
            *LAST_PANIC.lock().unwrap_or_else(PoisonError::into_inner) = panic.to_string();
        }));
    });
    catch_unwind(AssertUnwindSafe(hook)).map_err(|payload| {
        // What was thrown may panic again when it is dropped.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(payload))).map_err(std::mem::forget);
        std::mem::take(&mut *LAST_PANIC.lock().unwrap_or_else(PoisonError::into_inner))
    })
}
