//! Which of several copies is best to keep.

use std::cmp::{Ordering, Reverse};
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use tamis_core::{Contents, Dataset, Families, LabelId, SampleId};

/// One reason to keep a sample rather than another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeepBy {
    /// What is evaluated on stays: test before validation before train.
    Split,
    /// The most pixels, the longest text.
    Size,
    /// The label that most of the family have.
    Label,
    /// The smallest key.
    Key,
    /// The first in reading order.
    First,
    /// The largest number in this column of the user's; samples without one come last.
    Column(String),
}

/// Reasons in their order; what they leave open, the key decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeepOrder(pub Vec<KeepBy>);

impl Default for KeepOrder {
    fn default() -> Self {
        Self(vec![KeepBy::Split, KeepBy::Size, KeepBy::Label, KeepBy::Key])
    }
}

impl FromStr for KeepBy {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "split" => Ok(Self::Split),
            "size" => Ok(Self::Size),
            "label" => Ok(Self::Label),
            "key" => Ok(Self::Key),
            "first" => Ok(Self::First),
            _ => match name.strip_prefix("column:") {
                Some(column) if !column.is_empty() => Ok(Self::Column(column.to_owned())),
                _ => Err(format!("keep is `{name}`, expected one of split, size, label, key, first, column:NAME")),
            },
        }
    }
}

impl fmt::Display for KeepBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Split => f.write_str("split"),
            Self::Size => f.write_str("size"),
            Self::Label => f.write_str("label"),
            Self::Key => f.write_str("key"),
            Self::First => f.write_str("first"),
            Self::Column(name) => write!(f, "column:{name}"),
        }
    }
}

impl fmt::Display for KeepOrder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.iter().map(KeepBy::to_string).collect::<Vec<_>>().join(","))
    }
}

impl KeepOrder {
    /// The first column that is named and not there.
    #[must_use]
    pub fn missing_column(&self, dataset: &Dataset) -> Option<&str> {
        let is_there = |name: &str| dataset.columns().iter().any(|it| it.name == name);
        self.0.iter().find_map(|by| match by {
            KeepBy::Column(name) if !is_there(name) => Some(name.as_str()),
            _ => None,
        })
    }

    /// A rank for each sample, in reading order; the smallest is best to keep.
    #[must_use]
    pub fn ranks(&self, dataset: &Dataset, contents: Contents<'_>, families: &Families) -> Vec<u32> {
        let majority = majority_labels(dataset, families);
        // Keys differ: what comes after them decides nothing.
        let reasons = self.0.iter().take_while(|by| **by != KeepBy::Key);
        let reasons: Vec<Vec<f64>> = reasons.map(|by| preference(by, dataset, contents, families, &majority)).collect();
        let mut order: Vec<SampleId> = dataset.ids().collect();
        let by_reasons = |x: &SampleId, y: &SampleId| {
            let compared = reasons.iter().map(|reason| reason[x.idx()].total_cmp(&reason[y.idx()]));
            compared.fold(Ordering::Equal, Ordering::then)
        };
        order.sort_by(|x, y| by_reasons(x, y).then_with(|| dataset.key(*x).cmp(dataset.key(*y))));
        let mut ranks = vec![0; dataset.len()];
        for (rank, id) in (0..).zip(order) {
            ranks[id.idx()] = rank;
        }
        ranks
    }
}

/// A number for each sample, the smaller the better.
#[expect(clippy::cast_precision_loss, reason = "sizes are far below 2^53")]
fn preference(
    by: &KeepBy,
    dataset: &Dataset,
    contents: Contents<'_>,
    families: &Families,
    majority: &BTreeMap<SampleId, LabelId>,
) -> Vec<f64> {
    let size = |id| match contents {
        Contents::Texts(texts) => texts.text_bytes(id) as f64,
        Contents::Images(images) => images.facts(id).map_or(0.0, |it| f64::from(it.width) * f64::from(it.height)),
    };
    let column = match by {
        KeepBy::Column(name) => dataset.columns().iter().find(|it| it.name == *name),
        _ => None,
    };
    let number = |id| column.and_then(|it| it.get(id)).and_then(|cell| cell.trim().parse::<f64>().ok());
    let of = |id: SampleId| match by {
        KeepBy::Split => -f64::from(dataset.split_role(dataset.sample(id).split) as u8),
        KeepBy::Size => -size(id),
        KeepBy::Label => match (dataset.sample(id).label, majority.get(&families.first(id))) {
            (Some(label), Some(most)) if label == *most => 0.0,
            _ => 1.0,
        },
        KeepBy::Key => 0.0,
        KeepBy::First => id.idx() as f64,
        KeepBy::Column(_) => number(id).filter(|it| !it.is_nan()).map_or(f64::INFINITY, |it| -it),
    };
    dataset.ids().map(of).collect()
}

/// The label that most members of each family have, by its first member; ties go to the smaller label.
fn majority_labels(dataset: &Dataset, families: &Families) -> BTreeMap<SampleId, LabelId> {
    let most = |members: &[SampleId]| {
        let mut counts: BTreeMap<LabelId, usize> = BTreeMap::new();
        for label in members.iter().filter_map(|id| dataset.sample(*id).label) {
            *counts.entry(label).or_default() += 1;
        }
        counts.into_iter().min_by_key(|(label, n)| (Reverse(*n), *label)).map(|(label, _)| label)
    };
    families.list().iter().filter_map(|it| Some((it.members[0], most(&it.members)?))).collect()
}
