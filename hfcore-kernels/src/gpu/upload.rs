//! Bringing numbers to the device, to stay.

use crate::DeviceError;

use super::Gpu;
use super::memory::Held;
use super::value::{Place, Value};

impl Gpu {
    /// Numbers that stay: gains, biases, tables.
    pub(crate) fn parameter(&self, numbers: &[f32]) -> Value {
        match self.upload(bytemuck::cast_slice(numbers)) {
            Ok(held) => Value::resident(numbers.len(), held),
            Err(error) => {
                self.fail(error);
                Value::new(numbers.len(), Place::Nowhere)
            }
        }
    }

    /// Bytes that stay.
    pub(crate) fn upload(&self, bytes: &[u8]) -> Result<Held, DeviceError> {
        let held = self.memory.lasting(bytes.len().max(16) as u64)?;
        self.queue
            .write_buffer(held.buffer.raw(), held.offset, bytes);
        Ok(held)
    }
}
