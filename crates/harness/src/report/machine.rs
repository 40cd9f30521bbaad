//! The machine page: the machine of the run and its machine numbers.

use askama::Template;

use super::{
    Material,
    shell::Shell,
    warnings::{self, Warning},
};
use crate::{
    calibration,
    numbers::{NumberRow, Numbers},
    results::Run,
    scaling,
};
use worthit_pair::format;

#[derive(Template)]
#[template(path = "machine.html")]
struct MachinePage<'a> {
    shell: Shell,
    run: &'a Run,
    memory: String,
    warnings: Vec<Warning>,
    precision: Vec<String>,
    numbers: Vec<NumberRow>,
    load: String,
    ceiling: Vec<(u64, String, String)>,
}

/// Renders the page of the machine of a run.
pub fn page(material: &Material<'_>) -> String {
    let run = material.run;
    let page = MachinePage {
        shell: Shell::at_root("The machine", "Machine", material),
        run,
        memory: format::bytes(run.machine.memory_bytes as f64),
        warnings: warnings::of_run(run),
        precision: calibration::nulls(run).into_iter().chain(calibration::overhead(run)).collect(),
        numbers: run.numbers.as_ref().map_or(Vec::new(), Numbers::rows),
        load: run.numbers.as_ref().map_or(String::new(), Numbers::load_in_words),
        ceiling: run.ceiling.iter().map(ceiling_row).collect(),
    };
    page.render().expect("rendering into memory cannot fail")
}

fn ceiling_row(point: &scaling::Point) -> (u64, String, String) {
    let percent = format::significant(point.efficiency().estimate * 100.0);
    (point.threads, point.speedup.as_gain(), format!("{percent} %"))
}
