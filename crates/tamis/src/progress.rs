//! Progress bars on a terminal: items, items a second, time left.

use std::fmt::Write;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use tamis_core::{Progress, Task};

/// Draws bars on stderr, and nothing where that is no terminal.
#[derive(Debug)]
pub(crate) struct Bars {
    quiet: bool,
}

impl Bars {
    /// Bars, unless `quiet`.
    pub(crate) fn new(quiet: bool) -> Self {
        Self { quiet }
    }
}

impl Progress for Bars {
    fn begin(&self, stage: &str, total: Option<u64>, unit: &'static str) -> Box<dyn Task> {
        let target = if self.quiet { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
        let bar = ProgressBar::with_draw_target(total, target).with_message(stage.to_owned());
        bar.set_style(if total.is_some() { bounded(unit) } else { unbounded(unit) });
        bar.enable_steady_tick(Duration::from_millis(200));
        Box::new(Bar { bar, unit })
    }
}

fn bounded(unit: &str) -> ProgressStyle {
    let template = format!("{{msg:24}} {{bar:24}} {{pos}}/{{len}} {unit}  {{rate}}  {{eta}} left");
    ProgressStyle::with_template(&template)
        .expect("because the template is well-formed")
        .with_key("rate", rate)
        .progress_chars("=> ")
}

fn unbounded(unit: &str) -> ProgressStyle {
    let template = format!("{{msg:24}} {{spinner}} {{pos}} {unit}  {{rate}}");
    ProgressStyle::with_template(&template).expect("because the template is well-formed").with_key("rate", rate)
}

/// Items a second.
fn rate(state: &ProgressState, out: &mut dyn Write) {
    let rate = state.per_sec();
    // A bar that cannot be drawn is no reason to stop.
    let _ = if rate < 10.0 { write!(out, "{rate:.1}/s") } else { write!(out, "{rate:.0}/s") };
}

#[derive(Debug)]
struct Bar {
    bar: ProgressBar,
    unit: &'static str,
}

impl Task for Bar {
    fn advance(&self, n: u64) {
        self.bar.inc(n);
    }

    fn expect(&self, total: u64) {
        if self.bar.length().is_none() {
            self.bar.set_style(bounded(self.unit));
        }
        self.bar.set_length(total);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
