//! What a render may use: steps of work, bytes of live values, bytes of output.
//!
//! Every value that a render makes holds a [`Charge`], which gives its bytes back when the value is dropped. So a loop
//! that builds and forgets a string may run as long as its steps allow, and one that keeps what it builds meets the
//! limit on memory. Sizes are checked before anything is allocated.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use super::error::{Error, ErrorKind};
use super::text::Str;

/// Deepest nesting of containers, so that printing, comparing and dropping a value cannot overflow the stack.
pub const MAX_DEPTH: u32 = 200;

/// What a charge counts for the allocation itself and its bookkeeping, beside the bytes it holds.
const OVERHEAD: usize = 64;
/// Bytes of text, or a container's items times this, that count as one step.
const BYTES_PER_STEP: usize = 64;

/// The limits of one render.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Steps: evaluated nodes, turns of loops, and one for each 64 bytes that an operation reads or writes.
    pub steps: u64,
    /// Bytes of values that live at the same time, constants and input not counted.
    pub memory: usize,
    /// Bytes of output.
    pub output: usize,
}

impl Limits {
    /// Limits for an input of this many bytes (template and context): 4 million steps and 64 MiB, and more in
    /// proportion to the input.
    #[must_use]
    pub fn for_input(bytes: usize) -> Self {
        let steps = u64::try_from(bytes).unwrap_or(u64::MAX);
        Self {
            steps: steps.saturating_mul(4).saturating_add(4_000_000),
            memory: bytes.saturating_mul(4).saturating_add(64 << 20),
            output: bytes.saturating_mul(4).saturating_add(64 << 20),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::for_input(0)
    }
}

/// The account of one render; clones share it.
#[derive(Clone, Debug)]
pub struct Meter(Arc<Account>);

#[derive(Debug)]
struct Account {
    limits: Limits,
    steps: AtomicU64,
    memory: AtomicUsize,
    output: AtomicUsize,
}

impl Meter {
    /// An empty account.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self(Arc::new(Account {
            limits,
            steps: AtomicU64::new(0),
            memory: AtomicUsize::new(0),
            output: AtomicUsize::new(0),
        }))
    }

    /// The limits given to [`Meter::new`].
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.0.limits
    }

    /// Steps taken so far.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.0.steps.load(Ordering::Relaxed)
    }

    /// Bytes of live values.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.0.memory.load(Ordering::Relaxed)
    }

    /// Counts steps of work.
    ///
    /// # Errors
    /// [`ErrorKind::Steps`] when the limit is passed.
    pub fn step(&self, count: u64) -> Result<(), Error> {
        let before = self.0.steps.fetch_add(count, Ordering::Relaxed);
        if before.saturating_add(count) > self.0.limits.steps {
            // A huge count must not wrap the counter around on the next call.
            self.0.steps.store(self.0.limits.steps, Ordering::Relaxed);
            return Err(Error::new(
                ErrorKind::Steps,
                format!(
                    "the template takes more than {} steps; raise the limit if it is trusted",
                    self.0.limits.steps
                ),
            ));
        }
        Ok(())
    }

    /// Counts the work of reading or writing this many bytes: one step for each 64.
    ///
    /// # Errors
    /// As [`Meter::step`].
    pub fn work(&self, bytes: usize) -> Result<(), Error> {
        let steps = bytes / BYTES_PER_STEP;
        if steps == 0 {
            return Ok(());
        }
        self.step(u64::try_from(steps).unwrap_or(u64::MAX >> 1))
    }

    /// Whether a value of this many bytes may still be made; for use before it is allocated.
    ///
    /// # Errors
    /// [`ErrorKind::Memory`] when it would pass the limit.
    pub fn check(&self, bytes: usize) -> Result<(), Error> {
        if self.memory().saturating_add(bytes) > self.0.limits.memory {
            return Err(self.out_of_memory());
        }
        Ok(())
    }

    /// [`check`](Self::check) and [`work`](Self::work) for a list of this many items.
    ///
    /// # Errors
    /// As those.
    pub fn check_items(&self, items: usize) -> Result<(), Error> {
        let bytes = items.saturating_mul(size_of::<super::value::Value>());
        self.check(bytes)?;
        self.work(bytes)
    }

    /// Charges a value of this many bytes, until the charge is dropped.
    ///
    /// # Errors
    /// [`ErrorKind::Memory`] when it passes the limit; nothing is charged then.
    pub fn charge(&self, bytes: usize) -> Result<Charge, Error> {
        let bytes = bytes.saturating_add(OVERHEAD);
        self.check(bytes)?;
        self.0.memory.fetch_add(bytes, Ordering::Relaxed);
        Ok(Charge {
            account: Some(Arc::clone(&self.0)),
            bytes,
        })
    }

    /// Counts output.
    ///
    /// # Errors
    /// [`ErrorKind::Output`] when the limit is passed.
    pub fn output(&self, bytes: usize) -> Result<(), Error> {
        let before = self.0.output.fetch_add(bytes, Ordering::Relaxed);
        if before.saturating_add(bytes) > self.0.limits.output {
            return Err(Error::new(
                ErrorKind::Output,
                format!(
                    "the template writes more than {} bytes; raise the limit if it is trusted",
                    self.0.limits.output
                ),
            ));
        }
        Ok(())
    }

    /// An empty text to write into, charged as it grows.
    #[must_use]
    pub fn text(&self) -> Text<'_> {
        Text {
            meter: self,
            text: String::new(),
        }
    }

    fn out_of_memory(&self) -> Error {
        Error::new(
            ErrorKind::Memory,
            format!(
                "the template's values take more than {} bytes; raise the limit if it is trusted",
                self.0.limits.memory
            ),
        )
    }
}

/// Bytes that a value holds of its render's account; given back on drop.
#[derive(Debug, Default)]
pub struct Charge {
    account: Option<Arc<Account>>,
    bytes: usize,
}

impl Charge {
    /// No charge: a constant of the template, or the caller's input.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        if let Some(account) = &self.account {
            account.memory.fetch_sub(self.bytes, Ordering::Relaxed);
        }
    }
}

/// A text under construction: what is pushed is counted as work and checked against the limit on memory first.
#[derive(Debug)]
pub struct Text<'m> {
    meter: &'m Meter,
    text: String,
}

impl Text<'_> {
    /// Appends a string.
    ///
    /// # Errors
    /// [`ErrorKind::Memory`] or [`ErrorKind::Steps`]; nothing is appended then.
    pub fn push_str(&mut self, text: &str) -> Result<(), Error> {
        self.grow(text.len())?;
        self.text.push_str(text);
        Ok(())
    }

    /// Appends a character.
    ///
    /// # Errors
    /// As [`Text::push_str`].
    pub fn push(&mut self, c: char) -> Result<(), Error> {
        if self.text.len() + 4 > self.text.capacity() {
            self.grow(4)?;
        }
        self.text.push(c);
        Ok(())
    }

    /// Appends a character `count` times.
    ///
    /// # Errors
    /// As [`Text::push_str`].
    pub fn fill(&mut self, c: char, count: usize) -> Result<(), Error> {
        self.grow(count.saturating_mul(c.len_utf8()))?;
        self.text.extend(std::iter::repeat_n(c, count));
        Ok(())
    }

    /// What was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The text as a value's string, charged.
    ///
    /// # Errors
    /// As [`Text::push_str`].
    pub fn finish(self) -> Result<Str, Error> {
        Str::new(self.meter, self.text)
    }

    /// The text as it is.
    #[must_use]
    pub fn into_string(self) -> String {
        self.text
    }

    fn grow(&mut self, bytes: usize) -> Result<(), Error> {
        self.meter.work(bytes)?;
        let length = self.text.len().saturating_add(bytes);
        if length > self.text.capacity() {
            self.meter.check(length)?;
            // Doubled, so that many small pushes stay linear; the work of the copy is counted.
            self.meter.work(self.text.len())?;
            let room = length.max(self.text.capacity().saturating_mul(2)).max(32);
            self.text.reserve_exact(room - self.text.len());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn charges_are_given_back() {
        let meter = Meter::new(Limits {
            steps: 1000,
            memory: 1000,
            output: 10,
        });
        let first = meter.charge(400).unwrap();
        assert_eq!(meter.memory(), 464);
        let error = meter.charge(600).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Memory);
        assert_eq!(
            error.message(),
            "the template's values take more than 1000 bytes; raise the limit if it is trusted"
        );
        drop(first);
        assert_eq!(meter.memory(), 0);
        let _second = meter.charge(600).unwrap();
        assert!(meter.output(10).is_ok());
        assert_eq!(meter.output(1).unwrap_err().kind(), ErrorKind::Output);
    }

    #[test]
    fn steps_stay_over() {
        let meter = Meter::new(Limits {
            steps: 10,
            ..Limits::default()
        });
        meter.step(10).unwrap();
        assert_eq!(meter.step(u64::MAX).unwrap_err().kind(), ErrorKind::Steps);
        assert_eq!(meter.step(1).unwrap_err().kind(), ErrorKind::Steps);
    }

    #[test]
    fn a_text_is_checked_before_it_grows() {
        let meter = Meter::new(Limits {
            memory: 1 << 20,
            ..Limits::default()
        });
        let mut text = meter.text();
        text.push_str("ab").unwrap();
        assert_eq!(
            text.fill('x', usize::MAX / 2).unwrap_err().kind(),
            ErrorKind::Steps
        );
        let meter = Meter::new(Limits {
            steps: u64::MAX,
            memory: 1 << 20,
            ..Limits::default()
        });
        let mut text = meter.text();
        assert_eq!(
            text.fill('x', usize::MAX / 2).unwrap_err().kind(),
            ErrorKind::Memory
        );
        text.fill('y', 3).unwrap();
        assert_eq!(text.finish().unwrap().as_str(), "yyy");
    }
}
