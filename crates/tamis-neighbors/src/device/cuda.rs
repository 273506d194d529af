//! The joins on NVIDIA GPUs: products by cuBLAS, what they propose is picked by our kernels (`kernels.cu`).
//!
//! cudarc's own tracking of who uses which memory is off, because it costs several calls of the driver per kernel. What
//! stands for it: a [`Slot`] belongs to one stream; rows and limits, which both streams read, are complete before a tile
//! begins and are changed while there is none; a [`Session`] waits for both streams before it frees anything.

#![expect(unsafe_code, reason = "kernels and cuBLAS are called, and memory is allocated without being written")]

use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use cudarc::cublas::sys::{cublasMath_t, cublasOperation_t, cublasSetMathMode};
use cudarc::cublas::{CudaBlas, Gemm as _, GemmConfig};
use cudarc::driver::{
    CudaContext, CudaEvent, CudaFunction, CudaSlice, CudaStream, CudaView, DeviceRepr, LaunchArgs, LaunchConfig,
    PinnedHostSlice, PushKernelArg as _,
};
use cudarc::nvrtc::Ptx;
use half::f16;
use ndarray::{ArrayView2, Axis};

use super::halves::{Extremes, margin, round, width};
use super::tiles::{Engine, Failure, MAX_SIDE, N_SLOTS, Sizes, Tile, Word, blocks};

/// The kernels, as `build.rs` compiles them.
const PTX: &str = include_str!(concat!(env!("OUT_DIR"), "/kernels.ptx"));

/// Tiles of 412 GFLOP at 768 numbers a row, some 0.7 ms of an H100 or H200, so that what a tile costs the CPU is little
/// beside it, in parts of 32 MB, most of which may stay in its second cache (50 MB) until they are read. The hits of a tile
/// take 32 MB, room for one pair in 64. Computed, not measured.
const SIZES: Sizes = Sizes { rows: 16_384, columns: 16_384, part: 1024, capacity: 1 << 22 };

/// Numbers of rows that are uploaded at once, 8 MB; the next ones are rounded meanwhile. More would take longer to lock in
/// memory than it saves.
const STAGING: usize = 1 << 22;

/// Words of hits that are copied at once, 4 MB.
const ARRIVING: usize = 1 << 20;

/// Columns and rows of a block of the kernel `filter`.
const FILTER_COLUMNS: usize = 256;
const FILTER_ROWS: usize = 64;

/// Threads of a block of the kernel `floors`, and numbers that it keeps for each row.
const GROUPS: usize = 256;

/// More than any row or column: every pair lies above such a diagonal.
const ABOVE_ALL: i32 = 1 << 30;

/// A GPU that is opened when it is needed first.
pub(super) struct Gpu {
    ordinal: usize,
    opened: Mutex<Option<Opened>>,
}

/// A GPU with our kernels.
struct Opened {
    context: Arc<CudaContext>,
    filter: CudaFunction,
    floors: CudaFunction,
    streams: Vec<(Arc<CudaStream>, CudaBlas)>,
}

/// Rows on a GPU, ready to be joined.
pub(super) struct Session<'a> {
    opened: &'a Opened,
    sizes: Sizes,
    /// `None` where the base is compared with itself.
    queries: Option<CudaSlice<f16>>,
    base: CudaSlice<f16>,
    n_queries: usize,
    /// Those of the base as they were.
    rows: ArrayView2<'a, f32>,
    /// Of the queries and of the base.
    limits: [CudaSlice<f32>; 2],
    slots: Vec<Slot>,
}

/// What one tile in work needs.
struct Slot {
    /// Products, shape `(rows, part)`.
    products: CudaSlice<f16>,
    /// Hits, two words each.
    words: CudaSlice<u32>,
    /// How many.
    n_found: CudaSlice<u32>,
    /// Where hits arrive, [`ARRIVING`] words at a time.
    arrived: PinnedHostSlice<u32>,
}

impl fmt::Debug for Gpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gpu").field("ordinal", &self.ordinal).finish_non_exhaustive()
    }
}

impl Gpu {
    /// The GPU number `ordinal`, which nothing is asked of yet.
    pub(super) fn new(ordinal: usize) -> Self {
        Self { ordinal, opened: Mutex::new(None) }
    }

    /// Does `work` with rows on the GPU and the margin of its proposals; `None` where they are no unit rows.
    ///
    /// # Errors
    /// When there is no such GPU, its driver or cuBLAS is missing, it does not take the kernels, or its memory is too small.
    pub(super) fn with_session<T>(
        &self,
        queries: Option<ArrayView2<'_, f32>>,
        base: ArrayView2<'_, f32>,
        work: impl FnOnce(&mut Session<'_>, f32) -> Result<T, Failure>,
    ) -> Result<Option<T>, Failure> {
        self.with_session_of(SIZES, queries, base, work)
            .map_err(|failure| format!("cuda:{} cannot join: {failure}", self.ordinal).into())
    }

    /// The same with tiles of other sizes.
    pub(super) fn with_session_of<T>(
        &self,
        sizes: Sizes,
        queries: Option<ArrayView2<'_, f32>>,
        base: ArrayView2<'_, f32>,
        work: impl FnOnce(&mut Session<'_>, f32) -> Result<T, Failure>,
    ) -> Result<Option<T>, Failure> {
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        let opened = match &mut *opened {
            Some(opened) => opened,
            closed => closed.insert(Opened::new(self.ordinal)?),
        };
        match Session::new(opened, sizes, queries, base)? {
            Some((mut session, margin)) => work(&mut session, margin).map(Some),
            None => Ok(None),
        }
    }
}

impl Opened {
    fn new(ordinal: usize) -> Result<Self, Failure> {
        let context = CudaContext::new(ordinal)?;
        // SAFETY: nothing is allocated yet, and the module's documentation says what takes the place of tracking.
        unsafe { context.disable_event_tracking() };
        let module = context.load_module(Ptx::from_src(PTX))?;
        let open = |_| {
            let stream = context.new_stream()?;
            let blas = CudaBlas::new(Arc::clone(&stream))?;
            let mode = cublasMath_t::CUBLAS_MATH_DISALLOW_REDUCED_PRECISION_REDUCTION;
            // Sums that are computed in parts are added in single precision, as the margin says.
            // SAFETY: the handle is that of an open cuBLAS.
            unsafe { cublasSetMathMode(*blas.handle(), mode) }.result()?;
            Ok::<_, Failure>((stream, blas))
        };
        let streams = (0..N_SLOTS).map(open).collect::<Result<_, _>>()?;
        let (filter, floors) = (module.load_function("filter")?, module.load_function("floors")?);
        Ok(Self { context, filter, floors, streams })
    }

    /// The stream by which rows and limits come and go.
    fn stream(&self) -> &Arc<CudaStream> {
        &self.streams[0].0
    }

    /// Memory for `n` numbers, not written.
    fn allocate<T: DeviceRepr>(&self, slot: usize, n: usize) -> Result<CudaSlice<T>, Failure> {
        // SAFETY: what is allocated here is written before it is read. The driver gives no memory for nothing, so it is
        // one number at least.
        Ok(unsafe { self.streams[slot].0.alloc(n.max(1)) }?)
    }

    /// Rounds rows, and uploads them.
    fn upload(&self, rows: ArrayView2<'_, f32>) -> Result<(CudaSlice<f16>, Extremes), Failure> {
        let width = width(rows.ncols());
        let at_once = (STAGING / width.max(1)).clamp(1, rows.nrows().max(1));
        let pinned = || {
            // SAFETY: numbers are numbers, whatever they are.
            unsafe { self.context.alloc_pinned::<f16>(at_once * width) }
        };
        let mut staging = [(pinned()?, None), (pinned()?, None)];
        let mut slice = self.allocate(0, rows.nrows() * width)?;
        let extremes = self.upload_by(&mut staging, rows, at_once, &mut slice);
        // Whatever came of it, nothing is read any more.
        self.stream().synchronize()?;
        Ok((slice, extremes?))
    }

    /// Uploads `at_once` rows after `at_once` rows, by way of memory that the device reads by itself. Does not wait for the
    /// last ones.
    fn upload_by(
        &self,
        staging: &mut [(PinnedHostSlice<f16>, Option<CudaEvent>); 2],
        rows: ArrayView2<'_, f32>,
        at_once: usize,
        slice: &mut CudaSlice<f16>,
    ) -> Result<Extremes, Failure> {
        let width = width(rows.ncols());
        let mut extremes = Extremes::default();
        for (number, range) in blocks(0..rows.nrows(), at_once).enumerate() {
            let (numbers, copied) = &mut staging[number % 2];
            if let Some(copied) = copied.take() {
                copied.synchronize()?;
            }
            let numbers = &mut numbers.as_mut_slice()?[..range.len() * width];
            let place = range.start * width..range.end * width;
            extremes = extremes.max(round(rows, range, numbers));
            self.stream().memcpy_htod(&*numbers, &mut slice.slice_mut(place))?;
            *copied = Some(self.stream().record_event(None)?);
        }
        Ok(extremes)
    }
}

impl<'a> Session<'a> {
    /// Uploads the rows; `None` where they are no unit rows.
    fn new(
        opened: &'a Opened,
        sizes: Sizes,
        queries: Option<ArrayView2<'_, f32>>,
        base: ArrayView2<'a, f32>,
    ) -> Result<Option<(Self, f32)>, Failure> {
        let Sizes { rows, columns, part, capacity } = sizes;
        assert!(rows.max(columns) <= MAX_SIDE && part.is_multiple_of(8) && 0 < capacity, "because of the kernels");
        let n_queries = queries.map_or(base.nrows(), |queries| queries.nrows());
        // Numbers of rows fit into kernels.
        if ABOVE_ALL <= i32::try_from(n_queries.max(base.nrows()))? {
            return Ok(None);
        }
        let uploaded = queries.map(|queries| opened.upload(queries)).transpose()?;
        let (slice, of_base) = opened.upload(base)?;
        let (queries, of_queries) = uploaded.map_or((None, of_base), |(slice, extremes)| (Some(slice), extremes));
        if !of_queries.max(of_base).is_of_units() {
            return Ok(None);
        }
        let slots = (0..N_SLOTS).map(|slot| Slot::new(opened, slot, &sizes)).collect::<Result<_, _>>()?;
        let limits = [opened.allocate(0, n_queries)?, opened.allocate(0, base.nrows())?];
        // The other stream uses what is allocated by this one.
        opened.stream().synchronize()?;
        let session = Self { opened, sizes, queries, base: slice, n_queries, rows: base, limits, slots };
        Ok(Some((session, margin(of_queries, of_base, base.ncols()))))
    }
}

impl Slot {
    fn new(opened: &Opened, slot: usize, sizes: &Sizes) -> Result<Self, Failure> {
        // Not the kind that is dear to read.
        // SAFETY: numbers are numbers, whatever they are.
        let arrived = unsafe { opened.context.alloc_pinned_with_flags(ARRIVING, 0) }?;
        Ok(Self {
            products: opened.allocate(slot, sizes.rows * sizes.part)?,
            words: opened.allocate(slot, 2 * sizes.capacity)?,
            n_found: opened.allocate(slot, 1)?,
            arrived,
        })
    }
}

impl Drop for Session<'_> {
    /// Waits for both streams: after a failure one may still be reading.
    fn drop(&mut self) {
        for (stream, _) in &self.opened.streams {
            self.opened.context.record_err(stream.synchronize());
        }
    }
}

/// Some rows of a matrix on the device, shape `(rows, width)`.
struct Rows<'a> {
    all: &'a CudaSlice<f16>,
    range: Range<usize>,
}

impl Rows<'_> {
    fn view(&self, width: usize) -> CudaView<'_, f16> {
        self.all.slice(self.range.start * width..self.range.end * width)
    }
}

/// `products = rows columns^T`, `stride` numbers from one row to the next.
///
/// cuBLAS counts by columns: what it takes for a matrix of shape `(width, n)` are our rows of shape `(n, width)`.
fn multiply(
    blas: &CudaBlas,
    rows: &Rows<'_>,
    columns: &Rows<'_>,
    width: usize,
    stride: usize,
    products: &mut CudaSlice<f16>,
) -> Result<(), Failure> {
    let (m, n, k, ldc) = (columns.range.len(), rows.range.len(), width, stride);
    assert!(m <= stride && n * stride <= products.len(), "because tiles are no larger than their buffer");
    let [m, n, k, ldc] = [int(m)?, int(n)?, int(k)?, int(ldc)?];
    let config = GemmConfig {
        transa: cublasOperation_t::CUBLAS_OP_T,
        transb: cublasOperation_t::CUBLAS_OP_N,
        m,
        n,
        k,
        alpha: f16::ONE,
        lda: k,
        ldb: k,
        beta: f16::ZERO,
        ldc,
    };
    // SAFETY: the slices have the lengths that the shapes say.
    unsafe { blas.gemm(config, &columns.view(width), &rows.view(width), products) }?;
    Ok(())
}

impl Engine for Session<'_> {
    fn sizes(&self) -> Sizes {
        self.sizes
    }

    fn set_limits(&mut self, queries: &[f32], base: &[f32]) -> Result<(), Failure> {
        assert_eq!([queries.len(), base.len()], [self.n_queries, self.rows.nrows()], "because each row has a limit");
        for (numbers, slice) in [queries, base].into_iter().zip(&mut self.limits) {
            if !numbers.is_empty() {
                self.opened.stream().memcpy_htod(numbers, slice)?;
            }
        }
        Ok(self.opened.stream().synchronize()?)
    }

    fn floors(&mut self, sample: &[u32], k: usize) -> Result<Vec<f32>, Failure> {
        let (stream, blas) = &self.opened.streams[0];
        let numbers: Vec<usize> = sample.iter().map(|row| *row as usize).collect();
        let (columns, _) = self.opened.upload(self.rows.select(Axis(0), &numbers).view())?;
        let ids = stream.clone_htod(sample)?;
        let mut largest = self.opened.allocate::<f32>(0, self.sizes.rows * GROUPS)?;
        let mut floors = self.opened.allocate::<f32>(0, self.n_queries)?;
        self.opened.context.bind_to_thread()?;
        let (is_self, k, stride) = (i32::from(self.queries.is_none()), short(k)?, short(self.sizes.part)?);
        let threads = [short(GROUPS)?, 1];
        for range in blocks(0..self.n_queries, self.sizes.rows) {
            let rows = Rows { all: self.queries.as_ref().unwrap_or(&self.base), range: range.clone() };
            let [first, n_rows] = [short(range.start)?, short(range.len())?];
            let mut own = floors.slice_mut(range);
            for part in blocks(0..sample.len(), self.sizes.part) {
                let columns = Rows { all: &columns, range: part.clone() };
                let products = &mut self.slots[0].products;
                multiply(blas, &rows, &columns, width(self.rows.ncols()), self.sizes.part, products)?;
                let (n_columns, is_first) = (short(part.len())?, i32::from(part.start == 0));
                let ids = ids.slice(part);
                let mut args = stream.launch_builder(&self.opened.floors);
                args.arg(&*products).arg(&ids).arg(&mut largest).arg(&mut own);
                args.arg(&n_columns).arg(&stride).arg(&first).arg(&is_self).arg(&is_first).arg(&k);
                launch(args, [n_rows, 1], threads)?;
            }
        }
        let floors = stream.clone_dtoh(&floors.slice(..self.n_queries));
        stream.synchronize()?;
        Ok(floors?)
    }

    fn begin(&mut self, slot: usize, tile: &Tile) -> Result<(), Failure> {
        let (stream, blas) = &self.opened.streams[slot];
        let Slot { products, words, n_found, .. } = &mut self.slots[slot];
        // cuBLAS takes the context of the thread, unlike cudarc's own calls.
        self.opened.context.bind_to_thread()?;
        stream.memset_zeros(n_found)?;
        let limits_of_rows = self.limits[0].slice(tile.rows.clone());
        let (stride, capacity) = (short(self.sizes.part)?, short(self.sizes.capacity)?);
        for range in blocks(tile.columns.clone(), self.sizes.part) {
            // Below a triangle there is nothing.
            let last = if self.queries.is_some() { tile.rows.end } else { tile.rows.end.min(range.end) };
            if last <= tile.rows.start {
                continue;
            }
            let rows = Rows { all: self.queries.as_ref().unwrap_or(&self.base), range: tile.rows.start..last };
            let columns = Rows { all: &self.base, range: range.clone() };
            multiply(blas, &rows, &columns, width(self.rows.ncols()), self.sizes.part, products)?;
            let limits = self.limits[1].slice(range.clone());
            let [n_rows, n_columns] = [short(rows.range.len())?, short(range.len())?];
            let first = short(range.start - tile.columns.start)?;
            let diagonal = match self.queries {
                Some(_) => ABOVE_ALL,
                None => int(range.start)? - int(tile.rows.start)?,
            };
            let grid = [range.len().div_ceil(FILTER_COLUMNS), rows.range.len().div_ceil(FILTER_ROWS)];
            let mut args = stream.launch_builder(&self.opened.filter);
            args.arg(&*products).arg(&limits_of_rows).arg(&limits).arg(&mut *words).arg(&mut *n_found);
            args.arg(&n_rows).arg(&n_columns).arg(&stride).arg(&first).arg(&diagonal).arg(&capacity);
            launch(args, [short(grid[0])?, short(grid[1])?], [32, 8])?;
        }
        Ok(())
    }

    fn end(&mut self, slot: usize, words: &mut Vec<Word>) -> Result<usize, Failure> {
        let stream = &self.opened.streams[slot].0;
        let Slot { words: listed, n_found, arrived, .. } = &mut self.slots[slot];
        let mut counted = [0_u32];
        stream.memcpy_dtoh(n_found, &mut counted)?;
        stream.synchronize()?;
        let n_found = counted[0] as usize;
        words.clear();
        if self.sizes.capacity < n_found {
            return Ok(n_found);
        }
        for range in blocks(0..2 * n_found, ARRIVING) {
            let arrived = &mut arrived.as_mut_slice()?[..range.len()];
            stream.memcpy_dtoh(&listed.slice(range), arrived)?;
            stream.synchronize()?;
            words.extend_from_slice(arrived.as_chunks().0);
        }
        Ok(n_found)
    }
}

/// Sends a kernel on its way.
///
/// Every caller adds the arguments that `kernels.cu` declares for this kernel, in this order, of slices that are as long as
/// the numbers beside them say.
fn launch(mut args: LaunchArgs<'_>, grid: [u32; 2], block: [u32; 2]) -> Result<(), Failure> {
    let config =
        LaunchConfig { grid_dim: (grid[0], grid[1], 1), block_dim: (block[0], block[1], 1), shared_mem_bytes: 0 };
    // SAFETY: see above.
    unsafe { args.launch(config) }?;
    Ok(())
}

/// A count as kernels have it.
fn short(n: usize) -> Result<u32, Failure> {
    Ok(u32::try_from(n)?)
}

/// A count as cuBLAS has it.
fn int(n: usize) -> Result<i32, Failure> {
    Ok(i32::try_from(n)?)
}
