//! Where joins are computed: the CPU always, an NVIDIA GPU where the build and the machine have one.
//!
//! A GPU holds rows in half precision, multiplies tile after tile into one buffer, and lists the pairs whose product
//! reaches a limit ([`tiles`]); how far such a product may be from the canonical dot is proven ([`halves`]). The CPU
//! decides, so the result is the same.

#[cfg(any(test, feature = "cuda"))]
mod halves;

#[cfg(any(test, feature = "cuda"))]
mod tiles;

#[cfg(any(test, feature = "cuda"))]
mod pairs;

#[cfg(any(test, feature = "cuda"))]
mod nearest;

#[cfg(feature = "cuda")]
mod cuda;

#[cfg(test)]
mod twin;

#[cfg(test)]
mod tests;

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use ndarray::ArrayView2;
use tamis_core::Task;

#[cfg(feature = "cuda")]
use crate::join::Search;
use crate::{JoinOptions, Neighbors, RowPairs};

/// Products of two numbers from which on a GPU is asked: about a second of two threads of a CPU, and several times what it
/// takes to open a GPU.
#[cfg(feature = "cuda")]
const MIN_PRODUCTS: f64 = 1e11;

/// Where vectors are joined. Results are those of the functions of the same names, whatever the device; but a GPU needs no
/// [`RowPairs::cells`].
///
/// A GPU is opened by the first join that is large enough, and each join keeps two bytes for each number of its rows in its
/// memory, and some 200 MB. Where it fails, the CPU joins, and [`Device::failure`] says why.
#[derive(Debug)]
pub struct Device {
    #[cfg(feature = "cuda")]
    gpu: Option<cuda::Gpu>,
    /// Fewer are left to the CPU.
    #[cfg(feature = "cuda")]
    min_products: f64,
    failure: OnceLock<String>,
}

impl Default for Device {
    /// The CPU.
    fn default() -> Self {
        Self::cpu()
    }
}

impl Device {
    /// The CPU.
    #[must_use]
    pub fn cpu() -> Self {
        Self {
            #[cfg(feature = "cuda")]
            gpu: None,
            #[cfg(feature = "cuda")]
            min_products: MIN_PRODUCTS,
            failure: OnceLock::new(),
        }
    }

    /// The NVIDIA GPU of this number; the CPU where the build has no support for it.
    #[must_use]
    pub fn cuda(ordinal: usize) -> Self {
        #[cfg(feature = "cuda")]
        let device = Self { gpu: Some(cuda::Gpu::new(ordinal)), ..Self::cpu() };
        #[cfg(not(feature = "cuda"))]
        let device = {
            let why =
                format!("this build has no support for cuda:{ordinal}: expected one built with the feature `cuda`");
            Self { failure: OnceLock::from(why) }
        };
        device
    }

    /// Why the CPU joins although a GPU was named; `None` where nothing went wrong so far.
    #[must_use]
    pub fn failure(&self) -> Option<&str> {
        self.failure.get().map(String::as_str)
    }

    /// As [`crate::self_join`].
    ///
    /// # Panics
    /// As that does.
    #[must_use]
    pub fn self_join(&self, rows: ArrayView2<'_, f32>, options: &JoinOptions, task: &dyn Task) -> RowPairs {
        let task = Once::new(task);
        self.join(None, rows, None, options, &task).unwrap_or_else(|| crate::self_join(rows, options, task.again()))
    }

    /// As [`crate::self_join_of_copies`].
    ///
    /// # Panics
    /// As that does.
    #[must_use]
    pub fn self_join_of_copies(
        &self,
        rows: ArrayView2<'_, f32>,
        copies: &[u32],
        options: &JoinOptions,
        task: &dyn Task,
    ) -> RowPairs {
        let task = Once::new(task);
        self.join(None, rows, Some([copies, copies]), options, &task)
            .unwrap_or_else(|| crate::self_join_of_copies(rows, copies, options, task.again()))
    }

    /// As [`crate::cross_join`].
    ///
    /// # Panics
    /// As that does.
    #[must_use]
    pub fn cross_join(
        &self,
        queries: ArrayView2<'_, f32>,
        base: ArrayView2<'_, f32>,
        options: &JoinOptions,
        task: &dyn Task,
    ) -> RowPairs {
        let task = Once::new(task);
        self.join(Some(queries), base, None, options, &task)
            .unwrap_or_else(|| crate::cross_join(queries, base, options, task.again()))
    }

    /// As [`crate::cross_join_of_copies`].
    ///
    /// # Panics
    /// As that does.
    #[must_use]
    pub fn cross_join_of_copies(
        &self,
        queries: ArrayView2<'_, f32>,
        base: ArrayView2<'_, f32>,
        copies: [&[u32]; 2],
        options: &JoinOptions,
        task: &dyn Task,
    ) -> RowPairs {
        let task = Once::new(task);
        self.join(Some(queries), base, Some(copies), options, &task)
            .unwrap_or_else(|| crate::cross_join_of_copies(queries, base, copies, options, task.again()))
    }

    /// As [`crate::knn()`], with memory for some times `k` candidates of each row.
    ///
    /// # Panics
    /// As that does.
    #[must_use]
    pub fn knn(&self, rows: ArrayView2<'_, f32>, k: usize, task: &dyn Task) -> Neighbors {
        let task = Once::new(task);
        self.nearest(None, rows, k, &task).unwrap_or_else(|| crate::knn(rows, k, task.again()))
    }

    /// As [`crate::nearest_in`], with memory for some times `k` candidates of each query.
    ///
    /// # Panics
    /// As that does.
    #[must_use]
    pub fn nearest_in(
        &self,
        queries: ArrayView2<'_, f32>,
        base: ArrayView2<'_, f32>,
        k: usize,
        task: &dyn Task,
    ) -> Neighbors {
        let task = Once::new(task);
        self.nearest(Some(queries), base, k, &task).unwrap_or_else(|| crate::nearest_in(queries, base, k, task.again()))
    }
}

#[cfg(feature = "cuda")]
impl Device {
    /// `None` where the CPU has to join.
    fn join(
        &self,
        queries: Option<ArrayView2<'_, f32>>,
        base: ArrayView2<'_, f32>,
        copies: Option<[&[u32]; 2]>,
        options: &JoinOptions,
        task: &dyn Task,
    ) -> Option<RowPairs> {
        self.on_gpu(queries, base, |session, margin| {
            let mut search = Search::new(queries.unwrap_or(base), base, copies, options.min_cosine);
            search.margin = margin;
            pairs::join(session, &search, queries.is_none(), options.max_pairs, task)
        })
    }

    /// `None` where the CPU has to search.
    fn nearest(
        &self,
        queries: Option<ArrayView2<'_, f32>>,
        base: ArrayView2<'_, f32>,
        k: usize,
        task: &dyn Task,
    ) -> Option<Neighbors> {
        let k = k.min(base.nrows().saturating_sub(usize::from(queries.is_none())));
        if nearest::MAX_K < k {
            return None;
        }
        self.on_gpu(queries, base, |session, margin| {
            nearest::nearest(session, nearest::Wanted { queries, base, k, margin }, task)
        })
    }

    /// Does `work` where there is a GPU that can do it, and the products are enough for it to pay.
    fn on_gpu<T>(
        &self,
        queries: Option<ArrayView2<'_, f32>>,
        base: ArrayView2<'_, f32>,
        work: impl FnOnce(&mut cuda::Session<'_>, f32) -> Result<T, tiles::Failure>,
    ) -> Option<T> {
        let (n_queries, dim) = queries.map_or((base.nrows(), base.ncols()), |it| it.dim());
        assert_eq!(dim, base.ncols(), "because a cosine needs vectors of one length");
        #[expect(clippy::cast_precision_loss, reason = "an estimate")]
        let n_products = n_queries as f64 * base.nrows() as f64 * dim as f64;
        let gpu = self.gpu.as_ref().filter(|_| self.min_products <= n_products && self.failure().is_none())?;
        match gpu.with_session(queries, base, work) {
            Ok(done) => done,
            Err(failure) => {
                self.failure.get_or_init(|| failure.to_string());
                None
            }
        }
    }
}

#[cfg(not(feature = "cuda"))]
impl Device {
    fn join(
        &self,
        _queries: Option<ArrayView2<'_, f32>>,
        _base: ArrayView2<'_, f32>,
        _copies: Option<[&[u32]; 2]>,
        _options: &JoinOptions,
        _task: &dyn Task,
    ) -> Option<RowPairs> {
        None
    }

    fn nearest(
        &self,
        _queries: Option<ArrayView2<'_, f32>>,
        _base: ArrayView2<'_, f32>,
        _k: usize,
        _task: &dyn Task,
    ) -> Option<Neighbors> {
        None
    }
}

/// A task that is told of each row once, though the work may begin again.
struct Once<'a> {
    task: &'a dyn Task,
    /// What was told.
    told: AtomicU64,
    /// What is done since the work began.
    done: AtomicU64,
}

impl<'a> Once<'a> {
    fn new(task: &'a dyn Task) -> Self {
        Self { task, told: AtomicU64::new(0), done: AtomicU64::new(0) }
    }

    /// The same task for work that begins again.
    fn again(&self) -> &Self {
        self.done.store(0, Ordering::Relaxed);
        self
    }
}

impl Task for Once<'_> {
    fn advance(&self, n: u64) {
        let done = n + self.done.fetch_add(n, Ordering::Relaxed);
        let told = self.told.fetch_max(done, Ordering::Relaxed);
        if told < done {
            self.task.advance(done - told);
        }
    }

    fn expect(&self, total: u64) {
        self.task.expect(total);
    }
}
