//! How much main memory is free, and whether what is planned fits it: asked before it is reserved, as a reservation that fails
//! ends the process.
//!
//! Not here: how much a wave takes ([`crate::engine`]).

/// Free main memory, bytes, where the system tells; within a container or a job, no more than it may have.
pub fn free() -> Option<u64> {
    let mut system = sysinfo::System::new().ok()?;
    system.refresh_memory();
    let limit = system.cgroup_limits().map_or(u64::MAX, |limits| limits.free_memory);
    Some(system.available_memory().min(limit))
}

/// Checks that `vectors` vectors of f64 of so many parameters fit; `less` is what else would help beside a smaller model.
///
/// # Errors
/// Where they do not: a message with what would.
pub fn check(model: &str, parameters: usize, vectors: usize, less: &str) -> Result<(), String> {
    free().map_or(Ok(()), |free| fits(model, parameters, vectors, less, free))
}

fn fits(model: &str, parameters: usize, vectors: usize, less: &str, free: u64) -> Result<(), String> {
    let of_one = |parameters: usize| parameters as u128 * vectors as u128 * size_of::<f64>() as u128;
    if of_one(parameters) <= u128::from(free) {
        return Ok(());
    }
    let gib = |bytes: u128| bytes as f64 / (1u64 << 30) as f64;
    let most = u128::from(free) / of_one(1);
    Err(format!(
        "--model {model}: its {parameters} parameters take {:.1} GiB before the first step, and {:.1} GiB of memory are free; \
         accepted: a model of up to {most} parameters{less}",
        gib(of_one(parameters)),
        gib(free.into())
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_refused_with_what_would() {
        assert_eq!(fits("mlp:4", 1000, 3, "", 24_000), Ok(()));
        let refused = fits("mlp:4", 1001, 3, ", or fewer --seeds", 24_000).unwrap_err();
        assert!(refused.starts_with("--model mlp:4: its 1001 parameters take 0.0 GiB"), "{refused}");
        assert!(refused.ends_with("a model of up to 1000 parameters, or fewer --seeds"), "{refused}");
        assert!(fits("linear", usize::MAX, 1 << 20, "", u64::MAX).is_err(), "no product overflows");
    }
}
