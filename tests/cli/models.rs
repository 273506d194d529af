//! Models by name: what is listed, shown, found among downloads, and verified. Nothing here reaches for a network.

use std::fs;
use std::path::Path;

use serde_json::Value as Json;
use tamis_embed::catalog::CATALOG;

use crate::common::{SUPPORT, Workspace, fixtures, model_folder, rows};

const REVISION: &str = "0123456789abcdef0123456789abcdef01234567";

/// Copies the files of the bundled model.
fn copy_model(to: &Path) {
    fs::create_dir_all(to).unwrap();
    for name in ["LICENSE", "NOTICE", "config.json", "model.safetensors", "model.toml", "tokenizer.json"] {
        fs::copy(Path::new(&model_folder()).join(name), to.join(name)).unwrap();
    }
}

/// A cache of downloads in which another tool left the bundled model as `org/name`.
fn with_download() -> Workspace {
    let work = Workspace::new();
    copy_model(&work.path(&format!("hub/models--org--name/snapshots/{REVISION}")));
    work.write("hub/models--org--name/refs/main", REVISION);
    work
}

/// Runs a command with `hub/` as the cache.
fn with_cache(work: &Workspace, args: &[&str]) -> (i32, String, String) {
    let output = work.command(args).env("HF_HUB_CACHE", work.path("hub")).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[test]
fn the_list_has_every_model_with_where_it_is() {
    let run = Workspace::new().tamis(&["models", "list"]).expect(0);
    let lines: Vec<_> = run.stdout.lines().collect();
    assert_eq!(lines.len(), CATALOG.len() + 1);
    assert_eq!(
        lines[0].split_whitespace().collect::<Vec<_>>(),
        ["name", "reads", "dim", "input", "license", "languages", "MB", "where"]
    );
    for (line, entry) in lines[1..].iter().zip(CATALOG) {
        assert_eq!(line.split_whitespace().next(), Some(entry.id));
        let is_bundled = ["all-minilm-l6-v2", "mobilenet-v2"].contains(&entry.id);
        assert!(line.ends_with(if is_bundled { "bundled" } else { "not here" }), "{line}");
    }
    let clip = lines.iter().find(|line| line.starts_with("clip-vit-base-patch32")).unwrap();
    let cells: Vec<_> = clip.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect();
    let expected = ["clip-vit-base-patch32", "text, image", "512", "77 tokens, 224 px", "MIT", "en", "605", "not here"];
    assert_eq!(cells, expected);
}

#[test]
fn the_list_is_one_object_a_line_for_programs() {
    let run = Workspace::new().tamis(&["models", "list", "--json"]).expect(0);
    let models: Vec<Json> = run.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(models.len(), CATALOG.len());
    let first = &models[0];
    assert_eq!((&first["name"], &first["where"]), (&"all-minilm-l6-v2".into(), &"bundled".into()));
    assert_eq!((&first["supported"], &first["max_tokens"]), (&true.into(), &256.into()));
}

#[test]
fn show_says_all_of_a_model_that_is_not_here() {
    let run = Workspace::new().tamis(&["models", "show", "multilingual-e5-small"]).expect(0);
    let line = |name: &str| run.stdout.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim();
    assert_eq!(line("name"), "multilingual-e5-small");
    assert_eq!(line("from"), "https://huggingface.co/intfloat/multilingual-e5-small");
    assert_eq!(line("revision"), "pinned at the first pull");
    assert_eq!(line("where"), "not here");
    assert_eq!(line("tokens"), "512, the rest of a text is not read");
    assert_eq!(line("pooling"), "mean");
    assert!(run.stdout.contains("prompt         query: \"query: \" (put before every sample)\n"), "{}", run.stdout);
    assert!(run.stdout.contains("prompt         passage: \"passage: \"\n"), "{}", run.stdout);
}

#[test]
fn show_says_how_a_model_sees_images_and_what_it_is_made_of() {
    let run = Workspace::new().tamis(&["models", "show", "mobilenet-v2"]).expect(0);
    assert!(run.stdout.contains("\nderived by     scripts/make_default_models.py\n"), "{}", run.stdout);
    assert!(run.stdout.contains("\nscaled         stretch, bilinear\n"), "{}", run.stdout);
    assert!(run.stdout.contains("\nnear-duplicate cosine of at least 0.875: "), "{}", run.stdout);
    let run = Workspace::new().tamis(&["models", "show", "dinov2-small"]).expect(0);
    assert!(run.stdout.contains("\nscaled         inner-crop of 256 pixels on the shorter side, bicubic\n"));
}

#[test]
fn show_infers_what_a_folder_says() {
    let work = Workspace::new();
    work.write("m/config.json", r#"{"model_type": "roberta", "hidden_size": 32, "max_position_embeddings": 514}"#);
    let run = work.tamis(&["models", "show", "./m"]).expect(0);
    assert!(run.stdout.contains("\ntokens         512, the rest of a text is not read\n"), "{}", run.stdout);
    assert!(run.stdout.contains("\nlicense        unknown\n") && run.stdout.contains("\nwhere          ./m\n"));
}

#[test]
fn a_name_that_nothing_has_is_a_usage_error() {
    for command in ["show", "pull", "verify"] {
        let run = Workspace::new().tamis(&["models", command, "gpt"]).expect(2);
        let said = "error: there is no model `gpt`: expected a folder with config.json, tokenizer.json and \
                    model.safetensors, or one of all-minilm-l6-v2, mobilenet-v2\n\n\
                    hint: `tamis models list` shows the models that have a name\n";
        assert_eq!((run.stderr.as_str(), run.stdout.as_str()), (said, ""), "{command}");
    }
}

#[test]
fn a_known_model_that_is_not_here_says_how_to_get_it() {
    let work = Workspace::new();
    work.write("a.jsonl", rows(&["one", "two"]));
    for (name, repo) in [("bge-small-en-v1.5", "BAAI/bge-small-en-v1.5"), ("org/name", "org/name")] {
        let run = work.tamis(&["embed", "a.jsonl", "--out", "v.npy", "--model", name]).expect(2);
        assert!(
            run.stderr.starts_with(&format!("error: model `{name}` is not on this machine\n\nhint: ")),
            "{}",
            run.stderr
        );
        let hint = format!("`hf download {repo} --local-dir DIR`, and name the folder with --model DIR\n");
        assert!(run.stderr.ends_with(&hint), "{}", run.stderr);
    }
}

#[test]
fn a_bundled_model_needs_no_pull() {
    let run = Workspace::new().tamis(&["models", "pull", "mobilenet-v2"]).expect(0);
    assert_eq!(run.stdout, "model          mobilenet-v2: this build carries it, there is nothing to pull\n");
}

#[test]
fn a_pull_without_network_says_how_to_do_it_by_hand() {
    let work = Workspace::new();
    let output = work.command(&["models", "pull", "e5-base-v2"]).env("HF_HUB_OFFLINE", "1").output().unwrap();
    let said = "error: intfloat/e5-base-v2 cannot be pulled: HF_HUB_OFFLINE is set\n\nhint: get its files with `hf \
                download intfloat/e5-base-v2 --local-dir DIR`, and name the folder with --model DIR\n";
    assert!(String::from_utf8(output.stderr).unwrap().ends_with(said));
    assert_eq!(output.status.code(), Some(3));
    let run = work.tamis(&["models", "pull", "org/name"]).expect(3);
    let said =
        "error: there is no place to keep models: expected one of HF_HUB_CACHE, HF_HOME, XDG_CACHE_HOME and HOME\n";
    assert_eq!(run.stderr, said);
}

#[cfg(not(feature = "hub"))]
#[test]
fn a_build_that_cannot_pull_says_how_to_do_it_by_hand() {
    let work = Workspace::new();
    let (status, _, stderr) = with_cache(&work, &["models", "pull", "org/name"]);
    let said = "error: org/name cannot be pulled: this build has no feature `hub`\n\nhint: get its files with `hf download \
                org/name --local-dir DIR`, and name the folder with --model DIR\n";
    assert_eq!((status, stderr.as_str()), (3, said));
}

#[test]
fn what_another_tool_downloaded_is_found_by_its_name() {
    let work = with_download();
    work.write("a.jsonl", rows(&["Where is my parcel?", "It rained all day."]));
    let embed = |out: &str, model: &[&str]| {
        let args = [&["embed", "a.jsonl", "--quiet", "--out", out], model].concat();
        assert_eq!(with_cache(&work, &args), (0, String::new(), String::new()));
        fs::read(work.path(out)).unwrap()
    };
    let (bundled, found) = (embed("bundled.npy", &[]), embed("found.npy", &["--model", "org/name"]));
    assert!(bundled == found, "the vectors differ");
    let (status, stdout, _) = with_cache(&work, &["models", "verify", "org/name"]);
    assert_eq!(status, 0);
    assert!(stdout.contains(&format!("revision       {REVISION}\n")), "{stdout}");
    assert!(stdout.contains("files          nothing to compare with: another tool fetched them; "), "{stdout}");
    assert!(stdout.contains("trial          works (384 numbers, 256 tokens, loaded in "), "{stdout}");
}

#[test]
fn a_download_that_changed_after_it_was_pinned_is_refused() {
    let work = with_download();
    let zeros = "0".repeat(64);
    let lock = serde_json::json!({
        "schema": "tamis-model-lock-1", "repo": "org/name", "revision": REVISION,
        "files": {"config.json": {"size_bytes": 1, "sha256": zeros}},
    });
    work.write("hub/tamis/models--org--name.json", lock.to_string());
    work.write("a.jsonl", rows(&["one", "two"]));
    let (status, _, stderr) = with_cache(&work, &["embed", "a.jsonl", "--out", "v.npy", "--model", "org/name"]);
    assert_eq!(status, 3, "{stderr}");
    let expected =
        format!(", expected {zeros} (the lock of the first pull)\n\nhint: the files changed after they were pinned; ");
    assert!(
        stderr.starts_with("error: config.json of org/name has the SHA-256 ") && stderr.contains(&expected),
        "{stderr}"
    );
}

#[test]
fn verify_compares_hashes_and_tries_the_model() {
    for (name, n, said) in
        [("all-minilm-l6-v2", 5, "384 numbers, 256 tokens"), ("mobilenet-v2", 3, "1280 numbers, images")]
    {
        let run = Workspace::new().tamis(&["models", "verify", name]).expect(0);
        assert!(run.stdout.contains(&format!("\nfiles          {n} as pinned in model.toml\n")), "{}", run.stdout);
        assert!(run.stdout.contains(&format!("\ntrial          works ({said}")), "{}", run.stdout);
    }
}

#[test]
fn verify_names_the_first_file_of_a_folder_that_differs() {
    let work = Workspace::new();
    copy_model(&work.path("m"));
    let run = work.tamis(&["models", "verify", "m"]).expect(3);
    assert!(
        run.stderr.starts_with("error: m has no 1_Pooling/config.json, which model.toml lists\n"),
        "{}",
        run.stderr
    );
    for name in ["1_Pooling/config.json", "modules.json", "sentence_bert_config.json"] {
        work.write(&format!("m/{name}"), fs::read(Path::new(&model_folder()).join(name)).unwrap());
    }
    let run = work.tamis(&["models", "verify", "m"]).expect(0);
    assert!(run.stdout.contains("\nfiles          8 as pinned in model.toml\n"), "{}", run.stdout);
    work.write("m/NOTICE", "changed");
    let run = work.tamis(&["models", "verify", "m"]).expect(3);
    assert!(run.stderr.starts_with("error: NOTICE of m has the SHA-256 "), "{}", run.stderr);
}

#[test]
fn a_distilled_model_is_a_folder_that_audits() {
    let bert = fixtures().join("models/parity/bert").display().to_string();
    let work = Workspace::with_support();
    work.tamis(&["models", "distill", &bert, "--out", "small", "--dim", "16"]).expect(0);
    let run = work.tamis(&[&SUPPORT[..], &["--model", "small", "--only", "near-duplicate,exact-duplicate"]].concat());
    assert_eq!(run.audit().model.unwrap().dim, 16);
    assert!(!run.findings_of("exact-duplicate").is_empty());
}

#[test]
fn a_model_is_not_distilled_to_more_numbers_than_it_has() {
    let bert = fixtures().join("models/parity/bert").display().to_string();
    let run = Workspace::new().tamis(&["models", "distill", &bert, "--out", "small", "--dim", "33"]);
    assert!(run.stderr.contains("dim is 33, expected a number from 1 to 32"), "{}", run.stderr);
    assert_eq!(run.status, 2);
    assert!(run.files.is_empty());
}

#[test]
fn distilling_refuses_models_for_images_and_folders_that_are_there() {
    let run = Workspace::new().tamis(&["models", "distill", "mobilenet-v2", "--out", "small"]);
    assert!(run.stderr.contains("`mobilenet-v2` is for images, expected one for texts"), "{}", run.stderr);
    assert_eq!(run.status, 2);
    let work = Workspace::with_support();
    let run = work.tamis(&["models", "distill", "all-minilm-l6-v2", "--out", "."]);
    assert!(run.stderr.contains(". is there already, expected a folder to be made"), "{}", run.stderr);
    assert_eq!(run.status, 2);
}
