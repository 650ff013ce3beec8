//! The flags of pipeline stages, which sweeps and trainings share.
//!
//! Not here: what they mean for an update ([`crate::stages`]).

use crate::stages::{MOST_STAGES, StageCuts, StageDelays, StageLr, StageMomentum, Stages};
use clap::{Args, ValueEnum};

/// Stages of a pipeline, each with a delay of its own.
#[derive(Clone, Debug, Default, Args)]
pub struct StageArgs {
    /// Stages P of a pipeline: the parameters are cut into P blocks, each with a delay of its own, in the place of --delays. A
    /// quadratic has its coordinates cut into P equal blocks
    #[arg(long, value_name = "P", value_delimiter = ',', num_args = 1, conflicts_with_all = ["delays", "schedule"], value_parser = clap::value_parser!(u16).range(1..=MOST_STAGES as i64), help_heading = "Stages")]
    pub stages: Vec<u16>,
    /// How many updates late each stage is, counted from 0, the first: pipedream (P-1-i), 2bw (1), spread:D
    /// (floor((P-1-i) D / (P-1))), or numbers as 3/2/1/0 [default: pipedream]
    #[arg(
        long,
        value_name = "DELAYS",
        value_delimiter = ',',
        num_args = 1,
        requires = "stages",
        help_heading = "Stages"
    )]
    pub stage_delays: Vec<StageDelays>,
    /// What the learning rate of each stage is multiplied by: none, inverse-delay (1 / (delay + 1)), or numbers as .25/.5/1
    /// [default: none]
    #[arg(
        long,
        value_name = "FACTORS",
        value_delimiter = ',',
        num_args = 1,
        requires = "stages",
        allow_hyphen_values = true,
        help_heading = "Stages"
    )]
    pub stage_lr: Vec<StageLr>,
    /// Momentum of each stage: none (the rule's), towards:M (m + min(delay / P, 1) (M - m)), or numbers as .9/.8/.5 [default: none]
    #[arg(
        long,
        value_name = "MOMENTA",
        value_delimiter = ',',
        num_args = 1,
        requires = "stages",
        allow_hyphen_values = true,
        help_heading = "Stages"
    )]
    pub stage_momentum: Vec<StageMomentum>,
    /// Where stages begin: parameters (the largest stage as small as can be), or the names of the first layers of all stages
    /// but the first as 4/8/12 [default: parameters]
    #[arg(
        long,
        value_name = "LAYERS",
        value_delimiter = ',',
        num_args = 1,
        requires = "stages",
        help_heading = "Stages"
    )]
    pub stage_cuts: Vec<StageCuts>,
    /// Whether the backward pass reads the weights that the forward pass has read [default: on]
    #[arg(long, value_enum, value_delimiter = ',', num_args = 1, requires = "stages", help_heading = "Stages")]
    pub stashing: Vec<Stashing>,
    /// Without stashing: how many updates late the weights are that backward passes read, as --stage-delays [default: 0 for all]
    #[arg(
        long,
        value_name = "DELAYS",
        value_delimiter = ',',
        num_args = 1,
        requires = "stashing",
        help_heading = "Stages"
    )]
    pub backward_delays: Vec<StageDelays>,
}

/// `--stashing`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, strum::Display)]
#[strum(serialize_all = "lowercase")]
pub enum Stashing {
    /// both passes of a gradient read the same version of the weights
    #[default]
    On,
    /// backward passes read versions of their own
    Off,
}

impl StageArgs {
    /// Every combination, in the order given, each once; empty where there are no stages.
    ///
    /// # Errors
    /// A list that does not suit the number of stages, or two flags that do not go together.
    pub fn all_stages(&self) -> Result<Vec<Stages>, String> {
        if self.stages.is_empty() {
            // Beside --delays, with which --stages does not go, clap asks for --stages in vain.
            return self.given().map_or(Ok(Vec::new()), |flag| {
                Err(format!(
                    "{flag} without --stages: accepted: with --stages P in the place of --delays and --schedule"
                ))
            });
        }
        let forms = or(&self.stage_delays);
        let (factors, momenta, cuts) = (or(&self.stage_lr), or(&self.stage_momentum), or(&self.stage_cuts));
        let stashing = or(&self.stashing);
        if !self.backward_delays.is_empty() && !stashing.contains(&Stashing::Off) {
            let delays = &self.backward_delays[0];
            return Err(format!("--backward-delays {delays} with --stashing on: accepted: with --stashing off"));
        }
        let mut all_stages: Vec<Stages> = Vec::new();
        for stages in self.stages.iter().map(|stages| usize::from(*stages)) {
            for form in &forms {
                let delays = delays("--stage-delays", form, stages)?;
                for lr in &factors {
                    lr.check(stages).map_err(|why| format!("--stage-lr {why}"))?;
                    for momentum in &momenta {
                        momentum.check(stages).map_err(|why| format!("--stage-momentum {why}"))?;
                        for cuts in &cuts {
                            for backward_delays in self.backward(&stashing, stages)? {
                                let (delays, lr) = (delays.clone(), lr.clone());
                                let (momentum, cuts) = (momentum.clone(), cuts.clone());
                                let stages = Stages { delays, backward_delays, lr, momentum, cuts };
                                if !all_stages.contains(&stages) {
                                    all_stages.push(stages);
                                }
                            }
                        }
                    }
                }
            }
        }
        Ok(all_stages)
    }

    /// The first flag but --stages that was given, with its value.
    fn given(&self) -> Option<String> {
        fn flag<T: ToString>(name: &str, given: &[T]) -> Option<String> {
            given.first().map(|value| format!("{name} {}", value.to_string()))
        }
        let flags = [
            flag("--stage-delays", &self.stage_delays),
            flag("--stage-lr", &self.stage_lr),
            flag("--stage-momentum", &self.stage_momentum),
            flag("--stage-cuts", &self.stage_cuts),
            flag("--stashing", &self.stashing),
            flag("--backward-delays", &self.backward_delays),
        ];
        flags.into_iter().flatten().next()
    }

    /// What backward passes read, for every way of stashing.
    fn backward(&self, stashing: &[Stashing], stages: usize) -> Result<Vec<Option<Vec<u32>>>, String> {
        let mut all = Vec::new();
        for stashing in stashing {
            match stashing {
                Stashing::On => all.push(None),
                Stashing::Off if self.backward_delays.is_empty() => all.push(Some(vec![0; stages])),
                Stashing::Off => {
                    for form in &self.backward_delays {
                        all.push(Some(delays("--backward-delays", form, stages)?));
                    }
                }
            }
        }
        Ok(all)
    }
}

/// What was given, or the usual one.
fn or<T: Clone + Default>(given: &[T]) -> Vec<T> {
    if given.is_empty() { vec![T::default()] } else { given.to_vec() }
}

fn delays(flag: &str, form: &StageDelays, stages: usize) -> Result<Vec<u32>, String> {
    let delays = form.of(stages).map_err(|why| format!("{flag} {why}"))?;
    Ok(delays.into_iter().map(|delay| delay as u32).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(stages: &[u16]) -> StageArgs {
        StageArgs { stages: stages.to_vec(), ..StageArgs::default() }
    }

    #[test]
    fn every_combination_is_there_once() {
        let both = StageArgs {
            stage_delays: vec!["pipedream".parse().unwrap(), "spread:3".parse().unwrap(), "2bw".parse().unwrap()],
            stage_lr: vec![StageLr::Same, StageLr::InverseDelay],
            stashing: vec![Stashing::On, Stashing::Off],
            ..args(&[4])
        };
        // Pipedream of 4 stages is spread:3.
        assert_eq!(both.all_stages().unwrap().len(), 2 * 2 * 2);
        assert_eq!(args(&[]).all_stages().unwrap(), []);
        let plain = &args(&[3]).all_stages().unwrap()[0];
        assert_eq!((plain.delays.clone(), plain.lr_factor(0), plain.longest()), (vec![2, 1, 0], 1.0, 2));
        let off = StageArgs { stashing: vec![Stashing::Off], ..args(&[2]) };
        assert_eq!(off.all_stages().unwrap()[0].backward_delays, Some(vec![0, 0]));
    }

    #[test]
    fn what_does_not_suit_the_stages_is_refused_with_the_flag() {
        let error = |args: StageArgs| args.all_stages().unwrap_err();
        let lists = StageArgs { stage_delays: vec!["1/0".parse().unwrap()], ..args(&[3]) };
        assert!(error(lists).starts_with("--stage-delays 1/0 with 3 stages: it has 2"));
        let lists = StageArgs { stage_lr: vec![".5/1".parse().unwrap()], ..args(&[3]) };
        assert!(error(lists).starts_with("--stage-lr 0.5/1 with 3 stages: it has 2"));
        let lists = StageArgs { stage_momentum: vec![".5/.1".parse().unwrap()], ..args(&[3]) };
        assert!(error(lists).starts_with("--stage-momentum 0.5/0.1 with 3 stages: it has 2"));
        let on = StageArgs { backward_delays: vec!["2bw".parse().unwrap()], ..args(&[2]) };
        assert!(error(on).starts_with("--backward-delays 2bw with --stashing on"));
    }
}
