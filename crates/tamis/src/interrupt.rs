//! What happens on ctrl-C and on a request to terminate.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tamis_data::atomic::Commits;

use crate::exit::{ExitStatus, print_to_stderr};

/// From now on, ctrl-C says what is kept in `out` and ends the process.
///
/// Nothing has to be cleaned up: whatever is in the store was committed whole, what is being written has another name, and
/// the lock ends with the process.
pub(crate) fn say_how_to_resume(out: &Path) {
    let store = out.join("store");
    on_interrupt(move || {
        let store = store.display();
        format!("\ninterrupted: what is done is kept in `{store}`; the same command goes on from there\n")
    });
}

/// From now on, ctrl-C removes a folder of scratch files and ends the process.
pub(crate) fn remove_scratch(dir: PathBuf) {
    on_interrupt(move || {
        // What cannot be removed is in the folder for temporary files and goes with it.
        let _ = std::fs::remove_dir_all(&dir);
        "\ninterrupted\n".to_owned()
    });
}

/// From now on, ctrl-C asks whoever writes the folder `out` to stop and to clean up; pressed again, it ends the process at
/// once. Once the folder has its name it comes too late, and the run ends as it would have.
pub(crate) fn stop_writing(commits: Arc<Commits>, out: PathBuf) {
    on_signal(move || {
        if commits.is_interrupted() {
            let out = out.display();
            end(&format!("\ninterrupted: what was begun is left in `{out}.tmp-...`\n"));
        }
        commits.interrupt();
    });
}

fn on_interrupt(last_words: impl Fn() -> String + Send + 'static) {
    on_signal(move || end(&last_words()));
}

/// Ends the process.
fn end(last_words: &str) {
    print_to_stderr(last_words);
    #[expect(clippy::exit, clippy::disallowed_methods, reason = "this is the end that the user asked for")]
    std::process::exit(ExitStatus::Interrupted as i32);
}

fn on_signal(handler: impl Fn() + Send + 'static) {
    match ctrlc::try_set_handler(handler) {
        // Where somebody has decided about signals already, as nohup does, it stays so.
        Ok(()) | Err(ctrlc::Error::MultipleHandlers) => {}
        Err(error) => tracing::warn!("ctrl-C will end the run without a word: {error}"),
    }
}
