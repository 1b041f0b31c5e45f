//! Imports every project, swaps every pair, and swaps many times.

use std::time::{Duration, Instant};

use indicatif::ProgressBar;
use pyo3::prelude::*;
use sgtk_host::config::Listed;
use sgtk_host::{Error, Host, Lease};

use crate::findings::{Failure, Findings, Foreign, Memory, Project, Step, Swap};
use crate::options::Pairs;
use crate::support::{Expected, percentile, resident_memory, version_of, wrong_core};

/// How many errors of the rounds are kept: the same one may come back a thousand times.
const MOST_ERRORS: usize = 20;

/// Examines all projects of the host.
///
/// # Errors
/// The folder of configurations cannot be listed. Whatever is wrong with a project is a finding.
pub(crate) fn examine(
    host: &Host,
    which: Pairs,
    rounds: u32,
    bar: &ProgressBar,
) -> sgtk_host::Result<Findings> {
    let interpreter = host.interpreter();
    let mut findings = Findings {
        right: false,
        python: crate::findings::Python {
            version: interpreter.version().to_string(),
            library: interpreter.library().map(ToOwned::to_owned),
            executable: interpreter.executable().to_owned(),
        },
        configs: host.configs().base().to_owned(),
        projects: Vec::new(),
        release_build: !cfg!(debug_assertions),
        pairs_tried: 0,
        pairs_sampled: matches!(which, Pairs::Sample),
        pairs_right: 0,
        pairs_not_tried: 0,
        foreign: Vec::new(),
        errors: Vec::new(),
        rounds,
        rounds_right: 0,
        swap_us: Swap { p50: None, p99: None },
        memory: Memory { before: None, after: None },
    };
    let listed = host.configs().overview()?;
    phase(bar, "importing", listed.len());
    for one in &listed {
        findings.projects.push(first_import(host, one));
        bar.inc(1);
    }
    let failed =
        findings.projects.iter().filter_map(|project| Some((&project.project, project.error.as_ref()?)));
    let failed = failed.map(|(name, error)| failure(format!("import of {name}"), error));
    findings.errors.extend(failed);
    // What can be imported goes on, also to show that what cannot has left nothing behind.
    let usable = findings.projects.iter().filter(|project| project.error.is_none());
    let usable: Vec<String> = usable.map(|project| project.project.clone()).collect();
    let pairs = which.among(usable.len());
    findings.pairs_not_tried = which.among(listed.len()).len() - pairs.len();

    phase(bar, "swapping pairs", pairs.len());
    for (from, to) in &pairs {
        if let (Some(from), Some(to)) = (usable.get(*from), usable.get(*to)) {
            swap_pair(host, from, to, &mut findings);
        }
        bar.inc(1);
    }
    phase(bar, "swapping", rounds as usize);
    swap_many(host, &usable, &mut findings, bar);

    findings.right = !listed.is_empty()
        && findings.errors.is_empty()
        && findings.foreign.is_empty()
        && findings.pairs_right == pairs.len()
        && findings.pairs_not_tried == 0
        && findings.rounds_right == rounds;
    Ok(findings)
}

fn phase(bar: &ProgressBar, name: &'static str, length: usize) {
    bar.reset();
    bar.set_length(length as u64);
    bar.set_message(name);
}

/// What a lease gave, and the time it took to put the project in place and to park it again.
struct Leased<T> {
    value: T,
    entered: Duration,
    parked: Duration,
}

/// Leases a project, and checks that Python code sees the core that the project's files say.
fn leased<T>(
    host: &Host,
    project: &str,
    body: impl FnOnce(&Lease<'_>) -> Result<T, Error>,
) -> Result<Leased<T>, String> {
    let expected = host.configs().locate(project).map_err(|error| told(&error))?;
    let attached = |py: Python<'_>| {
        let start = Instant::now();
        let lease = host.lease(py, project)?;
        let entered = start.elapsed();
        let fault = wrong_core(py, &Expected::from(&expected))?;
        let value = body(&lease)?;
        let start = Instant::now();
        lease.finish()?;
        Ok((fault, Leased { value, entered, parked: start.elapsed() }))
    };
    match Python::attach(attached).map_err(|error: Error| error.to_string())? {
        (None, leased) => Ok(leased),
        (Some(fault), _) => Err(fault),
    }
}

fn first_import(host: &Host, listed: &Listed) -> Project {
    let name = &*listed.folder;
    let (trail, _) = host.configs().explain(name);
    let step = |step: &sgtk_host::config::Step| Step {
        rule: step.rule.to_string(),
        path: step.path.clone(),
        found: step.found.clone(),
    };
    let mut project = Project {
        project: name.to_owned(),
        id: None,
        configuration: None,
        kind: None,
        core: None,
        version: None,
        imported_version: None,
        interpreter: None,
        modules: None,
        import_ms: None,
        error: None,
        trail: trail.steps().iter().map(step).collect(),
    };
    match &listed.project {
        Ok(said) => {
            project.id = said.project_id();
            project.configuration = said.configuration_name().map(ToOwned::to_owned);
        }
        Err(error) => project.error = Some(told(error)),
    }
    match &listed.core {
        Ok(core) => {
            project.kind = Some(core.kind().to_string());
            project.core = Some(core.install_core().to_owned());
            project.version = core.version().map(ToOwned::to_owned);
            project.interpreter = core.interpreter().map(ToOwned::to_owned);
        }
        Err(error) => {
            project.error = Some(told(error));
            return project;
        }
    }
    if project.error.is_some() {
        return project;
    }
    match leased(host, name, |lease| Ok(version_of(lease))) {
        Ok(leased) => {
            project.import_ms = Some(leased.entered.as_secs_f64() * 1000.0);
            project.imported_version = Some(leased.value);
        }
        Err(error) => project.error = Some(error),
    }
    let residents = host.residents();
    let resident = residents.into_iter().find(|resident| resident.project == name);
    project.modules = resident.map(|resident| resident.modules);
    project
}

/// One project, then another, and a look at all that the swap could have changed while the second is in
/// place: both projects' modules and the visible ones. All modules of all projects are looked at in the end.
fn swap_pair(host: &Host, from: &str, to: &str, findings: &mut Findings) {
    findings.pairs_tried += 1;
    let swapped = leased(host, from, |_| Ok(()))
        .and_then(|_| leased(host, to, |lease| host.audit_projects(lease.py(), &[from, to])));
    match swapped.map(|leased| leased.value) {
        Ok(foreign) if foreign.is_empty() => findings.pairs_right += 1,
        Ok(foreign) => findings.foreign.push(Foreign {
            from: from.to_owned(),
            to: to.to_owned(),
            modules: foreign.iter().map(ToString::to_string).collect(),
        }),
        Err(error) => findings.errors.push(Failure {
            pair: Some((from.to_owned(), to.to_owned())),
            ..failure(format!("swap from {from} to {to}"), &error)
        }),
    }
}

/// Swaps among all projects in an order without a pattern, and measures time and memory.
fn swap_many(host: &Host, projects: &[String], findings: &mut Findings, bar: &ProgressBar) {
    findings.memory.before = resident_memory();
    let mut times = Vec::with_capacity(findings.rounds as usize);
    let mut order = Order { state: 1, last: None };
    for _ in 0..findings.rounds {
        let Some(project) = order.next(projects) else { break };
        match leased(host, project, |_| Ok(())) {
            Ok(leased) => {
                findings.rounds_right += 1;
                times.push(leased.entered + leased.parked);
            }
            Err(error) if findings.errors.len() < MOST_ERRORS => {
                findings.errors.push(failure(format!("rounds, {project}"), &error));
            }
            Err(_) => {}
        }
        bar.inc(1);
    }
    findings.memory.after = resident_memory();
    let at = |percent| percentile(&times, percent);
    findings.swap_us = Swap { p50: at(50), p99: at(99) };
    match Python::attach(|py| host.audit(py)) {
        Ok(foreign) => findings
            .errors
            .extend(foreign.iter().map(|module| failure("audit at the end".to_owned(), module))),
        Err(error) => findings.errors.push(failure("audit at the end".to_owned(), &error)),
    }
}

/// The same order in every run, never the same project twice in a row where there are several.
struct Order {
    state: u64,
    last: Option<usize>,
}

impl Order {
    fn next<'a>(&mut self, projects: &'a [String]) -> Option<&'a str> {
        self.state =
            self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let random = (self.state >> 33) as usize;
        let index = match self.last {
            Some(last) if projects.len() > 1 => (last + 1 + random % (projects.len() - 1)) % projects.len(),
            _ => 0,
        };
        self.last = Some(index);
        projects.get(index).map(String::as_str)
    }
}

/// An error with what it stems from.
fn told(error: &dyn std::error::Error) -> String {
    let sources = std::iter::successors(error.source(), |source| source.source());
    std::iter::once(error).chain(sources).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

fn failure(during: String, error: &impl ToString) -> Failure {
    Failure { during, error: error.to_string(), pair: None }
}
