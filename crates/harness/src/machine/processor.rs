//! What `/proc/cpuinfo` says of the processor, as far as it decides the speed. Pure functions of its text.

use serde::{Deserialize, Serialize};

use super::UNKNOWN;

/// The properties that decide how fast a processor is, apart from its caches. One that the system does not report is `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Processor {
    /// Vendor: `amd`, `intel`, `arm`; for one that has no short name here, what the system calls it.
    pub vendor: Option<String>,
    /// Family, on x86 only.
    pub family: Option<String>,
    /// Model; on Arm the part number, `d0c`. Cores of several kinds are all named: `d05+d0b`.
    pub model: Option<String>,
    /// Stepping; on Arm the revision, `r3p1`.
    pub stepping: Option<String>,
    /// The widest vector extension: `avx512`, `avx2`, `neon`.
    pub vectors: Option<String>,
}

/// Short names of vendors: `vendor_id` on x86, `CPU implementer` on Arm.
const VENDORS: [(&str, &str); 13] = [
    ("AuthenticAMD", "amd"),
    ("GenuineIntel", "intel"),
    ("HygonGenuine", "hygon"),
    ("CentaurHauls", "centaur"),
    ("0x41", "arm"),
    ("0x46", "fujitsu"),
    ("0x48", "hisilicon"),
    ("0x4e", "nvidia"),
    ("0x50", "apm"),
    ("0x51", "qualcomm"),
    ("0x61", "apple"),
    ("0x6d", "microsoft"),
    ("0xc0", "ampere"),
];

/// Vector extensions, the widest first: the flag of x86 or the feature of Arm, and its name.
const VECTORS: [(&str, &str); 8] = [
    ("avx512f", "avx512"),
    ("avx2", "avx2"),
    ("avx", "avx"),
    ("sse4_2", "sse4"),
    ("sse2", "sse2"),
    ("sve2", "sve2"),
    ("sve", "sve"),
    ("asimd", "neon"),
];

impl Processor {
    /// Reads the text of `/proc/cpuinfo`.
    pub fn of(cpu_info: &str) -> Processor {
        let arm_model = each(cpu_info, "CPU part").map(|part| part.replace("0x", ""));
        let arm_revision = || {
            let [variant, patch] =
                ["CPU variant", "CPU revision"].map(|name| value(cpu_info, name));
            Some(format!("r{}p{}", variant?.trim_start_matches("0x"), patch?))
        };
        let vendor = value(cpu_info, "vendor_id").or(value(cpu_info, "CPU implementer"));
        let short = |vendor: &str| {
            let known = VENDORS.iter().find(|(name, _)| *name == vendor);
            known.map_or(vendor, |(_, short)| short).to_owned()
        };
        let widest = VECTORS.iter().find(|(flag, _)| has_flag(cpu_info, flag));
        Processor {
            vendor: vendor.map(short),
            family: each(cpu_info, "cpu family"),
            model: each(cpu_info, "model").or(arm_model),
            stepping: each(cpu_info, "stepping").or_else(arm_revision),
            vectors: widest.map(|(_, name)| (*name).to_owned()),
        }
    }

    /// Returns the parts, each with its name.
    pub fn parts(&self) -> Vec<(&'static str, String)> {
        let vectors = self.vectors.clone().unwrap_or_else(|| UNKNOWN.to_owned());
        vec![("Processor", self.in_words()), ("Vector extension", vectors)]
    }

    /// `amd, family 25, model 17, stepping 1`
    fn in_words(&self) -> String {
        let named =
            [("family", &self.family), ("model", &self.model), ("stepping", &self.stepping)];
        let named =
            named.iter().filter_map(|(name, part)| Some(format!("{name} {}", part.as_ref()?)));
        let vendor = self.vendor.clone().unwrap_or_else(|| UNKNOWN.to_owned());
        [vendor].into_iter().chain(named).collect::<Vec<_>>().join(", ")
    }
}

/// The values of the lines `name : value`, in their order.
fn values<'a>(cpu_info: &'a str, name: &str) -> impl Iterator<Item = &'a str> {
    let lines = cpu_info.lines().filter_map(|line| line.split_once(':'));
    let named = lines.filter(move |(key, _)| key.trim() == name);
    named.map(|(_, value)| value.trim()).filter(|value| !value.is_empty())
}

/// The first value of this name.
pub(super) fn value<'a>(cpu_info: &'a str, name: &str) -> Option<&'a str> {
    values(cpu_info, name).next()
}

/// The values that occur for any core, ascending: `d05+d0b`.
fn each(cpu_info: &str, name: &str) -> Option<String> {
    let mut found: Vec<&str> = values(cpu_info, name).collect();
    found.sort_unstable();
    found.dedup();
    (!found.is_empty()).then(|| found.join("+"))
}

/// Whether the first core has a flag (x86) or a feature (Arm).
pub(super) fn has_flag(cpu_info: &str, flag: &str) -> bool {
    let flags = value(cpu_info, "flags").or(value(cpu_info, "Features"));
    flags.is_some_and(|flags| flags.split(' ').any(|known| known == flag))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_widest_vector_extension_counts() {
        let widest = |flags: &str| Processor::of(&format!("flags : {flags}")).vectors;
        assert_eq!(widest("sse2 sse4_2 avx avx2 avx512f avx512vl").as_deref(), Some("avx512"));
        assert_eq!(widest("sse2 sse4_2 avx avx2").as_deref(), Some("avx2"));
        assert_eq!(widest("sse2").as_deref(), Some("sse2"));
        assert_eq!(widest("fpu"), None);
        let features = "Features\t: fp asimd sve";
        assert_eq!(Processor::of(features).vectors.as_deref(), Some("sve"));
    }

    #[test]
    fn cores_of_several_kinds_are_all_named() {
        let cpu_info = "processor : 0\nCPU part : 0xd0b\n\nprocessor : 1\nCPU part : 0xd05\n\nprocessor : 2\nCPU part : 0xd0b\n";
        assert_eq!(Processor::of(cpu_info).model.as_deref(), Some("d05+d0b"));
    }

    #[test]
    fn text_that_says_nothing_leaves_every_part_unknown() {
        for nothing in ["", "\n\n", "processor\nvendor_id :\n: \n", "model name : x", "\u{0}:\u{0}"]
        {
            assert_eq!(Processor::of(nothing), Processor::default(), "{nothing:?}");
        }
        assert_eq!(Processor::default().in_words(), "unknown");
    }
}
