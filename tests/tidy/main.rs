//! What holds for the repository as a whole: crates and their edges, dependencies, files, and that the documents name
//! only what exists.

#![expect(clippy::unwrap_used, reason = "what is missing is a failed test")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::Value;

/// The crates, and which of them each may use in its library and binary.
const EDGES: [(&str, &[&str]); 8] = [
    (
        "tamis",
        &["tamis-checks", "tamis-core", "tamis-data", "tamis-embed", "tamis-labels", "tamis-neighbors", "tamis-report"],
    ),
    ("tamis-checks", &["tamis-core", "tamis-labels"]),
    ("tamis-core", &[]),
    ("tamis-data", &["tamis-core"]),
    ("tamis-embed", &["tamis-core"]),
    ("tamis-labels", &[]),
    ("tamis-neighbors", &["tamis-core"]),
    ("tamis-report", &["tamis-core"]),
];

/// Crates of which two versions would be two incompatible types, or minutes of build.
const SINGLE: [&str; 4] = ["image", "ndarray", "safetensors", "tokenizers"];

/// Minutes of build, C++, system libraries, or a way to the network. Only the feature `hub` may bring some of them.
const UNWANTED: [&str; 10] = [
    "candle-transformers",
    "cmake",
    "cxx",
    "hf-hub",
    "link-cplusplus",
    "native-tls",
    "onig",
    "openssl-sys",
    "reqwest",
    "ureq",
];

/// Crates whose build script compiles C or assembly.
const COMPILING_C: [&str; 3] = ["blake3", "iana-time-zone-haiku", "zstd-sys"];

/// What the feature `hub` brings in, and the one file that names it.
const HUB_CRATE: &str = "hf-hub";
const HUB_FILE: &str = "crates/tamis-embed/src/hub/fetch.rs";

/// The documents whose names of paths, tests and types must exist.
const DOCUMENTS: [&str; 2] = ["ARCHITECTURE.md", "CONTRIBUTING.md"];

const MAX_LINES: usize = 600;
const MAX_TREE_BYTES: u64 = 40 << 20;
const MAX_EXAMPLE_BYTES: u64 = 2 << 20;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn stdout_of(program: impl AsRef<std::ffi::OsStr>, args: &[&str]) -> String {
    let out = Command::new(program).args(args).current_dir(root()).output().unwrap();
    assert!(out.status.success(), "{args:?}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap()
}

/// What cargo resolved for this machine; other platforms' crates need not be downloaded.
fn metadata() -> &'static Value {
    static METADATA: OnceLock<Value> = OnceLock::new();
    METADATA.get_or_init(|| {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let version = stdout_of(&cargo, &["-vV"]);
        let host = version.lines().find_map(|line| line.strip_prefix("host: ")).unwrap();
        let args = ["metadata", "--format-version", "1", "--offline", "--locked", "--filter-platform", host];
        serde_json::from_str(&stdout_of(&cargo, &args)).unwrap()
    })
}

fn str_of<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap()
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().unwrap()
}

/// The crates of the workspace by name.
fn members() -> BTreeMap<&'static str, &'static Value> {
    let ids: BTreeSet<&str> = list(metadata(), "workspace_members").iter().map(|id| id.as_str().unwrap()).collect();
    let ours = list(metadata(), "packages").iter().filter(|it| ids.contains(str_of(it, "id")));
    ours.map(|it| (str_of(it, "name"), it)).collect()
}

/// Members that name a dependency of which `is_meant` says so, other than for tests.
fn members_that_name(is_meant: impl Fn(&str) -> bool) -> Vec<&'static str> {
    let names = |member: &Value| {
        list(member, "dependencies").iter().any(|it| it["kind"] != "dev" && is_meant(str_of(it, "name")))
    };
    members().into_iter().filter(|(_, member)| names(member)).map(|(name, _)| name).collect()
}

/// Name and version of every crate of `Cargo.lock`, whatever its platform.
fn locked() -> BTreeMap<String, BTreeSet<String>> {
    let mut versions: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let lock = read("Cargo.lock");
    let value = |line: &str, key: &str| Some(line.strip_prefix(key)?.trim_matches('"').to_owned());
    let mut lines = lock.lines();
    while let Some(line) = lines.next() {
        if let Some(name) = value(line, "name = ") {
            let version = value(lines.next().unwrap(), "version = ").unwrap();
            versions.entry(name).or_default().insert(version);
        }
    }
    versions
}

/// Files below `folder` with one of `extensions`, relative to the root, in order.
fn files(folder: &str, extensions: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|it| extensions.iter().any(|extension| it == *extension)) {
                found.push(path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    found.sort();
    found
}

fn rust_files() -> Vec<String> {
    let mut all = files("crates", &["rs"]);
    all.extend(files("tests", &["rs"]));
    all
}

/// The code before the tests at the bottom of a file.
fn without_tests(text: &str) -> &str {
    text.split_once("\n#[cfg(test)]\nmod tests {").map_or(text, |(code, _)| code)
}

/// What stands between single backticks outside of code blocks, with the document.
fn quoted_in_documents() -> Vec<(&'static str, String)> {
    let mut quoted = Vec::new();
    for document in DOCUMENTS {
        let text = read(document);
        let prose: String = text.split("```").step_by(2).collect();
        quoted.extend(prose.split('`').skip(1).step_by(2).map(|it| (document, it.to_owned())));
    }
    assert!(20 < quoted.len(), "the documents name paths and tests: {quoted:?}");
    quoted
}

fn is_word(text: &str, is_part: impl Fn(char) -> bool) -> bool {
    !text.is_empty() && text.chars().all(is_part)
}

/// Fails with what is wrong alone, and not with all that was looked at.
fn assert_none<T: std::fmt::Debug>(wrong: &[T], what: &str) {
    assert!(wrong.is_empty(), "{what}: {wrong:#?}");
}

#[test]
fn there_are_eight_crates_in_folders_of_their_names() {
    let found: Vec<(String, String)> = members()
        .into_iter()
        .map(|(name, member)| {
            let folder = Path::new(str_of(member, "manifest_path")).parent().unwrap();
            (name.to_owned(), folder.strip_prefix(root()).unwrap().to_str().unwrap().to_owned())
        })
        .collect();
    let expected: Vec<_> = EDGES.iter().map(|(name, _)| ((*name).to_owned(), format!("crates/{name}"))).collect();
    assert_eq!(found, expected);
}

#[test]
fn internal_edges_are_those_of_the_table() {
    let members = members();
    for (name, expected) in EDGES {
        let dependencies = list(members[name], "dependencies").iter().filter(|it| it["kind"] != "dev");
        let used: BTreeSet<&str> =
            dependencies.map(|it| str_of(it, "name")).filter(|it| members.contains_key(it)).collect();
        assert_eq!(used, expected.iter().copied().collect(), "{name}");
    }
}

#[test]
fn only_tamis_embed_names_candle() {
    assert_eq!(members_that_name(|it| it.starts_with("candle")), ["tamis-embed"]);
}

#[test]
fn only_tamis_names_the_crates_of_a_command_line() {
    for name in ["anyhow", "clap", "clap_complete", "console", "indicatif", "tracing-subscriber"] {
        assert_eq!(members_that_name(|it| it == name), ["tamis"], "{name}");
    }
}

#[test]
fn crates_of_large_types_have_one_version() {
    let locked = locked();
    assert!(locked.contains_key("tokenizers"), "the lock is read");
    let several: Vec<_> =
        SINGLE.iter().filter_map(|it| locked.get_key_value(*it)).filter(|it| 1 < it.1.len()).collect();
    assert_none(&several, "crates with several versions");
}

/// The crates of `Cargo.lock` that lie on a way from ours that does not lead over `hf-hub`, whatever the platform. A name
/// stands for all versions of a crate.
fn locked_without_hub() -> BTreeSet<String> {
    let lock: toml::Table = toml::from_str(&read("Cargo.lock")).unwrap();
    let packages = lock["package"].as_array().unwrap();
    let name = |package: &toml::Value| package["name"].as_str().unwrap().to_owned();
    let mut uses: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for package in packages {
        let dependencies = package.get("dependencies").and_then(toml::Value::as_array).into_iter().flatten();
        // A name, and its version where there are several.
        let named = dependencies.map(|it| it.as_str().unwrap().split(' ').next().unwrap().to_owned());
        uses.entry(name(package)).or_default().extend(named.filter(|it| it != HUB_CRATE));
    }
    let mut reached: BTreeSet<String> = BTreeSet::new();
    let mut ahead: Vec<String> = members().into_keys().map(str::to_owned).collect();
    while let Some(next) = ahead.pop() {
        if reached.insert(next.clone()) {
            ahead.extend(uses[&next].iter().cloned());
        }
    }
    reached
}

#[test]
fn unwanted_crates_come_with_the_feature_hub_alone() {
    let locked = locked_without_hub();
    assert!(locked.contains("tokenizers"), "the lock is read");
    let found: Vec<_> = UNWANTED.iter().filter(|it| locked.contains(**it)).collect();
    assert_none(&found, "unwanted crates");
}

#[test]
fn the_network_is_in_one_file_behind_a_feature() {
    let names = |it: &String| it.contains("/src/") && without_tests(&read(it)).contains("hf_hub");
    let found: Vec<_> = rust_files().into_iter().filter(names).collect();
    assert_eq!(found, [HUB_FILE]);
    for (name, member) in members() {
        let defaults = member["features"]["default"].as_array();
        let has_hub = defaults.is_some_and(|it| it.iter().any(|it| it.as_str().unwrap().contains("hub")));
        assert!(!has_hub, "{name} has hub by default");
        let names_it = |it: &&Value| str_of(it, "name") == HUB_CRATE;
        for dependency in list(member, "dependencies").iter().filter(names_it) {
            assert_eq!((name, &dependency["optional"]), ("tamis-embed", &Value::Bool(true)));
        }
    }
}

#[test]
fn only_known_crates_compile_c_and_none_compiles_cpp() {
    let name_of: BTreeMap<&str, &str> =
        list(metadata(), "packages").iter().map(|it| (str_of(it, "id"), str_of(it, "name"))).collect();
    let nodes = list(&metadata()["resolve"], "nodes");
    let uses_cc = |node: &&Value| list(node, "deps").iter().any(|it| name_of[str_of(it, "pkg")] == "cc");
    let compiling: Vec<&str> = nodes.iter().filter(uses_cc).map(|it| name_of[str_of(it, "id")]).collect();
    assert!(compiling.contains(&"zstd-sys"), "the graph is read: {compiling:?}");
    let unknown: Vec<_> = compiling.iter().filter(|it| !COMPILING_C.contains(it)).collect();
    assert_none(&unknown, "crates that compile C or C++");
    let esaxx = nodes.iter().find(|it| name_of[str_of(it, "id")] == "esaxx-rs");
    let is_cpp = esaxx.is_some_and(|it| list(it, "features").iter().any(|feature| feature == "cpp"));
    assert!(!is_cpp, "esaxx-rs, which tokenizers brings, is pure Rust without its feature `cpp`");
}

#[test]
fn paths_named_in_the_documents_exist() {
    let extensions = [".md", ".py", ".rs", ".sh", ".toml"];
    let is_path = |it: &str| {
        let is_plain = is_word(it, |c| c.is_alphanumeric() || "_-./".contains(c));
        is_plain && (it.contains('/') || extensions.iter().any(|extension| it.ends_with(extension)))
    };
    // Files of the user and folders that an audit makes.
    let is_of_user = |it: &str| it.starts_with("tamis-out") || ["tamis.toml", "pyproject.toml"].contains(&it);
    let named = quoted_in_documents().into_iter().filter(|(_, it)| is_path(it) && !is_of_user(it));
    let missing: Vec<_> = named.filter(|(_, it)| !root().join(it).exists()).collect();
    assert_none(&missing, "paths that do not exist");
}

#[test]
fn tests_named_in_the_documents_exist() {
    let code: String = rust_files().iter().map(|path| read(path)).collect();
    let is_test = |it: &str| {
        is_word(it, |c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_') && 2 <= it.matches('_').count()
    };
    let named: Vec<_> = quoted_in_documents().into_iter().filter(|(_, it)| is_test(it)).collect();
    assert!(30 < named.len(), "invariants name their tests");
    let missing: Vec<_> = named.iter().filter(|(_, it)| !code.contains(&format!("fn {it}("))).collect();
    assert_none(&missing, "tests that do not exist");
}

#[test]
fn types_and_tables_named_in_the_documents_exist() {
    let code: String = rust_files().iter().map(|path| read(path)).collect();
    let is_defined = |it: &str| {
        ["struct", "enum", "trait", "type", "static", "const"].iter().any(|keyword| {
            code.contains(&format!("{keyword} {it} "))
                || code.contains(&format!("{keyword} {it}<"))
                || code.contains(&format!("{keyword} {it}:"))
                || code.contains(&format!("{keyword} {it}("))
        })
    };
    let is_type = |it: &str| it.starts_with(char::is_uppercase) && is_word(it, |c| c.is_alphanumeric() || c == '_');
    // `ClassLabel` and the like belong to others and stand in other documents.
    let named = quoted_in_documents().into_iter().filter(|(_, it)| is_type(it));
    let missing: Vec<_> = named.filter(|(_, it)| !is_defined(it)).collect();
    assert_none(&missing, "types that do not exist");
}

#[test]
fn no_file_is_called_mod_rs() {
    let found: Vec<_> = rust_files().into_iter().filter(|it| it.ends_with("/mod.rs")).collect();
    assert_none(&found, "files");
}

#[test]
fn no_rust_file_is_longer_than_its_limit_without_tests() {
    // A module of tests alone stands in a file of this name, behind `#[cfg(test)]`.
    let is_tests = |path: &str| path.ends_with("/tests.rs");
    let n_lines = |path: &String| if is_tests(path) { 0 } else { without_tests(&read(path)).lines().count() };
    let found: Vec<_> = rust_files().into_iter().filter(|it| MAX_LINES < n_lines(it)).collect();
    assert_none(&found, "files");
}

#[test]
fn every_library_begins_with_its_essay() {
    let is_bare = |it: &&str| !read(&format!("crates/{it}/src/lib.rs")).starts_with("//! ");
    let found: Vec<_> = EDGES.iter().map(|(name, _)| *name).filter(is_bare).collect();
    assert_none(&found, "libraries without an essay");
}

#[test]
fn every_check_has_a_page() {
    let checks = files("crates/tamis-checks/src/checks", &["rs"]);
    assert!(!checks.is_empty());
    let missing: Vec<_> = checks.iter().filter(|it| !root().join(it).with_extension("md").is_file()).collect();
    assert_none(&missing, "checks without a page");
}

#[test]
fn libraries_do_not_name_stdout_or_stderr() {
    let is_library = |it: &String| it.contains("/src/") && !it.starts_with("crates/tamis/");
    let names = |it: &String| {
        let text = read(it);
        let code = without_tests(&text);
        ["stdout()", "stderr()", "println!", "eprintln!"].iter().any(|name| code.contains(name))
    };
    let found: Vec<_> = rust_files().into_iter().filter(is_library).filter(names).collect();
    assert_none(&found, "libraries that write to the terminal");
}

#[test]
fn the_environment_is_read_in_config_alone() {
    let is_read = |it: &String| it.contains("/src/") && without_tests(&read(it)).contains("env::var");
    let found: Vec<_> = rust_files().into_iter().filter(is_read).collect();
    assert_eq!(found, ["crates/tamis/src/config.rs"]);
}

#[test]
fn the_tracked_tree_is_small() {
    if !root().join(".git").exists() {
        // An unpacked archive has nothing but the tracked tree, and maybe build outputs that do not count.
        return;
    }
    let listed = stdout_of("git", &["ls-files", "-z"]);
    let sizes = listed.split('\0').filter(|it| !it.is_empty()).map(|it| std::fs::metadata(root().join(it)));
    let total: u64 = sizes.map(|it| it.map_or(0, |it| it.len())).sum();
    assert!(0 < total && total < MAX_TREE_BYTES, "{total} bytes are tracked");
}

#[test]
fn examples_are_small_and_say_their_license() {
    let about = read("examples/README.md");
    let entries = std::fs::read_dir(root().join("examples")).unwrap().map(|entry| entry.unwrap().path());
    let folders: Vec<PathBuf> = entries.filter(|it| it.is_dir()).collect();
    assert!(!folders.is_empty());
    for folder in folders {
        let name = folder.file_name().unwrap().to_str().unwrap();
        let sizes = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len());
        let total: u64 = sizes.sum();
        assert!(total < MAX_EXAMPLE_BYTES, "{name} takes {total} bytes");
        assert!(folder.join("LICENSE").is_file(), "{name} has no LICENSE");
        let section = about.split("\n## ").find(|it| it.starts_with(name));
        assert!(section.is_some_and(|it| it.contains("**License**")), "{name} has no note of its license");
    }
}
