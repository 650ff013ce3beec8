//! `tauscope._core`: what the Python package asks of the crate.
//!
//! *What it is:* arguments from Python in, numbers and texts out, errors as Python exceptions of fitting types. *What it is
//! not:* anything that a user sees: signatures, tables and pictures are in `tauscope/*.py`, whose docstrings say what the
//! numbers mean.

mod command;
mod delays;
mod failure;
mod stages;
mod theory;

use pyo3::prelude::*;

#[pymodule]
fn _core(module: &Bound<PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add_class::<delays::DelayProcess>()?;
    #[cfg(debug_assertions)]
    module.add_function(wrap_pyfunction!(failure::planted_panic, module)?)?;
    module.add_function(wrap_pyfunction!(command::main, module)?)?;
    module.add_function(wrap_pyfunction!(command::call, module)?)?;
    module.add_function(wrap_pyfunction!(command::flags, module)?)?;
    module.add_function(wrap_pyfunction!(theory::threshold, module)?)?;
    module.add_function(wrap_pyfunction!(stages::stage_threshold, module)?)?;
    module.add_function(wrap_pyfunction!(theory::growth, module)?)?;
    module.add_function(wrap_pyfunction!(theory::effective_factor, module)?)?;
    module.add_function(wrap_pyfunction!(theory::equation, module)?)
}
