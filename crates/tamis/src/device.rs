//! Where vectors are joined: where they are computed.

use tamis_embed::Device;

/// The device that joins for one that embeds: the same GPU, or the CPU.
#[must_use]
pub fn for_joins(device: &Device) -> tamis_neighbors::Device {
    device.cuda_ordinal().map_or_else(tamis_neighbors::Device::cpu, tamis_neighbors::Device::cuda)
}

/// Warns where the CPU joined in place of a GPU.
pub fn warn_of_failure(device: &tamis_neighbors::Device) {
    if let Some(failure) = device.failure() {
        tracing::warn!("joining on the CPU: {failure}");
    }
}
