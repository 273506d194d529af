//! Reads the Parquet files of an audit back.

use std::fs::File;
use std::path::{Path, PathBuf};

use arrow_array::cast::AsArray as _;
use arrow_array::types::{Float32Type, Int64Type};
use arrow_array::{Array as _, ArrayRef, RecordBatch};
use arrow_schema::{ArrowError, DataType};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::ArtifactError;

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
        let builder = ParquetRecordBatchReaderBuilder::try_new(File::open(path)?)?;
        let names = builder.schema().fields().iter().map(|field| field.name().clone()).collect();
        let batches = builder.build()?.collect::<Result<_, ArrowError>>()?;
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
            all.extend(values(column));
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
        images.extend(bytes.iter().map(|it| it.map(<[u8]>::to_vec)));
    }
    Ok(keys.into_iter().zip(images).filter_map(|(key, image)| Some((key, image?))).collect())
}
