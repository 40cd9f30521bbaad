//! A synthetic gate report, for tests of the gate's outputs and of its page.

use worthit_harness::{
    gate::{
        decision::Rule,
        protocol::GateCase,
        report::{CaseReport, GateReport, Outcome, SCHEMA, SCHEMA_VERSION},
        self_test::{Caught, Nulls, SelfTest},
        verdict::{Breach, CountChange, Counted, Time, TimeVerdict, Tolerances, Verdict},
    },
    statistics::Interval,
};
use worthit_pair::{case::CaseKey, pair::Metric, trial::Role};

/// Text that could break tables, tags and attributes.
const HOSTILE: &str = "a|b\n\\`<script>alert(1)</script>&amp; *x* _y_ [l](http://h) ]]> \"q\" 'q' #1 @all ~~s~~ \u{1b}[31m \u{0}";

fn case(id: &str) -> GateCase {
    GateCase {
        key: CaseKey { pair: id.to_owned(), level: "zipf".to_owned(), point: 4_096 },
        seed: 42,
        title: "Look up through an index".to_owned(),
        axis: "rows".to_owned(),
        axis_unit: "rows".to_owned(),
        unit: "row".to_owned(),
        metric: Metric::Time,
        causes: vec!["statements".to_owned()],
        is_study: false,
        servers: Vec::new(),
    }
}

fn case_report(id: &str, outcome: Outcome) -> CaseReport {
    CaseReport { case: case(id), renamed_from: None, outcome, breaches: Vec::new() }
}

fn count(cause: &str, base: u64, head: u64, verdict: Verdict) -> CountChange {
    let (base, head) = (Counted::once(base), Counted::once(head));
    CountChange {
        role: Role::Optimized,
        cause: cause.to_owned(),
        base,
        head,
        iterations: 1,
        verdict,
    }
}

fn timed(verdict: Verdict, caveat: Option<&str>) -> Time {
    let change = Some(Interval { low: 1.041, estimate: 1.052, high: 1.063 });
    let found = TimeVerdict {
        verdict: Verdict::Regressed,
        change,
        is_no_longer: false,
        restarts: 32,
        confirming: 24,
    };
    let caveat = caveat.map(str::to_owned);
    Time::Judged { found, verdict, caveat, cpu_share: 0.97, disturbed: 2 }
}

/// A time that is a little longer, by less than is relevant.
fn not_longer() -> Time {
    let change = Some(Interval { low: 1.001, estimate: 1.012, high: 1.024 });
    let found = TimeVerdict {
        verdict: Verdict::Unchanged,
        change,
        is_no_longer: true,
        restarts: 6,
        confirming: 0,
    };
    let verdict = Verdict::Unchanged;
    Time::Judged { found, verdict, caveat: None, cpu_share: 0.97, disturbed: 0 }
}

/// Report with a case of every kind.
pub fn report() -> GateReport {
    let skipped = || Time::Skipped { reason: "the same code, the same counts".to_owned() };
    let quiet = Outcome::Judged {
        counts: vec![count("instructions", 7, 7, Verdict::Unchanged)],
        time: skipped(),
    };
    let regressed = Outcome::Judged {
        counts: vec![
            count("statements", 1, 2, Verdict::Regressed),
            count("instructions", 10_000, 10_020, Verdict::Unchanged),
        ],
        time: timed(Verdict::Regressed, None),
    };
    let layout = Outcome::Judged {
        counts: vec![],
        time: timed(
            Verdict::Undecided,
            Some("possibly a layout effect: none of its counts has changed"),
        ),
    };
    let better = Outcome::Judged {
        counts: vec![count("fsyncs", 9, 1, Verdict::Improved)],
        time: not_longer(),
    };
    let held_back = Outcome::Judged {
        counts: vec![count("instructions", 100_000, 92_800, Verdict::Improved)],
        time: not_longer(),
    };
    let missing = Outcome::Judged {
        counts: vec![],
        time: Time::Missing { reason: "the time limit was reached".to_owned() },
    };
    let hostile = || HOSTILE.to_owned();
    let mut renamed = case_report("queries/new", quiet.clone());
    renamed.renamed_from = Some("queries/old".to_owned());
    let mut breached = case_report("queries/over_budget", quiet.clone());
    breached.breaches.push(Breach { what: "budget: at most 3 statements, but 4".to_owned() });
    GateReport {
        schema: SCHEMA.to_owned(),
        version: SCHEMA_VERSION,
        base: "main (0123456789ab)".to_owned(),
        head: "the working tree".to_owned(),
        when: "2026-11-25T12:00:00Z".parse().unwrap(),
        commit: "0123456789abcdef".to_owned(),
        dirty: true,
        machine: "some-cpu".to_owned(),
        rustc: "rustc 1.95.0".to_owned(),
        rule: Rule { relevant: 0.03, false_alarms: 0.01, comparisons: 4 },
        tolerances: Tolerances::default(),
        cases: vec![
            case_report("queries/quiet", quiet),
            case_report("queries/regressed", regressed),
            case_report("queries/layout", layout),
            case_report("queries/better", better),
            case_report("queries/held_back", held_back),
            case_report("queries/unaffected", Outcome::Unaffected),
            case_report("queries/missing", missing),
            case_report(
                "queries/other",
                Outcome::NotComparable { reason: "its axis differs".to_owned() },
            ),
            case_report("queries/added", Outcome::OnlyIn { head: true }),
            case_report("queries/gone", Outcome::OnlyIn { head: false }),
            case_report(
                "queries/absent",
                Outcome::Unavailable { reason: "no such device".to_owned() },
            ),
            case_report("queries/broken", Outcome::Broken { problem: hostile() }),
            renamed,
            breached,
            case_report(HOSTILE, Outcome::Unavailable { reason: hostile() }),
        ],
        notes: vec![hostile()],
        self_test: Some("self-test of 2026-11-25: 0 false alarms".to_owned()),
        seconds: 12.3,
    }
}

/// Self-test without a false alarm, with hostile text in its fields.
pub fn self_test() -> SelfTest {
    let nulls = Nulls { comparisons: 528, undecided: 20, ..Nulls::default() };
    let caught = |signal: &str, size: &str, class: &str, caught| Caught {
        signal: signal.to_owned(),
        size: size.to_owned(),
        class: class.to_owned(),
        injected: 40,
        caught,
        undecided: 40 - caught,
    };
    SelfTest {
        machine: "some-cpu".to_owned(),
        head: "the working tree".to_owned(),
        nulls: [("the same build", nulls), (HOSTILE, nulls)]
            .map(|(kind, nulls)| (kind.to_owned(), nulls))
            .into(),
        failed_runs: (0, 48),
        caught: vec![
            caught("instructions", "1 %", "CPU", 40),
            caught("time after 3 s", "10 %", "SQLite", 39),
            caught("time after 10 s", "5 %", HOSTILE, 30),
        ],
        alarms: vec![HOSTILE.to_owned()],
        ..SelfTest::default()
    }
}
