//! How long dispatches take, each by itself: by the device's own clock where it has one.

use super::Device;
use super::pipeline::Dispatch;
use crate::engine::EngineError;
use std::sync::Arc;
use std::time::Instant;
use wgpu::{BufferUsages, ComputePassDescriptor, ComputePassTimestampWrites, Features, QueryType};

impl Device {
    /// Whether [`Self::time`] goes by the device's own clock. Else it goes by the host's, and a dispatch includes its submit.
    pub fn has_clock(&self) -> bool {
        self.handle.features().contains(Features::TIMESTAMP_QUERY)
    }

    /// Runs `dispatches` once, one after the other; the seconds that each of them took.
    ///
    /// # Errors
    /// As [`Self::check`].
    pub fn time(&self, dispatches: &[Dispatch]) -> Result<Vec<f64>, EngineError> {
        if self.has_clock() { self.time_on_device(dispatches) } else { self.time_on_host(dispatches) }
    }

    /// A pass for each, between two readings of the clock.
    fn time_on_device(&self, dispatches: &[Dispatch]) -> Result<Vec<f64>, EngineError> {
        let count = 2 * dispatches.len() as u32;
        let bytes = u64::from(count) * size_of::<u64>() as u64;
        let ty = QueryType::Timestamp;
        let readings = self.handle.create_query_set(&wgpu::QuerySetDescriptor { label: Some("readings"), ty, count });
        let resolved = self.handle.create_buffer(&wgpu::BufferDescriptor {
            label: Some("readings"),
            size: bytes,
            usage: BufferUsages::QUERY_RESOLVE | BufferUsages::COPY_SRC,
            mapped_at_creation: false,
        });
        let mut encoder = self.handle.create_command_encoder(&Default::default());
        for (index, dispatch) in (0..).step_by(2).zip(dispatches) {
            let timestamp_writes = Some(ComputePassTimestampWrites {
                query_set: &readings,
                beginning_of_pass_write_index: Some(index),
                end_of_pass_write_index: Some(index + 1),
            });
            let label = Some(dispatch.kernel);
            let mut pass = encoder.begin_compute_pass(&ComputePassDescriptor { label, timestamp_writes });
            dispatch.record(&mut pass, 0);
        }
        let staging = self.staging(bytes);
        encoder.resolve_query_set(&readings, 0..count, &resolved, 0);
        encoder.copy_buffer_to_buffer(&resolved, 0, &staging, 0, bytes);
        self.submit(encoder.finish(), &describe(dispatches));
        let readings: Vec<u64> = self.read_staging(&staging, count as usize)?;
        let seconds_per_tick = f64::from(self.queue.get_timestamp_period()) * 1e-9;
        Ok(readings.chunks_exact(2).map(|pair| pair[1].saturating_sub(pair[0]) as f64 * seconds_per_tick).collect())
    }

    fn time_on_host(&self, dispatches: &[Dispatch]) -> Result<Vec<f64>, EngineError> {
        let time = |dispatch: &Dispatch| {
            let dispatch = std::slice::from_ref(dispatch);
            let commands = self.encode(dispatch, 0..1).finish();
            self.wait()?;
            let begin = Instant::now();
            self.submit(commands, &describe(dispatch));
            self.wait()?;
            Ok(begin.elapsed().as_secs_f64())
        };
        dispatches.iter().map(time).collect()
    }
}

/// Describes them in the message where they hang.
fn describe(dispatches: &[Dispatch]) -> Arc<str> {
    let kernels: Vec<&str> = dispatches.iter().map(|dispatch| dispatch.kernel).collect();
    format!("a benchmark of the kernels {}", kernels.join(", ")).into()
}
