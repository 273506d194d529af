//! The store: what is done stays done, whatever ends a run.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Stdio};
use std::time::Duration;

use crate::common::{Run, SUPPORT, Workspace};
use crate::images::png;

/// Files that hold results alone.
const RESULTS: [&str; 4] = ["findings.jsonl", "findings.parquet", "pairs.parquet", "samples.parquet"];

/// An audit of a few images, in windows so small that there are several.
const IMAGES: [&str; 6] = ["audit", "data", "--only", "exact-duplicate,near-duplicate,outlier", "--window", "4"];

fn images() -> Workspace {
    let work = Workspace::new();
    for seed in 0..8 {
        // Two copies, so that there is something to find.
        work.write(&format!("data/{seed}.png"), png(seed.max(2)));
    }
    work
}

#[track_caller]
fn expect_same(run: &Run, other: &Run, when: &str) {
    for name in RESULTS {
        assert!(run.files[name] == other.files[name], "{name} differs {when}");
    }
}

/// Items done now and items reused, of one stage.
fn stage(run: &Run, name: &str) -> (u64, u64) {
    let stages = run.audit().timing;
    let stage = stages.iter().find(|it| it.stage == name).unwrap();
    (stage.rows, stage.reused)
}

/// Starts a run that stops for good at a commit point; `None` where it ends before it gets there.
fn stopped_at(work: &Workspace, args: &[&str], point: u64) -> Option<Child> {
    let point = point.to_string();
    let mut command = work.interruptible(&[args, &["-q", "--failpoint", &point]].concat());
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stderr.as_mut().unwrap()).read_line(&mut line).unwrap();
    if line == "failpoint reached\n" {
        return Some(child);
    }
    assert_eq!(child.wait().unwrap().code(), Some(0), "{line}");
    None
}

/// Ends a process as `kill -9` does.
fn kill(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_run_killed_at_any_commit_point_is_taken_up_again() {
    let whole = images().tamis(&IMAGES).expect(0);
    let mut n_reused = 0;
    for point in 1.. {
        let work = images();
        let Some(child) = stopped_at(&work, &IMAGES, point) else {
            assert!(40 < point, "there are more commit points than {point}");
            break;
        };
        kill(child);
        let resumed = work.tamis(&IMAGES).expect(0);
        expect_same(&resumed, &whole, &format!("after a kill at point {point}"));
        let leftovers: Vec<_> = resumed.files.keys().filter(|name| name.contains(".tmp-")).collect();
        assert!(leftovers.is_empty(), "{leftovers:?} after a kill at point {point}");
        n_reused += stage(&resumed, "embed").1;
    }
    assert!(0 < n_reused, "what was done before a kill was done again");
}

#[test]
fn a_run_killed_at_random_times_comes_to_the_same_end() {
    let whole = images().tamis(&IMAGES).expect(0);
    let work = images();
    let mut wait_ms: u64 = 7;
    for _ in 0..20 {
        let mut command = work.command(&[&IMAGES[..], &["-q"]].concat());
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        // Whatever the machine's speed, a kill at any of these moments must do no harm.
        std::thread::park_timeout(Duration::from_millis(wait_ms));
        kill(child);
        wait_ms = wait_ms * 37 % 211;
    }
    expect_same(&work.tamis(&IMAGES).expect(0), &whole, "after twenty kills");
}

#[test]
fn an_equal_run_takes_everything_from_the_store() {
    let work = images();
    let first = work.tamis(&IMAGES).expect(0);
    assert_eq!((stage(&first, "decode"), stage(&first, "embed")), ((8, 0), (6, 0)));
    let second = work.tamis(&IMAGES).expect(0);
    assert_eq!((stage(&second, "decode"), stage(&second, "embed")), ((0, 8), (0, 6)));
    assert_eq!(stage(&second, "join").0, 0);
    expect_same(&first, &second, "in the second run");
    let all = work.tamis(&[&IMAGES[..5], &["7", "--threads", "1"]].concat()).expect(0);
    expect_same(&first, &all, "with other windows and threads");
}

#[test]
fn an_edit_costs_what_was_edited() {
    let work = images();
    work.tamis(&IMAGES).expect(0);
    work.write("data/5.png", png(99));
    let edited = work.tamis(&IMAGES).expect(0);
    assert_eq!((stage(&edited, "decode"), stage(&edited, "embed")), ((1, 7), (1, 5)));
    let fresh = work.tamis(&[&IMAGES[..], &["--out", "fresh"]].concat()).expect(0);
    expect_same(&edited, &fresh, "from a run without a store");
}

#[test]
fn a_damaged_store_is_computed_again() {
    let work = images();
    let first = work.tamis(&IMAGES).expect(0);
    let mut n_damaged = 0;
    for folder in std::fs::read_dir(work.path("tamis-out/store")).unwrap() {
        let Ok(files) = std::fs::read_dir(folder.unwrap().path()) else { continue };
        for file in files {
            let path = file.unwrap().path();
            let mut bytes = std::fs::read(&path).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            std::fs::write(&path, bytes).unwrap();
            n_damaged += 1;
        }
    }
    assert!(4 <= n_damaged, "there are segments and outputs of stages");
    let second = work.tamis(&IMAGES).expect(0);
    expect_same(&first, &second, "after damage");
    assert!(second.stderr.contains("damaged files of the store were removed"), "{}", second.stderr);
}

#[test]
fn a_folder_belongs_to_one_run_at_a_time() {
    let work = images();
    let first = stopped_at(&work, &IMAGES, 1).unwrap();
    let second = work.tamis(&IMAGES).expect(3);
    let said = format!("error: `tamis-out/store` is in use by another tamis (process {})", first.id());
    assert!(second.stderr.contains(&said), "{}", second.stderr);
    assert!(second.stderr.contains("hint: wait until it is done, or name another folder with --out DIR"));
    kill(first);
    work.tamis(&IMAGES).expect(0);
}

#[test]
#[cfg(unix)]
fn an_interrupt_says_how_to_go_on() {
    let work = images();
    let mut child = stopped_at(&work, &IMAGES, 4).unwrap();
    let pid = child.id().to_string();
    assert!(std::process::Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(
        said.contains("interrupted: what is done is kept in `tamis-out/store`; the same command goes on"),
        "{said}"
    );
    work.tamis(&IMAGES).expect(0);
}

#[test]
fn texts_are_kept_as_well() {
    let work = Workspace::with_support();
    let first = work.tamis(&SUPPORT);
    let second = work.tamis(&SUPPORT);
    expect_same(&first, &second, "in the second run");
    let (done, reused) = stage(&first, "embed");
    assert_eq!((stage(&second, "embed"), reused), ((0, done), 0));
    assert_eq!(first.stdout, second.stdout);
}
