//! Outputs of joins and checks in the store: what was computed from the same vectors with the same options is not computed
//! again.

use ndarray::Array2;
use tamis_core::{Digest, Shelf};
use tamis_data::store::codec::{Reader, Writer};
use tamis_data::store::{Store, StoreError};
use tamis_neighbors::{JoinOptions, Neighbors, RowPair, RowPairs};

/// Raised when a join finds something else than before, so that outputs of an older version are not taken up.
const JOIN_VERSION: &str = "1";

/// Hashes what a join depends on: who joins how, which vectors, and which of them.
pub(crate) struct Key(blake3::Hasher);

impl Key {
    pub(crate) fn new(join: &str, vectors_id: &Digest) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(format!("{join} {JOIN_VERSION}\n").as_bytes()).update(&vectors_id.0);
        Self(hasher)
    }

    pub(crate) fn options(mut self, options: &JoinOptions) -> Self {
        self.0.update(&options.min_cosine.to_le_bytes()).update(&(options.max_pairs as u64).to_le_bytes());
        self
    }

    pub(crate) fn k(mut self, k: usize) -> Self {
        self.0.update(&(k as u64).to_le_bytes());
        self
    }

    /// Rows of the vectors, in order; their number tells two lists apart.
    pub(crate) fn rows(mut self, rows: &[usize]) -> Self {
        self.0.update(&(rows.len() as u64).to_le_bytes());
        for row in rows {
            self.0.update(&(*row as u64).to_le_bytes());
        }
        self
    }

    fn digest(&self) -> Digest {
        Digest(*self.0.finalize().as_bytes())
    }
}

/// What joins can leave in the store.
pub(crate) trait Kept: Sized {
    fn write(&self, out: &mut Writer);

    /// `None` where the bytes are not what [`Kept::write`] wrote.
    fn read(from: &mut Reader<'_>) -> Option<Self>;
}

/// Takes the output called `name` from the store, or computes it and puts it there; says which.
pub(crate) fn keep<T: Kept>(
    store: &Store,
    name: &str,
    key: &Key,
    compute: impl FnOnce() -> T,
) -> Result<(T, bool), StoreError> {
    let key = key.digest();
    if let Some(bytes) = store.stage(name, key)?
        && let Some(output) = T::read(&mut Reader::new(&bytes))
    {
        return Ok((output, true));
    }
    let output = compute();
    let mut out = Writer::new();
    output.write(&mut out);
    store.keep_stage(name, key, &out.finish())?;
    Ok((output, false))
}

/// Keeps what checks compute, beside the outputs of joins.
#[derive(Debug)]
pub(crate) struct StoreShelf<'a> {
    pub(crate) store: &'a Store,
    pub(crate) vectors_id: Digest,
}

impl StoreShelf<'_> {
    fn key(&self, inputs: &[&[u8]]) -> Digest {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.vectors_id.0);
        for input in inputs {
            // With its length before it, no input can take bytes from the next.
            hasher.update(&(input.len() as u64).to_le_bytes()).update(input);
        }
        Digest(*hasher.finalize().as_bytes())
    }
}

impl Shelf for StoreShelf<'_> {
    fn take(&self, name: &str, inputs: &[&[u8]]) -> Option<Vec<u8>> {
        let kept = self.store.stage(name, self.key(inputs));
        kept.inspect_err(|error| tracing::warn!("{name} is computed again: {error}")).unwrap_or_default()
    }

    fn put(&self, name: &str, inputs: &[&[u8]], output: &[u8]) {
        if let Err(error) = self.store.keep_stage(name, self.key(inputs), output) {
            tracing::warn!("{name} will be computed again in the next run: {error}");
        }
    }
}

impl Kept for RowPairs {
    fn write(&self, out: &mut Writer) {
        out.u64(self.n_found);
        out.u32s(&self.pairs.iter().map(|it| it.a).collect::<Vec<_>>());
        out.u32s(&self.pairs.iter().map(|it| it.b).collect::<Vec<_>>());
        out.f32s(&self.pairs.iter().map(|it| it.cosine).collect::<Vec<_>>());
    }

    fn read(from: &mut Reader<'_>) -> Option<Self> {
        let n_found = from.u64()?;
        let (a, b, cosine) = (from.u32s()?, from.u32s()?, from.f32s()?);
        if a.len() != b.len() || a.len() != cosine.len() {
            return None;
        }
        let pairs = a.into_iter().zip(b).zip(cosine).map(|((a, b), cosine)| RowPair { a, b, cosine }).collect();
        Some(Self { pairs, n_found })
    }
}

impl Kept for Neighbors {
    fn write(&self, out: &mut Writer) {
        out.u64(self.ids.nrows() as u64);
        out.u64(self.ids.ncols() as u64);
        out.u32s(&self.ids.iter().copied().collect::<Vec<_>>());
        out.f32s(&self.cosine.iter().copied().collect::<Vec<_>>());
    }

    fn read(from: &mut Reader<'_>) -> Option<Self> {
        let shape = (usize::try_from(from.u64()?).ok()?, usize::try_from(from.u64()?).ok()?);
        let ids = Array2::from_shape_vec(shape, from.u32s()?).ok()?;
        let cosine = Array2::from_shape_vec(shape, from.f32s()?).ok()?;
        Some(Self { ids, cosine })
    }
}
