//! Where templates are read and run: on a thread whose stack does not depend on the caller's.
//!
//! The interpreter bounds its own depth; what that depth takes of the stack is more than a small thread of a server has.

use super::error::TemplateError;

/// Largest source of a template in bytes; the largest published have about 30 kB.
pub(super) const MAX_SOURCE: usize = 128 << 10;
/// Stack of the thread: address space, of which little is ever touched.
const STACK: usize = 64 << 20;

/// Refuses a source that no model has.
pub(super) fn check_source(source: &str) -> Result<(), TemplateError> {
    if source.len() > MAX_SOURCE {
        return Err(TemplateError::TooLarge {
            what: "the source",
            limit: MAX_SOURCE,
        });
    }
    Ok(())
}

/// Runs `work` on a thread with a deep stack.
pub(super) fn deep<T: Send>(
    work: impl FnOnce() -> Result<T, TemplateError> + Send,
) -> Result<T, TemplateError> {
    let failed = |message: String| TemplateError::Failed {
        exception: "RuntimeError",
        line: 0,
        message,
    };
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .name("chat-template".to_owned())
            .stack_size(STACK);
        let running = thread
            .spawn_scoped(scope, work)
            .map_err(|error| failed(format!("no thread to render on: {error}")))?;
        running
            .join()
            .unwrap_or_else(|_| Err(failed("the template engine panicked".to_owned())))
    })
}
