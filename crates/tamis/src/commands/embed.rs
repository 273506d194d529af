//! `tamis embed`.

use anyhow::Context as _;
use tamis::ingest::{WindowSize, ingest};
use tamis::model::Model;
use tamis::{config, models};
use tamis_data::atomic::Commits;
use tamis_data::store::Store;
use tamis_data::{Reader, npy};

use super::{device, inputs, model_name, read_options, set_threads};
use crate::args::EmbedArgs;
use crate::exit::{ExitStatus, print_to_stderr};
use crate::interrupt;
use crate::progress::Bars;

/// Embeds and writes.
pub(crate) fn run(args: &EmbedArgs) -> anyhow::Result<ExitStatus> {
    let (file, _) = config::load(args.read.config.as_deref())?;
    set_threads(&args.read, &file)?;
    let reader = Reader::open(&inputs(&args.read)?, &read_options(&args.read, &file))?;
    let named = model_name(&args.read, &file);
    let name = named.as_deref().unwrap_or(models::default_for(reader.modality()));
    let files = models::find(name, &config::hub())?;
    let model = Model::load(&files, reader.modality(), reader.typical_side(), &device(&args.read, &file)?)
        .context("cannot load the model")?;
    let store = Store::temporary(&config::scratch_dir())?;
    interrupt::remove_scratch(store.dir().to_owned());
    let bars = Bars::new(args.read.quiet);
    let ingested = ingest(reader, Some(&model), &store, WindowSize::default(), &bars)?;
    let center = |it| if args.raw { Ok(it) } else { model.center(it) };
    let embeddings = ingested.embeddings.map(center).transpose()?;
    let (dataset, embeddings) = (&ingested.dataset, embeddings.as_ref());
    let vectors = embeddings.map(|it| (it, it.rows().to_slice().expect("because vectors are kept row-major")));
    let dim = model.manifest().dim;
    let row = |id| {
        let (embeddings, all) = vectors?;
        let row = embeddings.row_of(id)?;
        Some(&all[row * dim..(row + 1) * dim])
    };
    let rows: Vec<Option<&[f32]>> = dataset.ids().map(row).collect();
    let shape = (dataset.len(), dim);
    npy::write(&Commits::new(), &args.out, shape, rows)
        .with_context(|| format!("cannot write {}", args.out.display()))?;
    if !args.read.quiet {
        let text = format!("{}: {} vectors of {} numbers\n", args.out.display(), shape.0, shape.1);
        print_to_stderr(&text);
    }
    Ok(ExitStatus::Clean)
}
