//! One GPU: its kernels, its memory, and the streams that work is sent to.
//!
//! cudarc's own tracking of who uses which memory is off, because it costs several calls of the driver per kernel. What
//! stands for it: weights are complete before anybody gets them and outlive all work of the device ([`Held`]); rows,
//! uploads and results belong to one [`Lane`] and are allocated, used and freed in the order of its stream.

#![expect(unsafe_code, reason = "kernels are launched, and memory is allocated without being written")]

use std::collections::{HashMap, VecDeque};
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, ThreadId};

use candle_core::cuda_backend::cudarc::cublas::CudaBlas;
use candle_core::cuda_backend::cudarc::cublaslt::CudaBlasLT;
use candle_core::cuda_backend::cudarc::driver::{
    CudaContext, CudaEvent, CudaFunction, CudaSlice, CudaStream, DeviceRepr, LaunchArgs, LaunchConfig, PinnedHostSlice,
    result, sys,
};
use candle_core::cuda_backend::cudarc::nvrtc::Ptx;
use candle_core::{Result, bail};

use super::failed;
use super::product::Number;

/// Lanes of a GPU: one computes while the others are filled and emptied. More threads than that share them.
const N_LANES: usize = 4;

/// Uploads that a lane keeps: as many as one forward pass repeats from layer to layer, and some.
const N_UPLOADS: usize = 8;

/// Threads of a block.
const N_THREADS: u32 = 256;

/// Every kernel that is the same for all number types.
const KERNELS: [&str; 13] = [
    "add_bias",
    "gate",
    "gather",
    "prepend",
    "normalize",
    "normalize_2",
    "normalize_4",
    "normalize_8",
    "normalize_heads",
    "rotate",
    "pool",
    "unfold",
    "convolve",
];

/// A GPU with the kernels for rows of `T`.
pub(super) struct Gpu<T> {
    context: Arc<CudaContext>,
    kernels: HashMap<&'static str, CudaFunction>,
    lanes: Vec<Arc<Lane>>,
    of_threads: Mutex<HashMap<ThreadId, usize>>,
    number: PhantomData<T>,
}

/// A stream of work, with what it takes to send some.
pub(crate) struct Lane {
    pub(super) stream: Arc<CudaStream>,
    pub(super) blas: CudaBlas,
    pub(super) blas_lt: CudaBlasLT,
    /// What was uploaded last: layers ask for the same tiles and positions one after the other.
    uploads: Mutex<VecDeque<Upload>>,
    staging: Mutex<Option<Staging>>,
}

/// Where bytes are collected on their way; the device reads such memory by itself.
struct Staging {
    bytes: PinnedHostSlice<u8>,
    /// Comes after the copy that reads them.
    copied: CudaEvent,
}

/// Numbers, and where they are on the device.
type Upload = (Vec<u32>, Arc<CudaSlice<u32>>);

/// A weight, which any lane may read.
pub(super) struct Held<T>(CudaSlice<T>);

impl<T> Held<T> {
    /// The numbers.
    pub(super) fn slice(&self) -> &CudaSlice<T> {
        &self.0
    }
}

impl<T> Drop for Held<T> {
    /// Waits for all lanes: after a failure one may still be reading.
    fn drop(&mut self) {
        let context = self.0.context();
        context.record_err(context.synchronize());
    }
}

impl<T: Number> Gpu<T> {
    /// Opens the GPU number `ordinal`, and compiles the kernels for it.
    pub(super) fn open(ordinal: usize) -> Result<Self> {
        let context = CudaContext::new(ordinal).map_err(failed)?;
        // SAFETY: nothing is allocated yet, and the module's documentation says what takes the place of tracking.
        unsafe { context.disable_event_tracking() };
        keep_memory(&context)?;
        let module = context.load_module(Ptx::from_src(T::PTX)).map_err(failed)?;
        let mut kernels = HashMap::new();
        for name in KERNELS.iter().chain(T::ATTENTION).copied() {
            kernels.insert(name, module.load_function(name).map_err(failed)?);
        }
        let lanes = (0..N_LANES).map(|_| Lane::open(&context)).collect::<Result<_>>()?;
        Ok(Self { context, kernels, lanes, of_threads: Mutex::default(), number: PhantomData })
    }

    /// The kernel `name` of `kernels.cu`.
    pub(super) fn kernel(&self, name: &str) -> Result<&CudaFunction> {
        match self.kernels.get(name) {
            Some(kernel) => Ok(kernel),
            None => bail!("there is no kernel `{name}`"),
        }
    }

    /// The lane of this thread.
    pub(super) fn lane(&self) -> Arc<Lane> {
        let mut of_threads = self.of_threads.lock().unwrap_or_else(PoisonError::into_inner);
        let next = of_threads.len() % self.lanes.len();
        Arc::clone(&self.lanes[*of_threads.entry(thread::current().id()).or_insert(next)])
    }

    /// Uploads a weight, and waits until it is there.
    pub(super) fn hold<N: DeviceRepr>(&self, values: &[N]) -> Result<Held<N>> {
        self.context.bind_to_thread().map_err(failed)?;
        let stream = &self.lane().stream;
        let slice = stream.clone_htod(values).map_err(failed)?;
        stream.synchronize().map_err(failed)?;
        Ok(Held(slice))
    }
}

impl Lane {
    fn open(context: &Arc<CudaContext>) -> Result<Arc<Self>> {
        let stream = context.new_stream().map_err(failed)?;
        Ok(Arc::new(Self {
            blas: CudaBlas::new(Arc::clone(&stream)).map_err(failed)?,
            blas_lt: CudaBlasLT::new(Arc::clone(&stream)).map_err(failed)?,
            uploads: Mutex::default(),
            staging: Mutex::default(),
            stream,
        }))
    }

    /// Memory for `n` numbers, not written.
    pub(super) fn allocate<T: DeviceRepr>(&self, n: usize) -> Result<CudaSlice<T>> {
        // SAFETY: rows are written by the operation that they are reshaped for before one reads them. The driver gives no
        // memory for nothing, so it is one number at least.
        unsafe { self.stream.alloc(n.max(1)) }.map_err(failed)
    }

    /// Uploads some numbers, or finds them where they were uploaded before.
    pub(super) fn upload(&self, values: &[u32]) -> Result<Arc<CudaSlice<u32>>> {
        let mut uploads = self.uploads.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, slice)) = uploads.iter().find(|(known, _)| known == values) {
            return Ok(Arc::clone(slice));
        }
        let mut slice = self.allocate(values.len())?;
        if !values.is_empty() {
            self.stream.memcpy_htod(values, &mut slice).map_err(failed)?;
        }
        let slice = Arc::new(slice);
        if uploads.len() == N_UPLOADS {
            uploads.pop_front();
        }
        uploads.push_back((values.to_vec(), Arc::clone(&slice)));
        Ok(slice)
    }

    /// Uploads bytes, part after part, by way of memory that the device reads by itself. Waits until it has read those of
    /// the call before.
    pub(super) fn upload_bytes(&self, parts: &[&[u8]]) -> Result<CudaSlice<u8>> {
        let n = parts.iter().map(|part| part.len()).sum::<usize>().max(1);
        let mut staging = self.staging.lock().unwrap_or_else(PoisonError::into_inner);
        let before = staging.take();
        if let Some(before) = &before {
            before.copied.synchronize().map_err(failed)?;
        }
        let mut bytes = match before.map(|before| before.bytes).filter(|bytes| n <= bytes.len()) {
            Some(bytes) => bytes,
            // SAFETY: bytes are bytes, whatever they are.
            None => unsafe { self.stream.context().alloc_pinned(n) }.map_err(failed)?,
        };
        let mut rest = bytes.as_mut_slice().map_err(failed)?;
        for part in parts {
            let (place, after) = rest.split_at_mut(part.len());
            place.copy_from_slice(part);
            rest = after;
        }
        let mut slice = self.allocate(n)?;
        self.stream.memcpy_htod(&bytes.as_slice().map_err(failed)?[..n], &mut slice).map_err(failed)?;
        let copied = self.stream.record_event(None).map_err(failed)?;
        *staging = Some(Staging { bytes, copied });
        Ok(slice)
    }

    /// Copies the first `n` numbers.
    pub(super) fn copy<T: DeviceRepr>(&self, from: &CudaSlice<T>, n: usize, to: &mut CudaSlice<T>) -> Result<()> {
        self.stream.memcpy_dtod(&from.slice(..n), to).map_err(failed)
    }

    /// The first `n` numbers, once they are computed.
    pub(super) fn read<T: DeviceRepr>(&self, from: &CudaSlice<T>, n: usize) -> Result<Vec<T>> {
        let values = self.stream.clone_dtoh(&from.slice(..n)).map_err(failed)?;
        self.stream.synchronize().map_err(failed)?;
        Ok(values)
    }
}

/// Lets the driver keep memory that is freed: it would give it back whenever a stream has done its work, and get it again
/// for the next batch.
fn keep_memory(context: &CudaContext) -> Result<()> {
    if !context.has_async_alloc() {
        return Ok(());
    }
    // SAFETY: the context's device is a device.
    let pool = unsafe { result::device::get_default_mem_pool(context.cu_device()) }.map_err(failed)?;
    let mut threshold = u64::MAX;
    let attribute = sys::CUmemPool_attribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD;
    // SAFETY: the attribute is a number of 64 bits, by the driver's manual.
    unsafe { result::mem_pool::set_attribute(pool, attribute, (&raw mut threshold).cast()) }.map_err(failed)
}

/// Sends a kernel on its way.
///
/// Every caller adds the arguments that `kernels.cu` declares for this kernel, in this order, and has compared shapes,
/// row numbers and spans with the memory that the kernel reaches by them.
pub(super) fn launch(mut args: LaunchArgs<'_>, config: LaunchConfig) -> Result<()> {
    let (x, y, z) = config.grid_dim;
    if [x, y, z].contains(&0) {
        return Ok(());
    }
    // SAFETY: see above.
    unsafe { args.launch(config) }.map_err(failed)?;
    Ok(())
}

/// A launch of a kernel by rows: as many threads per row as it has pieces of 16 bytes, or numbers where it has none.
pub(super) fn by_rows<T>(n: u32, width: u32) -> LaunchConfig {
    let wide = if size_of::<T>() == 2 { 8 } else { 4 };
    let n_pieces = if width.is_multiple_of(wide) { width / wide } else { width };
    let x = n_pieces.next_power_of_two().min(N_THREADS / 2);
    let y = N_THREADS / x;
    LaunchConfig { grid_dim: (n.div_ceil(y), 1, 1), block_dim: (x, y, 1), shared_mem_bytes: 0 }
}

/// A count as kernels have it.
pub(super) fn short(n: usize) -> Result<u32> {
    match u32::try_from(n) {
        Ok(n) => Ok(n),
        Err(_) => bail!("{n} do not fit into one call, expected at most {}", u32::MAX),
    }
}
