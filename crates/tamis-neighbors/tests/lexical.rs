//! The lexical join against pairs that were computed otherwise, and against all pairs of small sets.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZero;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use tamis_core::{NoProgress, Progress as _};
use tamis_neighbors::{SetJoin, SetMeasure, SetPair, SetPairs, Shingle, TokenSets, windows};

fn join(measure: SetMeasure, min: f64) -> SetJoin {
    SetJoin { measure, min, max_pairs: 1_000_000 }
}

fn self_join(join: SetJoin, sets: &TokenSets) -> SetPairs {
    join.self_join(sets, &*NoProgress.begin("join", None, "texts"))
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/lexical").join(name)
}

fn texts() -> Vec<String> {
    let file = std::fs::read_to_string(fixture("texts.jsonl")).unwrap();
    let text =
        |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()["text"].as_str().unwrap().to_owned();
    file.lines().map(text).collect()
}

/// Pairs of the fixture with what stands in a column, where that is at least `min`.
fn expected(column: usize, min: f64) -> Vec<(u32, u32, f64)> {
    let file = std::fs::read_to_string(fixture("pairs.csv")).unwrap();
    let pair = |line: &str| {
        let cells: Vec<&str> = line.split(',').collect();
        Some((cells[0].parse().unwrap(), cells[1].parse().unwrap(), cells[column].parse().ok()?))
    };
    file.lines().skip(1).filter_map(pair).filter(|(_, _, similarity)| min <= *similarity).collect()
}

#[test]
fn pairs_are_those_of_the_fixture() {
    let texts = texts();
    for (shingle, column) in [("word:3", 2), ("char:5", 3)] {
        let shingle: Shingle = shingle.parse().unwrap();
        let sets = TokenSets::new(&texts.iter().map(|text| shingle.hashes(text)).collect::<Vec<_>>());
        for (min, n) in [(0.5, [4952, 6826]), (0.7, [2553, 3691]), (0.8, [1647, 2564])] {
            let found = self_join(join(SetMeasure::Jaccard, min), &sets);
            let expected = expected(column, min);
            assert_eq!(expected.len(), n[column - 2], "{shingle}, {min}");
            assert_eq!((found.pairs.len(), found.n_found), (expected.len(), expected.len() as u64), "{shingle}, {min}");
            for (pair, (a, b, similarity)) in found.pairs.iter().zip(expected) {
                assert_eq!((pair.a, pair.b), (a, b), "{shingle}, {min}");
                assert!((pair.similarity - similarity).abs() < 1e-6, "{a}, {b}: {} {similarity}", pair.similarity);
            }
        }
    }
}

#[test]
fn many_equal_texts_are_listed_with_the_first() {
    let mut hashes = vec![vec![1, 2, 3, 4]; 5000];
    hashes.push(vec![1, 2, 3, 4, 5]);
    hashes.push(Vec::new());
    let found = self_join(join(SetMeasure::Jaccard, 0.8), &TokenSets::new(&hashes));
    assert_eq!((found.n_found, found.n_represented), (5000, 4999));
    assert!(found.pairs[..4999].iter().all(|pair| pair.a == 0 && pair.similarity == 1.0));
    assert_eq!(found.pairs[4999], SetPair { a: 0, b: 5000, similarity: 0.8 });
}

#[test]
fn the_cap_bounds_what_is_kept_and_not_what_is_counted() {
    let hashes: Vec<Vec<u64>> = (0..60).map(|text| vec![1, 2, 3, 4, 5, 6, 7, 8, 9, 100 + text]).collect();
    let sets = TokenSets::new(&hashes);
    let all = self_join(join(SetMeasure::Jaccard, 0.8), &sets);
    assert_eq!((all.n_found, all.pairs.len()), (60 * 59 / 2, 60 * 59 / 2));
    let few = self_join(SetJoin { max_pairs: 10, ..join(SetMeasure::Jaccard, 0.8) }, &sets);
    assert_eq!((few.n_found, few.pairs.len()), (all.n_found, 10));
}

/// All pairs of the texts of `queries` and `base` by their sets.
fn brute_force(texts: &[Vec<u64>], join: SetJoin, n_queries: Option<usize>) -> Vec<SetPair> {
    let sets: Vec<BTreeSet<u64>> = texts.iter().map(|hashes| hashes.iter().copied().collect()).collect();
    let mut pairs = Vec::new();
    for a in 0..n_queries.unwrap_or(sets.len()) {
        for b in n_queries.unwrap_or(a + 1)..sets.len() {
            let (x, y) = (&sets[a], &sets[b]);
            let overlap = x.intersection(y).count() as f64;
            let size = match join.measure {
                SetMeasure::Jaccard => x.union(y).count(),
                SetMeasure::Containment => x.len().min(y.len()),
            };
            let similarity = overlap / size as f64;
            if 0.0 < overlap && join.min <= similarity {
                pairs.push(SetPair { a: a as u32, b: b as u32, similarity });
            }
        }
    }
    pairs
}

fn any_sets() -> impl Strategy<Value = Vec<Vec<u64>>> {
    // Few tokens, some of them frequent, so that sets overlap; some sets are equal.
    let token = prop_oneof![0_u64..8, 0_u64..40, 0_u64..400];
    let set = proptest::collection::btree_set(token, 0..25).prop_map(|set| set.into_iter().collect::<Vec<u64>>());
    (proptest::collection::vec(set, 0..50), any::<u8>()).prop_map(|(mut sets, copy)| {
        let copies = sets.iter().skip(usize::from(copy) % 7).step_by(5).cloned().collect::<Vec<_>>();
        sets.extend(copies);
        sets
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn joins_are_brute_force(
        texts in any_sets(),
        measure in prop_oneof![Just(SetMeasure::Jaccard), Just(SetMeasure::Containment)],
        min in prop_oneof![Just(1.0), Just(0.8), Just(0.5), Just(1.0 / 3.0), 0.05_f64..1.0],
        share in 0.0_f64..1.0,
    ) {
        let (join, sets) = (join(measure, min), TokenSets::new(&texts));
        let task = NoProgress.begin("join", None, "texts");
        prop_assert_eq!(join.self_join(&sets, &*task).pairs, brute_force(&texts, join, None));
        let n_queries = (share * texts.len() as f64) as usize;
        let of_two = TokenSets::of_owners(&texts, |text| u32::from(n_queries <= text));
        for sets in [sets, of_two] {
            let found = join.cross_join(&sets, n_queries, &*task);
            prop_assert_eq!(&found.pairs, &brute_force(&texts, join, Some(n_queries)));
            prop_assert_eq!(found.n_found, found.pairs.len() as u64);
        }
    }

    #[test]
    fn of_two_documents_the_best_parts_are_listed(
        parts in any_sets(),
        measure in prop_oneof![Just(SetMeasure::Jaccard), Just(SetMeasure::Containment)],
        min in prop_oneof![Just(1.0), Just(0.5), 0.05_f64..1.0],
        n_parts in 1_usize..6,
        max_pairs in prop_oneof![Just(5_usize), Just(1_000_000)],
        share in 0.0_f64..1.0,
    ) {
        let document = |part: usize| (part / n_parts) as u32;
        let documents: Vec<u32> = (0..parts.len()).map(document).collect();
        let join = SetJoin { max_pairs, ..join(measure, min) };
        let task = NoProgress.begin("join", None, "texts");
        let n_queries = (share * parts.len() as f64) as usize / n_parts * n_parts;
        for n_queries in [None, Some(n_queries)] {
            let mut best: BTreeMap<(u32, u32), SetPair> = BTreeMap::new();
            for pair in brute_force(&parts, join, n_queries) {
                let key = (documents[pair.a as usize], documents[pair.b as usize]);
                // Pairs come in order: of equally similar ones the first stays.
                if key.0 != key.1 && best.get(&key).is_none_or(|it| it.similarity < pair.similarity) {
                    best.insert(key, pair);
                }
            }
            let found = match n_queries {
                None => join.self_join_of_parts(&TokenSets::of_owners(&parts, document), &documents, &*task),
                Some(n) => {
                    let sets = TokenSets::of_owners(&parts, |part| u32::from(n <= part));
                    join.cross_join_of_parts(&sets, &documents, n, &*task)
                }
            };
            let expected: Vec<SetPair> = best.values().take(max_pairs).copied().collect();
            prop_assert_eq!(&found.pairs, &expected);
            prop_assert_eq!(found.n_found, best.len().min(max_pairs + 1) as u64);
        }
    }
    #[test]
    fn a_long_passage_of_two_texts_is_found_by_their_windows(
        n_words in 8_usize..60,
        n in (1_usize..4).prop_map(|n| NonZero::new(n).unwrap()),
        more in 0_usize..40,
        around in proptest::collection::vec(0_usize..200, 4),
    ) {
        let step = n_words / 2;
        let words = |name: &'static str, n: usize| (0..n).map(move |word| format!("{name}{word} "));
        let passage = || words("p", n_words + step + more);
        let first: String = words("a", around[0]).chain(passage()).chain(words("b", around[1])).collect();
        let second: String = words("c", around[2]).chain(passage()).chain(words("d", around[3])).collect();
        let (first, second) = (windows(&first, n_words).into_iter().map(|it| first[it].to_owned()), {
            windows(&second, n_words).into_iter().map(|it| second[it].to_owned()).collect::<Vec<_>>()
        });
        let parts: Vec<Vec<u64>> = first.chain(second.clone()).map(|text| Shingle::Words(n).hashes(&text)).collect();
        let document = |part: usize| u32::from(parts.len() - second.len() <= part);
        let documents: Vec<u32> = (0..parts.len()).map(document).collect();
        let (differ, same) = ((step / 2) as f64, (n_words - step / 2 - n.get() + 1) as f64);
        for (measure, bound) in
            [(SetMeasure::Jaccard, same / (same + 2.0 * differ)), (SetMeasure::Containment, same / (same + differ))]
        {
            let sets = TokenSets::of_owners(&parts, document);
            let task = NoProgress.begin("join", None, "texts");
            let found = join(measure, 0.01).self_join_of_parts(&sets, &documents, &*task).pairs;
            prop_assert!(found.len() == 1 && bound <= found[0].similarity + 1e-12, "{:?}, {}", found, bound);
        }
    }
}
