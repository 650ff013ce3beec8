//! `--trace-runs` of sweeps: runs are replayed here from their files alone, in other code than the engines'. Those of trainings
//! are in `train/traces.rs`.

use crate::common::assert_close;
use crate::folders::{assert_same, await_lines, outcome, refuse, signal, succeed, tauscope};
use safetensors::SafeTensors;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use tauscope::table::{RunRow, ThresholdRow, TraceRow, read_csv};

/// Hundreds of steps in f64, in another order of operations, near a threshold.
const REPLAY: f64 = 1e-12;

fn sweep(folder: &Path, out: &str, flags: &[&str]) -> Command {
    let mut command = tauscope(folder);
    command.args(["sweep", "--engine", "cpu", "--precision", "f64", "--out", out]).args(flags);
    command
}

/// The vector of a quadratic in a file.
fn vector(path: &Path) -> Vec<f64> {
    let bytes = fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let data = file.tensor("x").unwrap().data().to_vec();
    data.as_chunks().0.iter().map(|x| f64::from_le_bytes(*x)).collect()
}

/// Every file of the folder of traces.
pub fn traces(folder: &Path, out: &str) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(folder.join(out).join("traces")).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| (path.file_name().unwrap().to_str().unwrap().into(), fs::read(&path).unwrap())).collect()
}

/// Server, weights of each worker, velocity, and when each worker took its weights.
#[derive(Clone)]
struct Member {
    server: Vec<f64>,
    workers: Vec<Vec<f64>>,
    velocity: Vec<f64>,
    taken: Vec<u64>,
}

#[test]
fn a_run_is_replayed_from_its_trace_and_its_start_alone() {
    let (eigenvalues, momentum) = ([1.0, 0.3], 0.9);
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let problem = ["--model", "quadratic:1,0.3", "--rules", "heavy-ball", "--delays", "3", "--schedule", "random"];
    let ends = ["--criterion", "escape,mean-square", "--ensemble", "4", "--horizon", "64", "--tolerance", "0.2"];
    succeed(&mut sweep(
        folder,
        "out",
        &[&problem[..], &ends, &["--momentum", "0.9", "--dampening", "0,ema", "--trace-runs"]].concat(),
    ));
    let traces = folder.join("out/traces");
    let direction = vector(&traces.join("direction.safetensors"));
    let start = vector(&traces.join("start.safetensors"));
    let runs: Vec<RunRow> = read_csv(&folder.join("out/runs.csv")).unwrap();
    let cells: Vec<ThresholdRow> = read_csv(&folder.join("out/thresholds.csv")).unwrap();
    assert!(runs.iter().any(|run| run.members == 1) && runs.iter().any(|run| run.members == 4));
    let mut copied = 0;
    let dampenings: BTreeMap<&str, f64> = cells.iter().map(|cell| (cell.cell_id.as_str(), cell.dampening)).collect();
    for run in &runs {
        let dampening = dampenings[run.cell_id.as_str()];
        let rows: Vec<TraceRow> = read_csv(&traces.join(format!("{}.csv", run.run_id))).unwrap();
        let members = run.members as usize;
        assert_eq!(rows.len() as u64, run.steps * u64::from(run.members));
        let last = rows.last().unwrap();
        assert_eq!((last.distance, last.projection, last.loss), (run.distance, run.projection, run.loss));
        let fresh = Member {
            server: start.clone(),
            workers: vec![start.clone(); 4],
            velocity: vec![0.0; 2],
            taken: vec![0; 4],
        };
        let mut states = vec![fresh; members];
        // Relative to the distance, which goes through many orders of magnitude.
        let (mut seen, mut made): (Vec<f64>, Vec<f64>) = (Vec::new(), Vec::new());
        for (index, step) in rows.chunks_exact(members).enumerate() {
            let before = states.clone();
            for (member, row) in step.iter().enumerate() {
                assert_eq!((row.run_id.as_str(), row.member as usize), (run.run_id.as_str(), member));
                let state = &mut states[member];
                if let (Some(source), Some(factor)) = (row.source, row.factor) {
                    copied += u32::from(source as usize != member);
                    *state = before[source as usize].clone();
                    let vectors = state.workers.iter_mut().chain([&mut state.server, &mut state.velocity]);
                    vectors.flatten().for_each(|x| *x *= factor);
                }
                let time = index as u64;
                let (read, write) = (row.slot_read as usize, row.slot_write as usize);
                assert_eq!((row.step, row.worker, read), (time + 1, Some(row.slot_write), write));
                assert_eq!((row.delay, row.lr, row.rows.as_str()), (time - state.taken[read], run.lr, ""));
                let weights = state.workers[read].clone();
                for i in 0..2 {
                    state.velocity[i] = momentum * state.velocity[i] + (1.0 - dampening) * eigenvalues[i] * weights[i];
                    state.server[i] -= row.lr * state.velocity[i];
                }
                state.workers[write] = state.server.clone();
                state.taken[write] = time + 1;
                let dot = |a: &[f64], b: &[f64]| a[0] * b[0] + a[1] * b[1];
                let distance = dot(&state.server, &state.server).sqrt();
                let loss = 0.5 * (eigenvalues[0] * weights[0].powi(2) + eigenvalues[1] * weights[1].powi(2));
                let [of_file, projection, of_weights] = [row.distance, row.projection, row.loss].map(Option::unwrap);
                seen.extend([of_file / distance, projection / distance, of_weights / loss]);
                made.extend([1.0, dot(&state.server, &direction) / distance, 1.0]);
            }
        }
        assert_close(&run.run_id, &seen, &made, REPLAY);
    }
    assert!(copied > 0, "members of ensembles went on from others");
}

#[test]
fn tables_are_the_same_with_traces_and_traces_with_shards_and_after_an_interruption() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let flags = ["--model", "quadratic:1,0.3", "--rules", "sgd,shifted", "--delays", "20..26", "--quiet"];
    let traced = [&flags[..], &["--trace-runs"]].concat();
    succeed(&mut sweep(folder, "plain", &flags));
    succeed(&mut sweep(folder, "whole", &traced));
    assert_same(folder, "plain", "whole");
    assert!(!folder.join("plain/traces").exists());
    let whole = traces(folder, "whole");
    let runs: Vec<RunRow> = read_csv(&folder.join("whole/runs.csv")).unwrap();
    assert!(runs.iter().all(|run| whole.contains_key(&format!("{}.csv", run.run_id))));
    assert_eq!(whole.len(), runs.len() + 3, "no file but those of runs, starts and direction");

    for shard in ["1/2", "2/2"] {
        succeed(&mut sweep(folder, &format!("s{}", &shard[..1]), &[&traced[..], &["--shard", shard]].concat()));
    }
    succeed(tauscope(folder).args(["merge", "s1", "s2", "--out", "merged"]));
    assert_same(folder, "whole", "merged");
    assert!(traces(folder, "merged") == whole);

    let mut child = sweep(folder, "resumed", &traced).spawn().unwrap();
    await_lines(&mut child, folder, "resumed", 1);
    signal(&child, "TERM");
    let (code, error) = outcome(&child.wait_with_output().unwrap());
    assert_eq!(code, Some(143), "{error}");
    refuse(&mut sweep(folder, "resumed", &[&flags[..], &["--resume"]].concat()), &["trace_runs"]);
    succeed(&mut sweep(folder, "resumed", &[&traced[..], &["--resume"]].concat()));
    assert_same(folder, "whole", "resumed");
    assert!(traces(folder, "resumed") == whole);
    refuse(&mut sweep(folder, "more", &[&traced[..], &["--extend", "whole"]].concat()), &["--extend", "--trace-runs"]);
}
