//! Query plans: how a database says that it runs the statements of a side. They are noted while causes are counted, so a
//! page shows the plan of the very statement that was counted.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use serde::{Deserialize, Serialize};

use crate::causes;

/// The plan of one statement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The statement, with its parameters unbound.
    pub statement: String,
    /// The lines of the plan, in the database's words, each indented by two spaces for each step that it is part of.
    pub steps: Vec<String>,
}

static PLANS: Mutex<Plans> = Mutex::new(Plans { noted: Vec::new(), known: None });

struct Plans {
    /// The plans since they were last taken.
    noted: Vec<Plan>,
    /// The steps of every statement that was explained, by its database and its text. To ask takes longer than most
    /// statements do.
    known: Option<HashMap<(String, String), Vec<String>>>,
}

/// Notes the plan of a statement that a side has run, if causes are being counted here and the statement is a new one.
/// `explain` asks the database for the steps, once for each statement on each `database`; nothing that it does is counted.
/// A statement without steps, such as `BEGIN`, has no plan.
pub fn note(database: &str, statement: &str, explain: impl FnOnce() -> Vec<String>) {
    if !causes::is_counted_here() {
        return;
    }
    let steps_of = || {
        let Plans { noted, known } = &mut *PLANS.lock().unwrap_or_else(PoisonError::into_inner);
        if noted.iter().all(|plan| plan.statement != statement) {
            let key = (database.to_owned(), statement.to_owned());
            let steps = known.get_or_insert_default().entry(key).or_insert_with(explain).clone();
            noted.push(Plan { statement: statement.to_owned(), steps });
        }
    };
    causes::uncounted(steps_of);
}

/// Returns the plans noted since the last call, in the order in which their statements first ran.
pub(crate) fn take() -> Vec<Plan> {
    let noted = std::mem::take(&mut PLANS.lock().unwrap_or_else(PoisonError::into_inner).noted);
    noted.into_iter().filter(|plan| !plan.steps.is_empty()).collect()
}
