//! Tests of the machine key, on machines as their systems describe them.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::*;

/// Machines as `/proc/cpuinfo`, `/sys` and `uname` describe them. Of `zen4`, family and model were not recorded;
/// `masked` is a container in which nothing can be read.
const MACHINES: &str = include_str!("../../../tests/machines/machines.json");

#[derive(Deserialize)]
struct Described {
    /// The key that versions before made of the name under which the CPU is sold.
    older_key: String,
    cpuinfo: String,
    caches: String,
    logical_cores: u64,
    memory_bytes: u64,
    kernel: String,
    filesystem: String,
    key: String,
}

fn machines() -> BTreeMap<String, Described> {
    serde_json::from_str(MACHINES).unwrap()
}

fn key_of(machine: &Described) -> String {
    key(&Description {
        processor: &Processor::of(&machine.cpuinfo),
        caches: &machine.caches,
        logical_cores: machine.logical_cores,
        memory_bytes: machine.memory_bytes,
        kernel: &machine.kernel,
        filesystem: &machine.filesystem,
    })
}

#[test]
fn a_key_is_made_of_what_decides_the_speed() {
    for (name, machine) in machines() {
        assert_eq!(key_of(&machine), machine.key, "{name}");
    }
}

#[test]
fn machines_that_shared_a_key_are_held_apart() {
    let machines = machines();
    assert_eq!(machines["zen3"].older_key, machines["zen4"].older_key);
    let keys: BTreeSet<String> = machines.values().map(key_of).collect();
    assert_eq!(keys.len(), machines.len(), "{keys:?}");
    let older: BTreeSet<&str> = machines.values().map(|known| known.older_key.as_str()).collect();
    assert!(keys.iter().all(|key| !older.contains(key.as_str())), "{keys:?}");
}

#[test]
fn each_part_alone_makes_another_key() {
    let zen3 = || machines().remove("zen3").unwrap();
    let changes: [fn(&mut Described); 11] = [
        |machine| machine.cpuinfo = machine.cpuinfo.replace("AuthenticAMD", "HygonGenuine"),
        |machine| machine.cpuinfo = machine.cpuinfo.replace("cpu family\t: 25", "cpu family\t: 26"),
        |machine| machine.cpuinfo = machine.cpuinfo.replace("model\t\t: 1", "model\t\t: 2"),
        |machine| machine.cpuinfo = machine.cpuinfo.replace("stepping\t: 1", "stepping\t: 2"),
        |machine| machine.cpuinfo = machine.cpuinfo.replace("sha_ni", "avx512f"),
        |machine| machine.caches = "L1d 32K, L2 512K, L3 16384K".to_owned(),
        |machine| machine.caches = "L1d 32K, L2 512K".to_owned(),
        |machine| machine.logical_cores = 4,
        |machine| machine.memory_bytes *= 2,
        |machine| machine.kernel = "6.19.0".to_owned(),
        |machine| machine.filesystem = "btrfs".to_owned(),
    ];
    let mut keys = BTreeSet::from([key_of(&zen3())]);
    for (nth, change) in changes.iter().enumerate() {
        let mut machine = zen3();
        change(&mut machine);
        assert!(keys.insert(key_of(&machine)), "change {nth} makes no other key");
    }
}

#[test]
fn what_changes_from_boot_to_boot_leaves_the_key_as_it_is() {
    let mut machine = machines().remove("zen3").unwrap();
    let before = key_of(&machine);
    machine.kernel = "6.18.51-fc-v801".to_owned();
    machine.memory_bytes += 300 << 20;
    machine.cpuinfo =
        machine.cpuinfo.replace("AMD EPYC", "AMD EPYC 7R13") + "cpu MHz\t\t: 2449.9\n";
    assert_eq!(key_of(&machine), before);
}

#[test]
fn a_key_is_the_name_of_one_folder_whatever_the_system_says() {
    let hostile = "../..\\a b\u{202e}\u{0}é/-x";
    let processor = Processor {
        vendor: Some(hostile.to_owned()),
        family: Some(hostile.to_owned()),
        model: None,
        stepping: Some(String::new()),
        vectors: Some(hostile.to_owned()),
    };
    for (caches, sizes) in [
        (hostile, "unknown"),
        ("", "unknown"),
        ("L1d 32K, L2 x", "unknown"),
        ("L3 18446744073709551615M", "unknown"),
        ("L2 1280K, L3 105M", "1280k.105m"),
    ] {
        let key = key(&Description {
            processor: &processor,
            caches,
            logical_cores: u64::MAX,
            memory_bytes: u64::MAX,
            kernel: "7",
            filesystem: hostile,
        });
        let is_safe = |c: char| c.is_ascii_alphanumeric() || "-._+".contains(c);
        assert!(key.chars().all(is_safe) && !key.starts_with('.'), "{key}");
        assert_eq!(key.split('-').nth(3), Some(sizes), "{key}");
        assert_eq!(key.split('-').count(), 8, "{key}");
        assert!(key.contains(".unknown.unknown-") && key.contains("-linuxunknown-"), "{key}");
    }
}
