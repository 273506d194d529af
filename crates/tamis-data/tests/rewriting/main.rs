//! Writes small datasets again, with changes, and looks at every byte.

#[cfg(test)]
mod common;
#[cfg(test)]
mod folders;
#[cfg(test)]
mod images;
#[cfg(test)]
mod parquet;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod tables;
