// What a lane does at one step (LaneStep in src/kernels/mod.rs).

struct LaneStep { busy: u32, read: u32, write: u32, velocity: u32, newest: u32, rows: u32 }
