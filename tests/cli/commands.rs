//! The commands beside the audit, and the audit that is only planned.

use std::path::Path;

use tamis_checks::{CHECKS, DIFF_CHECKS};

use crate::common::{Workspace, model_folder, rows};

#[test]
fn explain_lists_all_checks() {
    let run = Workspace::new().tamis(&["explain"]).expect(0);
    let listed: Vec<_> = run.stdout.lines().map(|line| line.split_whitespace().next().unwrap()).collect();
    let infos = || CHECKS.iter().map(|def| &def.info).chain(DIFF_CHECKS.iter().map(|check| check.info()));
    assert_eq!(listed, infos().map(|info| info.id).collect::<Vec<_>>());
    for (line, info) in run.stdout.lines().zip(infos()) {
        assert!(line.ends_with(info.summary), "{line}");
    }
}

#[test]
fn explain_prints_the_page_of_each_check() {
    for def in CHECKS {
        let run = Workspace::new().tamis(&["explain", def.info.id]).expect(0);
        assert_eq!(run.stdout, def.info.page);
        assert!(run.stdout.starts_with(&format!("# {}\n\n## What it does\n", def.info.id)));
    }
}

#[test]
fn doctor_tries_the_bundled_model() {
    let run = Workspace::new().tamis(&["doctor"]).expect(0);
    let line = |name: &str| run.stdout.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim();
    assert_eq!(line("version"), env!("CARGO_PKG_VERSION"));
    assert_eq!(line("configuration"), "none in this folder");
    let model = line("model");
    let said = "all-minilm-l6-v2: works (384 numbers, 256 tokens, loaded in ";
    assert!(model.starts_with(said) && model.contains(" ms, weights "), "{model}");
    assert_eq!(run.stderr, "");
}

#[test]
fn doctor_names_the_configuration() {
    let work = Workspace::new();
    work.write("tamis.toml", "seed = 1\n");
    assert!(work.tamis(&["doctor"]).expect(0).stdout.contains("configuration  tamis.toml\n"));
}

#[test]
fn completions_know_the_commands() {
    for shell in ["bash", "zsh", "fish"] {
        let run = Workspace::new().tamis(&["completions", shell]).expect(0);
        for command in ["audit", "embed", "labels", "explain", "models", "doctor"] {
            assert!(run.stdout.contains(command), "{shell} does not complete {command}");
        }
    }
}

#[test]
fn a_dry_run_says_what_would_run_and_writes_nothing() {
    let work = Workspace::with_support();
    let run = work.tamis(&["audit", "support/train.jsonl", "--dry-run"]).expect(0);
    assert_eq!(work.names(), ["support"]);
    let line = |name: &str| run.stdout.lines().find_map(|line| line.trim_start().strip_prefix(name)).unwrap().trim();
    assert_eq!((line("samples"), line("distinct")), ("69", "65"));
    assert_eq!(line("label-error"), "would run");
    let reason = "there is no split to be evaluated on beside one to train on, with samples that can be read: train (use --train PATH --test PATH)";
    assert_eq!(line("split-leak"), format!("would be skipped: {reason}"));
    for def in CHECKS {
        assert!(line(def.info.id).starts_with("would "), "{} is not in the plan", def.info.id);
    }
    assert!(run.stdout.contains("\n  text column: `text` (by its name)\n"), "{}", run.stdout);
}

#[test]
fn a_dry_run_of_checks_without_a_model_plans_no_embedding() {
    let work = Workspace::new();
    work.write("a.jsonl", rows(&["first", "second"]));
    let run = work.facts(&["a.jsonl", "--dry-run"]).expect(0);
    let line = run.stdout.lines().find(|line| line.starts_with("embedding")).unwrap();
    assert_eq!(line.split_whitespace().collect::<Vec<_>>(), ["embedding", "none"]);
}

/// Reads back what `tamis embed` wrote: rows of little-endian f32.
fn read_npy(path: &Path) -> Vec<Vec<f32>> {
    let bytes = std::fs::read(path).unwrap();
    assert_eq!(&bytes[..8], b"\x93NUMPY\x01\x00");
    let start = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    assert_eq!(start % 64, 0, "the data is aligned");
    let header = std::str::from_utf8(&bytes[10..start]).unwrap();
    let shape = header.split_once("'shape': (").unwrap().1.split_once(')').unwrap().0;
    let shape: Vec<usize> = shape.split(", ").map(|it| it.parse().unwrap()).collect();
    assert!(header.contains("'descr': '<f4'") && header.contains("'fortran_order': False"), "{header}");
    let values = bytes[start..].chunks_exact(4).map(|it| f32::from_le_bytes(it.try_into().unwrap()));
    let values: Vec<f32> = values.collect();
    assert_eq!(values.len(), shape[0] * shape[1]);
    values.chunks_exact(shape[1]).map(<[f32]>::to_vec).collect()
}

#[test]
fn embed_writes_a_unit_row_for_each_text_and_nan_where_there_is_none() {
    let work = Workspace::new();
    work.write("a.jsonl", rows(&["Where is my parcel?", "", "It rained all day.", "Where is my parcel?"]) + "{\"te\n");
    let run = work.tamis(&["embed", "a.jsonl", "--out", "v.npy"]).expect(0);
    assert_eq!((run.stdout.as_str(), run.stderr.as_str()), ("", "v.npy: 5 vectors of 384 numbers\n"));
    let rows = read_npy(&work.path("v.npy"));
    assert_eq!((rows.len(), rows[0].len()), (5, 384));
    for (idx, row) in rows.iter().enumerate() {
        if [1, 4].contains(&idx) {
            assert!(row.iter().all(|x| x.is_nan()), "row {idx} has no text");
        } else {
            let norm = row.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
            // Rounding of 384 numbers to f32.
            assert!((norm - 1.0).abs() < 1e-6, "row {idx} has norm {norm}");
        }
    }
    assert_eq!(rows[0], rows[3], "equal texts have equal rows");
    assert_ne!(rows[0], rows[2]);
    assert_eq!(work.names(), ["a.jsonl", "v.npy"], "nothing else is left");
}

#[test]
fn the_model_as_a_folder_gives_the_vectors_of_the_bundled_one() {
    let work = Workspace::new();
    work.write("a.jsonl", rows(&["Where is my parcel?", "It rained all day."]));
    work.tamis(&["embed", "a.jsonl", "--quiet", "--out", "bundled.npy"]).expect(0);
    let folder = model_folder();
    let run = work.tamis(&["embed", "a.jsonl", "--quiet", "--out", "folder.npy", "--model", &folder]).expect(0);
    assert_eq!(run.stderr, "", "--quiet");
    let read = |name: &str| std::fs::read(work.path(name)).unwrap();
    assert!(read("bundled.npy") == read("folder.npy"), "the vectors differ");
}
