//! A study in words: its headline, its sentences and its steps as text.

use super::{AtUsers, Bought, Standard, StepResult, StudyResult, Whole};
use crate::{servers::UsedServer, terminal};
use worthit_pair::format;

/// Width of a column of latencies…
const LATENCY: usize = 10;
/// …of a gain, in which "5.38× (5.10…5.60)" has room…
const GAIN: usize = 20;
/// …and of what a step holds, in which "20.0 ms late" has room.
const HELD: usize = 14;

impl StudyResult {
    /// Returns what the fixes bought together in a few words: "8.70 s → 6.30 ms per transfer: 1,381×".
    pub fn headline(&self) -> String {
        let Some(whole) = self.whole().filter(|_| self.unavailable.is_none()) else {
            let reason = self.unavailable.as_ref();
            return reason
                .map_or("not measured".to_owned(), |reason| format!("cannot run here: {reason}"));
        };
        let unit = &self.unit;
        let mut text = match whole {
            Whole::Latency { first_ns, last_ns, gain, .. } => format!(
                "{} → {} per {unit}: {}",
                format::duration(first_ns),
                format::duration(last_ns),
                format::times(gain)
            ),
            Whole::Capacity { users, first_per_s, last_per_s, gain } => format!(
                "{} → {} {unit}s/s with {} users{}",
                per_second(first_per_s),
                per_second(last_per_s),
                format::count(users),
                after_colon(gain)
            ),
            Whole::Users { first, last, gain } => {
                let last = format!("{}{}", self.at_least(), some(last));
                format!("{} → {last} users{}", some(first), after_colon(gain))
            }
        };
        let stand_in = self.servers.iter().find(|server| server.instead_of.is_some());
        if let Some(stand_in) = stand_in {
            text += &format!(", on {}", stand_in.program);
        }
        text + if self.lacks_steps() { " (interrupted before the last step)" } else { "" }
    }

    /// Returns what the fixes bought together, as sentences; `None` if nothing was measured.
    pub fn in_words(&self) -> Option<String> {
        let unit = &self.unit;
        let mut text = match self.whole()? {
            Whole::Latency { first_ns, last_ns, simulated_ns, gain, own_gain } => {
                let [first, last, simulated] =
                    [first_ns, last_ns, simulated_ns].map(format::duration);
                let mut text =
                    format!("One {unit} takes {last} instead of {first}: {}.", format::times(gain));
                if simulated_ns > 0.0 {
                    let own = format::times(own_gain);
                    text += &format!(
                        " Simulated waits are {simulated} of that; without them it is {own}."
                    );
                }
                text
            }
            Whole::Capacity { users, first_per_s, last_per_s, gain } => {
                let mut text = format!(
                    "With {} users it answers {} {unit}s/s instead of {}{}.",
                    format::count(users),
                    per_second(last_per_s),
                    per_second(first_per_s),
                    after_colon(gain)
                );
                for (users, [first, last]) in self.other_capacities(users) {
                    let (users, last) = (format::count(users), per_second(last));
                    text +=
                        &format!(" With {users} users, {last} instead of {}.", per_second(first));
                }
                text
            }
            Whole::Users { first, last, gain } => format!(
                "It holds {}{} users instead of {}{}.",
                self.at_least(),
                some(last),
                some(first),
                after_colon(gain)
            ),
        };
        if let Some(objective) = self.objective_in_words() {
            text += " ";
            text += &objective;
        }
        if let Some(stand_in) = self.servers.iter().find_map(UsedServer::as_stand_in) {
            text += " ";
            text += &stand_in;
        }
        if self.lacks_steps() {
            text += " The run was interrupted before the last step.";
        }
        Some(text)
    }

    /// "≥ " if the last step holds the most users that were tried.
    fn at_least(&self) -> &'static str {
        let last = self.steps.last();
        if last.is_some_and(|step| self.holds_all(step)) { "≥ " } else { "" }
    }

    /// The capacities of the first and the last step with other numbers of users than these, 0 for none.
    fn other_capacities(&self, users: u64) -> Vec<(u64, [f64; 2])> {
        let ends = || Some([self.steps.first()?, self.steps.last()?]);
        let numbers = self.numbers_of_users().into_iter().filter(|number| *number != users);
        let capacities = |users| {
            let held = |step| Some(self.capacity(step, users)?.held.unwrap_or(0.0));
            let [first, last] = ends()?;
            Some((users, [held(first)?, held(last)?]))
        };
        numbers.filter_map(capacities).collect()
    }

    /// Says what is asked of the steps under load; nothing if they are not put under load.
    pub fn objective_in_words(&self) -> Option<String> {
        let p99 = format::duration(self.objective?.p99_us as f64 * 1e3);
        let pace = self.thinking_s.map_or(String::new(), |seconds| {
            format!("; each user thinks for {} between requests", format::duration(seconds * 1e9))
        });
        Some(format!("The objective is a p99 of at most {p99} and no failed request{pace}."))
    }

    /// Returns the numbers of users with which steps were put under load, ascending.
    pub fn numbers_of_users(&self) -> Vec<u64> {
        let steps = self.steps.iter();
        let mut all: Vec<u64> =
            steps.flat_map(|step| step.at_users.iter().map(|at_users| at_users.users)).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// Returns the headings of what is shown of each step.
    pub fn columns(&self) -> Vec<String> {
        match self.standard() {
            Standard::Latency => vec!["p50".to_owned(), "p99".to_owned()],
            _ => {
                let numbers = self.numbers_of_users().into_iter();
                numbers.map(|users| format!("{} users", format::count(users))).collect()
            }
        }
    }

    /// Returns what is shown of a step, one text a column: latencies, capacities, or what became of each number of users.
    pub fn cells(&self, step: &StepResult) -> Vec<String> {
        if self.standard() == Standard::Latency {
            return [step.latency.p50_ns, step.latency.p99_ns].map(format::duration).to_vec();
        }
        let cell = |users| {
            let at_users = step.at_users.iter().find(|at_users| at_users.users == users);
            at_users.map_or(format::NONE.to_owned(), |at_users| self.cell(at_users))
        };
        self.numbers_of_users().into_iter().map(cell).collect()
    }

    fn cell(&self, at_users: &AtUsers) -> String {
        let Some(objective) = self.objective else { return format::NONE.to_owned() };
        if objective.is_searched {
            let capacity = crate::capacity::Capacity::of(&at_users.loads, objective.p99());
            return match (capacity.held, capacity.missed) {
                (Some(held), Some(_)) => format!("{}/s", per_second(held)),
                (Some(held), None) => format!("≥ {}/s", per_second(held)),
                (None, Some(_)) => "none".to_owned(),
                (None, None) => "void".to_owned(),
            };
        }
        let Some(load) = at_users.loads.first() else { return format::NONE.to_owned() };
        let p99 = format::duration(load.p99_us * 1e3);
        match load.meets(objective.p99()) {
            None => "void".to_owned(),
            Some(true) => p99,
            Some(false) if load.failed > 0 => {
                let percent = 100.0 * load.failed as f64 / load.requests as f64;
                format!("{} % fail", format::significant(percent))
            }
            Some(false) => format!("{p99} late"),
        }
    }

    /// Returns the waterfall as text, no wider than `width` where words allow it.
    pub fn in_text(&self, id: &str, width: usize) -> String {
        let mut text = format!("{id}: {}\n", self.title);
        if let Some(reason) = &self.unavailable {
            text += &terminal::wrapped(&format!("  cannot run here: {reason}"), width, 2);
            return text + "\n";
        }
        text += &self.steps_in_text(&self.steps, width);
        if let Some(sentence) = self.in_words() {
            text += &terminal::wrapped(&sentence, width, 0);
            text += "\n";
        }
        if !self.other_order.is_empty() {
            text += &format!("\n{id}: the same fixes in another order\n");
            text += &self.steps_in_text(&self.other_order, width);
        }
        text
    }

    fn steps_in_text(&self, steps: &[StepResult], width: usize) -> String {
        let columns = self.columns();
        let narrow = if self.standard() == Standard::Latency { LATENCY } else { HELD };
        let widths: Vec<usize> =
            columns.iter().map(|name| narrow.max(terminal::columns(name) + 2)).collect();
        let has_intervals = steps.iter().any(|step| step.gain.is_some());
        let gain_width = if has_intervals { GAIN } else { LATENCY };
        let line = |cells: &[String], gain: &str, share: &str| {
            let cells = cells.iter().zip(&widths);
            let cells: String = cells.map(|(cell, width)| format!("{cell:>width$}")).collect();
            format!("{cells}{gain:>gain_width$}{share:>8}")
        };
        let mut text = line(&columns, "gain", "share") + "\n";
        let none = || format::NONE.to_owned();
        let bought = self.bought(steps).into_iter().map(Some);
        for (step, bought) in steps.iter().zip([None].into_iter().chain(bought)) {
            let gain = bought.map_or_else(none, Bought::gain_with_interval);
            let share = bought.map_or_else(none, Bought::share_in_words);
            let what = match &step.fix {
                Some(fix) => format!("+ {}: {}", fix.name, fix.title),
                None => "as it grew".to_owned(),
            };
            let remarks = self.remarks(step).into_iter().map(|remark| format!(" [{remark}]"));
            let figures = line(&self.cells(step), &gain, &share) + "  ";
            let used = terminal::columns(&figures);
            let what = format!("{what}{}", remarks.collect::<String>());
            let what = terminal::wrapped(&what, width.saturating_sub(used), 2);
            let below = format!("\n{}", " ".repeat(used));
            text += &figures;
            text += &what.replace('\n', &below);
            text += "\n";
        }
        text
    }
}

/// "1,240"; "none" for 0.
fn per_second(rate: f64) -> String {
    some(rate.round() as u64)
}

/// "1,240"; "none" for 0.
fn some(number: u64) -> String {
    if number == 0 { "none".to_owned() } else { format::count(number) }
}

/// ": 42.0×"; nothing without a gain.
fn after_colon(gain: Option<f64>) -> String {
    gain.map_or(String::new(), |gain| format!(": {}", format::times(gain)))
}

#[cfg(test)]
mod tests {
    use super::super::made::{of_capacity, of_users, step, study};
    use super::*;

    #[test]
    fn a_headline_is_the_first_step_against_the_last() {
        assert_eq!(study().headline(), "1.00 s → 10.0 ms per transfer: 100×");
        assert_eq!(of_capacity().headline(), "10 → 400 timelines/s with 20 users: 40.0×");
        assert_eq!(of_users().headline(), "10 → ≥ 1,000 users: 100×");
        let mut none = of_users();
        none.steps[0].at_users.remove(0);
        assert_eq!(none.headline(), "none → ≥ 1,000 users");
    }

    #[test]
    fn sentences_say_what_was_asked_and_what_was_held() {
        assert_eq!(
            of_capacity().in_words().unwrap(),
            "With 20 users it answers 400 timelines/s instead of 10: 40.0×. With 200 users, 200 instead of none. The \
             objective is a p99 of at most 10.0 ms and no failed request."
        );
        assert_eq!(
            of_users().in_words().unwrap(),
            "It holds ≥ 1,000 users instead of 10: 100×. The objective is a p99 of at most 10.0 ms and no failed request; \
             each user thinks for 1.00 s between requests."
        );
    }

    #[test]
    fn what_stands_in_for_a_server_is_said_with_the_figures() {
        let stand_in = UsedServer {
            program: "SQLite".to_owned(),
            version: "3.50.2".to_owned(),
            is_own: false,
            instead_of: Some("PostgreSQL".to_owned()),
        };
        let study = StudyResult { servers: vec![stand_in], ..study() };
        assert!(study.headline().ends_with(": 100×, on SQLite"), "{}", study.headline());
        let text = study.in_text("studies/bank", 200);
        assert!(
            text.contains("It ran on SQLite 3.50.2, as PostgreSQL is not installed."),
            "{text}"
        );
    }

    #[test]
    fn the_text_has_each_step_and_the_whole() {
        let text = study().in_text("studies/bank", 80);
        for words in
            ["as it grew [3 transfers", "+ two: Do it", "0.980×", "-1.0 %", "100×", "80.0×"]
        {
            assert!(text.contains(words), "{words}: {text}");
        }
        assert!(text.lines().all(|line| terminal::columns(line) <= 80), "{text}");
        let reason = Some("PostgreSQL is not installed".to_owned());
        let busy = StepResult { mark: Some("busy".to_owned()), ..step(Some("four"), 9.0, 0.0) };
        let cut = StudyResult { is_unfinished: true, ..study() };
        assert!(cut.headline().ends_with(": 100× (interrupted before the last step)"));
        let again = StudyResult { other_order: vec![step(None, 9.0, 0.0), busy], ..study() };
        let text = again.in_text("studies/bank", 100);
        assert!(text.contains("in another order") && text.contains("[marked: busy]"), "{text}");
        let missing = StudyResult { steps: Vec::new(), unavailable: reason, ..study() };
        assert!(missing.in_text("studies/bank", 80).contains("cannot run here: PostgreSQL"));
    }

    #[test]
    fn a_step_under_load_has_a_column_for_each_number_of_users() {
        let text = of_capacity().in_text("studies/timeline", 80);
        let lines: Vec<&str> = text.lines().collect();
        let words = |line: usize| lines[line].split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(words(1), "20 users 200 users gain share");
        assert_eq!(words(2), "10/s none – – as it grew");
        assert_eq!(words(4), "400/s 200/s 10.0× 92.3 % + two: Do it");
        let text = of_users().in_text("studies/shop", 80);
        let lines: Vec<&str> = text.lines().collect();
        let words = |line: usize| lines[line].split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(words(2), "2.00 ms 20.0 ms late 37.0 % fail – – as it grew");
        let study = of_users();
        let mut cut = study.steps[0].clone();
        cut.at_users.pop();
        assert_eq!(study.cells(&cut)[2], "–");
    }
}
