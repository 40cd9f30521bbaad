//! The audit as text: a table, pair × check, then what is wrong and what is excepted.

use std::{collections::BTreeMap, fmt};

use super::{Audit, Checked, Standing};
use worthit_pair::{audited::Check, format};

impl fmt::Display for Audit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.pairs.iter().map(|pair| pair.pair.len()).max().unwrap_or(4);
        write!(f, "{:width$}", "pair")?;
        Check::ALL.iter().try_for_each(|check| write!(f, "  {}", check.name()))?;
        writeln!(f)?;
        for pair in &self.pairs {
            write!(f, "{:width$}", pair.pair)?;
            let cell = |checked: &Checked| {
                let word = match checked.standing {
                    Standing::Passed => "ok",
                    Standing::Failed { .. } => "FAILED",
                    Standing::Exempt { .. } => "exempt",
                    Standing::NotChecked { .. } => "?",
                };
                format!("  {word:column$}", column = checked.check.len())
            };
            let cells: String = pair.checks.iter().map(cell).collect();
            writeln!(f, "{}", cells.trim_end())?;
        }
        self.section(f, "failed", |standing| match standing {
            Standing::Failed { problems } => Some(problems.join("; ")),
            _ => None,
        })?;
        self.section(f, "exempt", |standing| match standing {
            Standing::Exempt { reason, .. } => Some(reason.clone()),
            _ => None,
        })?;
        let mut unchecked: BTreeMap<(&str, &str), u64> = BTreeMap::new();
        for (_, check, standing) in self.standings() {
            if let Standing::NotChecked { why } = standing {
                *unchecked.entry((check, why)).or_default() += 1;
            }
        }
        if !unchecked.is_empty() {
            writeln!(f, "\nnot checked:")?;
        }
        for ((check, why), pairs) in unchecked {
            writeln!(f, "  {check}, {}: {why}", format::counted(pairs, "pairs"))?;
        }
        let count = |is: fn(&Standing) -> bool| {
            format::count(self.standings().filter(|(_, _, standing)| is(standing)).count() as u64)
        };
        writeln!(
            f,
            "\n{}: {} passed, {} failed, {} exempt, {} not checked",
            format::counted(self.pairs.len() as u64, "pairs"),
            count(|standing| *standing == Standing::Passed),
            count(|standing| matches!(standing, Standing::Failed { .. })),
            count(|standing| matches!(standing, Standing::Exempt { .. })),
            count(|standing| matches!(standing, Standing::NotChecked { .. })),
        )
    }
}

impl Audit {
    fn section(
        &self,
        f: &mut fmt::Formatter<'_>,
        title: &str,
        text: impl Fn(&Standing) -> Option<String>,
    ) -> fmt::Result {
        let lines: Vec<String> = self
            .standings()
            .filter_map(|(pair, check, standing)| {
                Some(format!("  {pair}, {check}: {}", text(standing)?))
            })
            .collect();
        if lines.is_empty() {
            return Ok(());
        }
        writeln!(f, "\n{title}:")?;
        lines.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}
