//! The calls that leave the direction of every matrix that moves as a whole where its gradient was, one matrix after the other.
//!
//! Not here: the other parameters, nor the step that then moves all of them (`layered`).

use super::buffers::Name;
use super::{Call, WaveLayout};
use crate::kernels::spectral::{Buffers, Direction};

const BUFFERS: Buffers<Name> = Buffers {
    lane_steps: Name::LaneSteps,
    updates: Name::Updates,
    gradient: Name::Gradient,
    iterates: [Name::Iterate(0), Name::Iterate(1)],
    gram: Name::Gram,
    polynomial: Name::Polynomial,
    squares: Name::Squares,
    no_slopes: Name::NoSlopes,
};

/// None where no update moves a matrix as a whole.
pub fn calls(layout: &WaveLayout) -> Vec<Call> {
    let directions = layout.spec.matrices().into_iter().map(|(update, matrix)| Direction {
        lanes: layout.lanes,
        parameters: layout.sizes.parameters,
        stages: layout.spec.updates(),
        update,
        memories: layout.spec.needs.memories(),
        matrix,
    });
    let parts = || layout.ring_parts().enumerate().map(|(part, range)| (range, Name::State(part)));
    directions.flat_map(|direction| direction.calls(parts(), &BUFFERS)).collect()
}
