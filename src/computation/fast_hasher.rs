//! Hash keys that no attacker chooses with a quicker hasher than std's.

use std::{
    collections::{HashMap, HashSet},
    hash::{BuildHasher, DefaultHasher, Hasher, RandomState},
    sync::LazyLock,
};

use foldhash::fast::FixedState;
use rand::RngExt;

use crate::fixtures::zipf::Zipf;
use worthit_pair::prelude::*;

/// Sales in one iteration.
const SALES: u64 = 2_000;

/// Customers that buy.
const CUSTOMERS: usize = 1_000;

/// Inputs in the rotation.
const TURNS: u64 = 4;

const STEPS: Cause = Cause::new("hash_steps", "steps of the hash function").modelled(
    "from the lengths of the keys that the side hashes: SipHash-1-3 takes a round for each eight bytes and four at the \
     end, foldhash a wide multiplication for each sixteen",
);

pub const PAIR: Pair = Pair {
    title: "Hash trusted keys with foldhash",
    review: Review {
        smell: "A `HashMap` or `HashSet` with std's hasher in hot code, whose keys come from one's own data: ids, \
                names from a database, symbols of a compiler.",
        remedy: "`HashMap<&str, usize, foldhash::fast::RandomState>`, made with `HashMap::default()`.",
        keep_naive_when: "Clients choose the keys (form fields, headers, user names) and nothing bounds how many. Or \
                          the map is not hot.",
        costs: "Resistance to HashDoS is given up. SipHash has a secret seed, and without it nobody can choose keys \
                that collide. Foldhash has a random seed too, but its authors promise nothing against an attacker who \
                can watch the program's times or the order of its maps. Keys that collide turn each look-up into a \
                walk along all of them. With a fixed seed (`foldhash::fast::FixedState`) anybody can find such keys \
                offline, as this pair's proof does. And it is one more dependency.",
        lint: Lint::None,
    },
    naive: Side { summary: "HashMap with std's SipHash-1-3", growth: Growth::Linear },
    optimized: Side { summary: "HashMap with foldhash::fast", growth: Growth::Linear },
    input: "2,000 sales that are added up by customer. There are 1,000 customers, whose names have the stated length \
            and begin alike, and who buy with Zipf frequencies. Four lists of sales alternate, each with customers of \
            its own.",
    axis: Axis {
        name: "key length",
        unit: "B",
        is_size: false,
        points: Points::Fixed { default: &LENGTHS, deep: &[] },
    },
    unit: "sale",
    headline: Headline::At { level: "", point: 20 },
    causes: &[Claim {
        cause: STEPS,
        naive: Count::AtLeast(|case| SALES * (case.point / 8 + 4)),
        // One key in three is new; some of the new ones are hashed again as the map grows.
        optimized: Count::AtMost(|case| SALES * 2 * (case.point / 16 + 3)),
    }],
    explanation: Explanation {
        why: "SipHash mixes eight bytes in a round of which each step waits for the one before, and runs four rounds \
              more at the end, which is most of a short key's hash. Foldhash multiplies sixteen bytes at once, in two \
              or more chains that do not wait for each other, and ends with one multiplication. Both sides also look \
              into the table and compare the key that is there, which keeps the gain down.",
        share_of_cause: ShareOfCause::Within(0.4, 1.25),
        far_end: FarEnd::Settled,
        keep_naive: KeepNaive::Nowhere,
    },
    traps: &[
        &Trap {
            name: "few keys are distinct",
            reason: "they would all lie in the nearest cache, and a predictor would learn their places",
            check: |inputs: &[Vec<Sale>]| {
                let distinct: HashSet<&str> =
                    inputs.iter().flatten().map(|sale| &sale.customer[..]).collect();
                ensure(distinct.len() >= 1_000, || format!("{} distinct keys", distinct.len()))
            },
            sprung: || vec![vec![Sale { customer: "one".to_owned(), cents: 1 }; 4_096]],
        },
        &Trap {
            name: "the keys differ in their first bytes",
            reason: "a comparison would end there; keys of one kind begin alike",
            check: |inputs: &[Vec<Sale>]| {
                let heads: HashSet<&str> =
                    inputs.iter().flatten().map(|sale| &sale.customer[..2]).collect();
                ensure(heads.len() == 1, || format!("{} different beginnings", heads.len()))
            },
            sprung: || ["ab", "cd"].map(|c| vec![Sale { customer: c.to_owned(), cents: 1 }]).into(),
        },
    ],
    limit: Limit::Work(&[
        Work::Hashes(|case| SALES * case.point.div_ceil(8)),
        Work::StreamedInTurn {
            bytes: |case| SALES * case.point,
            within_bytes: |case| TURNS * SALES * case.point,
        },
    ]),
    proof: Proof { resources: Resources::Memory, max_size: 300 },
    prepare,
    ..Pair::DEFAULTS
};

const LENGTHS: [u64; 5] = [8, 20, 50, 150, 500];

#[derive(Clone, Debug)]
struct Sale {
    customer: String,
    cents: u64,
}

/// The sum of each customer's sales, modulo 2⁶⁴, in the order of their first sales.
fn naive(sales: &[Sale]) -> Vec<u64> {
    totals::<RandomState>(sales)
}

/// The sum of each customer's sales, modulo 2⁶⁴, in the order of their first sales.
fn optimized(sales: &[Sale]) -> Vec<u64> {
    totals::<foldhash::fast::RandomState>(sales)
}

/// The sum of each customer's sales, with any hasher.
fn totals<S: BuildHasher + Default>(sales: &[Sale]) -> Vec<u64> {
    let mut places: HashMap<&str, usize, S> = HashMap::default();
    let mut totals: Vec<u64> = Vec::new();
    for Sale { customer, cents } in sales {
        let place = *places.entry(customer).or_insert(totals.len());
        match totals.get_mut(place) {
            Some(total) => *total = total.wrapping_add(*cents),
            None => totals.push(*cents),
        }
    }
    totals
}

/// Std's hasher, which notes the steps that a hash function of this kind takes.
struct Stepping {
    hasher: DefaultHasher,
    bytes: u64,
    steps: fn(u64) -> u64,
}

impl Hasher for Stepping {
    fn write(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        self.hasher.write(bytes);
    }
    fn finish(&self) -> u64 {
        (0..(self.steps)(self.bytes)).for_each(|_| note());
        self.hasher.finish()
    }
}

#[derive(Default)]
struct SipSteps;

impl BuildHasher for SipSteps {
    type Hasher = Stepping;
    fn build_hasher(&self) -> Stepping {
        // The last round takes the bytes that do not fill a word; three more follow it.
        Stepping { hasher: DefaultHasher::new(), bytes: 0, steps: |bytes| bytes / 8 + 4 }
    }
}

#[derive(Default)]
struct FoldSteps;

impl BuildHasher for FoldSteps {
    type Hasher = Stepping;
    fn build_hasher(&self) -> Stepping {
        // The byte that ends a text takes a step of its own.
        Stepping {
            hasher: DefaultHasher::new(),
            bytes: 0,
            steps: |bytes| (bytes - 1).div_ceil(16).max(1) + 1,
        }
    }
}

/// For each length, keys that foldhash with its default fixed seed puts into the same place of a map, with the same
/// tag, so that a look-up compares one after another.
static COLLIDING: LazyLock<Vec<(u64, Vec<String>)>> = LazyLock::new(|| {
    // A map of up to 64 places uses these bits of a hash.
    const PLACE_AND_TAG: u64 = 0xfe00_0000_0000_003f;
    let collide = |key: &String| FixedState::default().hash_one(&key[..]) & PLACE_AND_TAG == 0;
    let of_length = |length| {
        let keys = (0_u32..).map(|i| text(u64::from(i), length)).filter(collide);
        (length, keys.take(48).collect())
    };
    LENGTHS.map(of_length).into()
});

fn colliding(length: u64) -> &'static [String] {
    &COLLIDING.iter().find(|(of, _)| *of == length).expect("a point of the axis").1
}

/// A text of this many bytes for a number below 16⁶. Texts begin alike, as keys of one kind do.
fn text(number: u64, length: u64) -> String {
    static REST: LazyLock<String> = LazyLock::new(|| "/branch/north-west".repeat(30));
    format!("c-{number:06x}{}", &REST[..length as usize - 8])
}

fn input(case: &Case) -> Vec<Sale> {
    let mut rng = case.rng("sales");
    let count = case.items(SALES).max(1);
    let customers: Vec<String> = match case.shape {
        Shape::Adversarial => colliding(case.point).to_vec(),
        Shape::DuplicateHeavy => (0..3).map(|i| text(i, case.point)).collect(),
        _ => (0..CUSTOMERS).map(|_| text(rng.random_range(0..1 << 24), case.point)).collect(),
    };
    let frequencies =
        Zipf::new(customers.len(), if case.shape == Shape::Realistic { 3 } else { 0 });
    let sale = |_| Sale {
        customer: customers[frequencies.sample(&mut rng)].clone(),
        cents: if case.shape == Shape::Adversarial {
            u64::MAX / 3
        } else {
            rng.random_range(99..100_000)
        },
    };
    let mut sales: Vec<Sale> = (0..count).map(sale).collect();
    if case.shape == Shape::Sorted {
        sales.sort_by(|one, next| one.customer.cmp(&next.customer));
    }
    sales
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let inputs = case.rotate(TURNS, input);
    let units = inputs[0].len() as u64;
    // Keys that collide by choice need a seed that is known.
    let side = if case.shape == Shape::Adversarial { totals::<FixedState> } else { optimized };
    Ok(Trial::new(
        inputs.measured(|sales| sales.first().map_or(0, |sale| sale.customer.len() as u64)),
        by_ref(&inputs, |sales: &Vec<Sale>| naive(sales))
            .counting(STEPS, noting(&inputs, |sales| totals::<SipSteps>(sales))),
        by_ref(&inputs, move |sales: &Vec<Sale>| side(sales))
            .counting(STEPS, noting(&inputs, |sales| totals::<FoldSteps>(sales))),
    )
    .units(units))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sale(customer: &str, cents: u64) -> Sale {
        Sale { customer: customer.to_owned(), cents }
    }

    #[test]
    fn known_answers() {
        for totals in [naive, optimized, totals::<FixedState>] {
            let sales =
                [sale("b", 5), sale("", 1), sale("b", 7), sale("c", u64::MAX), sale("c", 2)];
            assert_eq!(totals(&sales), [12, 1, 1]);
            assert!(totals(&[]).is_empty());
        }
    }

    /// The costs on the card: comparisons of keys that were chosen to collide under a known seed.
    #[test]
    fn keys_chosen_for_a_fixed_seed_are_compared_one_by_one() {
        fn comparisons<S: BuildHasher + Default>(keys: &[String]) -> u64 {
            noted_during(|| {
                let mut map: HashMap<Counted<&str>, (), S> = HashMap::default();
                for key in keys {
                    map.insert(Counted(key), ());
                }
            })
        }
        for length in LENGTHS {
            let keys = colliding(length);
            let all_pairs = (keys.len() * (keys.len() - 1) / 2) as u64;
            assert_eq!(comparisons::<FixedState>(keys), all_pairs, "{length} bytes");
            assert!(comparisons::<FixedSipHash>(keys) < all_pairs / 10, "{length} bytes");
            let reseeded = comparisons::<foldhash::fast::RandomState>(keys);
            assert!(reseeded < all_pairs / 4, "a random seed scatters them: {reseeded}");
        }
    }
}
