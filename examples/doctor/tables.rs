//! The findings for a person.

use crate::findings::{Findings, Project};
use crate::support::{figure, mebibytes, micros};

/// Prints everything: each project with how its core was found, the pairs, the swaps, and what is wrong.
pub(crate) fn print(findings: &Findings) {
    let python = &findings.python;
    figure("python", format!("{} of {}", python.version, python.executable.display()));
    let library = python.library.as_ref().map_or("unknown".to_owned(), |path| path.display().to_string());
    figure("library", library);
    figure("configurations", findings.configs.display());
    for project in &findings.projects {
        trail(project);
    }
    projects(findings);
    pairs(findings);
    println!();
    figure("pairs tried", findings.pairs_tried);
    figure("pairs right", findings.pairs_right);
    figure("pairs not tried", not_tried(findings));
    figure("rounds", findings.rounds);
    figure("rounds right", findings.rounds_right);
    figure("swap p50", micros(findings.swap_us.p50));
    figure("swap p99", micros(findings.swap_us.p99));
    let memory = &findings.memory;
    figure(
        "memory",
        format!("{} before, {} after the rounds", mebibytes(memory.before), mebibytes(memory.after)),
    );
    wrong(findings);
    println!();
    println!("{}", verdict(findings));
}

fn not_tried(findings: &Findings) -> String {
    match findings.pairs_not_tried {
        0 => "0".to_owned(),
        pairs => format!("{pairs}, as one of the two cannot be imported"),
    }
}

/// How the project's core was looked for.
fn trail(project: &Project) {
    println!("\n{}", project.project);
    for step in &project.trail {
        println!("  {:<14} {}: {}", step.rule, step.path.display(), step.found);
    }
}

fn projects(findings: &Findings) {
    let width = findings.projects.iter().map(|project| project.project.chars().count()).max();
    let width = width.unwrap_or_default().max(7);
    let row = |cells: [&str; 8]| {
        let [number, project, kind, version, imported, time, modules, outcome] = cells;
        println!(
            "{number:>3}  {project:<width$}  {kind:<9}  {version:<9}  {imported:<9}  {time:>10}  {modules:>7}  {outcome}"
        );
    };
    println!();
    row(["", "PROJECT", "CORE", "INFO.YML", "SGTK", "IMPORT", "MODULES", "OUTCOME"]);
    for (number, project) in findings.projects.iter().enumerate() {
        let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
        let time = project.import_ms.map_or("-".to_owned(), |millis| format!("{millis:.1} ms"));
        let modules = project.modules.map_or("-".to_owned(), |modules| modules.to_string());
        let outcome = if project.error.is_none() { "ok" } else { "cannot be imported" };
        let (kind, version) = (text(&project.kind), text(&project.version));
        let imported = text(&project.imported_version);
        let number = (number + 1).to_string();
        row([&number, &project.project, &kind, &version, &imported, &time, &modules, outcome]);
    }
}

/// A row for each project that was first, a column for each that was second, by the numbers of the projects' table.
fn pairs(findings: &Findings) {
    let count = findings.projects.len();
    print!("\n{:>8}", "from\\to");
    (1..=count).for_each(|to| print!("{to:>3}"));
    println!();
    for (number, from) in findings.projects.iter().enumerate() {
        print!("{:>8}", number + 1);
        for to in &findings.projects {
            print!("{:>3}", mark(findings, from, to));
        }
        println!();
    }
    println!("         . right   X wrong   - not tried");
}

fn mark(findings: &Findings, from: &Project, to: &Project) -> &'static str {
    let during = format!("swap from {} to {}", from.project, to.project);
    let is_foreign = |pair: &crate::findings::Foreign| pair.from == from.project && pair.to == to.project;
    if from.project == to.project {
        ""
    } else if from.error.is_some() || to.error.is_some() {
        "-"
    } else if findings.foreign.iter().any(is_foreign)
        || findings.errors.iter().any(|failure| failure.during == during)
    {
        "X"
    } else {
        "."
    }
}

fn wrong(findings: &Findings) {
    for pair in &findings.foreign {
        println!("\nforeign modules after {} to {}:", pair.from, pair.to);
        pair.modules.iter().for_each(|module| println!("  {module}"));
    }
    for failure in &findings.errors {
        println!("\n{}:", failure.during);
        failure.error.lines().for_each(|line| println!("  {line}"));
    }
}

fn verdict(findings: &Findings) -> String {
    let broken = findings.projects.iter().filter(|project| project.error.is_some()).count();
    if findings.right {
        "Everything is right.".to_owned()
    } else if findings.projects.is_empty() {
        "Something is wrong: there are no projects.".to_owned()
    } else {
        let wrong = findings.pairs_tried - findings.pairs_right;
        format!(
            "Something is wrong: {broken} of {} projects cannot be imported, {wrong} of {} pairs are wrong, {} errors.",
            findings.projects.len(),
            findings.pairs_tried,
            findings.errors.len()
        )
    }
}
