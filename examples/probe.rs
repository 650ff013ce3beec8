use std::sync::Arc;
use tauscope::engine::*;
use tauscope::kernels::{activation::Activation, loss::Loss};
use tauscope::problem::*;
use tauscope::*;
fn main() {
    for (w, act) in [(16usize, Activation::Tanh), (16, Activation::Gelu), (16, Activation::Relu)] {
        let data = data::Dataset::load(data::DataSource::Digits, Some(512), 0).unwrap();
        let model = model::Model::mlp(64, &[w], 10, act);
        let p = Problem::Network(Network { model, loss: Loss::Ce, weight_decay: 1e-3, data });
        let t = std::time::Instant::now();
        let m = match minimum::find(&p, 0, 1e-8) {
            Ok(m) => m,
            Err(e) => {
                println!("{e} {:?}", t.elapsed());
                continue;
            }
        };
        println!(
            "{:?} loss {} gmax {:e} evals {} lmax {} ({:e},{}) lmin {} ({:e},{}) norm {}",
            t.elapsed(),
            m.loss,
            m.gradient_max,
            m.evaluations,
            m.largest.value,
            m.largest.residual,
            m.largest.iterations,
            m.smallest.value,
            m.smallest.residual,
            m.smallest.iterations,
            m.weights.iter().map(|x| x * x).sum::<f64>().sqrt()
        );
        let p = Arc::new(p);
        let dir: Vec<f64> = m.largest.vector.clone();
        let start: Vec<f64> = m.weights.iter().zip(&dir).map(|(x, v)| x + 1e-3 * v).collect();
        let e = engine::cpu::Cpu::<f32>::default();
        let mut wave = e
            .open(WaveSpec {
                problem: p,
                batch: None,
                minimum: Arc::new(m.weights.clone()),
                direction: Arc::new(dir),
                lanes: 8,
                slots: 33,
                slot_velocity: false,
                block: 64,
            })
            .unwrap();
        let start = Arc::new(start);
        for l in 0..8 {
            wave.start(
                l,
                Run {
                    rule: rule::Rule::SGD,
                    lr: (0.9 + 0.02857 * l as f64) * 0.3473 / m.largest.value,
                    schedule: schedule::Schedule::RoundRobin { delay: 4 },
                    seed_order: 0,
                    start: start.clone(),
                },
            )
            .unwrap();
        }
        let t = std::time::Instant::now();
        let mut n = 0;
        for _ in 0..10 {
            let o = wave.advance(64).unwrap();
            n += 64 * 8;
            for l in [0, 3, 4, 7] {
                print!("{:.3e} ", o.lane(l).map(|x| x.projection.abs()).fold(0., f64::max));
            }
            println!();
        }
        println!("{} config-steps/s", n as f64 / t.elapsed().as_secs_f64());
    }
}
