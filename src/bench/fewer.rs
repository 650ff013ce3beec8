//! Fewer lanes where a device has no memory for as many: half of them, until they fit, as a sweep halves its waves.
//!
//! Not here: how many lanes are asked for first.

use crate::engine::EngineError;
use crate::text::counted;

/// What came of an attempt, and each time that it took fewer lanes, in words.
#[derive(Debug, PartialEq)]
pub struct Fitted<T> {
    pub outcome: T,
    /// Lanes of the attempt that went through.
    pub lanes: usize,
    pub fewer: Vec<String>,
}

/// Tries with `lanes` lanes, and with half as many each time that the device runs out of memory.
///
/// # Errors
/// Those of the attempt: out of memory where not even one lane fits.
pub fn fit<T>(
    mut lanes: usize,
    mut attempt: impl FnMut(usize) -> Result<T, EngineError>,
) -> Result<Fitted<T>, EngineError> {
    let mut fewer = Vec::new();
    loop {
        match attempt(lanes) {
            Err(error @ EngineError::OutOfMemory(_)) if lanes > 1 => {
                let half = lanes / 2;
                fewer.push(format!("{error}; {} instead of {lanes}", counted(half, "lane")));
                lanes = half;
            }
            outcome => return outcome.map(|outcome| Fitted { outcome, lanes, fewer }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_memory_for(most: usize) -> impl FnMut(usize) -> Result<usize, EngineError> {
        move |lanes| if lanes > most { Err(EngineError::OutOfMemory("full".into())) } else { Ok(10 * lanes) }
    }

    #[test]
    fn lanes_are_halved_until_they_fit_and_each_time_is_told() {
        let Fitted { outcome, lanes, fewer } = fit(9, of_memory_for(3)).unwrap();
        assert_eq!((outcome, lanes), (20, 2));
        assert_eq!(fewer[0], "the device is out of memory: full; 4 lanes instead of 9");
        assert_eq!(fewer.len(), 2);
        assert!(fit(9, of_memory_for(9)).unwrap().fewer.is_empty());
        assert!(matches!(fit(9, of_memory_for(0)), Err(EngineError::OutOfMemory(_))));
        let lost = fit(9, |_| Err::<(), _>(EngineError::Lost("gone".into())));
        assert!(matches!(lost, Err(EngineError::Lost(_))), "another failure is not a matter of lanes");
    }
}
