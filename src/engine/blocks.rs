//! Blocks of the parameters of a run whose rule moves hidden matrices as wholes, and all else by a companion.
//!
//! Not here: which matrices are hidden ([`crate::model`]), nor how they move ([`crate::kernels::spectral`]).

use crate::problem::Problem;
use crate::update::Matrix;

/// Parameters that follow each other and have one update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// Where they end in the flat vector; they begin where those of the block before end.
    pub end: usize,
    /// The matrix that they are; none of parameters that move by the companion.
    pub matrix: Option<Matrix>,
}

/// All parameters of a problem, hidden matrices each by themselves.
pub fn blocks(problem: &Problem) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut end = 0;
    for matrix in problem.hidden_matrices() {
        if matrix.first > end {
            blocks.push(Block { end: matrix.first, matrix: None });
        }
        end = matrix.range().end;
        blocks.push(Block { end, matrix: Some(matrix) });
    }
    if problem.dimension() > end {
        blocks.push(Block { end: problem.dimension(), matrix: None });
    }
    blocks
}
