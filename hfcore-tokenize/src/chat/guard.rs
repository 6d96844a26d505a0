//! Where templates run: on a thread with a deep stack, behind limits on size.
//!
//! The engine's compiler and destructors recurse with the template; the limits here keep what a file can ask for
//! below what the stack holds. One hole stays: a template may double a text with `~` in a loop until memory ends,
//! which the engine gives no hook for. So templates are programs; take none from strangers.

use super::error::TemplateError;

/// Largest source of a template in bytes; the largest published have about 30 kB.
pub(super) const MAX_SOURCE: usize = 128 << 10;
/// Longest single tag (`{{ … }}`, `{% … %}`) in bytes: its nesting is the compiler's recursion.
const MAX_TAG: usize = 32 << 10;
/// Steps of the engine for one prompt; published templates take some 100 per message.
pub(super) const MAX_STEPS: u64 = 1_000_000;
/// Stack of the thread: address space, of which little is ever touched.
const STACK: usize = 256 << 20;

/// Refuses a source that the compiler might not survive.
pub(super) fn check_source(source: &str) -> Result<(), TemplateError> {
    if source.len() > MAX_SOURCE {
        return Err(TemplateError::TooLarge {
            what: "the source",
            found: source.len(),
            limit: MAX_SOURCE,
        });
    }
    let mut rest = source;
    while let Some(open) = rest.find("{%").into_iter().chain(rest.find("{{")).min() {
        let inside = &rest[open + 2..];
        let end = inside
            .find("%}")
            .into_iter()
            .chain(inside.find("}}"))
            .min()
            .unwrap_or(inside.len());
        if end > MAX_TAG {
            return Err(TemplateError::TooLarge {
                what: "a tag",
                found: end,
                limit: MAX_TAG,
            });
        }
        rest = &inside[end..];
    }
    Ok(())
}

/// Runs `work` on a thread with a deep stack.
pub(super) fn deep<T: Send>(
    work: impl FnOnce() -> Result<T, TemplateError> + Send,
) -> Result<T, TemplateError> {
    let failed = |message: String| TemplateError::Failed { line: 0, message };
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
