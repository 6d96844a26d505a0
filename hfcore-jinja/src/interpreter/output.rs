//! Where text goes: the template's output, and the buffers of macros, call blocks, `set` and `filter` blocks.

use crate::python::{Charge, Error, Meter, Str};

/// A stack of buffers; the first is the output itself.
#[derive(Debug)]
pub(super) struct Output {
    buffers: Vec<Buffer>,
    /// Characters in the output, as transformers' tracker counts them.
    characters: usize,
}

/// Text that is being written.
#[derive(Debug, Default)]
pub(super) struct Buffer {
    text: String,
    charges: Vec<Charge>,
}

impl Default for Output {
    fn default() -> Self {
        Self {
            buffers: vec![Buffer::default()],
            characters: 0,
        }
    }
}

impl Output {
    /// Begins a buffer, and tells how many there were.
    pub(super) fn push(&mut self) -> usize {
        self.buffers.push(Buffer::default());
        self.buffers.len() - 1
    }

    /// Ends the buffer that [`Self::push`] began; those begun in it are dropped, as a `break` leaves them.
    pub(super) fn pop(&mut self, buffer: usize) -> Buffer {
        let ended = self.buffers.swap_remove(buffer);
        self.buffers.truncate(buffer);
        ended
    }

    /// Appends to the innermost buffer.
    pub(super) fn write(&mut self, meter: &Meter, text: &str) -> Result<(), Error> {
        if self.buffers.len() == 1 {
            meter.output(text.len())?;
            meter.work(text.len())?;
            self.characters += text.chars().count();
            self.buffers[0].text.push_str(text);
            return Ok(());
        }
        let buffer = self.buffers.last_mut().expect("the output is always there");
        buffer.write(meter, text)
    }

    /// Characters of the output itself so far.
    pub(super) fn characters(&self) -> usize {
        self.characters
    }

    pub(super) fn finish(mut self) -> String {
        self.buffers.swap_remove(0).text
    }
}

impl Buffer {
    fn write(&mut self, meter: &Meter, text: &str) -> Result<(), Error> {
        meter.work(text.len())?;
        let length = self.text.len().saturating_add(text.len());
        if length > self.text.capacity() {
            let capacity = length.max(self.text.capacity().saturating_mul(2));
            self.charges
                .push(meter.charge(capacity - self.text.capacity())?);
            self.text.reserve_exact(capacity - self.text.len());
        }
        self.text.push_str(text);
        Ok(())
    }

    /// The text as a value.
    pub(super) fn finish(self, meter: &Meter) -> Result<Str, Error> {
        drop(self.charges);
        Str::new(meter, self.text)
    }
}
