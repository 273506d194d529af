//! `tamis models distill`.

use tamis::{config, models};
use tamis_core::Modality;
use tamis_embed::distill::{DistillOptions, distill};

use crate::args::ModelsDistillArgs;
use crate::commands::open_device;
use crate::exit::{ExitStatus, Usage, print_to_stderr};
use crate::progress::Bars;

/// Distills and writes.
pub(super) fn run(args: &ModelsDistillArgs) -> anyhow::Result<ExitStatus> {
    let files = models::find(&args.model, &config::hub())?;
    if !tamis_embed::modalities(&files)?.contains(&Modality::Text) {
        let text = format!("model `{}` is for images, expected one for texts: only these can be distilled", args.model);
        return Err(Usage(text).into());
    }
    let device = open_device(args.device.unwrap_or_default())?;
    let options = DistillOptions { dim: args.dim, int8: args.int8 };
    let distilled = distill(&files, &device, options, &args.out, &Bars::new(args.quiet))?;
    if !args.quiet {
        let (out, share) = (args.out.display(), 100.0 * distilled.variance);
        let text = format!(
            "{out}: {} tokens of {} numbers, which keep {share:.1} % of the variance\nhint: tamis audit --model {out} …\n",
            distilled.n_tokens, args.dim
        );
        print_to_stderr(&text);
    }
    Ok(ExitStatus::Clean)
}
