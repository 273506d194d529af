//! Runs the command in a folder of its own and reads back what it left.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use serde_json::Value as Json;
use tamis_report::wire::v1::{Audit, CheckRecord, Finding};

/// Checks that need no model.
pub(crate) const FACTS: &str = "unreadable-sample,exact-duplicate,conflicting-labels,empty-text";

/// The arguments that audit the planted messages.
pub(crate) const SUPPORT: [&str; 5] = ["audit", "--train", "support/train.jsonl", "--test", "support/test.jsonl"];

/// A working folder that is removed at the end, and an environment with nothing in it.
#[derive(Debug)]
pub(crate) struct Workspace {
    dir: tempfile::TempDir,
}

impl Workspace {
    pub(crate) fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    /// A folder with the planted messages in `support/`.
    pub(crate) fn with_support() -> Self {
        let work = Self::new();
        for name in ["train.jsonl", "test.jsonl"] {
            work.write(&format!("support/{name}"), fs::read(planted().join(name)).unwrap());
        }
        work
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes a file, and the folders that lead to it.
    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// Names of what is in the folder, sorted.
    pub(crate) fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.dir.path()).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    /// The command, not started.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        self.prepared(Command::new(env!("CARGO_BIN_EXE_tamis")), args)
    }

    /// The command, not started, with the signals that end a process as they are in a shell: what runs in the background
    /// of a script ignores some, and tamis keeps to that.
    pub(crate) fn interruptible(&self, args: &[&str]) -> Command {
        if !cfg!(target_os = "linux") {
            return self.command(args);
        }
        let mut env = Command::new("/usr/bin/env");
        env.args(["--default-signal=INT,HUP,TERM", env!("CARGO_BIN_EXE_tamis")]);
        self.prepared(env, args)
    }

    fn prepared(&self, mut command: Command, args: &[&str]) -> Command {
        command.args(args).current_dir(self.dir.path()).env_clear().env("TMPDIR", self.dir.path());
        command.stdin(Stdio::null());
        command
    }

    /// Runs the command to its end.
    pub(crate) fn tamis(&self, args: &[&str]) -> Run {
        let output = self.command(args).output().unwrap();
        let text = |bytes: Vec<u8>| self.redact(&String::from_utf8(bytes).unwrap());
        let (stdout, stderr) = (text(output.stdout), text(output.stderr));
        assert!(!stderr.contains("panicked"), "{args:?} panicked: {stderr}");
        let out = args.iter().position(|arg| *arg == "--out").map_or("tamis-out", |at| args[at + 1]);
        Run { status: output.status.code().unwrap(), stdout, stderr, files: files(&self.path(out)) }
    }

    /// Audits `paths` by the checks that need no model.
    pub(crate) fn facts(&self, args: &[&str]) -> Run {
        self.tamis(&[&["audit", "--only", FACTS], args].concat())
    }

    /// The working folder becomes `[DIR]`.
    fn redact(&self, text: &str) -> String {
        text.replace(self.dir.path().to_str().unwrap(), "[DIR]")
    }
}

/// Contents of the files of a folder.
fn files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let Ok(entries) = fs::read_dir(dir) else { return BTreeMap::new() };
    let paths = entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_file());
    paths.map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), fs::read(&path).unwrap())).collect()
}

/// What a finished command left.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) status: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    /// The record of an audit by file name.
    pub(crate) files: BTreeMap<String, Vec<u8>>,
}

impl Run {
    /// Asserts the exit code; what was printed explains a miss.
    #[track_caller]
    pub(crate) fn expect(self, status: i32) -> Self {
        assert_eq!(self.status, status, "exit code; stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    /// A file of the record as text.
    #[track_caller]
    pub(crate) fn text(&self, name: &str) -> String {
        let bytes = self.files.get(name).unwrap_or_else(|| panic!("no {name} in the record; stderr:\n{}", self.stderr));
        String::from_utf8(bytes.clone()).unwrap()
    }

    /// The parsed `audit.json`.
    #[track_caller]
    pub(crate) fn audit(&self) -> Audit {
        serde_json::from_str(&self.text("audit.json")).unwrap()
    }

    /// `audit.json` without the seconds.
    #[track_caller]
    pub(crate) fn timeless(&self) -> Json {
        let mut audit: Json = serde_json::from_str(&self.text("audit.json")).unwrap();
        audit.as_object_mut().unwrap().remove("timing").unwrap();
        audit
    }

    /// The parsed `findings.jsonl`.
    #[track_caller]
    pub(crate) fn findings(&self) -> Vec<Finding> {
        self.text("findings.jsonl").lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The findings of one check.
    #[track_caller]
    pub(crate) fn findings_of(&self, check: &str) -> Vec<Finding> {
        self.findings().into_iter().filter(|finding| finding.check == check).collect()
    }

    /// What became of one check.
    #[track_caller]
    pub(crate) fn check(&self, id: &str) -> CheckRecord {
        self.audit().checks.into_iter().find(|check| check.id == id).unwrap()
    }

    /// A count of one check, as JSON holds it.
    #[track_caller]
    pub(crate) fn fact(&self, check: &str, name: &str) -> Json {
        let check = serde_json::to_value(self.check(check)).unwrap();
        check["facts"][name].clone()
    }

    /// Name and number of samples of each split.
    #[track_caller]
    pub(crate) fn splits(&self) -> Vec<(String, u64)> {
        self.audit().dataset.splits.into_iter().map(|split| (split.name, split.samples)).collect()
    }

    /// Name and number of samples of each label.
    #[track_caller]
    pub(crate) fn labels(&self) -> Vec<(String, u64)> {
        self.audit().dataset.labels.into_iter().map(|label| (label.name, label.samples)).collect()
    }

    /// Asserts that one of the notes of reading holds `part`.
    #[track_caller]
    pub(crate) fn expect_note(&self, part: &str) {
        let notes = self.audit().notes;
        assert!(notes.iter().any(|note| note.contains(part)), "no note says {part:?}: {notes:#?}");
    }
}

/// Keys of the samples of a finding, sorted.
pub(crate) fn keys(finding: &Finding) -> Vec<String> {
    let mut keys: Vec<_> = finding.samples.iter().map(|sample| sample.key.clone()).collect();
    keys.sort();
    keys
}

/// Pairs as `splits` and `labels` give them.
pub(crate) fn counts(expected: &[(&str, u64)]) -> Vec<(String, u64)> {
    expected.iter().map(|(name, n)| ((*name).to_owned(), *n)).collect()
}

/// Rows of JSONL with one text each.
pub(crate) fn rows(texts: &[&str]) -> String {
    texts.iter().map(|text| format!("{}\n", serde_json::json!({ "text": text }))).collect()
}

/// The folder of all fixtures.
pub(crate) fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures")
}

/// The folder of the planted messages.
pub(crate) fn planted() -> PathBuf {
    fixtures().join("planted/support")
}

/// The folder of the bundled model.
pub(crate) fn model_folder() -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/all-minilm-l6-v2");
    folder.canonicalize().unwrap().to_str().unwrap().to_owned()
}

/// One audit of the planted messages with all checks, shared by those who only read it.
pub(crate) fn support() -> &'static Run {
    static RUN: OnceLock<Run> = OnceLock::new();
    RUN.get_or_init(|| Workspace::with_support().tamis(&SUPPORT))
}
