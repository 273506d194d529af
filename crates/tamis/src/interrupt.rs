//! What happens on ctrl-C and on a request to terminate.

use std::path::{Path, PathBuf};

use tamis_data::atomic::temporary_folders;

use crate::exit::{ExitStatus, print_to_stderr};

/// From now on, ctrl-C says what is kept in `out` and ends the process.
///
/// Nothing has to be cleaned up: whatever is in the store was committed whole, what is being written has another name, and
/// the lock ends with the process.
pub(crate) fn say_how_to_resume(out: &Path) {
    let store = out.join("store");
    on_interrupt(move || {
        let store = store.display();
        print_to_stderr(&format!(
            "\ninterrupted: what is done is kept in `{store}`; the same command goes on from there\n"
        ));
    });
}

/// From now on, ctrl-C removes a folder of scratch files and ends the process.
pub(crate) fn remove_scratch(dir: PathBuf) {
    on_interrupt(move || {
        // What cannot be removed is in the folder for temporary files and goes with it.
        let _ = std::fs::remove_dir_all(&dir);
        print_to_stderr("\ninterrupted\n");
    });
}

/// From now on, ctrl-C removes the folder that `out` is being made in, whole or not, and ends the process; those of other
/// runs, which are there already, stay.
pub(crate) fn remove_unfinished(out: PathBuf) {
    let others = temporary_folders(&out);
    on_interrupt(move || {
        for dir in temporary_folders(&out).into_iter().filter(|it| !others.contains(it)) {
            // What cannot be removed has a name that says what it is.
            let _ = std::fs::remove_dir_all(&dir);
        }
        print_to_stderr("\ninterrupted: nothing was written\n");
    });
}

fn on_interrupt(last_words: impl Fn() + Send + 'static) {
    let handler = move || {
        last_words();
        #[expect(clippy::exit, clippy::disallowed_methods, reason = "this is the end that the user asked for")]
        std::process::exit(ExitStatus::Interrupted as i32);
    };
    match ctrlc::try_set_handler(handler) {
        // Where somebody has decided about signals already, as nohup does, it stays so.
        Ok(()) | Err(ctrlc::Error::MultipleHandlers) => {}
        Err(error) => tracing::warn!("ctrl-C will end the run without a word: {error}"),
    }
}
