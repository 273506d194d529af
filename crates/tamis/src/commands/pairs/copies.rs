//! Pairs of images that are copies of each other, by their pixels.

use anyhow::Context as _;
use tamis::copies::images::{ImageCopyOptions, ImagePair, Pictures};
use tamis::device::{for_joins, warn_of_failure};
use tamis::ingest::{WindowSize, ingest};
use tamis::model::Model;
use tamis::{config, models};
use tamis_core::{Alignment, Contents, Modality, Orientation, Progress, SampleId};
use tamis_data::Reader;
use tamis_data::store::Store;
use tamis_neighbors::Equals;

use super::{Joined, UNREAD, left_out};
use crate::args::PairsArgs;
use crate::commands::{device, inputs, model_name, read_options};
use crate::exit::Usage;
use crate::interrupt;

/// Reads and embeds the images, and compares those that are alike.
pub(super) fn join(
    args: &PairsArgs,
    min: f64,
    file: &config::FileConfig,
    progress: &dyn Progress,
) -> anyhow::Result<Joined> {
    let reader = Reader::open(&inputs(&args.read)?, &read_options(&args.read, file))?;
    if reader.modality() != Modality::Image {
        let nouns = reader.modality().nouns();
        return Err(Usage(format!("copy compares images, and the samples are {nouns}")).into());
    }
    let named = model_name(&args.read, file);
    let name = named.as_deref().unwrap_or(models::default_for(Modality::Image));
    let files = models::find(name, &config::hub())?;
    let device = device(&args.read, file)?;
    let model =
        Model::load(&files, Modality::Image, reader.typical_side(), &device).context("cannot load the model")?;
    let store = Store::temporary(&config::scratch_dir())?;
    interrupt::remove_scratch(store.dir().to_owned());
    let ingested = ingest(reader, Some(&model), &store, WindowSize::default(), progress)?;
    let embeddings = ingested.embeddings.map(|it| model.center(it)).transpose()?;
    let Contents::Images(source) = ingested.stored.contents() else {
        unreachable!("the reader said that the samples are images")
    };
    let dataset = &ingested.dataset;
    let widest = ingested.fingerprints.all_groups(dataset).pop().expect("because images have levels of identity");
    let equals = Equals::new(dataset.ok_ids().map(|id| (id.0, Some(widest.leader(id)))));
    let firsts: Vec<SampleId> = equals.firsts().map(SampleId).collect();
    #[expect(clippy::cast_possible_truncation, reason = "scores are compared in f32")]
    let options = ImageCopyOptions { min_score: min as f32, ..ImageCopyOptions::default() };
    let device = for_joins(&device);
    let pictures = Pictures { source, embeddings: embeddings.as_ref(), device: &device };
    let found = pictures.within(&firsts, &options, progress)?;
    warn_of_failure(&device);
    let mut joined = Joined {
        keys: dataset.ids().map(|id| dataset.key(id).to_owned()).collect(),
        n_represented: equals.n_represented(),
        ..Joined::default()
    };
    let same = Alignment { orientation: Orientation::Upright, crop: None };
    let mut all: Vec<((u32, u32, f64), Alignment)> = equals.pairs().map(|(a, b)| ((a, b, 1.0), same)).collect();
    for ImagePair { a, b, score, alignment } in found.pairs {
        let group = |id: SampleId| firsts.binary_search(&id).expect("because pairs are between the first ones");
        for a in equals.listed(group(a)) {
            all.extend(equals.listed(group(b)).iter().map(|b| {
                let alignment = if a < b { alignment } else { alignment.inverse() };
                ((*a.min(b), *a.max(b), f64::from(score)), alignment)
            }));
        }
    }
    joined.n_found = all.len() as u64;
    all.truncate(args.max_pairs);
    all.sort_by_key(|((a, b, _), _)| (*a, *b));
    (joined.pairs, joined.alignments) = all.into_iter().unzip();
    joined.is_least = found.is_capped;
    let n_unread = dataset.len() - dataset.ok_ids().count();
    let flat = "of one color or nearly so, which pixels do not tell apart";
    joined.notes = [left_out(n_unread, UNREAD), left_out(found.flat.len(), flat)].into_iter().flatten().collect();
    Ok(joined)
}
