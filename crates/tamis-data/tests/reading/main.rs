//! Reads small inputs from end to end and looks at the dataset, the texts and the notes.

#[cfg(test)]
mod artifacts;
#[cfg(test)]
mod columns;
#[cfg(test)]
mod common;
#[cfg(test)]
mod folders;
#[cfg(test)]
mod formats;
#[cfg(test)]
mod properties;
