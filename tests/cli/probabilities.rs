//! `tamis audit --pred-probs`: labels are judged by the user's own probabilities.

use crate::common::Workspace;

/// Twelve texts of two labels and their probabilities; `t3` is labeled ham and probably spam.
fn mails() -> Workspace {
    let work = Workspace::new();
    let label = |i: usize| if i.is_multiple_of(2) || i == 3 { "ham" } else { "spam" };
    let lines: String = (0..12)
        .map(|i| format!("{{\"id\": \"t{i}\", \"text\": \"mail number {i}\", \"label\": \"{}\"}}\n", label(i)))
        .collect();
    work.write("mails.jsonl", lines);
    work.write(
        "p.npy",
        npy(&[12, 2], &(0..12).flat_map(|i| if i % 2 == 0 { [0.95, 0.05] } else { [0.05, 0.95] }).collect::<Vec<_>>()),
    );
    work
}

fn npy(shape: &[usize; 2], values: &[f32]) -> Vec<u8> {
    let mut header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({}, {}), }}", shape[0], shape[1]);
    while (10 + header.len() + 1) % 64 != 0 {
        header.push(' ');
    }
    header.push('\n');
    let length = u16::try_from(header.len()).unwrap().to_le_bytes();
    let mut bytes = [b"\x93NUMPY\x01\x00", &length[..], header.as_bytes()].concat();
    bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    bytes
}

const AUDIT: [&str; 5] = ["audit", "mails.jsonl", "--only", "label-error", "--exit-zero"];

#[test]
fn labels_are_judged_by_probabilities_in_place_of_vectors() {
    let run = mails().tamis(&[&AUDIT[..], &["--format", "concise", "--pred-probs", "p.npy"]].concat()).expect(0);
    let found: Vec<&str> = run.stdout.lines().filter(|line| line.contains("label-error")).collect();
    assert_eq!(found.len(), 1, "{}", run.stdout);
    assert!(found[0].contains("labeled ham, looks like spam"), "{}", run.stdout);
}

#[test]
fn probabilities_that_do_not_fit_are_refused_with_what_was_expected() {
    let work = mails();
    work.write("rows.npy", npy(&[11, 2], &[0.5; 22]));
    work.write("columns.npy", npy(&[12, 3], &[0.25; 36]));
    let mut nan = [0.5; 24];
    nan[9] = f32::NAN;
    work.write("nan.npy", npy(&[12, 2], &nan));
    work.write("sum.npy", npy(&[12, 2], &[0.25; 24]));
    let error = |name: &str, code: i32| {
        let run = work.tamis(&[&AUDIT[..], &["--pred-probs", name]].concat()).expect(code);
        run.stderr.lines().find(|line| line.starts_with("error: ")).unwrap_or_default().to_owned()
    };
    assert_eq!(
        error("rows.npy", 2),
        "error: rows.npy has 11 rows, expected 12: one for each sample in reading order, readable or not"
    );
    assert_eq!(
        error("columns.npy", 2),
        "error: columns.npy has 3 columns, expected 2: one for each label, in the order ham, spam"
    );
    assert_eq!(error("nan.npy", 3), "error: nan.npy: row 4, column 1 is NaN, expected a probability in [0, 1]");
    assert_eq!(error("sum.npy", 3), "error: sum.npy: row 0 sums to 0.5, expected 1 within 0.01");
}
