//! Shards: the parts of a sweep that run apart, each with the cells that their content gives it.
//!
//! A cell's shard depends on the cell and on the number of shards alone, so cells added to a plan move no other cell.
//! Not here: what starts the shards (a scheduler), nor what puts their folders together ([`crate::session::merge`]).

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Most shards of one sweep.
const MOST: u32 = 1_000_000;

/// What would be accepted, for messages.
const ACCEPTED: &str = "accepted: I/N with I from 1 to N, env, or env/N";

/// Part `index` of `of`, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Shard {
    pub index: u32,
    pub of: u32,
}

impl Shard {
    /// # Errors
    /// Where there is no such part.
    pub fn new(index: u32, of: u32) -> Result<Self, String> {
        match (1..=of).contains(&index) && of <= MOST {
            true => Ok(Self { index, of }),
            false => Err(format!("there is no shard {index} of {of}; {ACCEPTED} and N up to {MOST}")),
        }
    }

    /// Every shard of `of`.
    pub fn all(of: u32) -> impl Iterator<Item = Self> {
        (1..=of).map(move |index| Self { index, of })
    }

    /// Whether a cell, given by its content hash, is in this part.
    pub fn holds(self, cell_id: &str) -> bool {
        Self::place(cell_id, self.of) == self.index
    }

    /// The part of `of` that a cell is in.
    pub fn place(cell_id: &str, of: u32) -> u32 {
        let hash = blake3::hash(cell_id.as_bytes());
        let (number, _) = hash.as_bytes().split_first_chunk().expect("a hash has 32 bytes");
        // The remainder is below `of`, which is a u32.
        (u64::from_le_bytes(*number) % u64::from(of)) as u32 + 1
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.index, self.of)
    }
}

/// `--shard`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShardFlag {
    /// I/N
    Given(Shard),
    /// `env`, or `env/N` where the environment does not say how many there are.
    Environment { of: Option<u32> },
}

impl FromStr for ShardFlag {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |part: &str| part.parse::<u32>().map_err(|_| format!("'{part}' is no whole number; {ACCEPTED}"));
        match text.split_once('/') {
            None if text == "env" => Ok(Self::Environment { of: None }),
            None => Err(ACCEPTED.into()),
            Some(("env", of)) => {
                let of = number(of)?;
                Shard::new(of, of).map(|_| Self::Environment { of: Some(of) })
            }
            Some((index, of)) => Shard::new(number(index)?, number(of)?).map(Self::Given),
        }
    }
}

impl ShardFlag {
    /// Which shard this process is: a task of a Slurm array (they need not start at 1 nor be without gaps) or a pod of a
    /// Kubernetes Indexed Job. `variable` reads the environment.
    ///
    /// # Errors
    /// Where the environment does not say, contradicts itself or the flag. Messages name the variable and its value.
    pub fn resolve(self, variable: &dyn Fn(&str) -> Option<String>) -> Result<Shard, String> {
        let of = match self {
            Self::Given(shard) => return Ok(shard),
            Self::Environment { of } => of,
        };
        let number = |name: &str| -> Result<Option<u32>, String> {
            let parse = |text: String| {
                text.parse().map_err(|_| format!("--shard env: {name} is '{text}'; accepted: a whole number"))
            };
            variable(name).map(parse).transpose()
        };
        match (number("SLURM_ARRAY_TASK_ID")?, number("JOB_COMPLETION_INDEX")?) {
            (Some(_), Some(_)) => Err("--shard env: SLURM_ARRAY_TASK_ID and JOB_COMPLETION_INDEX are both set; \
                                       accepted: I/N"
                .into()),
            (None, None) => Err("--shard env: neither SLURM_ARRAY_TASK_ID nor JOB_COMPLETION_INDEX is set; accepted: \
                                 I/N, or env in a Slurm job array or a Kubernetes Indexed Job"
                .into()),
            (Some(id), None) => {
                let count = number("SLURM_ARRAY_TASK_COUNT")?;
                let first = number("SLURM_ARRAY_TASK_MIN")?.unwrap_or(1);
                let step = number("SLURM_ARRAY_TASK_STEP")?.unwrap_or(1).max(1);
                slurm(id, count, first, step, of)
            }
            (None, Some(index)) => {
                let counted = number("JOB_COMPLETIONS")?;
                let of = agreed("JOB_COMPLETIONS", counted, of)?.ok_or(
                    "--shard env: JOB_COMPLETION_INDEX does not say how many pods there are; accepted: env/N, or \
                     JOB_COMPLETIONS in the pod's environment",
                )?;
                let shard = index.checked_add(1).and_then(|index| Shard::new(index, of).ok());
                shard.ok_or_else(|| {
                    format!("--shard env: JOB_COMPLETION_INDEX is {index} of {of} pods; accepted: 0 to {}", of - 1)
                })
            }
        }
    }
}

/// Task `id` of the array `first, first + step, ...`.
fn slurm(id: u32, count: Option<u32>, first: u32, step: u32, of: Option<u32>) -> Result<Shard, String> {
    let of = agreed("SLURM_ARRAY_TASK_COUNT", count, of)?
        .ok_or("--shard env: SLURM_ARRAY_TASK_COUNT is not set; accepted: env/N, or I/N")?;
    let place = id.checked_sub(first).filter(|offset| offset.is_multiple_of(step)).map(|offset| offset / step + 1);
    place.and_then(|index| Shard::new(index, of).ok()).ok_or_else(|| {
        format!(
            "--shard env: SLURM_ARRAY_TASK_ID {id} is none of {of} tasks from SLURM_ARRAY_TASK_MIN {first} on in steps \
             of SLURM_ARRAY_TASK_STEP {step}; accepted: an evenly spaced array (as --array=1-{of}), or I/N"
        )
    })
}

/// The number of shards, from the environment and from the flag.
fn agreed(name: &str, counted: Option<u32>, of: Option<u32>) -> Result<Option<u32>, String> {
    match (counted, of) {
        (Some(counted), Some(of)) if counted != of => {
            Err(format!("--shard env/{of}: {name} is {counted}; accepted: env/{counted}, or I/{of}"))
        }
        (counted, of) => Ok(counted.or(of)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn resolve(flag: &str, environment: &[(&str, &str)]) -> Result<String, String> {
        let variable =
            |name: &str| environment.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        flag.parse::<ShardFlag>()?.resolve(&variable).map(|shard| shard.to_string())
    }

    fn slurm(id: &str, count: &str, min: &str, step: &str) -> Result<String, String> {
        resolve(
            "env",
            &[
                ("SLURM_ARRAY_TASK_ID", id),
                ("SLURM_ARRAY_TASK_COUNT", count),
                ("SLURM_ARRAY_TASK_MIN", min),
                ("SLURM_ARRAY_TASK_STEP", step),
            ],
        )
    }

    #[test]
    fn a_shard_is_given_or_read_from_the_environment() {
        assert_eq!(resolve("3/7", &[]).unwrap(), "3/7");
        assert_eq!(slurm("1", "4", "1", "1").unwrap(), "1/4");
        assert_eq!(slurm("0", "4", "0", "1").unwrap(), "1/4");
        assert_eq!(slurm("14", "4", "5", "3").unwrap(), "4/4");
        assert_eq!(resolve("env/4", &[("JOB_COMPLETION_INDEX", "0")]).unwrap(), "1/4");
        assert_eq!(resolve("env", &[("JOB_COMPLETION_INDEX", "3"), ("JOB_COMPLETIONS", "4")]).unwrap(), "4/4");
        assert_eq!(resolve("env/2", &[("SLURM_ARRAY_TASK_ID", "2")]).unwrap(), "2/2");
    }

    #[test]
    fn what_names_no_shard_is_refused_with_its_value() {
        let cases: &[(Result<String, String>, &[&str])] = &[
            (resolve("0/7", &[]), &["0 of 7", "from 1 to N"]),
            (resolve("8/7", &[]), &["8 of 7"]),
            (resolve("1/0", &[]), &["1 of 0"]),
            (resolve("env/0", &[]), &["0"]),
            (resolve("a/7", &[]), &["'a'", "whole number"]),
            (resolve("7", &[]), &["I/N"]),
            (resolve("env", &[]), &["SLURM_ARRAY_TASK_ID", "JOB_COMPLETION_INDEX"]),
            (resolve("env", &[("JOB_COMPLETION_INDEX", "1")]), &["env/N"]),
            (resolve("env/4", &[("JOB_COMPLETION_INDEX", "4")]), &["is 4", "0 to 3"]),
            (resolve("env/4", &[("JOB_COMPLETION_INDEX", "x")]), &["JOB_COMPLETION_INDEX is 'x'"]),
            (resolve("env/4", &[("JOB_COMPLETION_INDEX", "0"), ("JOB_COMPLETIONS", "5")]), &["env/4", "is 5"]),
            (resolve("env", &[("SLURM_ARRAY_TASK_ID", "1"), ("JOB_COMPLETION_INDEX", "0")]), &["both"]),
            (slurm("7", "3", "1", "1"), &["SLURM_ARRAY_TASK_ID 7", "evenly spaced"]),
            (slurm("4", "3", "1", "2"), &["SLURM_ARRAY_TASK_ID 4", "STEP 2"]),
        ];
        for (result, expected) in cases {
            let message = result.as_ref().expect_err("a refusal");
            for part in *expected {
                assert!(message.contains(part), "should say '{part}': {message}");
            }
        }
    }

    proptest! {
        #[test]
        fn every_cell_is_in_exactly_one_shard(id in "[0-9a-f]{12}", of in 1u32..100) {
            prop_assert_eq!(Shard::all(of).filter(|shard| shard.holds(&id)).count(), 1);
        }
    }

    #[test]
    fn a_cell_keeps_its_shard_for_good() {
        let places: Vec<u32> = ["0123456789ab", "fedcba987654", ""].map(|id| Shard::place(id, 7)).to_vec();
        assert_eq!(places, [4, 3, 2], "folders of earlier versions could not be merged with new ones");
    }
}
