//! What the timed cases are made of: their answers say something, their inputs differ, and none is in a trap.

use worthit_pair::{
    cases::{self, Extent},
    family::Entry,
    pair::Resources,
    trial::{Role, Trial},
};

use super::Findings;

/// Units of work (look-ups, values, rows) that a rotation covers at least, if the pair works in memory: more than a
/// branch predictor remembers of one place.
const LEAST_UNITS: u64 = 4_096;

/// What was seen of each timed case of a pair.
pub struct Seen {
    answers: Vec<String>,
    rotation: Vec<String>,
    traps: Vec<String>,
    /// Number of cases that were seen.
    cases: usize,
    /// Why others were not.
    unavailable: Option<String>,
}

impl Seen {
    /// Prepares every timed case with the timed seed, and looks at it.
    pub fn of(entry: &Entry, seed: u64) -> Seen {
        let mut seen = Seen {
            answers: Vec::new(),
            rotation: Vec::new(),
            traps: Vec::new(),
            cases: 0,
            unavailable: None,
        };
        if entry.traps.is_empty() {
            seen.traps.push("it names no trap".to_owned());
        }
        for trap in entry.traps {
            let sprung = trap.check_sprung().err();
            seen.traps.extend(sprung.map(|problem| format!("`{}`: {problem}", trap.name())));
        }
        for named in cases::measured(entry, Extent::Default, seed) {
            let mut trial = match (entry.prepare)(&named.case) {
                Ok(trial) => trial,
                Err(unavailable) => {
                    seen.unavailable = Some(unavailable.to_string());
                    continue;
                }
            };
            seen.cases += 1;
            let at = |problem: String| format!("{}: {problem}", named.key);
            seen.answers.extend(of_answers(&mut trial).map(at));
            seen.rotation.extend(of_rotation(&trial, entry.proof.resources).map(at));
            for trap in entry.traps {
                let sprung = trap.check(trial.erased_inputs()).err();
                let in_trap = |problem| format!("{}: `{}`: {problem}", named.key, trap.name());
                seen.traps.extend(sprung.map(in_trap));
            }
        }
        seen
    }

    /// Problems of the answers.
    pub fn answers(&self) -> Findings {
        self.known(&self.answers)
    }

    /// Problems of the rotation.
    pub fn rotation(&self) -> Findings {
        self.known(&self.rotation)
    }

    /// Traps that the inputs are in, and defects of the traps themselves.
    pub fn traps(&self) -> Findings {
        self.known(&self.traps)
    }

    fn known(&self, problems: &[String]) -> Findings {
        match &self.unavailable {
            Some(why) if self.cases == 0 && problems.is_empty() => Err(why.clone()),
            _ => Ok(problems.to_vec()),
        }
    }
}

fn of_answers(trial: &mut Trial) -> Option<String> {
    let inputs = trial.inputs();
    let first = trial.answer(Role::Naive, 0);
    let (mut finding, mut differs) = (u64::from(first.amount_found() > 0), inputs == 1);
    for input in 1..inputs {
        let answer = trial.answer(Role::Naive, input);
        finding += u64::from(answer.amount_found() > 0);
        differs |= !first.equals(&*answer);
    }
    if finding == 0 {
        Some("the answer to every input is empty".to_owned())
    } else if 2 * finding < inputs as u64 {
        Some(format!("the answers to {finding} of {inputs} inputs say something"))
    } else if !differs {
        Some(format!("the answer to all {inputs} inputs is the same"))
    } else {
        None
    }
}

fn of_rotation(trial: &Trial, resources: Resources) -> Option<String> {
    let inputs = trial.inputs() as u64;
    let units = inputs * trial.units_per_iteration();
    if inputs == 1 {
        Some("every iteration runs on the same input".to_owned())
    } else if resources == Resources::Memory && units < LEAST_UNITS {
        Some(format!("{units} units of work in a rotation of {inputs} inputs, of {LEAST_UNITS}"))
    } else {
        None
    }
}
