//! Lends contents out of the store: memory holds the hash of each sample's content.

use std::io;

use tamis_core::{ContentError, Digest, Grey, ImageFacts, ImageSource, SampleId, TextSource};

use crate::store::Table;

/// Lends the texts of a run.
#[derive(Debug)]
pub struct StoredTexts {
    records: Records,
}

impl StoredTexts {
    /// Lends the records of `table` as texts; `contents` has one entry per sample, `None` for one that has no text.
    #[must_use]
    pub fn new(table: Table, contents: Vec<Option<Digest>>) -> Self {
        Self { records: Records { table, contents } }
    }
}

impl TextSource for StoredTexts {
    fn text(&self, id: SampleId, max_bytes: usize) -> Result<String, ContentError> {
        let Some(bytes) = self.records.get(id, max_bytes)? else { return Ok(String::new()) };
        let is_cut = (bytes.len() as u64) < self.text_bytes(id);
        String::from_utf8(bytes).or_else(|error| {
            let end = error.utf8_error().valid_up_to();
            if !is_cut || error.utf8_error().error_len().is_some() {
                return Err(invalid(id, "the record is no UTF-8 text"));
            }
            // Only the last character is cut.
            let mut bytes = error.into_bytes();
            bytes.truncate(end);
            String::from_utf8(bytes).map_err(|_| invalid(id, "the record is no UTF-8 text"))
        })
    }

    fn text_bytes(&self, id: SampleId) -> u64 {
        self.records.content(id).and_then(|content| self.records.table.size(&content)).unwrap_or_default()
    }
}

/// Lends what was kept of the pictures of a run.
#[derive(Debug)]
pub struct StoredImages {
    records: Records,
    facts: Vec<Option<ImageFacts>>,
    thumbnail: fn(&[u8]) -> Option<Vec<u8>>,
    grey: fn(&[u8]) -> Option<Grey>,
}

impl StoredImages {
    /// Lends the records of `table`; `contents` and `facts` have one entry per sample, `None` for one that is no picture.
    ///
    /// `thumbnail` takes the file of the thumbnail out of a record, `grey` the grey picture; `None` where it cannot be a record
    /// of a picture.
    #[must_use]
    pub fn new(
        table: Table,
        contents: Vec<Option<Digest>>,
        facts: Vec<Option<ImageFacts>>,
        thumbnail: fn(&[u8]) -> Option<Vec<u8>>,
        grey: fn(&[u8]) -> Option<Grey>,
    ) -> Self {
        Self { records: Records { table, contents }, facts, thumbnail, grey }
    }
}

impl ImageSource for StoredImages {
    fn facts(&self, id: SampleId) -> Option<&ImageFacts> {
        self.facts.get(id.idx())?.as_ref()
    }

    fn thumbnail(&self, id: SampleId) -> Result<Option<Vec<u8>>, ContentError> {
        let Some(record) = self.records.get(id, usize::MAX)? else { return Ok(None) };
        (self.thumbnail)(&record).map(Some).ok_or_else(|| invalid(id, "the record holds no thumbnail"))
    }

    fn grey(&self, id: SampleId) -> Result<Option<Grey>, ContentError> {
        let Some(record) = self.records.get(id, usize::MAX)? else { return Ok(None) };
        (self.grey)(&record).map(Some).ok_or_else(|| invalid(id, "the record holds no grey picture"))
    }
}

/// The records of samples.
#[derive(Debug)]
struct Records {
    table: Table,
    contents: Vec<Option<Digest>>,
}

impl Records {
    fn content(&self, id: SampleId) -> Option<Digest> {
        self.contents.get(id.idx()).copied().flatten()
    }

    /// At most the first `max_bytes` of the record of one sample; `None` where the sample has no content.
    fn get(&self, id: SampleId, max_bytes: usize) -> Result<Option<Vec<u8>>, ContentError> {
        let Some(content) = self.content(id) else { return Ok(None) };
        let record = self.table.get_prefix(&content, max_bytes);
        match record.map_err(|error| ContentError { id, source: io::Error::other(error) })? {
            Some(record) => Ok(Some(record)),
            None => Err(invalid(id, "the store has no record of it")),
        }
    }
}

fn invalid(id: SampleId, what: &str) -> ContentError {
    ContentError { id, source: io::Error::new(io::ErrorKind::InvalidData, what) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Producer, Store};
    use proptest::prelude::*;
    use tamis_core::ColorMode;

    /// A table of records under their hash.
    fn table(records: &[&[u8]]) -> (Table, Vec<Digest>) {
        let store = Store::temporary(&std::env::temp_dir()).unwrap();
        let mut table = store.table(&Producer::new("text", &[])).unwrap();
        let contents: Vec<_> = records.iter().map(|it| Digest(*blake3::hash(it).as_bytes())).collect();
        let records: Vec<_> = contents.iter().copied().zip(records.iter().copied()).collect();
        table.add(&records).unwrap();
        (table, contents)
    }

    fn texts(texts: &[Option<&str>]) -> StoredTexts {
        let present: Vec<_> = texts.iter().flatten().map(|it| it.as_bytes()).collect();
        let (table, contents) = table(&present);
        let mut contents = contents.into_iter();
        StoredTexts::new(table, texts.iter().map(|it| it.and_then(|_| contents.next())).collect())
    }

    #[test]
    fn a_cut_text_ends_at_a_character() {
        let texts = texts(&[Some("aé")]);
        assert_eq!(texts.text(SampleId(0), 2).unwrap(), "a");
        assert_eq!(texts.text(SampleId(0), 3).unwrap(), "aé");
        assert_eq!(texts.text_bytes(SampleId(0)), 3);
    }

    #[test]
    fn a_sample_without_a_text_has_the_empty_one() {
        let texts = texts(&[Some("one"), None, Some("one")]);
        let all: Vec<_> = (0..4).map(|id| texts.text(SampleId(id), 99).unwrap()).collect();
        assert_eq!(all, ["one", "", "one", ""]);
        assert_eq!(texts.text_bytes(SampleId(1)), 0);
    }

    #[test]
    fn a_long_text_comes_back() {
        let long = "é".repeat(1 << 20);
        let texts = texts(&[Some("a"), Some(&long), Some("b")]);
        assert_eq!(texts.text(SampleId(1), usize::MAX).unwrap(), long);
        assert_eq!(texts.text(SampleId(2), usize::MAX).unwrap(), "b");
    }

    #[test]
    fn a_record_that_is_no_text_or_is_not_there_is_an_error() {
        let (table, mut contents) = table(&[b"a\xffb", b"a\xc3"]);
        contents.push(Digest([0; 32]));
        let texts = StoredTexts::new(table, contents.into_iter().map(Some).collect());
        let source = |id| texts.text(SampleId(id), usize::MAX).unwrap_err().source.to_string();
        assert_eq!([source(0), source(1)], ["the record is no UTF-8 text"; 2]);
        assert_eq!(source(2), "the store has no record of it");
        assert_eq!(texts.text(SampleId(0), 1).unwrap(), "a");
    }

    #[test]
    fn thumbnails_come_out_of_records() {
        let (table, contents) = table(&[b"Tthumb", b"?"]);
        let contents = [Some(contents[0]), None, Some(contents[1])];
        let facts = ImageFacts {
            width: 3,
            height: 2,
            mode: ColorMode::Rgb,
            format: "png",
            phash: 0,
            turned_phashes: [0; 7],
            dhash: 0,
            note: None,
        };
        let thumbnail = |record: &[u8]| record.strip_prefix(b"T").map(<[u8]>::to_vec);
        let grey =
            |record: &[u8]| record.strip_prefix(b"T").map(|it| Grey { width: 5, height: 1, values: it.to_vec() });
        let images = StoredImages::new(table, contents.to_vec(), vec![Some(facts), None, None], thumbnail, grey);
        assert_eq!(images.thumbnail(SampleId(0)).unwrap().unwrap(), b"thumb");
        assert_eq!(images.thumbnail(SampleId(1)).unwrap(), None);
        let error = images.thumbnail(SampleId(2)).unwrap_err();
        assert_eq!(error.source.to_string(), "the record holds no thumbnail");
        assert_eq!(images.grey(SampleId(0)).unwrap().unwrap().values, b"thumb");
        assert_eq!(images.grey(SampleId(1)).unwrap(), None);
        let error = images.grey(SampleId(2)).unwrap_err();
        assert_eq!(error.source.to_string(), "the record holds no grey picture");
        assert_eq!(images.facts(SampleId(0)).unwrap().width, 3);
        assert!(images.facts(SampleId(1)).is_none() && images.facts(SampleId(9)).is_none());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn every_text_comes_back(all: Vec<Option<String>>) {
            let texts = texts(&all.iter().map(Option::as_deref).collect::<Vec<_>>());
            for (idx, text) in all.iter().enumerate() {
                let read = texts.text(SampleId::from_idx(idx), usize::MAX).unwrap();
                prop_assert_eq!(&read, text.as_deref().unwrap_or_default());
            }
        }
    }
}
