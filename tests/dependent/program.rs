// A program, an example and a bench: each starts the Python that it was linked with.

use sgtk_host::interpreter::Interpreter;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let interpreter = Interpreter::start_default()?;
    let library = interpreter.library().map(|library| library.display().to_string()).unwrap_or_default();
    println!("Python {} from {library}", interpreter.version());
    Ok(())
}
