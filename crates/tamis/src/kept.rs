//! Outputs of joins and checks in the store: what was computed from the same vectors with the same options is not computed
//! again.

use ndarray::Array2;
use tamis_core::{Alignment, Crop, Digest, Margins, Orientation, Overlap, PairKind, Shared, Shelf, Verified};
use tamis_data::store::codec::{Reader, Writer};
use tamis_data::store::{Store, StoreError};
use tamis_neighbors::{JoinOptions, Neighbors};

use crate::copies::Proposal;

/// Raised when a join finds something else than before, so that outputs of an older version are not taken up.
const JOIN_VERSION: &str = "4";

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

    /// The smallest score of pairs that are kept for it.
    pub(crate) fn min_kept(mut self, min: f32) -> Self {
        self.0.update(&min.to_le_bytes());
        self
    }

    /// A yes or no for each of some samples, in order.
    pub(crate) fn flags(mut self, flags: impl Iterator<Item = bool>) -> Self {
        for flag in flags {
            self.0.update(&[u8::from(flag)]);
        }
        self
    }

    /// A text or none for each of some samples, in order.
    pub(crate) fn texts<'a>(mut self, texts: impl Iterator<Item = Option<&'a str>>) -> Self {
        for text in texts {
            // With its length before it, no text can take bytes from the next.
            self.0.update(&text.map_or(u64::MAX, |it| it.len() as u64).to_le_bytes());
            self.0.update(text.unwrap_or_default().as_bytes());
        }
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
pub(crate) fn keep<T: Kept, E: From<StoreError>>(
    store: &Store,
    name: &str,
    key: &Key,
    compute: impl FnOnce() -> Result<T, E>,
) -> Result<(T, bool), E> {
    let key = key.digest();
    if let Some(bytes) = store.stage(name, key)?
        && let Some(output) = T::read(&mut Reader::new(&bytes))
    {
        return Ok((output, true));
    }
    let output = compute()?;
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

/// What a search of copies and of what is close found, by places in what was searched.
#[derive(Debug, Default)]
pub(crate) struct PlacePairs {
    /// Ascending by `(a, b)`.
    pub(crate) pairs: Vec<(Proposal, Verified)>,
    /// Pairs beyond the cap.
    pub(crate) n_more: u64,
    /// Proposals beyond theirs, which were not compared.
    pub(crate) n_not_compared: u64,
}

impl Kept for PlacePairs {
    fn write(&self, out: &mut Writer) {
        out.u64(self.n_more);
        out.u64(self.n_not_compared);
        out.u64(self.pairs.len() as u64);
        for (Proposal { a, b, kind, similarity }, Verified { score, shared, overlap }) in &self.pairs {
            out.u32(*a);
            out.u32(*b);
            out.u8(KINDS.iter().position(|it| it == kind).map_or(u8::MAX, |it| it as u8));
            out.u32(similarity.to_bits());
            out.u32(score.to_bits());
            write_shared(shared, out);
            // A share is at most 1: no share is told by more.
            let shares = overlap.map_or([NO_SHARE; 2], |it| [it.text, it.answer.unwrap_or(NO_SHARE)]);
            shares.into_iter().for_each(|it| out.u32(it.to_bits()));
        }
    }

    fn read(from: &mut Reader<'_>) -> Option<Self> {
        let (n_more, n_not_compared) = (from.u64()?, from.u64()?);
        let n = usize::try_from(from.u64()?).ok()?;
        let mut pairs = Vec::new();
        for _ in 0..n {
            let (a, b, kind) = (from.u32()?, from.u32()?, *KINDS.get(usize::from(from.u8()?))?);
            let (similarity, score) = (f32::from_bits(from.u32()?), f32::from_bits(from.u32()?));
            let shared = read_shared(from)?;
            let mut share = || from.u32().map(|it| Some(f32::from_bits(it)).filter(|it| *it <= 1.0));
            let (text, answer) = (share()?, share()?);
            let overlap = text.map(|text| Overlap { text, answer });
            pairs.push((Proposal { a, b, kind, similarity }, Verified { score, shared, overlap }));
        }
        Some(Self { pairs, n_more, n_not_compared })
    }
}

/// Stands for a share that is not known.
const NO_SHARE: f32 = 2.0;

/// Kinds in the order of their codes.
const KINDS: [PairKind; 4] = [PairKind::Cosine, PairKind::Jaccard, PairKind::Containment, PairKind::Hamming];

/// What there is nothing of has code 0, and so has what this version has no code for.
fn write_shared(shared: &Shared, out: &mut Writer) {
    match shared {
        Shared::Run { a, b, n_words } => {
            out.u8(1);
            [a, b, n_words].into_iter().for_each(|it| out.u32(*it));
        }
        Shared::Pixels(Alignment { orientation, crop }) => {
            out.u8(if crop.is_some() { 3 } else { 2 });
            out.u8(Orientation::ALL.iter().position(|it| it == orientation).map_or(u8::MAX, |it| it as u8));
            for Margins { left, top, right, bottom } in crop.iter().flat_map(|it| [it.first, it.second]) {
                [left, top, right, bottom].into_iter().for_each(|it| out.u32(it.to_bits()));
            }
        }
        _ => out.u8(0),
    }
}

fn read_shared(from: &mut Reader<'_>) -> Option<Shared> {
    let code = from.u8()?;
    match code {
        0 => Some(Shared::Nothing),
        1 => Some(Shared::Run { a: from.u32()?, b: from.u32()?, n_words: from.u32()? }),
        2 | 3 => {
            let orientation = *Orientation::ALL.get(usize::from(from.u8()?))?;
            let mut margins = || {
                let mut number = || from.u32().map(f32::from_bits);
                Some(Margins { left: number()?, top: number()?, right: number()?, bottom: number()? })
            };
            let crop = if code == 3 { Some(Crop { first: margins()?, second: margins()? }) } else { None };
            Some(Shared::Pixels(Alignment { orientation, crop }))
        }
        _ => None,
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

/// Places in the plane, by rows of what was laid out.
#[derive(Debug)]
pub(crate) struct Places(pub(crate) Vec<[f32; 2]>);

impl Kept for Places {
    fn write(&self, out: &mut Writer) {
        out.f32s(&self.0.concat());
    }

    fn read(from: &mut Reader<'_>) -> Option<Self> {
        let numbers = from.f32s()?;
        let (places, rest) = numbers.as_chunks();
        rest.is_empty().then(|| Self(places.to_vec()))
    }
}
