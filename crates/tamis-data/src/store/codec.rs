//! Numbers and names as bytes and back, for records and the outputs of stages: little-endian, lists led by their length.

/// Values of four bytes, one after the other, without their number.
#[must_use]
pub fn f32s_to_bytes(values: &[f32]) -> Vec<u8> {
    let mut bytes = Vec::new();
    extend(&mut bytes, values, |it| it.to_le_bytes());
    bytes
}

/// What [`f32s_to_bytes`] took; `None` where the number of bytes is no multiple of four.
#[must_use]
pub fn bytes_to_f32s(bytes: &[u8]) -> Option<Vec<f32>> {
    collect(bytes, f32::from_le_bytes)
}

/// Puts values together; a [`Reader`] takes them apart in the same order.
#[derive(Debug, Default)]
pub struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    /// Starts empty.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends one byte.
    pub fn u8(&mut self, value: u8) {
        self.bytes.push(value);
    }

    /// Appends a number of four bytes.
    pub fn u32(&mut self, value: u32) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    /// Appends a number of eight bytes.
    pub fn u64(&mut self, value: u64) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    /// Appends a number of four bytes, NaN with its bits.
    pub fn f32(&mut self, value: f32) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    /// Appends a list.
    pub fn u32s(&mut self, values: &[u32]) {
        self.u64(values.len() as u64);
        extend(&mut self.bytes, values, |it| it.to_le_bytes());
    }

    /// Appends a list.
    pub fn f32s(&mut self, values: &[f32]) {
        self.u64(values.len() as u64);
        extend(&mut self.bytes, values, |it| it.to_le_bytes());
    }

    /// Appends bytes with their number.
    pub fn bytes(&mut self, value: &[u8]) {
        self.u64(value.len() as u64);
        self.bytes.extend_from_slice(value);
    }

    /// Appends a text with its length.
    pub fn str(&mut self, value: &str) {
        self.bytes(value.as_bytes());
    }

    /// All that was appended.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        self.bytes
    }
}

/// Takes apart what a [`Writer`] put together. Each method gives `None` where the bytes end early or mean nothing.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Starts at the first byte.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Takes one byte.
    pub fn u8(&mut self) -> Option<u8> {
        self.array().map(|[it]| it)
    }

    /// Takes a number of four bytes.
    pub fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    /// Takes a number of eight bytes.
    pub fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    /// Takes a number of four bytes.
    pub fn f32(&mut self) -> Option<f32> {
        self.array().map(f32::from_le_bytes)
    }

    /// Takes a list. Memory: no more than there are bytes.
    pub fn u32s(&mut self) -> Option<Vec<u32>> {
        collect(self.list(4)?, u32::from_le_bytes)
    }

    /// Takes a list. Memory: no more than there are bytes.
    pub fn f32s(&mut self) -> Option<Vec<f32>> {
        collect(self.list(4)?, f32::from_le_bytes)
    }

    /// Takes bytes with their number.
    pub fn bytes(&mut self) -> Option<&'a [u8]> {
        self.list(1)
    }

    /// Takes a text with its length.
    pub fn str(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.bytes()?).ok()
    }

    /// Whether all bytes were taken; what is left over means that somebody else wrote them.
    #[must_use]
    pub fn is_at_end(&self) -> bool {
        self.rest.is_empty()
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (array, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(*array)
    }

    /// The bytes of a list whose length in values comes first.
    fn list(&mut self, value_bytes: usize) -> Option<&'a [u8]> {
        let n_bytes = usize::try_from(self.u64()?).ok()?.checked_mul(value_bytes)?;
        let (list, rest) = self.rest.split_at_checked(n_bytes)?;
        self.rest = rest;
        Some(list)
    }
}

/// One reservation and one loop without branches, which compiles to a copy.
fn extend<T: Copy>(bytes: &mut Vec<u8>, values: &[T], to_bytes: impl Fn(T) -> [u8; 4]) {
    let start = bytes.len();
    bytes.resize(start + 4 * values.len(), 0);
    let (chunks, _) = bytes[start..].as_chunks_mut();
    for (chunk, value) in chunks.iter_mut().zip(values) {
        *chunk = to_bytes(*value);
    }
}

fn collect<T>(bytes: &[u8], from_bytes: impl Fn([u8; 4]) -> T) -> Option<Vec<T>> {
    let (chunks, []) = bytes.as_chunks() else { return None };
    Some(chunks.iter().map(|it| from_bytes(*it)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn values_come_back_in_order() {
        let mut writer = Writer::new();
        writer.u8(7);
        writer.u32s(&[1, u32::MAX]);
        writer.str("naïve");
        writer.u64(u64::MAX);
        writer.f32(-0.5);
        writer.f32s(&[]);
        writer.u32(3);
        writer.bytes(b"\xff");
        let bytes = writer.finish();
        let mut reader = Reader::new(&bytes);
        assert_eq!(reader.u8(), Some(7));
        assert_eq!(reader.u32s(), Some(vec![1, u32::MAX]));
        assert_eq!(reader.str(), Some("naïve"));
        assert_eq!(reader.u64(), Some(u64::MAX));
        assert_eq!(reader.f32(), Some(-0.5));
        assert_eq!(reader.f32s(), Some(vec![]));
        assert_eq!(reader.u32(), Some(3));
        assert!(!reader.is_at_end());
        assert_eq!(reader.bytes(), Some(&b"\xff"[..]));
        assert!(reader.is_at_end());
        assert_eq!(reader.u8(), None);
    }

    #[test]
    fn a_length_beyond_the_end_is_none() {
        for n in [1, u64::MAX / 4, u64::MAX] {
            let mut writer = Writer::new();
            writer.u64(n);
            let bytes = writer.finish();
            assert_eq!(Reader::new(&bytes).u32s(), None);
            assert_eq!(Reader::new(&bytes).str(), None);
        }
        assert_eq!(bytes_to_f32s(&[0; 7]), None);
    }

    proptest! {
        #[test]
        fn every_f32_keeps_its_bits(bits: Vec<u32>) {
            let values: Vec<f32> = bits.iter().map(|it| f32::from_bits(*it)).collect();
            let back = bytes_to_f32s(&f32s_to_bytes(&values)).unwrap();
            prop_assert_eq!(back.iter().map(|it| it.to_bits()).collect::<Vec<_>>(), bits);
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>, steps in prop::collection::vec(0_u8..8, 0..20)) {
            let mut reader = Reader::new(&bytes);
            for step in steps {
                let _ = match step {
                    0 => reader.u8().is_some(),
                    1 => reader.u32().is_some(),
                    2 => reader.u64().is_some(),
                    3 => reader.f32().is_some(),
                    4 => reader.u32s().is_some(),
                    5 => reader.f32s().is_some(),
                    6 => reader.bytes().is_some(),
                    _ => reader.str().is_some(),
                };
            }
        }
    }
}
