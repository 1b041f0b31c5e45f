// As the program, built as another kind of target.
include!("program.rs");
