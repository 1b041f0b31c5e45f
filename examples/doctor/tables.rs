//! The findings for a person.

use std::collections::{HashMap, HashSet};
use std::io::{self, Write};

use crate::findings::{Findings, Project};
use crate::options::Pairs;
use crate::support::{figure, mebibytes, micros};

/// Writes everything: each project with how its core was found, the pairs, the swaps, and what is wrong.
pub(crate) fn write(out: &mut dyn Write, findings: &Findings) -> io::Result<()> {
    let python = &findings.python;
    figure(out, "python", format!("{} of {}", python.version, python.executable.display()))?;
    let library = python.library.as_ref().map_or("unknown".to_owned(), |path| path.display().to_string());
    figure(out, "library", library)?;
    figure(out, "configurations", findings.configs.display())?;
    for project in &findings.projects {
        trail(out, project)?;
    }
    projects(out, findings)?;
    pairs(out, findings)?;
    writeln!(out)?;
    let sample = if findings.pairs_sampled { "  (a sample)" } else { "" };
    figure(out, "pairs tried", format!("{}{sample}", findings.pairs_tried))?;
    figure(out, "pairs right", findings.pairs_right)?;
    figure(out, "pairs not tried", not_tried(findings))?;
    figure(out, "rounds", findings.rounds)?;
    figure(out, "rounds right", findings.rounds_right)?;
    let build = if findings.release_build { "" } else { "  (debug build; --release for real times)" };
    figure(out, "swap p50", micros(findings.swap_us.p50) + build)?;
    figure(out, "swap p99", micros(findings.swap_us.p99) + build)?;
    let memory = &findings.memory;
    figure(
        out,
        "memory",
        format!("{} before, {} after the rounds", mebibytes(memory.before), mebibytes(memory.after)),
    )?;
    wrong(out, findings)?;
    writeln!(out)?;
    writeln!(out, "{}", verdict(findings))
}

fn not_tried(findings: &Findings) -> String {
    match findings.pairs_not_tried {
        0 => "0".to_owned(),
        pairs => format!("{pairs}, as one of the two cannot be imported"),
    }
}

/// How the project's core was looked for.
fn trail(out: &mut dyn Write, project: &Project) -> io::Result<()> {
    writeln!(out, "\n{}", project.project)?;
    for step in &project.trail {
        writeln!(out, "  {:<14} {}: {}", step.rule, step.path.display(), step.found)?;
    }
    Ok(())
}

fn projects(out: &mut dyn Write, findings: &Findings) -> io::Result<()> {
    let width = findings.projects.iter().map(|project| project.project.chars().count()).max();
    let width = width.unwrap_or_default().max(7);
    writeln!(out)?;
    let mut row = |cells: [&str; 9]| {
        let [number, project, id, kind, version, imported, time, modules, outcome] = cells;
        writeln!(
            out,
            "{number:>3}  {project:<width$}  {id:>6}  {kind:<9}  {version:<9}  {imported:<9}  {time:>10}  \
             {modules:>7}  {outcome}"
        )
    };
    row(["", "PROJECT", "ID", "CORE", "INFO.YML", "SGTK", "IMPORT", "MODULES", "OUTCOME"])?;
    for (number, project) in findings.projects.iter().enumerate() {
        let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
        let time = project.import_ms.map_or("-".to_owned(), |millis| format!("{millis:.1} ms"));
        let modules = project.modules.map_or("-".to_owned(), |modules| modules.to_string());
        let outcome = project.error.as_deref().map_or("ok".to_owned(), in_one_line);
        let id = project.id.map_or("-".to_owned(), |id| id.to_string());
        let (kind, version) = (text(&project.kind), text(&project.version));
        let imported = text(&project.imported_version);
        let number = (number + 1).to_string();
        row([&number, &project.project, &id, &kind, &version, &imported, &time, &modules, &outcome])?;
    }
    Ok(())
}

/// A row for each project that was first, a column for each that was second, by the numbers of the projects'
/// table.
fn pairs(out: &mut dyn Write, findings: &Findings) -> io::Result<()> {
    let numbers = (1..=findings.projects.len()).map(|number| format!("{number:>3}"));
    writeln!(out, "\nfrom\\to {}", numbers.collect::<String>())?;
    let wrong = wrong_pairs(findings);
    // A sample is of those that can be imported.
    let usable = findings.projects.iter().filter(|project| project.error.is_none());
    let places: HashMap<_, _> =
        usable.enumerate().map(|(place, project)| (&*project.project, place)).collect();
    let pairs = if findings.pairs_sampled { Pairs::Sample } else { Pairs::All };
    let tried: HashSet<_> = pairs.among(places.len()).into_iter().collect();
    for (number, from) in findings.projects.iter().enumerate() {
        let mark = |to: &Project| match (places.get(&*from.project), places.get(&*to.project)) {
            _ if from.project == to.project => "",
            (Some(one), Some(other)) if tried.contains(&(*one, *other)) => {
                if wrong.contains(&(&*from.project, &*to.project)) { "X" } else { "." }
            }
            _ => "-",
        };
        let marks = findings.projects.iter().map(|to| format!("{:>3}", mark(to)));
        writeln!(out, "{:>7} {}", number + 1, marks.collect::<String>())?;
    }
    writeln!(out, "        . right   X wrong   - not tried")
}

fn wrong_pairs(findings: &Findings) -> HashSet<(&str, &str)> {
    let foreign = findings.foreign.iter().map(|pair| (&*pair.from, &*pair.to));
    let failed = findings.errors.iter().filter_map(|failure| failure.pair.as_ref());
    foreign.chain(failed.map(|(from, to)| (&**from, &**to))).collect()
}

/// The longest that a reason in the table is, in characters. All of it is below the tables.
const LONGEST: usize = 160;

/// An error's text without its line breaks, as far as there is room.
fn in_one_line(error: &str) -> String {
    let lines = error.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ");
    match lines.char_indices().nth(LONGEST) {
        Some((end, _)) => lines.get(..end).unwrap_or_default().to_owned() + "…",
        None => lines,
    }
}

fn wrong(out: &mut dyn Write, findings: &Findings) -> io::Result<()> {
    for pair in &findings.foreign {
        let modules = pair.modules.join("\n  ");
        writeln!(out, "\nforeign modules after {} to {}:\n  {modules}", pair.from, pair.to)?;
    }
    for failure in &findings.errors {
        writeln!(out, "\n{}:\n  {}", failure.during, failure.error.replace('\n', "\n  "))?;
    }
    Ok(())
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
            "Something is wrong: {broken} of {} projects cannot be imported, {wrong} of {} pairs are wrong, \
             {} errors.",
            findings.projects.len(),
            findings.pairs_tried,
            findings.errors.len()
        )
    }
}
