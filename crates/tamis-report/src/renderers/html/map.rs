//! The map of the page: places as small numbers, and what is said of a place that is pointed at.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::Serialize;
use tamis_core::{Contents, Report, SampleId};

use super::data::picture_url;
use super::inert::cost;
use crate::snippet;

/// Points of a map; of more samples as many are drawn by lot.
const MAX_POINTS: usize = 200_000;
/// Bytes of a point in base64: two for each coordinate, four for the sample, two each for split and label, four for checks.
const POINT_BYTES: usize = 22;
/// Characters of a text that is pointed at.
const MAX_CHARS: usize = 90;
/// Stands for no label.
const NO_LABEL: u16 = u16::MAX;

/// Points in reading order; arrays of little-endian numbers as base64.
#[derive(Debug, Serialize)]
pub(super) struct MapData<'a> {
    /// Samples that have a place.
    n_all: usize,
    /// `u16` pairs.
    xy: String,
    /// `u32`, the number of the sample in reading order.
    ids: String,
    /// `u16`.
    split: String,
    /// `u16`, 65535 for none.
    label: String,
    /// `u32`, a bit for each check of which a finding names the sample.
    checks: String,
    keys: Vec<&'a str>,
    /// The beginnings of texts, or pictures: one for each point, empty for what did not fit; none at all where contents are
    /// left out.
    contents: Vec<String>,
    /// Points whose content did not fit.
    n_bare: usize,
    /// Points whose content was not tried yet, with their places; the next one is the last.
    #[serde(skip)]
    waiting: Vec<(usize, SampleId)>,
}

impl<'a> MapData<'a> {
    /// The map of `report` in about `budget` bytes; `None` where there is none, or no room.
    pub(super) fn new(report: &'a Report<'_>, redact: bool, budget: usize) -> Option<Self> {
        let map = report.map?;
        let all: Vec<SampleId> = report.dataset.ids().filter(|id| map.place(*id).is_some()).collect();
        let keys: usize = all.iter().map(|id| cost(&report.dataset.key(*id)) + 1).sum();
        let per_point = POINT_BYTES + keys.checked_div(all.len())? + 3;
        let chosen = chosen(&all, MAX_POINTS.min(budget / per_point), report.seed);
        if chosen.is_empty() {
            return None;
        }
        let places: Vec<[f32; 2]> = chosen.iter().filter_map(|id| map.place(*id)).collect();
        let checks = checks_of(report);
        let sample = |id: &SampleId| report.dataset.sample(*id);
        let label = |id: &SampleId| sample(id).label.and_then(|it| u16::try_from(it.0).ok()).unwrap_or(NO_LABEL);
        let room = budget.saturating_sub(per_point * chosen.len());
        let mut waiting: Vec<(usize, SampleId)> = chosen.iter().copied().enumerate().collect();
        waiting.sort_unstable_by_key(|(_, id)| std::cmp::Reverse(lot(report.seed, *id)));
        let mut map = Self {
            n_all: all.len(),
            xy: base64(scaled(&places).iter().flatten().flat_map(|it| it.to_le_bytes())),
            ids: base64(chosen.iter().flat_map(|id| id.0.to_le_bytes())),
            split: base64(chosen.iter().flat_map(|id| sample(id).split.0.to_le_bytes())),
            label: base64(chosen.iter().flat_map(|id| label(id).to_le_bytes())),
            checks: base64(chosen.iter().flat_map(|id| checks.get(id).copied().unwrap_or(0_u32).to_le_bytes())),
            keys: chosen.iter().map(|id| report.dataset.key(*id)).collect(),
            contents: vec![String::new(); chosen.len()],
            n_bare: 0,
            waiting,
        };
        if redact {
            map.contents.clear();
            map.waiting.clear();
        }
        map.add_contents(report, room);
        Some(map)
    }

    /// Adds what is shown of points in about `room` bytes; who gets some is drawn by lot.
    pub(super) fn add_contents(&mut self, report: &Report<'_>, mut room: usize) {
        while let Some((place, id)) = self.waiting.last().copied() {
            let content = content(report, id);
            let bytes = cost(&content);
            if room < bytes {
                break;
            }
            room -= bytes;
            self.contents[place] = content;
            self.waiting.pop();
        }
        self.n_bare = self.waiting.len();
    }
}

/// At most `n` of `all`, in their order, drawn by lot where there are more.
fn chosen(all: &[SampleId], n: usize, seed: u64) -> Vec<SampleId> {
    if all.len() <= n {
        return all.to_vec();
    }
    let mut lots: Vec<(u64, SampleId)> = all.iter().map(|id| (lot(seed, *id), *id)).collect();
    lots.sort_unstable();
    let mut chosen: Vec<SampleId> = lots.into_iter().take(n).map(|(_, id)| id).collect();
    chosen.sort_unstable();
    chosen
}

/// A number that looks random: the finalizer of `SplitMix64` (Steele, Lea and Flood, OOPSLA 2014).
fn lot(seed: u64, id: SampleId) -> u64 {
    let mut z = (seed ^ u64::from(id.0)).wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Places as numbers from 0 to 65535, of one scale in both directions.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of 65535, rounded")]
fn scaled(places: &[[f32; 2]]) -> Vec<[u16; 2]> {
    let ends = |axis: usize| {
        let of_axis = || places.iter().map(|it| it[axis]);
        (of_axis().fold(f32::INFINITY, f32::min), of_axis().fold(f32::NEG_INFINITY, f32::max))
    };
    let ends = [ends(0), ends(1)];
    let side = ends.iter().map(|(low, high)| high - low).fold(f32::MIN_POSITIVE, f32::max);
    let scale = |value: f32, (low, high): (f32, f32)| {
        let centered = (value - (low + high) / 2.0) / side + 0.5;
        (centered * f32::from(u16::MAX)).round().clamp(0.0, f32::from(u16::MAX)) as u16
    };
    places.iter().map(|[x, y]| [scale(*x, ends[0]), scale(*y, ends[1])]).collect()
}

/// Bits of the checks of which a finding names a sample; checks beyond the 32nd have none.
fn checks_of(report: &Report<'_>) -> BTreeMap<SampleId, u32> {
    let mut bits = BTreeMap::new();
    for (check, it) in (0..32).zip(report.checks) {
        for id in it.outcome.findings().iter().flat_map(|finding| &finding.samples) {
            *bits.entry(*id).or_insert(0) |= 1_u32 << check;
        }
    }
    bits
}

/// What is shown of a point.
fn content(report: &Report<'_>, id: SampleId) -> String {
    let content = match report.contents {
        Contents::Texts(texts) => {
            let text = texts.text(id, MAX_CHARS * 4).unwrap_or_default();
            let text = [snippet::one_line(&text)];
            snippet::excerpts(&text, MAX_CHARS).pop().map(|it| snippet::visible(&it.text))
        }
        Contents::Images(images) => images.thumbnail(id).ok().flatten().map(|it| picture_url(&it)),
    };
    content.unwrap_or_default()
}

fn base64(bytes: impl Iterator<Item = u8>) -> String {
    BASE64_STANDARD.encode(bytes.collect::<Vec<u8>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_keep_their_proportions_and_stay_in_range() {
        assert_eq!(scaled(&[[0.0, 0.0], [4.0, 2.0]]), [[0, 16_384], [65_535, 49_151]]);
        assert_eq!(scaled(&[[1.0, 1.0]]), [[32_768, 32_768]]);
    }

    #[test]
    fn a_sample_of_points_is_the_same_for_the_same_seed_and_in_reading_order() {
        let all: Vec<SampleId> = (0..1_000).map(SampleId).collect();
        let some = chosen(&all, 100, 7);
        assert_eq!(some, chosen(&all, 100, 7));
        assert_ne!(some, chosen(&all, 100, 8));
        assert!(some.len() == 100 && some.is_sorted());
        let mean = some.iter().map(|id| id.0).sum::<u32>() / 100;
        assert!((400..600).contains(&mean), "from everywhere: {mean}");
    }
}
