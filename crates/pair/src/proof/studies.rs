//! The proof of a study: every set of its fixes serves alike.

use super::has_servers;
use crate::{
    case::{Case, Shape},
    family::Family,
    study::{Applied, Fix, Study},
};

/// Size of a request in a proof.
const SIZE: u64 = 5;
/// What the application holds at most in a proof.
const HOLDS: u64 = 30;

/// Proves a study: its card is complete, and every set of its fixes answers requests of every shape as the application
/// without any does, with the same effects.
///
/// A study whose server is missing is left out, unless something stands in for it or `WORTHIT_REQUIRE_SERVERS` is set.
///
/// # Panics
/// If a set of fixes serves otherwise, or a study cannot run on this machine.
pub fn any_fixes_serve_alike(family: &Family, id: &str) {
    let study = family.studies.iter().find(|study| study.id == id);
    let study = study.unwrap_or_else(|| panic!("{id} is not a study of {}", family.name));
    let problems = problems(study);
    assert!(problems.is_empty(), "{id}: {}", problems.join("; "));
    if !has_servers(study.servers, id) && study.stand_in().is_none() {
        return;
    }
    let sets = Applied::sets(study.fixes);
    for (seed, shape) in (0..).zip(Shape::ALL) {
        let case = Case { shape, proof_size: Some(HOLDS), ..Case::realistic(SIZE, 0, seed) };
        let application = (study.prepare)(&case, &sets);
        let mut application = application.unwrap_or_else(|reason| panic!("{id}: {reason}"));
        if let Err(problem) = application.prove(SIZE) {
            panic!("{id}: {problem}");
        }
    }
}

/// Returns what a study's card lacks.
fn problems(study: &Study) -> Vec<String> {
    let mut problems = Vec::new();
    let Study { title, story, workload, contract, unit, fixes, .. } = study;
    for text in [title, story, workload, contract, unit] {
        if text.is_empty() {
            problems.push("a text is empty".to_owned());
        }
    }
    if fixes.is_empty() {
        problems.push("there is no fix".to_owned());
    }
    for Fix { name, title, why, costs, source } in fixes.iter().copied() {
        if [name, title, why, costs].iter().any(|text| text.is_empty()) {
            problems.push(format!("a text of the fix `{name}` is empty"));
        }
        if ["fn before(", "fn after("].iter().any(|function| !source.contains(function)) {
            problems.push(format!("the fix `{name}` has no `before` and `after`"));
        }
        if fixes.iter().filter(|fix| fix.name == *name).count() > 1 {
            problems.push(format!("two fixes are named `{name}`"));
        }
    }
    let names = |order: &[&Fix]| {
        let mut names: Vec<&str> = order.iter().map(|fix| fix.name).collect();
        names.sort_unstable();
        names
    };
    if names(study.other_order) != names(fixes) {
        problems.push("the other order has other fixes".to_owned());
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        inputs::Inputs,
        pair::Unavailable,
        study::{Application, StudyEntry, trial},
        trial::by_ref,
    };

    const FIX: Fix = Fix {
        name: "one",
        title: "Do it",
        why: "It is slow.",
        costs: "Nothing.",
        source: "fn before() {} fn after() {}",
    };
    const OTHER: Fix = Fix { name: "two", ..FIX };

    /// An application whose fixes change nothing, except those named `wrong`, which do where one other is there.
    fn prepare(case: &Case, sets: &[Applied]) -> Result<Application, Unavailable> {
        let wrong = Fix { name: "wrong", ..FIX };
        let inputs = Inputs::one(case.point);
        let step = |applied: &Applied| {
            let more = u64::from(applied.has(&wrong) && applied.has(&FIX));
            by_ref(&inputs, move |input| input + more)
        };
        let steps = sets.iter().map(step).collect();
        let trial = trial(inputs.measured(|input| *input), steps);
        Ok(Application { trial, count: Box::new(Vec::new), memory: None })
    }

    const SOUND: Study = Study {
        title: "Be quick",
        story: "It was slow.",
        workload: "Requests.",
        contract: "The same.",
        unit: "request",
        size: 1,
        fixes: &[&FIX, &OTHER],
        other_order: &[&OTHER, &FIX],
        waits: &[],
        servers: &[],
        instead: None,
        causes: &[],
        observations: &[],
        loads: None,
        helper: None,
        prepare,
    };

    fn prove(study: Study) {
        let study: &'static Study = Box::leak(Box::new(study));
        let studies: &'static [StudyEntry] = Box::leak(Box::new([StudyEntry::new("f/s", study)]));
        any_fixes_serve_alike(&Family { name: "f", studies, ..Family::EMPTY }, "f/s");
    }

    #[test]
    fn a_sound_study_is_proven() {
        prove(SOUND);
    }

    #[test]
    #[should_panic(expected = "f/s: ")]
    fn a_set_of_fixes_that_serves_otherwise_is_found() {
        const WRONG: Fix = Fix { name: "wrong", ..FIX };
        prove(Study { fixes: &[&FIX, &WRONG], other_order: &[&WRONG, &FIX], ..SOUND });
    }

    #[test]
    fn a_card_that_lacks_something_is_found() {
        const UNEXPLAINED: Fix = Fix { why: "", ..OTHER };
        const WITHOUT_CODE: Fix = Fix { source: "fn after() {}", ..OTHER };
        assert_eq!(problems(&SOUND), Vec::<String>::new());
        for (study, problem) in [
            (Study { story: "", ..SOUND }, "a text is empty"),
            (Study { fixes: &[], other_order: &[], ..SOUND }, "there is no fix"),
            (Study { fixes: &[&FIX, &UNEXPLAINED], ..SOUND }, "a text of the fix `two` is empty"),
            (
                Study { fixes: &[&FIX, &WITHOUT_CODE], ..SOUND },
                "the fix `two` has no `before` and `after`",
            ),
            (
                Study { fixes: &[&FIX, &FIX], other_order: &[&FIX, &FIX], ..SOUND },
                "two fixes are named `one`",
            ),
            (Study { other_order: &[&FIX, &FIX], ..SOUND }, "the other order has other fixes"),
        ] {
            assert!(problems(&study).iter().any(|found| found == problem), "{problem}");
        }
    }
}
