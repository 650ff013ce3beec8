//! The gradients of an update as engines follow them: where each is taken, and what becomes of it.
//!
//! Not here: the settings that they come from ([`super::OuterLoop`]), nor the arithmetic ([`crate::kernels::local`]).

/// Decays of the moments of local AdamW, as PyTorch has them.
pub const LOCAL_BETAS: [f64; 2] = [0.9, 0.999];

/// Slots behind the ring before the first moments: the local weights and a sum.
pub const MOMENTS: usize = 2;

/// The gradients of every update of a run, in their order.
#[derive(Clone, Debug, PartialEq)]
pub struct Work {
    pub pieces: Vec<Piece>,
    /// Minibatches of one update.
    pub batches: u64,
    pub moments: Moments,
}

/// Whose first and second moments local steps keep, and how many pairs there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moments {
    None,
    /// One pair for each part of an update.
    ByPart(usize),
    /// One pair for each worker of the delay process.
    ByWorker(usize),
}

impl Moments {
    pub fn pairs(self) -> usize {
        match self {
            Self::None => 0,
            Self::ByPart(pairs) | Self::ByWorker(pairs) => pairs,
        }
    }
}

/// Where the gradients of an update are taken, apart from the numbers in them: runs that agree in it can be made side by side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkShape {
    /// Gradients of one update.
    pub gradients: usize,
    /// Versions beyond those of the ring: of the local weights, of a sum.
    pub extra_slots: usize,
    /// Whether differences are made of the gradients; else they are applied as they are.
    pub is_outer: bool,
    /// Minibatches of one update.
    pub batches: u64,
    /// Those of the versions that are moments of local steps.
    pub moments: usize,
    /// Stages of a pipeline, each with an update of its own; 1 where there are none.
    pub stages: usize,
    /// Whether backward passes read other weights than forward ones.
    pub is_split: bool,
    /// Whether hidden matrices have updates of their own, so that parameters lie in their flat order.
    pub is_spectral: bool,
}

impl Default for WorkShape {
    fn default() -> Self {
        Self {
            gradients: 1,
            extra_slots: 0,
            is_outer: false,
            batches: 1,
            moments: 0,
            stages: 1,
            is_split: false,
            is_spectral: false,
        }
    }
}

impl WorkShape {
    /// Room for both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            gradients: self.gradients.max(other.gradients),
            extra_slots: self.extra_slots.max(other.extra_slots),
            is_outer: self.is_outer || other.is_outer,
            batches: self.batches.max(other.batches),
            moments: self.moments.max(other.moments),
            stages: self.stages.max(other.stages),
            is_split: self.is_split || other.is_split,
            is_spectral: self.is_spectral || other.is_spectral,
        }
    }

    /// The same in so many stages, 0 where there is no pipeline.
    #[must_use]
    pub fn with_stages(self, stages: usize, is_split: bool) -> Self {
        Self { stages: stages.max(1), is_split, ..self }
    }

    /// The same for a rule that moves hidden matrices as wholes, or for one that does not.
    #[must_use]
    pub fn with_matrices(self, is_spectral: bool) -> Self {
        Self { is_spectral, ..self }
    }

    /// Whether gradients have to leave parameters in their flat order.
    pub fn keeps_order(&self) -> bool {
        self.is_split || self.is_spectral
    }
}

impl Work {
    /// Whether every update is one gradient as it is.
    pub fn is_plain(&self) -> bool {
        self.pieces[0].role == Role::Plain
    }

    pub fn shape(&self) -> WorkShape {
        // A sum lies behind the local weights, also where there are none.
        let sums = self.pieces.iter().any(|piece| piece.role == Role::Add);
        let stores = self.pieces.iter().any(|piece| piece.role == Role::Local || piece.keeps_local);
        let moments = 2 * self.moments.pairs();
        let extra_slots = if moments > 0 {
            MOMENTS + moments
        } else if sums {
            2
        } else {
            usize::from(stores)
        };
        let (gradients, is_outer, batches) = (self.pieces.len(), !self.is_plain(), self.batches);
        WorkShape { gradients, extra_slots, is_outer, batches, moments, ..WorkShape::default() }
    }
}

/// What becomes of one gradient of an update.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Piece {
    /// Where it is taken.
    pub at: Place,
    /// Where its worker began.
    pub base: Place,
    pub role: Role,
    /// Learning rate of the local step that it makes; 0 where the gradient itself is sent.
    pub local_lr: f64,
    /// Weight of what is sent in what the server applies.
    pub share: f64,
    /// Whether it is added to what was sent before in this update.
    pub joins: bool,
    /// Whether the local weights go on after the update.
    pub keeps_local: bool,
    /// Share of the server's weights that the local ones take in after this step.
    pub merged: f64,
    /// Number of its minibatch within the update.
    pub batch: u64,
    /// Number of its part of the update: of its replica and origin.
    pub part: usize,
}

/// A [`Piece`] with the slots of its step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PlacedPiece {
    pub piece: Piece,
    pub at: usize,
    pub base: usize,
    /// Where local weights are kept; the sum is kept in the slot behind it.
    pub local: usize,
    /// None where the local step is one of gradient descent.
    pub adam: Option<LocalAdam>,
}

/// A local step of AdamW.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LocalAdam {
    /// Where the first moment is kept; the second is kept in the slot behind it.
    pub moments: usize,
    /// Local steps with these moments, this one counted.
    pub step: u64,
    /// Share of the weights that it takes away.
    pub decay: f64,
}

impl PlacedPiece {
    /// As shaders read it.
    pub fn packed(&self) -> u32 {
        let flag = |is: bool, bit: u32| u32::from(is) << bit;
        (self.piece.role as u32)
            | flag(self.piece.joins, 2)
            | flag(self.piece.keeps_local, 3)
            | (self.local as u32) << 4
    }
}

/// A version of the weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The slot that the step reads.
    Read,
    /// The slot that was written last.
    Newest,
    /// The worker's own, which is no part of the ring.
    Local,
}

/// What a gradient is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// An update by itself.
    Plain,
    /// A local step.
    Local,
    /// Ends a part of an update, to be added to the others.
    Add,
    /// Ends the update.
    Apply,
}
