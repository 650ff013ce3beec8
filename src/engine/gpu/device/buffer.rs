//! Buffers in device memory, and parts of one that stand for themselves.

/// Bytes that a part's place is a multiple of: as much as any device may ask for.
pub const ALIGNMENT: u64 = 256;

/// A storage buffer, or a part of one. Clones share it.
#[derive(Clone, Debug)]
pub struct Buffer {
    whole: wgpu::Buffer,
    offset: u64,
    /// Bytes.
    size: u64,
}

impl Buffer {
    pub(super) fn new(whole: wgpu::Buffer) -> Self {
        let size = whole.size();
        Self { whole, offset: 0, size }
    }

    /// The `size` bytes from byte `offset` on, a multiple of [`ALIGNMENT`].
    pub fn part(&self, offset: u64, size: u64) -> Self {
        assert!(offset.is_multiple_of(ALIGNMENT) && offset + size <= self.size, "{size} bytes at {offset} of {self:?}");
        Self { whole: self.whole.clone(), offset: self.offset + offset, size }
    }

    /// Bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    pub(super) fn binding(&self) -> wgpu::BindingResource<'_> {
        let (offset, size) = (self.offset, wgpu::BufferSize::new(self.size));
        wgpu::BindingResource::Buffer(wgpu::BufferBinding { buffer: &self.whole, offset, size })
    }

    pub(super) fn write(&self, queue: &wgpu::Queue, offset: u64, bytes: &[u8]) {
        assert!(offset + bytes.len() as u64 <= self.size, "{} bytes at {offset} of {self:?}", bytes.len());
        queue.write_buffer(&self.whole, self.offset + offset, bytes);
    }

    /// Copies `bytes` bytes from byte `offset` on to byte `to` of a staging buffer.
    pub(in crate::engine::gpu) fn copy(
        &self,
        offset: u64,
        staging: &wgpu::Buffer,
        to: u64,
        bytes: u64,
        encoder: &mut wgpu::CommandEncoder,
    ) {
        encoder.copy_buffer_to_buffer(&self.whole, self.offset + offset, staging, to, bytes);
    }
}
