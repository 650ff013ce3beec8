//! `--trace-runs` of trainings: a run is replayed from its file, its start and the samples alone.

use super::{rows, training};
use crate::common::assert_close;
use crate::traces::traces;
use safetensors::SafeTensors;
use std::collections::BTreeSet;
use std::fs;
use tauscope::problem::weights::{self, Wanted};
use tauscope::table::{TraceRow, read_csv};

/// A few dozen steps in f64, in another order of summation.
const REPLAY: f64 = 1e-12;

#[test]
fn a_training_is_replayed_from_its_trace_and_its_tables_are_the_same_without() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let (batch, decay) = (8, 0.001);
    let problem = ["--samples", "41", "--test", "20", "--model", "linear", "--loss", "mse", "--weight-decay", "0.001"];
    let grid = ["--delays", "2", "--schedule", "random", "--batch", "8", "--lr", "0.05", "--lr-scaling", "none"];
    let options = ["--epochs", "4", "--seeds", "2", "--engine", "cpu", "--precision", "f64", "--save-weights"];
    let flags = [&problem[..], &grid, &options].concat();
    let traced = [&flags[..], &["--trace-runs"]].concat();
    let plain = rows(folder, "plain", &flags);
    assert_eq!(rows(folder, "out", &traced), plain);
    for name in ["runs.csv", "metrics.csv", "summary.csv"] {
        assert!(fs::read(folder.join("plain").join(name)).unwrap() == fs::read(folder.join("out").join(name)).unwrap());
    }
    let training = training(&flags);
    let bytes = fs::read(folder.join("out/traces/samples.safetensors")).unwrap();
    let samples = SafeTensors::deserialize(&bytes).unwrap();
    let tensor = |name: &str| samples.tensor(name).unwrap().data().to_vec();
    let inputs: Vec<f32> = tensor("inputs").as_chunks().0.iter().map(|x| f32::from_le_bytes(*x)).collect();
    let labels: Vec<i64> = tensor("labels").as_chunks().0.iter().map(|x| i64::from_le_bytes(*x)).collect();
    let (features, classes) = (64, 10);
    assert_eq!((inputs.len(), labels.len()), (41 * features, 41));
    for run in &plain {
        let file = |name: String| {
            let path = folder.join("out").join(name);
            weights::load(&training.problem, &path, None, Wanted::Parameters).unwrap().parameters
        };
        let start = file(format!("traces/start-{}.safetensors", run.seed));
        let steps: Vec<TraceRow> = read_csv(&folder.join(format!("out/traces/{}.csv", run.run_id))).unwrap();
        assert_eq!(steps.len(), 4 * (41 / batch), "whole batches of four epochs");
        let (mut server, mut workers) = (start.clone(), vec![start.clone(); 3]);
        let mut visited = Vec::new();
        for step in &steps {
            assert_eq!((step.worker, step.lr, step.distance, step.loss), (Some(step.slot_read), 0.05, None, None));
            let chosen: Vec<usize> = step.rows.split(' ').map(|row| row.parse().unwrap()).collect();
            assert_eq!(chosen.len(), batch);
            let weights = &workers[step.slot_read as usize];
            let mut gradient: Vec<f64> = weights.iter().map(|x| decay * x).collect();
            for &row in &chosen {
                let input = &inputs[row * features..][..features];
                for class in 0..classes {
                    let of_class = class * features..(class + 1) * features;
                    let sum: f64 = weights[of_class].iter().zip(input).map(|(w, x)| w * f64::from(*x)).sum();
                    let wanted = f64::from(u8::from(labels[row] as usize == class));
                    let error = (sum + weights[classes * features + class] - wanted) / batch as f64;
                    for (feature, x) in input.iter().enumerate() {
                        gradient[class * features + feature] += error * f64::from(*x);
                    }
                    gradient[classes * features + class] += error;
                }
            }
            visited.extend(chosen);
            server.iter_mut().zip(&gradient).for_each(|(x, g)| *x -= step.lr * g);
            workers[step.slot_write as usize] = server.clone();
        }
        let epochs: Vec<BTreeSet<&usize>> = visited.chunks(40).map(|epoch| epoch.iter().collect()).collect();
        assert!(epochs.iter().all(|epoch| epoch.len() == 40), "no row twice in an epoch");
        assert_close(&run.run_id, &file(format!("weights/{}.safetensors", run.run_id)), &server, REPLAY);
    }

    for shard in ["1/2", "2/2"] {
        rows(folder, &shard[..1], &[&traced[..], &["--shard", shard]].concat());
    }
    crate::folders::succeed(crate::folders::tauscope(folder).args(["merge", "1", "2", "--out", "merged"]));
    assert!(traces(folder, "merged") == traces(folder, "out"));
}
