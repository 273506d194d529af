//! Tokens of sentences.

use anyhow::Context as _;
use serde_json::json;
use tamis_labels::tokens::{self, SentenceScore, Token};
use tamis_labels::{PruneOptions, self_confidence};

use super::{Found, classes, needed, numbers, open, probabilities, score, with_path};
use crate::args::LabelsArgs;

/// Judges the labels of all tokens, one after the other, by their probabilities; offsets say where sentences begin.
pub(super) fn judge(args: &LabelsArgs) -> anyhow::Result<Found> {
    let labels = classes(needed(args, "--labels", &args.labels)?)?;
    let probabilities = probabilities(needed(args, "--pred-probs", &args.pred_probs)?)?;
    let path = needed(args, "--offsets", &args.offsets)?;
    let offset = |(row, number): (usize, i64)| {
        usize::try_from(number).map_err(|_| format!("row {row} is {number}, expected the first token of a sentence"))
    };
    let offsets = with_path(path, open(path)?.integers())?;
    let offsets: Vec<usize> = with_path(path, offsets.into_iter().enumerate().map(offset).collect())?;
    let (name, score) = score(args, &[("min", SentenceScore::Min), ("softmin", SentenceScore::Softmin)])?;
    let own = self_confidence(&labels, probabilities.view())?;
    let issues = tokens::token_issues(&labels, probabilities.view(), &offsets, &PruneOptions::default())
        .with_context(|| format!("cannot use {}", path.display()))?;
    let sentences = tokens::sentence_scores(&own, &offsets, score)?;
    let named = |it: &Token| {
        (format!("sentence {}, token {}", it.sentence, it.position), own[offsets[it.sentence] + it.position])
    };
    Ok(Found {
        n: labels.len(),
        worst: issues.iter().map(named).collect(),
        notes: vec![format!("{} tokens of {} sentences are issues", issues.len(), sentences.len())],
        json: json!({
            "k": probabilities.ncols(),
            "score": name,
            "issues": issues.iter().map(|it| [it.sentence, it.position]).collect::<Vec<_>>(),
            "label_quality": numbers(&own),
            "sentence_quality": numbers(&sentences),
        }),
    })
}
