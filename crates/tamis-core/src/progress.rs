//! How long work says how far it is; the binary draws it, libraries only count.

/// Shows stages of work.
pub trait Progress: Send + Sync {
    /// Begins a stage. `total` is `None` where nobody knows yet; `unit` is a plural, e.g. "texts".
    fn begin(&self, stage: &str, total: Option<u64>, unit: &'static str) -> Box<dyn Task>;
}

/// One running stage; it ends when dropped.
pub trait Task: Send + Sync {
    /// Counts `n` more items as done.
    fn advance(&self, n: u64);

    /// Says how many items there will be in all, as far as is known by now.
    fn expect(&self, total: u64);
}

/// Shows nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoProgress;

impl Progress for NoProgress {
    fn begin(&self, _stage: &str, _total: Option<u64>, _unit: &'static str) -> Box<dyn Task> {
        Box::new(Self)
    }
}

impl Task for NoProgress {
    fn advance(&self, _n: u64) {}

    fn expect(&self, _total: u64) {}
}
