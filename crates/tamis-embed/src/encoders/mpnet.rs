//! `MPNet`: all-mpnet-base-v2, multi-qa-mpnet and their kin.
//!
//! Order of operations and tensor names follow `MPNetModel` of the transformers library
//! (`src/transformers/models/mpnet/modeling_mpnet.py`, release 5.23): [`super::bert`] with other names, without token
//! types, with positions as in [`super::roberta`], and with a bias of scores by distance that all layers share.
//! Deviations: as in [`super::bert`]; the bias is laid out by distance once, and the bucket of a distance is computed in
//! whole numbers.
//!
//! Song et al., "`MPNet`: Masked and Permuted Pre-training for Language Understanding" (2020).

use serde::Deserialize;

use super::bert::{self, Names, Variant};
use super::layers::post_norm::Numbering;
use super::{Build, EncoderDef, Source, TextEncoder};
use crate::ModelError;
use crate::ops::{Matrix, Ops};

pub(super) static DEF: EncoderDef = super::text::<Def>("mpnet");

struct Def;

const VARIANT: Variant = Variant {
    prefix: "mpnet.",
    // The padding id is fixed: `MPNetEmbeddings.padding_idx`.
    numbering: |_| Numbering::Behind { padding: 1 },
    typed: false,
    names: Names {
        qkv: ["attention.attn.q", "attention.attn.k", "attention.attn.v"],
        attention_out: "attention.attn.o",
        attention_norm: "attention.LayerNorm",
    },
};

/// Buckets of distances: a fixed argument of `MPNetEncoder.compute_position_bias`.
const N_BUCKETS: usize = 32;

/// Buckets of one direction that hold a single distance each.
const N_EXACT: usize = N_BUCKETS / 4;

/// `config.json`, as far as the bias depends on it.
#[derive(Debug, Deserialize)]
struct Config {
    num_attention_heads: usize,
    #[serde(default = "n_buckets")]
    relative_attention_num_buckets: usize,
}

fn n_buckets() -> usize {
    N_BUCKETS
}

impl Build for Def {
    type Encoder = dyn TextEncoder;

    fn build<O: Ops>(ops: O, source: &Source<'_>) -> Result<Box<dyn TextEncoder>, ModelError> {
        let mut model = bert::load(ops, source, &VARIANT)?;
        let config: Config = source.config()?;
        if config.relative_attention_num_buckets != N_BUCKETS {
            let got = config.relative_attention_num_buckets;
            return Err(source.malformed(format!("relative_attention_num_buckets is {got}, expected {N_BUCKETS}")));
        }
        let weights = source.weights.with_optional_prefix(VARIANT.prefix);
        let buckets = "encoder.relative_attention_bias.weight";
        let buckets = weights.matrix(buckets, N_BUCKETS, config.num_attention_heads)?;
        model.attention.bias = Some(model.ops.table(by_distance(&buckets, source.max_tokens()))?);
        Ok(Box::new(model))
    }
}

/// The bias of each distance in texts of at most `n` tokens, shape `(2 * n - 1, heads)`: see
/// [`crate::ops::Attention::bias`].
fn by_distance(buckets: &Matrix, n: usize) -> Matrix {
    let before = (1..n).rev().map(bucket);
    let behind = (1..n).map(|distance| N_BUCKETS / 2 + bucket(distance));
    let order = before.chain([0]).chain(behind);
    let values = order.flat_map(|bucket| &buckets.values[bucket * buckets.width..][..buckets.width]).copied();
    Matrix { width: buckets.width, values: values.collect() }
}

/// The bucket of a distance to a key before the query: each distance below 8 has its own; from there on they widen by the
/// root of 2, `8 + floor(8 * log(distance / 8) / log(128 / 8))`, up to the 16th (Raffel et al. 2020, section 2.1).
fn bucket(distance: usize) -> usize {
    if distance < N_EXACT {
        return distance;
    }
    // 8 * log(distance / 8) / log(16) is the binary logarithm of (distance / 8)^2.
    let steps = (distance * distance / (N_EXACT * N_EXACT)).ilog2() as usize;
    (N_EXACT + steps).min(N_BUCKETS / 2 - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where the bucket changes, by `MPNetEncoder.relative_position_bucket` of the transformers library, release 5.23.
    #[test]
    fn buckets_widen_by_the_root_of_2() {
        let first = |wanted: usize| (0..1000).find(|distance| bucket(*distance) == wanted).unwrap();
        let starts: Vec<_> = (0..16).map(first).collect();
        assert_eq!(starts, [0, 1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 23, 32, 46, 64, 91]);
        assert_eq!(bucket(usize::from(u16::MAX)), 15);
    }

    #[test]
    fn keys_behind_the_query_have_buckets_of_their_own() {
        let buckets = Matrix { width: 1, values: (0..32_u8).map(f32::from).collect() };
        assert_eq!(by_distance(&buckets, 4).values, [3.0, 2.0, 1.0, 0.0, 17.0, 18.0, 19.0]);
    }
}
