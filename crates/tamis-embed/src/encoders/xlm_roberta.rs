//! `XLM-RoBERTa`: multilingual-e5, bge-m3, paraphrase-multilingual-mpnet and their kin.
//!
//! Order of operations and tensor names follow `XLMRobertaModel` of the transformers library
//! (`src/transformers/models/xlm_roberta/modeling_xlm_roberta.py`, release 5.23), which computes what [`super::roberta`]
//! computes; the tokenizer is another. Deviations: as there.
//!
//! Conneau et al., "Unsupervised Cross-lingual Representation Learning at Scale" (2020).

use super::{Build, EncoderDef, Source, TextEncoder, bert, roberta};
use crate::ModelError;
use crate::ops::Ops;

pub(super) static DEF: EncoderDef = super::text::<Def>("xlm-roberta");

struct Def;

impl Build for Def {
    type Encoder = dyn TextEncoder;

    fn build<O: Ops>(ops: O, source: &Source<'_>) -> Result<Box<dyn TextEncoder>, ModelError> {
        Ok(Box::new(bert::load(ops, source, &roberta::VARIANT)?))
    }
}
