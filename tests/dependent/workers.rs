//! A daemon that has workers alone, so no Python is needed to build it: calls a function of a project and
//! prints the result.
//!
//! `dependent-pool FOLDER PROJECT MODULE:FUNCTION`, with the pipeline configurations below `FOLDER`.

use serde_json::Value;
use sgtk_pool::{Call, WorkerPool};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, project, function] = &arguments[..] else {
        return Err("usage: dependent-pool FOLDER PROJECT MODULE:FUNCTION".into());
    };
    let pool = WorkerPool::builder().configs(folder).build()?;
    let result: Value = pool.call(project, Call::new(function))?;
    println!("{result}");
    Ok(())
}
