//! Names of classes: files of one dataset may number them in different ways.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow_array::cast::AsArray as _;
use arrow_array::types::Int64Type;
use arrow_array::{Array as _, ArrayRef, BooleanArray, RecordBatch};
use arrow_schema::DataType;
use parquet::arrow::arrow_reader::ArrowReaderMetadata;
use serde_json::{Map, Value};

use super::with_values;
use crate::formats::parquet::{class_names, features};

/// What a file says of the numbers in its columns.
pub(super) struct Classes {
    /// By column.
    names: BTreeMap<String, Arc<[String]>>,
    features: Map<String, Value>,
}

impl Classes {
    pub(super) fn of(metadata: &ArrowReaderMetadata) -> Self {
        let features = features(metadata);
        Self { names: class_names(&features), features }
    }

    pub(super) fn names(&self, column: &str) -> Option<&[String]> {
        self.names.get(column).map(Arc::as_ref)
    }

    /// Whether classes are named inside of lists or structs of a column.
    fn nested(&self, column: &str) -> Option<&Value> {
        self.features.get(column).filter(|it| !self.names.contains_key(column) && it.to_string().contains("ClassLabel"))
    }

    /// How the numbers become those of another file.
    ///
    /// # Errors
    /// When one of the files does not name what the other one names.
    pub(super) fn numbers_in(&self, other: &Self) -> Result<Numbers, String> {
        let mut numbers = Vec::new();
        let columns: BTreeSet<&String> = self.features.keys().chain(other.features.keys()).collect();
        for column in columns {
            match (self.names(column), other.names(column)) {
                _ if self.nested(column) != other.nested(column) => {
                    return Err(format!("the names of the classes in column `{column}` differ"));
                }
                (own, new) if own == new => {}
                (Some(own), Some(new)) => {
                    let number = |name: &String| new.iter().position(|it| it == name);
                    let class = |name: &String| Class { name: name.clone(), number: number(name) };
                    numbers.push((column.clone(), own.iter().map(class).collect()));
                }
                _ => return Err(format!("one of the files does not name the classes of column `{column}`")),
            }
        }
        Ok(Numbers(numbers))
    }
}

/// For some columns, what becomes of each class by its number.
pub(super) struct Numbers(Vec<(String, Vec<Class>)>);

struct Class {
    name: String,
    /// Its number in the other file; `None` where it is no class there.
    number: Option<usize>,
}

impl Numbers {
    /// The columns of a batch with the numbers of the other file in the rows that are taken.
    ///
    /// # Errors
    /// The index of a row whose class the other file does not know, and why that is so.
    pub(super) fn translate(&self, batch: &RecordBatch, taken: &BooleanArray) -> Result<Vec<ArrayRef>, (u64, String)> {
        let mut columns = batch.columns().to_vec();
        for (name, classes) in &self.0 {
            let Ok(idx) = batch.schema().index_of(name) else { continue };
            let values = arrow_cast::cast(&columns[idx], &DataType::Int64).map_err(|it| (0, it.to_string()))?;
            let values = values.as_primitive::<Int64Type>();
            let mut new = vec![None; values.len()];
            // What is below zero is how `datasets` writes "no label".
            let is_number = |row: &usize| taken.value(*row) && values.is_valid(*row) && 0 <= values.value(*row);
            for row in (0..values.len()).filter(is_number) {
                let class = usize::try_from(values.value(row)).ok().and_then(|it| classes.get(it));
                let unknown = || match class {
                    Some(Class { name: class, .. }) => format!("`{class}` of column `{name}` is no class there"),
                    None => format!("{} of column `{name}` is the number of no class", values.value(row)),
                };
                let number = class.and_then(|it| it.number).ok_or_else(|| (row as u64, unknown()))?;
                new[row] = Some(number.to_string());
            }
            columns[idx] = with_values(&columns[idx], &new).map_err(|why| (0, why))?;
        }
        Ok(columns)
    }
}
