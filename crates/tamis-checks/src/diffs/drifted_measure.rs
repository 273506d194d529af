use tamis_core::{Change, CheckInfo, DiffCheck, DiffContext, Drift, Severity};

/// A measure whose distribution differs.
#[derive(Debug)]
pub(super) struct DriftedMeasure;

static INFO: CheckInfo = CheckInfo {
    id: "drifted-measure",
    summary: "Measures whose distribution differs by more than chance",
    page: include_str!("drifted_measure.md"),
    judges_labels: false,
};

/// Effect from which a drift is of medium severity. A convention: a tenth of the samples stand elsewhere.
const LARGE: f64 = 0.1;

/// Effect below which a drift is not worth a finding, however sure it is: one sample in a hundred.
const SMALL: f64 = 0.01;

impl DiffCheck for DriftedMeasure {
    fn info(&self) -> &'static CheckInfo {
        &INFO
    }

    fn run(&self, cx: &DiffContext<'_>) -> Vec<Change> {
        let is_real = |drift: &&Drift| drift.is_significant && SMALL <= drift.effect;
        cx.drifts.iter().filter(is_real).map(change).collect()
    }
}

fn change(drift: &Drift) -> Change {
    let mut message = format!("{}: {} {:.3}", drift.measure, drift.statistic.replace('-', " "), drift.effect);
    if let Some((before, after)) = drift.means {
        message.push_str(&format!(", mean {before:.4} became {after:.4}"));
    }
    if let Some((value, before, after)) = &drift.moved_most {
        message.push_str(&format!(", most of it {value}: {:.1} % became {:.1} %", before * 100.0, after * 100.0));
    }
    if let Some(p) = drift.p_value {
        message.push_str(&format!(" (p = {p:.3})"));
    }
    let severity = if LARGE <= drift.effect { Severity::Medium } else { Severity::Low };
    Change { severity, message, before: Vec::new(), after: Vec::new() }
}
