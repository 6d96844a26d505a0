//! The wire format of protocol buffers, read without a schema and without trust.
//!
//! A message is a list of fields, each a number, one of six wire types and a value
//! (<https://protobuf.dev/programming-guides/encoding/>). Nothing is copied: a field of bytes is a slice of the file,
//! so a length that lies cannot allocate, and groups, the only shape that nests without a length, are skipped with
//! a limit on their depth.

/// Groups inside each other; the limit of the reference implementations.
const MAX_DEPTH: usize = 100;

/// The value of a field.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Value<'a> {
    /// Integers, booleans and enumerations.
    Varint(u64),
    Fixed32(u32),
    Fixed64(u64),
    /// Texts, bytes and messages, with their offset in the file.
    Bytes(&'a [u8], usize),
    /// Skipped.
    Group,
}

/// The fields of one message, in file order. After an error there are no more.
pub(super) struct Fields<'a> {
    rest: &'a [u8],
    /// Offset of `rest` in the file.
    at: usize,
}

impl<'a> Fields<'a> {
    /// The fields of the message `bytes`, which lies at the offset `at` of its file.
    pub(super) fn new(bytes: &'a [u8], at: usize) -> Self {
        Self { rest: bytes, at }
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], String> {
        match self.rest.split_at_checked(length) {
            Some((taken, rest)) => {
                self.rest = rest;
                self.at += length;
                Ok(taken)
            }
            None => Err(format!(
                "byte {}: expected {length} bytes, and {} are left",
                self.at,
                self.rest.len()
            )),
        }
    }

    fn varint(&mut self) -> Result<u64, String> {
        let start = self.at;
        let mut value = 0_u64;
        for shift in (0..70).step_by(7) {
            let byte = self.take(1)?[0];
            // Of the tenth byte one bit is left; the reference drops the others too.
            value |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(format!("byte {start}: a number of more than ten bytes"))
    }

    /// A field's number and wire type.
    fn tag(&mut self) -> Result<(u32, u8), String> {
        let start = self.at;
        let tag = self.varint()?;
        match u32::try_from(tag) {
            Ok(tag) if tag >> 3 != 0 => Ok((tag >> 3, (tag & 7) as u8)),
            _ => Err(format!("byte {start}: {tag} is no field's tag")),
        }
    }

    fn value(&mut self, number: u32, wire_type: u8, depth: usize) -> Result<Value<'a>, String> {
        let start = self.at;
        Ok(match wire_type {
            0 => Value::Varint(self.varint()?),
            1 => {
                let mut bytes = [0; 8];
                bytes.copy_from_slice(self.take(8)?);
                Value::Fixed64(u64::from_le_bytes(bytes))
            }
            2 => {
                let length = self.varint()?;
                let length = usize::try_from(length)
                    .map_err(|_| format!("byte {start}: a field of {length} bytes"))?;
                let at = self.at;
                Value::Bytes(self.take(length)?, at)
            }
            3 => {
                self.skip_group(number, depth)?;
                Value::Group
            }
            5 => {
                let mut bytes = [0; 4];
                bytes.copy_from_slice(self.take(4)?);
                Value::Fixed32(u32::from_le_bytes(bytes))
            }
            4 => {
                return Err(format!(
                    "byte {start}: the end of group {number}, which did not begin"
                ));
            }
            other => return Err(format!("byte {start}: the wire type {other} is unknown")),
        })
    }

    fn skip_group(&mut self, number: u32, depth: usize) -> Result<(), String> {
        if depth >= MAX_DEPTH {
            return Err(format!(
                "byte {}: more than {MAX_DEPTH} groups inside each other",
                self.at
            ));
        }
        loop {
            match self.tag()? {
                (end, 4) if end == number => return Ok(()),
                (other, wire_type) => self.value(other, wire_type, depth + 1)?,
            };
        }
    }

    fn field(&mut self) -> Result<(u32, Value<'a>), String> {
        let (number, wire_type) = self.tag()?;
        Ok((number, self.value(number, wire_type, 0)?))
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u32, Value<'a>), String>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.rest = &[];
        }
        Some(field)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<Vec<(u32, Value<'_>)>, String> {
        Fields::new(bytes, 0).collect()
    }

    #[test]
    fn every_wire_type() {
        assert_eq!(
            read(&[0x08, 0x96, 0x01]).unwrap(),
            [(1, Value::Varint(150))]
        );
        assert_eq!(
            read(&[0x12, 2, b'h', b'i']).unwrap(),
            [(2, Value::Bytes(b"hi", 2))]
        );
        assert_eq!(
            read(&[0x1d, 0, 0, 0x80, 0x3f]).unwrap(),
            [(3, Value::Fixed32(1_f32.to_bits()))]
        );
        assert_eq!(
            read(&[0x21, 1, 0, 0, 0, 0, 0, 0, 0]).unwrap(),
            [(4, Value::Fixed64(1))]
        );
        // A group 5 with a number and a group 6 in it; then field 1.
        assert_eq!(
            read(&[0x2b, 0x08, 1, 0x33, 0x34, 0x2c, 0x08, 7]).unwrap(),
            [(5, Value::Group), (1, Value::Varint(7))]
        );
        // A negative number has ten bytes.
        let minus_one = [0x08, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1];
        assert_eq!(read(&minus_one).unwrap(), [(1, Value::Varint(u64::MAX))]);
    }

    #[test]
    fn what_lies_is_refused_with_its_place() {
        let cases: [(&[u8], &str); 9] = [
            (&[0x12, 5, b'h'], "byte 2: expected 5 bytes, and 1 are left"),
            (
                &[0x12, 255, 255, 255, 255, 255, 255, 255, 255, 127],
                "byte 10: expected 9223372036854775807 bytes, and 0 are left",
            ),
            (&[0x08, 0x80], "byte 2: expected 1 bytes, and 0 are left"),
            (&[0x08; 1], "byte 1: expected 1 bytes, and 0 are left"),
            (&[0x1d, 0], "byte 1: expected 4 bytes, and 1 are left"),
            (&[0x07], "byte 0: 7 is no field's tag"),
            (&[0x0f], "byte 1: the wire type 7 is unknown"),
            (&[0x0c], "byte 1: the end of group 1, which did not begin"),
            (
                &[0x0b, 0x14],
                "byte 2: the end of group 2, which did not begin",
            ),
        ];
        for (bytes, message) in cases {
            assert_eq!(read(bytes).unwrap_err(), message, "{bytes:?}");
        }
        let endless = [0xff; 12];
        assert_eq!(
            read(&endless).unwrap_err(),
            "byte 0: a number of more than ten bytes"
        );
        let deep = [0x0b; 100_000];
        assert_eq!(
            read(&deep).unwrap_err(),
            "byte 101: more than 100 groups inside each other"
        );
    }

    #[test]
    fn after_an_error_there_is_no_more() {
        let mut fields = Fields::new(&[0x07, 0x08, 1], 0);
        assert!(fields.next().unwrap().is_err());
        assert!(fields.next().is_none());
    }
}
