//! Instruction sets for vectors: detected at run time and named beside every result.

use pulp::{Arch, Simd, WithSimd};

/// An instruction set with an implementation here. Results have the same bits only under the same one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::Display, strum::EnumIter, clap::ValueEnum)]
#[strum(serialize_all = "kebab-case")]
pub enum Instructions {
    /// Vectors of 16 f32, with fused multiply-add.
    Avx512,
    /// Vectors of 8 f32, with fused multiply-add.
    Avx2,
    /// Vectors of 4 f32, with fused multiply-add.
    Neon,
    /// One f32 at a time, or what the compiler makes of it; products are rounded before they are added.
    Scalar,
}

impl Instructions {
    /// The widest that this processor has.
    pub fn best() -> Self {
        match Arch::new() {
            #[cfg(target_arch = "x86_64")]
            Arch::V4(_) => Self::Avx512,
            #[cfg(target_arch = "x86_64")]
            Arch::V3(_) => Self::Avx2,
            #[cfg(target_arch = "aarch64")]
            Arch::Neon(_) => Self::Neon,
            _ => Self::Scalar,
        }
    }

    /// Those that code over `S` is compiled for.
    pub fn of<S: Simd>() -> Self {
        match S::F32_LANES {
            16 => Self::Avx512,
            8 => Self::Avx2,
            4 => Self::Neon,
            _ => Self::Scalar,
        }
    }

    /// Bytes of a vector; where there are none, 1.
    pub fn bytes(self) -> usize {
        match self {
            Self::Avx512 => 64,
            Self::Avx2 => 32,
            Self::Neon => 16,
            Self::Scalar => 1,
        }
    }

    /// `None` where this processor lacks it.
    fn arch(self) -> Option<Arch> {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => pulp::x86::V4::try_new().map(Arch::V4),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => pulp::x86::V3::try_new().map(Arch::V3),
            #[cfg(target_arch = "aarch64")]
            Self::Neon => pulp::aarch64::Neon::try_new().map(Arch::Neon),
            Self::Scalar => Some(Arch::Scalar),
            #[allow(unreachable_patterns, reason = "which sets there are depends on the architecture")]
            _ => None,
        }
    }

    pub fn are_there(self) -> bool {
        self.arch().is_some()
    }

    /// Runs `work` compiled for them.
    ///
    /// # Panics
    /// Where this processor lacks them.
    pub fn run<W: WithSimd>(self, work: W) -> W::Output {
        self.arch().unwrap_or_else(|| panic!("this processor has no {self}")).dispatch(work)
    }
}
