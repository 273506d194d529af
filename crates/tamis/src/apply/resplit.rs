//! New splits that cut no family and keep the shares of the classes.
//!
//! Families are dealt out whole, the largest first, each to the split that lacks most of what is in it. That is the greedy
//! idea of iterative stratification (Sechidis, Tsoumakas and Vlahavas, "On the stratification of multi-label data", ECML
//! PKDD 2011, section 3), with a family in the place of a sample with several labels. Where they take the rarest label first
//! and break ties by the size of the split, here both count at once: a family goes where the sum of squared differences
//! between wanted and given counts, over classes and the total, becomes smallest. Without the total, classes too small to
//! be in every split would all end in the largest one.

use std::collections::BTreeMap;

use tamis_core::Digest;

/// Names of new splits.
const NAMES: [&str; 3] = ["train", "validation", "test"];

/// The shares of two or three new splits.
#[derive(Clone, Debug, PartialEq)]
pub struct Shares(Vec<f64>);

impl Shares {
    /// Names of the splits: train and test, and validation between them where there are three.
    #[must_use]
    pub fn names(&self) -> &'static [&'static str] {
        const TWO: [&str; 2] = [NAMES[0], NAMES[2]];
        if self.0.len() == 2 { &TWO } else { &NAMES }
    }

    /// Share of each.
    #[must_use]
    pub fn values(&self) -> &[f64] {
        &self.0
    }
}

impl std::str::FromStr for Shares {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = "expected two or three shares above 0 that add up to 1, e.g. 0.8,0.1,0.1";
        let parsed: Result<Vec<f64>, _> = text.split(',').map(|it| it.trim().parse()).collect();
        let shares = parsed.map_err(|_| expected.to_owned())?;
        let sum: f64 = shares.iter().sum();
        let is_whole = (sum - 1.0).abs() < 1e-6;
        let are_shares = (2..=3).contains(&shares.len()) && shares.iter().all(|it| 0.0 < *it);
        if are_shares && is_whole { Ok(Self(shares)) } else { Err(expected.to_owned()) }
    }
}

/// A sample that gets a new split.
#[derive(Clone, Copy, Debug)]
pub struct Member<'a> {
    /// What tells its family.
    pub family: &'a str,
    /// Its label.
    pub label: Option<&'a str>,
    /// Hash of its bytes.
    pub content: Digest,
    /// Its key, which decides between families of equal contents alone.
    pub key: &'a str,
}

/// What is dealt as a whole.
struct Family {
    /// Members of each class, by class.
    counts: Vec<(usize, f64)>,
    size: usize,
    order: [u8; 32],
    members: Vec<usize>,
}

/// Gives each member the index of its split. Neither the order of the members nor of the classes changes the result.
///
/// Time O(n log n + families x splits x classes in a family).
#[must_use]
pub fn resplit(members: &[Member<'_>], shares: &Shares, seed: u64) -> Vec<usize> {
    let families = families(members, seed);
    let n_classes = families.iter().flat_map(|it| &it.counts).map(|it| it.0 + 1).max().unwrap_or(0);
    let mut totals = vec![0.0; n_classes];
    for (class, n) in families.iter().flat_map(|it| &it.counts) {
        totals[*class] += n;
    }
    // What each split still lacks: of each class, and in all.
    let mut lacks: Vec<(Vec<f64>, f64)> = shares
        .values()
        .iter()
        .map(|share| (totals.iter().map(|n| n * share).collect(), count(members.len()) * share))
        .collect();
    let mut splits = vec![0; members.len()];
    for family in &families {
        let size = count(family.size);
        let gain = |(classes, all): &(Vec<f64>, f64)| {
            family.counts.iter().map(|(class, n)| n * classes[*class]).sum::<f64>() + size * all
        };
        let mut best = 0;
        for idx in 1..lacks.len() {
            // Ties go to the earlier split.
            if gain(&lacks[best]) < gain(&lacks[idx]) {
                best = idx;
            }
        }
        for (class, n) in &family.counts {
            lacks[best].0[*class] -= n;
        }
        lacks[best].1 -= size;
        for member in &family.members {
            splits[*member] = best;
        }
    }
    splits
}

/// The families in the order in which they are dealt: the largest first, then by a hash of their contents and the seed.
fn families(members: &[Member<'_>], seed: u64) -> Vec<Family> {
    let names: std::collections::BTreeSet<Option<&str>> = members.iter().map(|it| it.label).collect();
    let classes: BTreeMap<Option<&str>, usize> = names.into_iter().enumerate().map(|(idx, it)| (it, idx)).collect();
    let mut by_name: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (idx, member) in members.iter().enumerate() {
        by_name.entry(member.family).or_default().push(idx);
    }
    let family = |own: Vec<usize>| {
        let mut counts: BTreeMap<usize, f64> = BTreeMap::new();
        for idx in &own {
            *counts.entry(classes[&members[*idx].label]).or_default() += 1.0;
        }
        let mut contents: Vec<(Digest, &str)> =
            own.iter().map(|idx| (members[*idx].content, members[*idx].key)).collect();
        contents.sort_unstable();
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"tamis-resplit/1\n").update(&seed.to_le_bytes());
        for (content, _) in &contents {
            hasher.update(&content.0);
        }
        let order = *hasher.finalize().as_bytes();
        let first = contents.first().map_or(String::new(), |it| it.1.to_owned());
        (first, Family { counts: counts.into_iter().collect(), size: own.len(), order, members: own })
    };
    let mut families: Vec<(String, Family)> = by_name.into_values().map(family).collect();
    families.sort_by(|(x_key, x), (y_key, y)| (y.size, x.order, x_key).cmp(&(x.size, y.order, y_key)));
    families.into_iter().map(|(_, family)| family).collect()
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
fn count(n: usize) -> f64 {
    n as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn digest(n: usize) -> Digest {
        Digest(*blake3::hash(&n.to_le_bytes()).as_bytes())
    }

    #[test]
    fn shares_are_two_or_three_and_add_up_to_one() {
        assert_eq!("0.8, 0.1,0.1".parse::<Shares>().unwrap().names(), ["train", "validation", "test"]);
        assert_eq!("0.7,0.3".parse::<Shares>().unwrap().names(), ["train", "test"]);
        for bad in ["", "1", "0.8,0.1", "0.5,0.5,0", "1.5,-0.5", "a,b", "0.25,0.25,0.25,0.25", "NaN,1"] {
            let error = bad.parse::<Shares>().unwrap_err();
            assert!(error.starts_with("expected two or three shares"), "{bad}: {error}");
        }
    }

    #[test]
    fn classes_too_small_for_every_split_do_not_all_go_to_the_largest() {
        let labels: Vec<String> = (0..200).map(|it| (it / 2).to_string()).collect();
        let keys: Vec<String> = (0..200).map(|it| it.to_string()).collect();
        let members: Vec<Member<'_>> = (0..200)
            .map(|it| Member { family: &keys[it], label: Some(&labels[it]), content: digest(it), key: &keys[it] })
            .collect();
        let splits = resplit(&members, &"0.8,0.1,0.1".parse().unwrap(), 0);
        let sizes: Vec<usize> = (0..3).map(|split| splits.iter().filter(|it| **it == split).count()).collect();
        assert!((158..=162).contains(&sizes[0]) && (18..=22).contains(&sizes[1]), "{sizes:?}");
    }

    /// Samples as (family, class).
    fn members(drawn: &[(usize, usize)]) -> Vec<(String, String, Digest)> {
        let member =
            |(idx, (family, class)): (usize, &(usize, usize))| (format!("f{family}"), format!("c{class}"), digest(idx));
        drawn.iter().enumerate().map(member).collect()
    }

    fn lent<'a>(all: &'a [(String, String, Digest)], keys: &'a [String]) -> Vec<Member<'a>> {
        let lent = |((family, label, content), key): (&'a (String, String, Digest), &'a String)| Member {
            family,
            label: Some(label),
            content: *content,
            key,
        };
        all.iter().zip(keys).map(lent).collect()
    }

    proptest! {
        #[test]
        fn no_family_is_cut_and_shares_are_kept(
            drawn in prop::collection::vec((0_usize..60, 0_usize..4), 30..200),
            seed: u64,
        ) {
            let all = members(&drawn);
            let keys: Vec<String> = (0..all.len()).map(|it| it.to_string()).collect();
            let members = lent(&all, &keys);
            let shares: Shares = "0.7,0.1,0.2".parse().unwrap();
            let splits = resplit(&members, &shares, seed);
            let mut of_family = BTreeMap::new();
            for (member, split) in members.iter().zip(&splits) {
                prop_assert_eq!(*of_family.entry(member.family).or_insert(split), split);
            }
            let mut sizes: BTreeMap<&str, usize> = BTreeMap::new();
            members.iter().for_each(|it| *sizes.entry(it.family).or_default() += 1);
            // A whole family goes to one split, so a split misses its share by less than one of the largest size.
            let tolerance = count(*sizes.values().max().unwrap());
            for (split, share) in shares.values().iter().enumerate() {
                let got = count(splits.iter().filter(|it| **it == split).count());
                let wanted = count(members.len()) * share;
                prop_assert!((got - wanted).abs() <= tolerance, "split {split}: {got}, expected {wanted} +- {tolerance}");
                for class in 0..4 {
                    let label = format!("c{class}");
                    let of_class = |it: &&Member<'_>| it.label == Some(label.as_str());
                    let wanted = count(members.iter().filter(of_class).count()) * share;
                    let dealt = members.iter().zip(&splits).filter(|(it, own)| **own == split && of_class(it));
                    let got = count(dealt.count());
                    let tolerance = tolerance + 1.0;
                    prop_assert!((got - wanted).abs() <= tolerance, "class {class}: {got}, expected {wanted} +- {tolerance}");
                }
            }
        }

        #[test]
        fn the_order_of_samples_changes_nothing(
            drawn in prop::collection::vec((0_usize..20, 0_usize..3), 1..60),
            seed: u64,
        ) {
            let all = members(&drawn);
            let keys: Vec<String> = (0..all.len()).map(|it| it.to_string()).collect();
            let shares: Shares = "0.8,0.2".parse().unwrap();
            let members = lent(&all, &keys);
            let splits = resplit(&members, &shares, seed);
            let reversed: Vec<Member<'_>> = members.iter().rev().copied().collect();
            let mut again = resplit(&reversed, &shares, seed);
            again.reverse();
            prop_assert_eq!(splits, again);
        }
    }
}
