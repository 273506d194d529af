//! Reads the Parquet files of an audit back.

use std::fs::File;
use std::path::{Path, PathBuf};

use arrow_array::cast::AsArray as _;
use arrow_array::types::{Float32Type, Int64Type};
use arrow_array::{Array as _, ArrayRef, RecordBatch};
use arrow_schema::{ArrowError, DataType};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::ArtifactError;
use crate::formats::parquet::guarded;

/// The columns of one of the files, by name.
#[derive(Debug)]
pub struct Columns {
    path: PathBuf,
    names: Vec<String>,
    batches: Vec<RecordBatch>,
}

impl Columns {
    /// Reads the whole file.
    ///
    /// # Errors
    /// When it cannot be read or is no Parquet file.
    pub fn open(path: &Path) -> Result<Self, ArtifactError> {
        let file = File::open(path)?;
        let (names, batches) = whole(|| {
            let builder = ParquetRecordBatchReaderBuilder::try_new(file)?;
            let names = builder.schema().fields().iter().map(|field| field.name().clone()).collect();
            Ok((names, builder.build()?.collect::<Result<_, ArrowError>>()?))
        })?;
        Ok(Self { path: path.to_owned(), names, batches })
    }

    /// Names of all columns, in their order.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.batches.iter().map(RecordBatch::num_rows).sum()
    }

    /// Whether there are no rows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A column of texts; null is `None`.
    ///
    /// # Errors
    /// When there is no such column, or it holds something else.
    pub fn texts(&self, name: &str) -> Result<Vec<Option<String>>, ArtifactError> {
        let text = |values: &ArrayRef| {
            values.as_string::<i32>().iter().map(|it| it.map(str::to_owned)).collect::<Vec<Option<String>>>()
        };
        self.column(name, &DataType::Utf8, text)
    }

    /// A column of texts that are never null.
    ///
    /// # Errors
    /// When there is no such column, it holds something else, or a null.
    pub fn whole_texts(&self, name: &str) -> Result<Vec<String>, ArtifactError> {
        let texts: Option<Vec<String>> = self.texts(name)?.into_iter().collect();
        texts.ok_or_else(|| self.unlike(name, "texts without nulls"))
    }

    /// A column of whole numbers; null is `None`.
    ///
    /// # Errors
    /// When there is no such column, or it holds something else.
    pub fn integers(&self, name: &str) -> Result<Vec<Option<i64>>, ArtifactError> {
        self.column(name, &DataType::Int64, |values| values.as_primitive::<Int64Type>().iter().collect())
    }

    /// A column of numbers; null is `None`.
    ///
    /// # Errors
    /// When there is no such column, or it holds something else.
    pub fn numbers(&self, name: &str) -> Result<Vec<Option<f32>>, ArtifactError> {
        self.column(name, &DataType::Float32, |values| values.as_primitive::<Float32Type>().iter().collect())
    }

    /// A column of yes and no; null is `None`.
    ///
    /// # Errors
    /// When there is no such column, or it holds something else.
    pub fn flags(&self, name: &str) -> Result<Vec<Option<bool>>, ArtifactError> {
        self.column(name, &DataType::Boolean, |values| values.as_boolean().iter().collect())
    }

    fn column<T>(
        &self,
        name: &str,
        kind: &DataType,
        values: impl Fn(&ArrayRef) -> Vec<T>,
    ) -> Result<Vec<T>, ArtifactError> {
        let place = self.names.iter().position(|it| it == name).ok_or_else(|| self.unlike(name, "a column"))?;
        let mut all = Vec::with_capacity(self.len());
        for batch in &self.batches {
            let column = batch.column(place);
            if column.data_type() != kind {
                return Err(self.unlike(name, &format!("of type {kind}")));
            }
            all.extend(whole(|| Ok(values(column)))?);
        }
        Ok(all)
    }

    /// The error for a column that is not as it should be.
    #[must_use]
    pub fn unlike(&self, name: &str, expected: &str) -> ArtifactError {
        let (path, column) = (self.path.clone(), name.to_owned());
        ArtifactError::Unlike { path, column, expected: expected.to_owned() }
    }
}

/// Runs a step of the Parquet reader, some of which panic on damaged bytes.
fn whole<T>(step: impl FnOnce() -> Result<T, ArtifactError>) -> Result<T, ArtifactError> {
    guarded(|| Ok(step())).unwrap_or_else(|reason| Err(ArtifactError::Damaged(reason)))
}

/// Reads `thumbnails.parquet`: keys of samples with a PNG or JPEG file each, where there is one.
///
/// # Errors
/// When the file cannot be read or is no such file.
pub fn read_thumbnails(path: &Path) -> Result<Vec<(String, Vec<u8>)>, ArtifactError> {
    let columns = Columns::open(path)?;
    let keys = columns.whole_texts("key")?;
    let place = columns.names.iter().position(|it| it == "image");
    let unlike = || columns.unlike("image", "of images");
    let place = place.ok_or_else(unlike)?;
    let mut images = Vec::with_capacity(keys.len());
    for batch in &columns.batches {
        let image = batch.column(place).as_struct_opt().and_then(|it| it.column_by_name("bytes")).ok_or_else(unlike)?;
        let bytes = image.as_binary_opt::<i32>().ok_or_else(unlike)?;
        images.extend(whole(|| Ok(bytes.iter().map(|it| it.map(<[u8]>::to_vec)).collect::<Vec<_>>()))?);
    }
    Ok(keys.into_iter().zip(images).filter_map(|(key, image)| Some((key, image?))).collect())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::builder::{BinaryBuilder, StructBuilder};
    use arrow_array::{BooleanArray, Float32Array, Int64Array, StringArray};
    use arrow_schema::{Field, Fields};
    use parquet::arrow::ArrowWriter;

    use super::*;

    /// A file with a column of every kind that is read.
    fn file() -> Vec<u8> {
        let fields = Fields::from(vec![Field::new("bytes", DataType::Binary, true)]);
        let mut images = StructBuilder::from_fields(fields, 2);
        for image in [Some(b"a picture"), None] {
            images.field_builder::<BinaryBuilder>(0).unwrap().append_option(image);
            images.append(true);
        }
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("key", Arc::new(StringArray::from(vec!["one", "two"]))),
            ("row", Arc::new(Int64Array::from(vec![Some(1), None]))),
            ("score", Arc::new(Float32Array::from(vec![Some(0.5), None]))),
            ("flag", Arc::new(BooleanArray::from(vec![true, false]))),
            ("image", Arc::new(images.finish())),
        ];
        let batch = RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, it)| (name, it, true)));
        let batch = batch.unwrap();
        let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        writer.into_inner().unwrap()
    }

    fn read(path: &Path) -> Result<(), ArtifactError> {
        read_thumbnails(path)?;
        let columns = Columns::open(path)?;
        columns.texts("key")?;
        columns.integers("row")?;
        columns.numbers("score")?;
        columns.flags("flag").map(drop)
    }

    #[test]
    fn damage_at_any_byte_is_an_error_or_another_value_and_never_a_panic() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("record.parquet");
        let bytes = file();
        std::fs::write(&path, &bytes).unwrap();
        assert_eq!(read_thumbnails(&path).unwrap(), [("one".to_owned(), b"a picture".to_vec())]);
        read(&path).unwrap();
        let mut n_damaged = 0;
        for place in 0..bytes.len() {
            for damage in [0x01, 0x80, 0xff] {
                let mut damaged = bytes.clone();
                damaged[place] ^= damage;
                std::fs::write(&path, damaged).unwrap();
                n_damaged += usize::from(matches!(read(&path), Err(ArtifactError::Damaged(_))));
            }
        }
        assert!(0 < n_damaged, "the reader panics no more: there is nothing to guard");
    }
}
