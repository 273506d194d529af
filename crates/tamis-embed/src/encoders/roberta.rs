//! `RoBERTa`: all-distilroberta, all-roberta-large and their kin.
//!
//! Order of operations and tensor names follow `RobertaModel` of the transformers library
//! (`src/transformers/models/roberta/modeling_roberta.py`, release 5.23), which differs from [`super::bert`] in one thing:
//! positions are counted from `pad_token_id + 1`, padding tokens within a text not at all. Deviations: as there.
//!
//! Liu et al., "`RoBERTa`: A Robustly Optimized BERT Pretraining Approach" (2019).

use super::bert::{self, Config, Names, Variant};
use super::layers::post_norm::Numbering;
use super::{Build, EncoderDef, Source, TextEncoder};
use crate::ModelError;
use crate::ops::Ops;

pub(super) static DEF: EncoderDef = super::text::<Def>("roberta");

struct Def;

/// XLM-RoBERTa's too.
pub(super) const VARIANT: Variant = Variant {
    prefix: "roberta.",
    numbering: behind_padding,
    typed: true,
    names: Names {
        qkv: ["attention.self.query", "attention.self.key", "attention.self.value"],
        attention_out: "attention.output.dense",
        attention_norm: "attention.output.LayerNorm",
    },
};

/// The library's default for `pad_token_id` is 1.
fn behind_padding(config: &Config) -> Numbering {
    Numbering::Behind { padding: config.pad_token_id.unwrap_or(1) }
}

impl Build for Def {
    type Encoder = dyn TextEncoder;

    fn build<O: Ops>(ops: O, source: &Source<'_>) -> Result<Box<dyn TextEncoder>, ModelError> {
        Ok(Box::new(bert::load(ops, source, &VARIANT)?))
    }
}
