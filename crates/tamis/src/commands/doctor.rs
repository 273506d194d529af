//! `tamis doctor`.

use std::io::Write as _;

use tamis::{config, models};
use tamis_embed::{Device, DeviceChoice};

use super::trial::try_model;
use crate::exit::ExitStatus;

/// Shows what this installation has and whether it works.
pub(crate) fn run() -> anyhow::Result<ExitStatus> {
    let mut out = std::io::stdout().lock();
    let mut line = |name: &str, value: String| writeln!(out, "{name:14} {value}");
    line("version", env!("CARGO_PKG_VERSION").to_owned())?;
    line("system", format!("{} {}", std::env::consts::OS, std::env::consts::ARCH))?;
    line("threads", rayon::current_num_threads().to_string())?;
    let device = Device::open(DeviceChoice::Auto)?;
    line("device", device_line(&device))?;
    let (_, path) = config::load(None)?;
    line("configuration", path.map_or("none in this folder".to_owned(), |path| path.display().to_string()))?;
    let hub = config::hub();
    for (name, _) in models::bundled() {
        let tried = try_model(name, &models::find(name, &hub)?, &device)?;
        line("model", format!("{name}: {}", tried.join("; ")))?;
    }
    let cache = hub.cache.as_ref().filter(|it| it.is_dir());
    line("downloads", cache.map_or("no folder yet".to_owned(), |it| it.display().to_string()))?;
    let pulled = models::pulled(&hub)?;
    line("pulled", if pulled.is_empty() { "none; see `tamis models list`".to_owned() } else { pulled.join(", ") })?;
    Ok(ExitStatus::Clean)
}

/// Where vectors are computed, and why not elsewhere.
fn device_line(device: &Device) -> String {
    let name = format!("{} in {}", device.name(), device.dtype());
    match device.fallback() {
        Some(reason) => format!("{name} ({reason})"),
        None if cfg!(any(feature = "cuda", feature = "metal")) => name,
        None => format!("{name} (this build has no GPU support)"),
    }
}
