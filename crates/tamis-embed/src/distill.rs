//! From a text model to a static one: every token of the vocabulary goes through the model once, and afterwards a text is
//! the mean of the vectors of its tokens.
//!
//! What a static model loses is everything that depends on the order of words; what it gains is that embedding costs as
//! much as tokenizing. The steps are those of `Model2Vec` (Tulkens and van Dongen 2024): the model embeds each token between
//! its special tokens; the vectors are centered and projected on their first principal components; and each is weighted
//! by how rare its token is, `a / (a + p)` with `a = 1e-4` (Arora et al. 2017, section 3). The probability `p` of a token
//! is Zipf's for its rank: `p` is proportional to `1 / rank`. Vocabularies are sorted by frequency but for single
//! characters, which stand together: those of ASCII are taken for the most frequent tokens, others for the rarest.
//! By the same probabilities, the mean of a text's tokens is then centered, without which all texts would be alike:
//! what function words have in common is in every text.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use half::f16;
use ndarray::{Array1, Array2, Axis};
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use tamis_core::{Progress, Task};
use tokenizers::Tokenizer;

use crate::{Device, EmbedError, ModelError, ModelFiles, TextModel, tokens};

/// The `a` of Arora et al. (2017), section 3.
const RARITY: f64 = 1e-4;

/// Tokens that are embedded before progress is told: some batches for every thread.
const TOKENS_PER_CALL: usize = 4096;

/// Numbers that share a scale where weights are int8.
const GROUP: usize = 64;

/// Off-diagonal numbers below this share of the largest diagonal one are zero for the eigenvectors.
const JACOBI_TOLERANCE: f64 = 1e-12;

/// Sweeps after which Jacobi's method is given up; it takes about ten (Golub and Van Loan, section 8.5).
const JACOBI_SWEEPS: usize = 60;

/// How a model is distilled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DistillOptions {
    /// Numbers of a vector, at most as many as the model has.
    pub dim: usize,
    /// Whether weights are stored as int8 with one f16 scale per 64 numbers, a quarter of f32.
    pub int8: bool,
}

/// What was distilled.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Distilled {
    /// Tokens that have a vector.
    pub n_tokens: usize,
    /// Share of the variance of the tokens' vectors that the components keep.
    pub variance: f64,
}

/// A model that could not be distilled.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DistillError {
    /// The model cannot be used.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The model failed.
    #[error(transparent)]
    Embed(#[from] EmbedError),
    /// The options do not fit the model.
    #[error("dim is {dim}, expected {expected}")]
    Dim {
        /// What was asked for.
        dim: usize,
        /// What would be right.
        expected: String,
    },
    /// Nothing is overwritten.
    #[error("{path} is there already, expected a folder to be made")]
    Exists {
        /// The folder.
        path: PathBuf,
    },
    /// The result could not be written.
    #[error("cannot write {path}")]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

/// Distills the model in `files`, run on `device`, into the folder `out`, which must not exist.
///
/// # Errors
/// When the model cannot be loaded or run, `options` do not fit it, or the folder cannot be written.
pub fn distill(
    files: &ModelFiles,
    device: &Device,
    options: DistillOptions,
    out: &Path,
    progress: &dyn Progress,
) -> Result<Distilled, DistillError> {
    if out.exists() {
        return Err(DistillError::Exists { path: out.to_owned() });
    }
    let model = TextModel::load_on(files, device)?;
    let full = model.manifest().dim;
    if options.dim == 0 || full < options.dim || (options.int8 && !options.dim.is_multiple_of(GROUP)) {
        let multiple = if options.int8 { format!(" that {GROUP} divides, for int8") } else { String::new() };
        let expected = format!("a number from 1 to {full}{multiple}");
        return Err(DistillError::Dim { dim: options.dim, expected });
    }
    let tokenizer = &model.manifest().tokenizer;
    let vocabulary = Vocabulary::of(tokens::read(files, tokenizer)?);
    let vocabulary = vocabulary.ok_or_else(|| {
        files.malformed(tokenizer, "its post_processor does more than to put tokens before and after a text")
    })?;
    let task = progress.begin("embedding the vocabulary", Some(vocabulary.n_ids as u64), "tokens");
    let vectors = embed_tokens(&model, &vocabulary, &*task)?;
    drop(task);
    let (mut table, variance) = project(&vectors, &vocabulary, options.dim);
    weigh(&mut table, &vocabulary);
    write(&model, files, &table, options, out)?;
    Ok(Distilled { n_tokens: vocabulary.tokens.len(), variance })
}

/// The tokens of a model that stand for text.
struct Vocabulary {
    /// Ids there are, special ones and gaps included.
    n_ids: usize,
    /// Ids of the tokens that stand for text, the most frequent one first.
    tokens: Vec<u32>,
    /// Special tokens before and after every text.
    around: (Vec<u32>, Vec<u32>),
}

impl Vocabulary {
    /// The tokens of `tokenizer` but for added ones, which are special, and places that BERT left free.
    /// `None` where special tokens do not stand around a text alone.
    fn of(tokenizer: Tokenizer) -> Option<Self> {
        let special: HashSet<u32> = tokenizer.get_added_tokens_decoder().keys().copied().collect();
        let vocabulary = tokenizer.get_vocab(false);
        let n_ids = vocabulary.values().chain(&special).max().map_or(0, |id| *id as usize + 1);
        let mut tokens: Vec<(Rarity, u32)> = vocabulary
            .into_iter()
            .filter(|(token, id)| !special.contains(id) && !token.starts_with("[unused"))
            .map(|(token, id)| (Rarity::of(&token), id))
            .collect();
        tokens.sort_unstable();
        let mut tokens: Vec<u32> = tokens.into_iter().map(|(_, id)| id).collect();
        tokens.dedup();
        Some(Self { n_ids, tokens, around: tokens::around(&tokenizer)? })
    }
}

/// Which tokens are more frequent than others, whatever their ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rarity {
    /// Letters, digits and punctuation.
    AsciiCharacter,
    /// Words and their parts.
    Word,
    /// Characters of other scripts.
    OtherCharacter,
}

impl Rarity {
    fn of(token: &str) -> Self {
        let mut characters = token.chars();
        match (characters.next(), characters.next()) {
            (Some(only), None) if only.is_ascii() => Self::AsciiCharacter,
            (Some(_), None) => Self::OtherCharacter,
            _ => Self::Word,
        }
    }
}

/// The model's vector of every token between the special ones, shape `(tokens, dim)`.
fn embed_tokens(model: &TextModel, vocabulary: &Vocabulary, task: &dyn Task) -> Result<Array2<f32>, EmbedError> {
    let (before, after) = &vocabulary.around;
    let mut rows = Vec::with_capacity(vocabulary.tokens.len() * model.manifest().dim);
    for ids in vocabulary.tokens.chunks(TOKENS_PER_CALL) {
        let texts = ids.iter().map(|id| [before.as_slice(), &[*id], after].concat()).collect();
        rows.extend(model.embed_ids(texts, task)?);
    }
    Ok(Array2::from_shape_vec((vocabulary.tokens.len(), model.manifest().dim), rows)
        .expect("because the model gives one vector per token"))
}

/// The vectors on their first `dim` principal components, one row per id (zero where an id stands for no text), and the
/// share of the variance that is kept.
fn project(vectors: &Array2<f32>, vocabulary: &Vocabulary, dim: usize) -> (Array2<f32>, f64) {
    let mean = vectors.mean_axis(Axis(0)).unwrap_or_else(|| Array1::zeros(vectors.ncols()));
    let centered = vectors - &mean;
    let covariance = centered.t().dot(&centered).mapv(f64::from);
    let (values, components) = eigen(covariance);
    let total: f64 = values.iter().sum();
    let kept: f64 = values.iter().take(dim).sum();
    let components = components.slice(ndarray::s![..dim, ..]).mapv(narrow);
    let projected = centered.dot(&components.t());
    let mut table = Array2::zeros((vocabulary.n_ids, dim));
    for (id, row) in vocabulary.tokens.iter().zip(projected.rows()) {
        table.row_mut(*id as usize).assign(&row);
    }
    (table, if 0.0 < total { kept / total } else { 1.0 })
}

/// Multiplies each row with how rare its token is, and subtracts what is to be expected of a token of a text.
#[expect(clippy::cast_precision_loss, reason = "a vocabulary has far fewer than 2^52 tokens")]
fn weigh(table: &mut Array2<f32>, vocabulary: &Vocabulary) {
    let harmonic: f64 = (1..=vocabulary.tokens.len()).map(|rank| 1.0 / rank as f64).sum();
    let mut expected = Array1::<f64>::zeros(table.ncols());
    for (i, id) in vocabulary.tokens.iter().enumerate() {
        let probability = 1.0 / ((i + 1) as f64 * harmonic);
        let weight = narrow(RARITY / (RARITY + probability));
        let mut row = table.row_mut(*id as usize);
        row.mapv_inplace(|x| x * weight);
        expected.scaled_add(probability, &row.mapv(f64::from));
    }
    let expected = expected.mapv(narrow);
    for id in &vocabulary.tokens {
        let mut row = table.row_mut(*id as usize);
        row -= &expected;
    }
}

/// The nearest f32.
#[expect(clippy::cast_possible_truncation, reason = "weights are f32")]
fn narrow(x: f64) -> f32 {
    x as f32
}

/// Eigenvalues of a symmetric matrix, largest first, and their eigenvectors as rows, by Jacobi's method with cyclic sweeps
/// (Golub and Van Loan, "Matrix Computations", section 8.5). The largest number of each vector is positive.
fn eigen(mut a: Array2<f64>) -> (Vec<f64>, Array2<f64>) {
    let n = a.nrows();
    let mut vectors = Array2::<f64>::eye(n);
    for _ in 0..JACOBI_SWEEPS {
        let largest = a.diag().iter().fold(0.0_f64, |max, x| max.max(x.abs()));
        let mut rotated = false;
        for p in 0..n {
            for q in p + 1..n {
                if a[[p, q]].abs() <= JACOBI_TOLERANCE * largest {
                    continue;
                }
                rotated = true;
                let (cos, sin) = rotation(a[[p, p]], a[[p, q]], a[[q, q]]);
                for k in 0..n {
                    let (x, y) = (a[[p, k]], a[[q, k]]);
                    (a[[p, k]], a[[q, k]]) = (cos * x - sin * y, sin * x + cos * y);
                }
                for k in 0..n {
                    let (x, y) = (a[[k, p]], a[[k, q]]);
                    (a[[k, p]], a[[k, q]]) = (cos * x - sin * y, sin * x + cos * y);
                }
                for k in 0..n {
                    let (x, y) = (vectors[[p, k]], vectors[[q, k]]);
                    (vectors[[p, k]], vectors[[q, k]]) = (cos * x - sin * y, sin * x + cos * y);
                }
            }
        }
        if !rotated {
            break;
        }
    }
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|i, j| a[[*j, *j]].total_cmp(&a[[*i, *i]]).then(i.cmp(j)));
    let mut sorted = vectors.select(Axis(0), &order);
    for mut vector in sorted.rows_mut() {
        let largest = vector.iter().copied().fold(0.0_f64, |max, x| if max.abs() < x.abs() { x } else { max });
        if largest < 0.0 {
            vector.mapv_inplace(|x| -x);
        }
    }
    (order.into_iter().map(|i| a[[i, i]]).collect(), sorted)
}

/// Cosine and sine of the rotation that makes the off-diagonal number of `[[app, apq], [apq, aqq]]` zero.
fn rotation(app: f64, apq: f64, aqq: f64) -> (f64, f64) {
    let tau = (aqq - app) / (2.0 * apq);
    let t = 1.0_f64.copysign(tau) / (tau.abs() + (1.0 + tau * tau).sqrt());
    let cos = 1.0 / (1.0 + t * t).sqrt();
    (cos, t * cos)
}

/// Writes the folder of a static model: weights, tokenizer, manifest.
fn write(
    model: &TextModel,
    files: &ModelFiles,
    table: &Array2<f32>,
    options: DistillOptions,
    out: &Path,
) -> Result<(), DistillError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| DistillError::Write { path, source }
    };
    std::fs::create_dir(out).map_err(failed(out))?;
    let save = |name: &str, bytes: &[u8]| {
        let path = out.join(name);
        std::fs::write(&path, bytes).map_err(failed(&path))
    };
    let id = out.file_name().map_or_else(|| "static".to_owned(), |name| name.to_string_lossy().into_owned());
    let tokenizer = files.require(&model.manifest().tokenizer, "the tokenizer of the model")?;
    save("tokenizer.json", &tokenizer)?;
    let config = format!("{{\"model_type\": \"model2vec\", \"hidden_dim\": {}, \"normalize\": true}}\n", options.dim);
    save("config.json", config.as_bytes())?;
    save("model.safetensors", &safetensors(table, options.int8))?;
    save("model.toml", manifest(model, &id, options).as_bytes())
}

/// The weights as a file: `embeddings`, f32 or int8 with scales.
fn safetensors(table: &Array2<f32>, int8: bool) -> Vec<u8> {
    let shape = vec![table.nrows(), table.ncols()];
    let tensors = if int8 {
        let (bytes, scales) = quantize(table);
        let groups = vec![table.nrows(), table.ncols() / GROUP];
        vec![("embeddings", (Dtype::I8, shape, bytes)), ("embeddings.scale", (Dtype::F16, groups, scales))]
    } else {
        let bytes = table.iter().flat_map(|x| x.to_le_bytes()).collect();
        vec![("embeddings", (Dtype::F32, shape, bytes))]
    };
    let views = tensors.iter().map(|(name, (dtype, shape, bytes))| {
        let view =
            TensorView::new(*dtype, shape.clone(), bytes).expect("because there are as many bytes as the shape says");
        (*name, view)
    });
    safetensors::serialize(views, None).expect("because names are distinct and data fit their shapes")
}

/// Each group of 64 numbers as int8 times a scale: the bytes, and the scales as f16.
#[expect(clippy::cast_possible_truncation, reason = "numbers are rounded and in [-127, 127]")]
fn quantize(table: &Array2<f32>) -> (Vec<u8>, Vec<u8>) {
    let (mut bytes, mut scales) = (Vec::with_capacity(table.len()), Vec::new());
    let numbers: Vec<f32> = table.iter().copied().collect();
    for group in numbers.chunks_exact(GROUP) {
        let largest = group.iter().fold(0.0_f32, |max, x| max.max(x.abs()));
        let scale = f16::from_f32(largest / 127.0);
        let divisor = if scale.to_f32() == 0.0 { 1.0 } else { scale.to_f32() };
        bytes.extend(group.iter().flat_map(|x| ((x / divisor).round().clamp(-127.0, 127.0) as i8).to_le_bytes()));
        scales.extend(scale.to_le_bytes());
    }
    (bytes, scales)
}

/// The manifest of the static model.
fn manifest(model: &TextModel, id: &str, options: DistillOptions) -> String {
    let from = model.manifest();
    let format = if options.int8 { "tamis-int8-g64" } else { "plain" };
    let input = model.text_input();
    let quoted = |text: &str| toml::Value::from(text).to_string();
    let languages: Vec<toml::Value> = input.languages.iter().map(|it| toml::Value::from(it.as_str())).collect();
    format!(
        "id = {}\ndescription = {}\nlicense = {}\nmodality = \"text\"\narchitecture = \"model2vec\"\ndim = {}\n\
         centered = false\nweights = \"model.safetensors\"\nweights_format = \"{format}\"\n\n\
         [text]\nlanguages = {}\npooling = \"mean\"\nmax_tokens = {}\n",
        quoted(id),
        quoted(&format!("Static vectors of single tokens, distilled from {}.", from.id)),
        quoted(&from.license),
        options.dim,
        toml::Value::from(languages),
        input.max_tokens,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eigenvectors_are_those_of_the_matrix_largest_first() {
        // Eigenvalues 1, 3 and 6 with known vectors, by a rotation of the diagonal matrix.
        let (c, s) = (0.6, 0.8);
        let q = ndarray::arr2(&[[c, s, 0.0], [-s, c, 0.0], [0.0, 0.0, 1.0]]);
        let a = q.t().dot(&Array2::from_diag(&ndarray::arr1(&[3.0, 1.0, 6.0]))).dot(&q);
        let (values, vectors) = eigen(a);
        for (value, expected) in values.iter().zip([6.0, 3.0, 1.0]) {
            assert!((value - expected).abs() < 1e-12, "{values:?}");
        }
        let expected = ndarray::arr2(&[[0.0, 0.0, 1.0], [c, s, 0.0], [-s, c, 0.0]]);
        // The second number of the last vector is smaller than the first, so its sign is that of the first.
        for (row, mut expected) in vectors.rows().into_iter().zip(expected.rows().into_iter().map(|it| it.to_owned())) {
            if expected[0] < 0.0 {
                expected.mapv_inplace(|x: f64| -x);
            }
            let difference = (&row - &expected).mapv(f64::abs).sum();
            assert!(difference < 1e-9, "{row} is not {expected}");
        }
    }

    #[test]
    fn a_matrix_is_the_sum_of_its_components() {
        let mut seed = 1_u32;
        let x = Array2::from_shape_fn((60, 40), |_| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            f64::from(seed >> 8) / f64::from(1 << 24) - 0.5
        });
        let a = x.t().dot(&x);
        let (values, vectors) = eigen(a.clone());
        assert!(values.is_sorted_by(|a, b| b <= a), "{values:?}");
        let back = vectors.t().dot(&Array2::from_diag(&Array1::from(values))).dot(&vectors);
        let largest = (back - a).mapv(f64::abs).into_iter().fold(0.0, f64::max);
        assert!(largest < 1e-9, "off by {largest}");
    }

    #[test]
    fn padding_is_not_taken_for_special_tokens() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../models/all-minilm-l6-v2/tokenizer.json");
        let vocabulary = Vocabulary::of(Tokenizer::from_file(path).unwrap()).unwrap();
        assert_eq!(vocabulary.around, (vec![101], vec![102]));
        assert_eq!((vocabulary.n_ids, vocabulary.tokens.len()), (30_522, 29_523));
        // `!`, the first word, `the`, and a character of another script.
        let [exclamation, the, last] = [999, 1996, 30_000].map(|id| vocabulary.tokens.iter().position(|it| *it == id));
        assert_eq!(exclamation, Some(0));
        assert!(exclamation < the && the < Some(200) && the < last, "{the:?} {last:?}");
    }

    #[test]
    fn int8_is_off_by_half_a_step_of_its_group() {
        let table = Array2::from_shape_fn((3, 128), |(i, j)| {
            let n = u16::try_from((i * 128 + j) * 37 % 255).unwrap();
            f32::from(n) / 127.5 - 1.0
        });
        let (bytes, scales) = quantize(&table);
        let scales: Vec<f32> = scales.as_chunks::<2>().0.iter().map(|it| f16::from_le_bytes(*it).to_f32()).collect();
        for (i, (x, byte)) in table.iter().zip(&bytes).enumerate() {
            let scale = scales[i / GROUP];
            let back = f32::from(i8::from_le_bytes([*byte])) * scale;
            assert!((x - back).abs() <= 0.51 * scale, "number {i}: {x} became {back}");
        }
    }
}
