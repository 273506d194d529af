//! `tamis labels`: equality with cleanlab's outputs through the binary, forms of input, and what is refused.

use std::path::{Path, PathBuf};

use serde_json::{Value as Json, json};

use crate::common::{Run, Workspace};

/// A `.npy` file; the header is as numpy writes it.
fn npy(kind: &str, is_by_columns: bool, shape: &str, data: &[u8]) -> Vec<u8> {
    let order = if is_by_columns { "True" } else { "False" };
    let mut text = format!("{{'descr': '{kind}', 'fortran_order': {order}, 'shape': {shape}, }}");
    let n = (text.len() + 11).next_multiple_of(64) - 11;
    text.extend(std::iter::repeat_n(' ', n - text.len()));
    text.push('\n');
    [b"\x93NUMPY\x01\x00", &(text.len() as u16).to_le_bytes()[..], text.as_bytes(), data].concat()
}

fn f64s(rows: &[&[f64]]) -> Vec<u8> {
    let data: Vec<u8> = rows.concat().iter().flat_map(|it| it.to_le_bytes()).collect();
    npy("<f8", false, &format!("({}, {})", rows.len(), rows[0].len()), &data)
}

fn i64s(labels: &[i64]) -> Vec<u8> {
    let data: Vec<u8> = labels.iter().flat_map(|it| it.to_le_bytes()).collect();
    npy("<i8", false, &format!("({},)", labels.len()), &data)
}

/// The f32 values of a fixture with labels and rows of probabilities.
fn values(path: &Path) -> Vec<f32> {
    let bytes = std::fs::read(path).unwrap();
    let start = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    bytes[start..].as_chunks().0.iter().map(|it| f32::from_le_bytes(*it)).collect()
}

fn fixture(case: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tamis-labels/tests/fixtures").join(case)
}

fn expected(case: &str) -> Json {
    serde_json::from_str(&std::fs::read_to_string(fixture(case).join("expected.json")).unwrap()).unwrap()
}

/// Judges a fixture.
fn judged(case: &str, probabilities: &Path, args: &[&str]) -> Json {
    let labels = fixture(case).join("labels.npy");
    let files = ["labels", "--labels", labels.to_str().unwrap(), "--pred-probs", probabilities.to_str().unwrap()];
    parsed(&Workspace::new().tamis(&[&files[..], &["--format", "json", "--quiet"], args].concat()).expect(0))
}

fn parsed(run: &Run) -> Json {
    serde_json::from_str(&run.stdout).unwrap_or_else(|error| panic!("{error}: {}", run.stdout))
}

/// Two classes and six rows; that of row 2 is wrong.
const ROWS: [&[f64]; 6] = [&[0.9, 0.1], &[0.8, 0.2], &[0.1, 0.9], &[0.2, 0.8], &[0.1, 0.9], &[0.3, 0.7]];
const LABELS: [i64; 6] = [0, 0, 0, 1, 1, 1];

/// A folder with labels and probabilities.
fn workspace(labels: &[u8], probabilities: &[u8]) -> Workspace {
    let work = Workspace::new();
    work.write("y.npy", labels);
    work.write("p.npy", probabilities);
    work
}

const FILES: [&str; 5] = ["labels", "--labels", "y.npy", "--pred-probs", "p.npy"];

fn run(work: &Workspace, args: &[&str]) -> Run {
    work.tamis(&[&FILES[..], args].concat())
}

fn assert_close(name: &str, got: &Json, expected: &Json) {
    match (got, expected) {
        (Json::Array(got), Json::Array(expected)) => {
            assert_eq!(got.len(), expected.len(), "{name}");
            got.iter().zip(expected).for_each(|(got, expected)| assert_close(name, got, expected));
        }
        _ => {
            let (got, expected) = (got.as_f64().unwrap(), expected.as_f64().unwrap());
            // Quotients of whole numbers, as the library's own tests compare them.
            assert!((got - expected).abs() <= 1e-11, "{name}: {got} instead of {expected}");
        }
    }
}

#[test]
fn issues_and_matrices_equal_cleanlab() {
    for case in ["k3_n500", "digits_lr_noise10", "missing_class_and_singleton", "ties"] {
        let expected = expected(case);
        let probabilities = fixture(case).join("pred_probs.npy");
        for (name, issues) in expected["ranked"].as_object().unwrap() {
            let (filter, rank) = name.split_once('|').unwrap();
            let got = judged(case, &probabilities, &["--filter", filter, "--rank", rank]);
            assert_eq!(&got["issues"], issues, "{case} {name}");
            assert_eq!((&got["filter"], &got["rank"]), (&json!(filter), &json!(rank)));
        }
        let got = judged(case, &probabilities, &[]);
        assert_eq!(got["issues"], expected["ranked"]["prune_by_noise_rate|self_confidence"], "{case}");
        assert_eq!(got["confident_joint"], expected["confident_joint_calibrated"], "{case}");
        assert_eq!((&got["n"], &got["k"]), (&expected["n"], &expected["K"]), "{case}");
        for count in ["off_diagonal", "off_diagonal_calibrated"] {
            assert_eq!(got["counts"][count], expected["num_label_issues"][count], "{case}");
        }
        let latent = &expected["latent_cnt"];
        for (name, expected) in [
            ("joint", &expected["joint"]),
            ("thresholds", &expected["thresholds"]),
            ("py", &latent["py"]),
            ("noise_matrix", &latent["noise_matrix"]),
            ("inverse_noise_matrix", &latent["inverse_noise_matrix"]),
        ] {
            assert_close(&format!("{case} {name}"), &got[name], expected);
        }
        assert_eq!(got["schema"], "tamis-labels/1");
    }
}

#[test]
fn masks_of_options_equal_cleanlab() {
    let case = "k3_n500";
    let names = &expected(case)["mask_names"];
    let masks = std::fs::read(fixture(case).join("masks.npy")).unwrap();
    let n = 500;
    let masks = &masks[masks.len() - 13 * n..];
    for (name, mask) in names.as_array().unwrap().iter().zip(masks.chunks(n)) {
        let (filter, option) = name.as_str().unwrap().split_once('|').unwrap_or((name.as_str().unwrap(), ""));
        let option = option.split_once('=').map(|(name, value)| (format!("--{}", name.replace('_', "-")), value));
        let mut args = vec!["--filter", filter];
        if let Some((name, value)) = &option {
            args.extend([name.as_str(), value]);
        }
        let got = judged(case, &fixture(case).join("pred_probs.npy"), &args);
        let mut issues: Vec<u64> = got["issues"].as_array().unwrap().iter().map(|it| it.as_u64().unwrap()).collect();
        issues.sort_unstable();
        let expected: Vec<u64> = (0..).zip(mask).filter(|(_, flag)| **flag == 1).map(|(row, _)| row).collect();
        assert_eq!(issues, expected, "{name}");
    }
}

#[test]
fn orders_and_types_of_arrays_are_the_same_input() {
    let case = "k3_n500";
    let path = fixture(case).join("pred_probs.npy");
    let values = values(&path);
    let k = 3;
    let n = values.len() / k;
    let by_columns: Vec<f32> =
        (0..k).flat_map(|column| (0..n).map(move |row| row * k + column)).map(|at| values[at]).collect();
    let shape = format!("({n}, {k})");
    let bytes = |values: &[f32]| values.iter().flat_map(|it| it.to_le_bytes()).collect::<Vec<u8>>();
    let wide = |values: &[f32]| values.iter().flat_map(|it| f64::from(*it).to_le_bytes()).collect::<Vec<u8>>();
    let given = judged(case, &path, &[]);
    for (kind, is_by_columns, data) in
        [("<f4", true, bytes(&by_columns)), ("<f8", false, wide(&values)), ("<f8", true, wide(&by_columns))]
    {
        let work = Workspace::new();
        work.write("p.npy", npy(kind, is_by_columns, &shape, &data));
        assert!(judged(case, &work.path("p.npy"), &[]) == given, "{kind} by columns: {is_by_columns}");
    }
    assert!(judged(case, &path, &["--threads", "3"]) == given, "on three threads");
}

#[test]
fn labels_of_all_types_and_names_are_the_same_input() {
    let issues = json!([2]);
    let bytes = [0_u8, 0, 0, 1, 1, 1];
    let floats: Vec<u8> = LABELS.iter().flat_map(|it| (*it as f64).to_le_bytes()).collect();
    for labels in [
        i64s(&LABELS),
        npy("|b1", false, "(6,)", &bytes),
        npy("|u1", false, "(6, 1)", &bytes),
        npy("<f8", false, "(6,)", &floats),
    ] {
        assert_eq!(parsed(&run(&workspace(&labels, &f64s(&ROWS)), &["--format", "json"]))["issues"], issues);
    }
    let names: Vec<u8> = "catcatcatdogdogdog".chars().flat_map(|it| u32::from(it).to_le_bytes()).collect();
    let named = parsed(&run(&workspace(&npy("<U3", false, "(6,)", &names), &f64s(&ROWS)), &["--format", "json"]));
    assert_eq!((&named["issues"], &named["classes"]), (&issues, &json!(["cat", "dog"])));
    let work = workspace(b"", &f64s(&ROWS));
    work.write("y.csv", "id,kind\n1,b\n2,b\n3,b\n4,a\n5,a\n6,a\n");
    let args = ["labels", "--labels", "y.csv", "--label", "kind", "--pred-probs", "p.npy", "--format", "json"];
    let swapped = parsed(&work.tamis(&args).expect(0));
    assert_eq!(swapped["classes"], json!(["a", "b"]));
    assert_ne!(swapped["issues"], issues, "`a` is the first column by its name");
    let given = parsed(&work.tamis(&[&args[..], &["--classes", "b,a"]].concat()).expect(0));
    assert_eq!((&given["issues"], &given["classes"]), (&issues, &json!(["b", "a"])));
}

#[test]
fn missing_labels_are_left_out_and_listed() {
    let mut rows = ROWS.to_vec();
    rows.insert(1, &[0.5, 0.5]);
    let work = workspace(&i64s(&[0, -1, 0, 0, 1, 1, 1]), &f64s(&rows));
    let with = parsed(&run(&work, &["--format", "json"]).expect(0));
    let without = parsed(&run(&workspace(&i64s(&LABELS), &f64s(&ROWS)), &["--format", "json"]).expect(0));
    assert_eq!((&with["missing"], &with["n"], &with["issues"]), (&json!([1]), &json!(7), &json!([3])));
    assert_eq!((&with["label_quality"][1], &with["label_quality"][3]), (&json!(null), &json!(0.1)));
    for same in ["confident_joint", "py", "thresholds", "counts"] {
        assert_eq!(with[same], without[same], "{same}");
    }
    // A wrong row is named by its place in the file.
    rows[3] = &[0.1, 0.1];
    let run = run(&workspace(&i64s(&[0, -1, 0, 0, 1, 1, 1]), &f64s(&rows)), &[]).expect(3);
    assert!(run.stderr.contains("probabilities of row 3 sum to 0.2"), "{}", run.stderr);
}

#[test]
fn large_arrays_go_to_files_that_the_record_names() {
    let work = workspace(&i64s(&LABELS), &f64s(&ROWS));
    let inline = parsed(&run(&work, &["--format", "json"]).expect(0));
    let run = run(&work, &["--format", "json", "--out", "out", "--quiet"]).expect(0);
    let record: Json = serde_json::from_str(&run.text("labels.json")).unwrap();
    assert_eq!(parsed(&run), record);
    for name in ["issues", "label_quality", "confident_joint", "joint", "noise_matrix", "inverse_noise_matrix"] {
        assert_eq!(record[name], json!({ "file": format!("{name}.npy") }));
        assert!(inline[name].is_array(), "{name}");
    }
    for name in ["counts", "py", "thresholds", "notes", "k"] {
        assert_eq!(record[name], inline[name], "{name}");
    }
    assert_eq!(run.files["issues.npy"], npy("<u8", false, "(1,)", &2_u64.to_le_bytes()));
    let quality: Vec<u8> = [0.9, 0.8, 0.1, 0.8, 0.9, 0.7_f64].iter().flat_map(|it| it.to_le_bytes()).collect();
    assert_eq!(run.files["label_quality.npy"], npy("<f8", false, "(6,)", &quality));
    let joint: Vec<u8> = [2_u64, 1, 0, 3].iter().flat_map(|it| it.to_le_bytes()).collect();
    assert_eq!(run.files["confident_joint.npy"], npy("<u8", false, "(2, 2)", &joint));
}

#[test]
fn people_are_told_what_is_wrong_and_what_to_do() {
    let run = run(&workspace(&i64s(&LABELS), &f64s(&ROWS)), &[]).expect(0);
    let expected = "\
6 labels of 2 classes: 1 is an issue (prune_by_noise_rate, ordered by self_confidence)
estimated by confident learning: 1 wrong labels (1 by the calibrated joint); health 0.8333

worst labels
  row  given  rather  label quality
  2    0      1       0.1000

classes with most wrong labels
  class  labels  wrong    labeled otherwise
  0      3       33.33 %  0.00 %
  1      3       0.00 %   25.00 %

classes that are confused most
  class  class  labels
  0      1      1

next: review the worst labels first, and stop where fewer than 1 in 5 is wrong
all of it: --format json, or --out DIR
";
    assert_eq!((run.stdout.as_str(), run.stderr.as_str()), (expected, ""));
}

#[test]
fn the_recommended_cut_says_why() {
    let case = "digits_lr_noise10";
    let got = judged(case, &fixture(case).join("pred_probs.npy"), &["--filter", "recommended"]);
    let issues = got["issues"].as_array().unwrap();
    let rate = &got["noise_rate"];
    let [low, estimate, high] = ["low", "estimate", "high"].map(|name| rate[name].as_f64().unwrap());
    assert!(low <= 0.1 && 0.1 <= high && low <= estimate && estimate <= high, "a tenth of the labels is wrong: {rate}");
    let quality = |row: &Json| got["label_quality"][row.as_u64().unwrap() as usize].as_f64().unwrap();
    assert!(issues.is_sorted_by(|a, b| quality(a) <= quality(b)), "worst first");
    assert_eq!((&got["rank"], &got["counts"]["issues"]), (&json!("evidence"), &json!(issues.len())));
    let note = got["notes"][0].as_str().unwrap();
    assert!(note.starts_with("recommended: the labels are explained best by probabilities to the power "), "{note}");
    assert_eq!(got["notes"].as_array().unwrap().len(), 1, "probabilities out of sample are not warned about");
    let ranked = judged(
        case,
        &fixture(case).join("pred_probs.npy"),
        &["--filter", "recommended", "--rank", "normalized_margin"],
    );
    assert_eq!(ranked["rank"], "normalized_margin");
    assert_eq!(ranked["issues"].as_array().unwrap().len(), issues.len());
}

#[test]
fn probabilities_that_agree_with_all_labels_are_warned_about() {
    let rows: Vec<&[f64]> = (0..500).map(|row| if row % 2 == 0 { &[0.9, 0.1][..] } else { &[0.2, 0.8] }).collect();
    let labels =
        |n_wrong: usize| -> Vec<i64> { (0..500).map(|row| i64::from((row % 2 == 1) != (row < n_wrong))).collect() };
    let warned = run(&workspace(&i64s(&labels(1)), &f64s(&rows)), &[]).expect(0).stderr;
    assert!(
        warned.starts_with("warning: the most probable class is the given label for 99.80 % of the rows"),
        "{warned}"
    );
    assert_eq!(run(&workspace(&i64s(&labels(2)), &f64s(&rows)), &[]).expect(0).stderr, "");
}

/// Vectors of two classes around (1, 0) and (0, 1), and their labels, of which some rows are wrong.
fn vectors(n: usize, wrong: &[usize]) -> (Vec<u8>, Vec<i64>) {
    let angle = |row: usize| (row % 2) as f64 * 1.4 + (row * 37 % 101) as f64 / 500.0;
    let rows: Vec<[f64; 2]> = (0..n).map(|row| [angle(row).cos() * 3.0, angle(row).sin() * 3.0]).collect();
    let rows: Vec<&[f64]> = rows.iter().map(|row| &row[..]).collect();
    (f64s(&rows), (0..n).map(|row| i64::from((row % 2 == 1) != wrong.contains(&row))).collect())
}

#[test]
fn labels_are_judged_by_vectors() {
    let (x, mut y) = vectors(100, &[10, 31, 77]);
    y[40] = -1;
    let work = Workspace::new();
    work.write("x.npy", &x);
    work.write("y.npy", i64s(&y));
    let args = ["labels", "--labels", "y.npy", "--vectors", "x.npy", "--format", "json", "--quiet"];
    let got = parsed(&work.tamis(&args).expect(0));
    let mut issues: Vec<u64> = got["issues"].as_array().unwrap().iter().map(|it| it.as_u64().unwrap()).collect();
    issues.sort_unstable();
    assert_eq!(issues, [10, 31, 77]);
    assert_eq!(
        (&got["missing"], &got["label_quality"][40], &got["suggested"][40]),
        (&json!([40]), &json!(null), &json!(0))
    );
    assert_eq!((&got["suggested"][10], &got["suggested"][31]), (&json!(0), &json!(1)));
    assert!(0.5 < got["error_probability"][10].as_f64().unwrap());
    assert_eq!((&got["filter"], &got["counts"]["off_diagonal"]), (&json!("recommended"), &json!(null)));
    assert!(got.get("confident_joint").is_none() && got["review"]["n"].as_u64().unwrap() >= 3);
    let text = work.tamis(&["labels", "--labels", "y.npy", "--vectors", "x.npy", "--quiet"]).expect(0).stdout;
    assert!(text.starts_with("99 labels of 2 classes (1 more rows have none): 3 are issues"), "{text}");
}

#[test]
fn copies_do_not_speak_for_each_other() {
    let (x, mut y) = vectors(60, &[]);
    // Rows 58 and 59 become copies of row 57 with the same wrong label.
    let mut x = x;
    let at = |row: usize| x_start() + row * 16;
    let copied = x[at(57)..at(58)].to_vec();
    for row in [58, 59] {
        x[at(row)..at(row + 1)].copy_from_slice(&copied);
    }
    y[57..].fill(0);
    let work = Workspace::new();
    work.write("x.npy", &x);
    work.write("y.npy", i64s(&y));
    work.write("f.txt", (0..60).map(|row| format!("f{}\n", row.min(56))).collect::<String>());
    let args = ["labels", "--labels", "y.npy", "--vectors", "x.npy", "--format", "json", "--quiet"];
    let got = parsed(&work.tamis(&args).expect(0));
    assert_eq!(got["issues"], json!([57, 58, 59]));
    let with_families = work.tamis(&[&args[..], &["--families", "f.txt"]].concat()).expect(0);
    assert_eq!(parsed(&with_families)["label_quality"].as_array().unwrap().len(), 60);
    work.write("f.txt", "a\nb\n");
    let run = work.tamis(&[&args[..], &["--families", "f.txt"]].concat()).expect(2);
    assert_eq!(run.stderr, "error: f.txt has 2 families, expected 60, as many as y.npy has labels\n");
}

/// Where the numbers of [`f64s`] of fewer than some thousand rows begin.
fn x_start() -> usize {
    128
}

/// The error of labels and probabilities.
fn error(labels: &[u8], probabilities: &[u8], args: &[&str], status: i32) -> String {
    run(&workspace(labels, probabilities), args).expect(status).stderr
}

#[test]
fn probabilities_that_are_none_are_refused_by_row_and_column() {
    let labels = i64s(&[0, 1]);
    let start = "error: cannot use the probabilities of p.npy\ncaused by: ";
    for (row, cause, hint) in [
        (
            [0.5, f64::NAN],
            "probabilities at row 1, column 1 is NaN, expected a number in [0, 1]",
            "a fold that was not predicted leaves NaN: predict those rows, or mark their labels as missing by -1",
        ),
        (
            [-0.5, 1.5],
            "probabilities at row 1, column 0 is -0.5, expected a number in [0, 1]",
            "take the soft-max of logits; --renormalize divides counts by their sums",
        ),
        (
            [0.5, 0.25],
            "probabilities of row 1 sum to 0.75, expected 1 within 0.01 (renormalizing divides rows by their sums)",
            "--renormalize divides each row by its sum; of logits take the soft-max first",
        ),
    ] {
        let stderr = error(&labels, &f64s(&[&[0.5, 0.5], &row]), &[], 3);
        assert_eq!(stderr, format!("{start}{cause}\n\nhint: {hint}\n"));
    }
    let counts = f64s(&[&[3.0, 1.0], &[1.0, 1.0]]);
    let quality = parsed(&run(&workspace(&labels, &counts), &["--renormalize", "--format", "json"]).expect(0));
    assert_eq!(quality["label_quality"], json!([0.75, 0.5]));
    let one = error(&i64s(&[0, 0]), &f64s(&[&[1.0], &[1.0]]), &[], 3);
    assert_eq!(
        one,
        format!(
            "{start}probabilities has 1 columns, expected at least 2\n\nhint: two classes take two columns, 1 - p and p: `numpy.c_[1 - p, p]`\n"
        )
    );
    let whole = error(&labels, &npy("<i8", false, "(2, 1)", &[0; 16]), &[], 3);
    let said = "numbers of type `<i8`, expected `<f4`, `<f8` or `<f2`; `astype('float32')` makes it so";
    assert_eq!(whole, format!("{start}{said}\n"));
    let flat = error(&labels, &npy("<f8", false, "(2,)", &[0; 16]), &[], 3);
    assert_eq!(flat, format!("{start}an array of shape (2,), expected two dimensions\n"));
}

#[test]
fn labels_that_are_none_are_refused_by_row() {
    let rows = f64s(&[&[0.5, 0.5], &[0.5, 0.5]]);
    assert_eq!(
        error(&i64s(&[1, 2]), &rows, &[], 3),
        "error: cannot use the probabilities of p.npy\ncaused by: label of row 1 is 2, expected less than 2 (the number of \
         classes)\n\nhint: labels count from 0, one for each column; subtract 1 if they count from 1\n"
    );
    assert_eq!(
        error(&i64s(&[1, -2]), &rows, &[], 3),
        "error: labels of y.npy: row 1 is -2, expected the number of a class from 0 on, or -1 for none\n"
    );
    assert_eq!(
        error(&npy("|O", false, "(2,)", b"pickle"), &rows, &[], 3),
        "error: labels of y.npy: an array of Python objects (`|O`), expected numbers or strings; `astype(str)` makes it one \
         of strings\n"
    );
    assert_eq!(
        error(&i64s(&[-1, -1]), &rows, &[], 3),
        "error: no labels in y.npy: all of them are missing, expected some\n"
    );
    assert_eq!(
        error(&i64s(&[]), &f64s(&[&[0.5, 0.5]]), &[], 3),
        "error: no labels in y.npy: the file is empty, expected some\n"
    );
    assert_eq!(
        error(&i64s(&[0, 1, 1]), &rows, &[], 2),
        "error: p.npy has 2 rows, expected 3, as many as y.npy has labels\n"
    );
    let names = npy("|S1", false, "(2,)", b"ab");
    let three = f64s(&[&[0.5, 0.25, 0.25], &[0.5, 0.25, 0.25]]);
    assert_eq!(
        error(&names, &three, &[], 2),
        "error: labels have 2 names (a, b), and p.npy has 3 columns, expected one for each name in sorted order; --classes \
         NAME,... names the columns\n"
    );
    run(&workspace(&names, &three), &["--classes", "a,b,c"]).expect(0);
    assert_eq!(
        error(&names, &rows, &["--classes", "a,c"], 2),
        "error: label of row 1 is `b`, which is not among --classes a,c\n"
    );
    let missing = Workspace::new().tamis(&FILES).expect(3);
    assert!(missing.stderr.starts_with("error: cannot read y.npy\ncaused by: "), "{}", missing.stderr);
}

#[test]
fn options_that_do_not_fit_are_usage_errors() {
    let work = workspace(&i64s(&LABELS), &f64s(&ROWS));
    for (args, said) in [
        (
            &["--filter", "recommended", "--frac-noise", "0.5"][..],
            "error: --frac-noise is not for --filter recommended; it is for prune_by_noise_rate, prune_by_class and both\n",
        ),
        (&["--filter", "recommended", "--adjust"], "error: --adjust is for a score: name one with --rank\n"),
        (
            &["--rank", "confidence_weighted_entropy", "--adjust"],
            "error: cannot use the probabilities of p.npy\ncaused by: threshold adjustment cannot be combined with \
             confidence_weighted_entropy\n",
        ),
        (
            &["--frac-noise", "1.5"],
            "error: cannot use the probabilities of p.npy\ncaused by: option frac_noise is 1.5, expected a number in [0, 1]\n",
        ),
        (
            &["--num-to-remove-per-class", "1"],
            "error: cannot use the probabilities of p.npy\ncaused by: num_to_remove_per_class has 1 entries, expected 2\n",
        ),
    ] {
        assert_eq!(run(&work, args).expect(2).stderr, said, "{args:?}");
    }
    let neither = work.tamis(&["labels", "--labels", "y.npy"]).expect(2);
    assert!(neither.stderr.contains("--pred-probs <FILE.npy>"), "{}", neither.stderr);
    let filter = work.tamis(&["labels", "--labels", "y.npy", "--vectors", "p.npy", "--filter", "both"]).expect(2);
    assert!(filter.stderr.contains("'--vectors <FILE>' cannot be used with '--filter <FILTER>'"), "{}", filter.stderr);
}

/// Runs a task on files of a fixture, each named after its flag.
fn task(name: &str, case: &str, files: &[(&str, &str)], args: &[&str]) -> Json {
    let paths: Vec<(&str, String)> =
        files.iter().map(|(flag, file)| (*flag, fixture(case).join(file).display().to_string())).collect();
    let mut all = vec!["labels", "--task", name, "--format", "json", "--quiet"];
    paths.iter().for_each(|(flag, path)| all.extend([*flag, path.as_str()]));
    all.extend(args);
    let found = parsed(&Workspace::new().tamis(&all).expect(0));
    assert_eq!((&found["schema"], &found["task"]), (&json!("tamis-labels-task/1"), &json!(name)));
    found
}

/// Scores of f32 inputs and other orders of sums.
fn assert_scores(name: &str, got: &Json, expected: &Json, tolerance: f64) {
    let (got, expected) = (got.as_array().unwrap(), expected.as_array().unwrap());
    assert_eq!(got.len(), expected.len(), "{name}");
    for (row, (got, expected)) in got.iter().zip(expected).enumerate() {
        let (got, expected) = (got.as_f64().unwrap(), expected.as_f64().unwrap());
        assert!((got - expected).abs() <= tolerance, "{name}, row {row}: {got} instead of {expected}");
    }
}

#[test]
fn rows_with_several_classes_are_judged_as_cleanlab_does() {
    let files = [("--labels", "labels_onehot.npy"), ("--pred-probs", "pred_probs.npy")];
    let (got, expected) = (task("multi-label", "multilabel", &files, &[]), expected("multilabel"));
    assert_eq!(got["issues"], expected["ranked_prune_by_noise_rate_self_confidence"]);
    assert_scores("quality", &got["label_quality"], &expected["scores"]["self_confidence|adjust=False|ema0.8"], 1e-6);
    assert_eq!(got["health"], expected["overall_multilabel_health_score"]);
    assert_eq!(got["classes_of_issues"].as_array().unwrap().len(), got["issues"].as_array().unwrap().len());
}

#[test]
fn annotators_are_judged_as_cleanlab_does() {
    let files = [("--labels", "annotators.npy"), ("--pred-probs", "pred_probs.npy")];
    let expected = expected("multiannotator");
    for (score, key) in [("none", "crowdlab"), ("cleanlab", "crowdlab_calibrated")] {
        let got = task("multi-annotator", "multiannotator", &files, &["--score", score]);
        let crowdlab = &expected[key];
        assert_eq!(got["consensus"], crowdlab["consensus_label"], "{key}");
        assert_scores(key, &got["consensus_quality"], &crowdlab["consensus_quality_score"], 1e-6);
        assert_scores(key, &got["active_learning"], &expected["active_learning_scores"], 1e-6);
    }
}

#[test]
fn tokens_are_judged_as_cleanlab_does() {
    let files = [("--labels", "labels.npy"), ("--pred-probs", "pred_probs.npy"), ("--offsets", "offsets.npy")];
    let (got, expected) = (task("token", "tokens", &files, &[]), expected("tokens"));
    assert_eq!(got["issues"], expected["issues"]);
    assert_scores("min", &got["sentence_quality"], &expected["sentence_scores_min"], 1e-6);
}

#[test]
fn strangers_are_scored_as_cleanlab_does() {
    let probabilities = [("--labels", "labels.npy"), ("--pred-probs", "pred_probs.npy")];
    let expected_scores = expected("ood_pred_probs");
    for score in ["entropy", "least_confidence", "gen"] {
        for (files, adjust) in [(&probabilities[..], "True"), (&probabilities[1..], "False")] {
            let got = task("out-of-distribution", "ood_pred_probs", files, &["--score", score]);
            assert_scores(score, &got["scores"], &expected_scores[format!("{score}|adjust={adjust}")], 1e-6);
        }
    }
    let vectors = [("--vectors", "features.npy")];
    let got = task("out-of-distribution", "ood_cosine_d20", &vectors, &[]);
    // Cosines are f32 here and f64 there.
    assert_scores("distance", &got["scores"], &expected("ood_cosine_d20")["knn_ood_scores_k10"], 1e-5);
}

#[test]
fn numeric_labels_are_scored_as_cleanlab_does() {
    let files = [("--labels", "labels.npy"), ("--predictions", "predictions.npy")];
    for score in ["outre", "residual"] {
        let got = task("regression", "regression", &files, &["--score", score]);
        assert_scores(score, &got["label_quality"], &expected("regression")[score], 1e-9);
    }
}

#[test]
fn rows_are_worth_what_cleanlab_says() {
    let files = [("--labels", "labels.npy"), ("--vectors", "features.npy")];
    let got = task("shapley", "ood_cosine_d20", &files, &[]);
    let expected = expected("ood_cosine_d20");
    let pairs = got["label_quality"].as_array().unwrap().iter().zip(expected["knn_shapley_k10"].as_array().unwrap());
    let n_equal = pairs.filter(|(a, b)| (a.as_f64().unwrap() - b.as_f64().unwrap()).abs() < 1e-9).count();
    assert!(490 <= n_equal, "but for neighbors that are equally near: {n_equal} of 500");
}

#[test]
fn a_task_says_what_it_needs() {
    let work = workspace(&i64s(&LABELS), &f64s(&ROWS));
    let error = |args: &[&str], status| work.tamis(&[&["labels", "--task"], args].concat()).expect(status).stderr;
    let because = |task: &str, cause: &str| format!("error: cannot do --task {task}\ncaused by: {cause}\n");
    assert_eq!(
        error(&["regression", "--labels", "y.npy"], 2),
        because("regression", "--task regression wants --predictions")
    );
    assert_eq!(
        error(&["out-of-distribution", "--pred-probs", "p.npy", "--score", "x"], 2),
        because("out-of-distribution", "--score is `x`, expected one of entropy, least_confidence, gen")
    );
    assert_eq!(
        error(&["multi-label", "--labels", "y.npy", "--pred-probs", "p.npy"], 3),
        because("multi-label", "y.npy has 1 dimensions, expected two")
    );
    assert!(error(&["token", "--labels", "y.npy", "--filter", "both"], 2).contains("cannot be used with '--filter"));
    let text = work.tamis(&["labels", "--task", "out-of-distribution", "--pred-probs", "p.npy"]).expect(0).stdout;
    assert!(text.starts_with("out-of-distribution, 6 rows\nscored by entropy: low is out of distribution\n"), "{text}");
}
