//! Compiles the kernels for NVIDIA GPUs to PTX, if the feature `cuda` is on.
//!
//! `NVCC` names the compiler (`nvcc` on the path by default), `CUDA_COMPUTE_CAP` the oldest GPU that the result is for (80
//! by default: from the A100 on; the driver compiles PTX for the GPU that is there).

use std::env;
use std::ffi::OsString;
use std::path::Path;
use std::process::Command;

const KERNELS: &str = "src/device/kernels.cu";

fn main() {
    println!("cargo::rerun-if-changed={KERNELS}");
    if env::var_os("CARGO_FEATURE_CUDA").is_none() {
        return;
    }
    for variable in ["NVCC", "PATH", "CUDA_COMPUTE_CAP"] {
        println!("cargo::rerun-if-env-changed={variable}");
    }
    let nvcc = env::var_os("NVCC").unwrap_or_else(|| "nvcc".into());
    let mut arch = OsString::from("-arch=compute_");
    arch.push(env::var_os("CUDA_COMPUTE_CAP").unwrap_or_else(|| "80".into()));
    let folder = env::var_os("OUT_DIR").expect("because cargo sets OUT_DIR");
    let mut command = Command::new(&nvcc);
    command.args(["-ptx", "-O3", "-std=c++17"]).arg(&arch);
    command.arg(KERNELS).arg("-o").arg(Path::new(&folder).join("kernels.ptx"));
    match command.status() {
        Ok(status) if status.success() => {}
        Ok(status) => panic!("{} {KERNELS}: {status}", nvcc.display()),
        Err(error) => panic!("{}: {error}; the feature `cuda` needs NVIDIA's compiler", nvcc.display()),
    }
}
