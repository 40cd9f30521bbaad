//! Walk two lists together: with iterators, not by an index that must be checked at each turn.

use std::{
    ops::{Index, IndexMut},
    slice::{Iter, IterMut},
};

use rand::RngExt;

use worthit_pair::prelude::*;

const INDEXED_ACCESSES: Cause = Cause::new("indexed_accesses", "indexed accesses")
    .counted("on tracks that count how often they are indexed");

pub const PAIR: Pair = Pair {
    title: "Zip two lists, do not index them",
    review: Review {
        smell: "`for i in 0..mix.len() { mix[i] = mix[i].saturating_add(track[i]); }`: the index runs to the length of \
                one list and is used on another, in a hot loop.",
        remedy: "`mix.iter_mut().zip(track.iter())` in place of the range.",
        keep_naive_when: "Always, as far as time goes: where an index only counts up, today's compiler drops the \
                          checks of the first list and moves those of the second out of the hot loop. Write what \
                          reads better. The same holds for one list that is indexed up to its own length, the loop \
                          that clippy's `needless_range_loop` reports; it does not report this one. An index that is \
                          computed from data is checked at each turn, and no iterator can take its place.",
        costs: "A `zip` ends with the shorter list and says nothing, where an index panics: assert that the lengths \
                are equal if they should be. Older guides advise to cut the second list to the length of the first \
                before the loop; the alternative does that, and gains nothing either.",
        lint: Lint::None,
    },
    naive: Side { summary: "index both lists", growth: Growth::Linear },
    optimized: Side { summary: "zip their iterators", growth: Growth::Linear },
    input: "Two audio tracks of the same length, as 16-bit samples. One is added to the other, and sums that do not fit \
            are clipped. The values do not change how long either side takes; their number decides which cache holds \
            them. Tracks alternate, and each mix begins with a fresh copy.",
    axis: Axis {
        name: "samples",
        unit: "samples",
        is_size: true,
        points: Points::Fixed { default: &[50, 500, 5_000, 50_000, 500_003], deep: &[5_000_000] },
    },
    unit: "sample",
    headline: Headline::At { level: "", point: 5_000 },
    alternatives: &[SideBeside {
        name: "cut_first",
        summary: "index, after the second list was cut to the length of the first",
    }],
    causes: &[Claim {
        cause: INDEXED_ACCESSES,
        // Two reads and a write.
        naive: Count::Exactly(|case| 3 * case.point),
        optimized: Count::Exactly(|_| 0),
    }],
    explanation: Explanation {
        why: "The compiler knows before the loop how far an index that counts up can go in both lists. It runs \
              vectors up to there, without a check, and leaves what does not fill a vector, and the panic if there is \
              one, to a loop over single samples. So both sides become nearly the same code. The advice is from the \
              time of compilers that did not vectorise a loop that may panic.",
        share_of_cause: ShareOfCause::NoRatio("an iterator is not indexed"),
        far_end: FarEnd::Settled,
        keep_naive: KeepNaive::Everywhere,
    },
    traps: &[
        &Trap {
            name: "the tracks differ in length",
            reason: "one side would panic where the other ends early",
            check: |inputs: &[Tracks]| {
                let differing = inputs.iter().find(|tracks| tracks.mix.len() != tracks.track.len());
                ensure(differing.is_none(), || "a sample has nothing to be added to".to_owned())
            },
            sprung: || vec![Tracks { mix: vec![1, 2], track: vec![1] }],
        },
        &Trap {
            name: "a track is silent",
            reason: "a mix that does not change would not show a sample that was left out",
            check: |inputs: &[Tracks]| {
                let samples = || inputs.iter().flat_map(|tracks| &tracks.track);
                let silent = samples().filter(|sample| **sample == 0).count();
                ensure(silent * 10 < samples().count(), || format!("{silent} samples are zero"))
            },
            sprung: || vec![Tracks { mix: vec![5; 100], track: vec![0; 100] }],
        },
    ],
    limit: Limit::Work(&[Work::StreamedInTurn {
        // Two samples read, one written.
        bytes: |case| case.point * 6,
        within_bytes: |case| case.point * 4,
    }]),
    prepare,
    ..Pair::DEFAULTS
};

/// The samples of a mix so far, and those of the track that is added to it.
#[derive(Clone, Debug)]
struct Tracks {
    mix: Vec<i16>,
    track: Vec<i16>,
}

/// A list of samples: a slice when timed.
trait Samples: IndexMut<usize, Output = i16> {
    fn len(&self) -> usize;
    fn iter(&self) -> Iter<'_, i16>;
    fn iter_mut(&mut self) -> IterMut<'_, i16>;
}

impl Samples for [i16] {
    fn len(&self) -> usize {
        <[i16]>::len(self)
    }
    fn iter(&self) -> Iter<'_, i16> {
        <[i16]>::iter(self)
    }
    fn iter_mut(&mut self) -> IterMut<'_, i16> {
        <[i16]>::iter_mut(self)
    }
}

/// Adds a track to a mix of the same length.
fn naive<S: Samples + ?Sized>(mix: &mut S, track: &S) {
    for i in 0..mix.len() {
        mix[i] = mix[i].saturating_add(track[i]);
    }
}

/// Adds a track to a mix of the same length.
fn optimized<S: Samples + ?Sized>(mix: &mut S, track: &S) {
    for (sum, sample) in mix.iter_mut().zip(track.iter()) {
        *sum = sum.saturating_add(*sample);
    }
}

/// Adds a track to a mix of the same length.
fn cut_first(mix: &mut [i16], track: &[i16]) {
    let track = &track[..mix.len()];
    for i in 0..mix.len() {
        mix[i] = mix[i].saturating_add(track[i]);
    }
}

/// A track that notes each time that it is indexed.
struct Noted<'a>(&'a mut [i16]);

impl Index<usize> for Noted<'_> {
    type Output = i16;
    fn index(&self, i: usize) -> &i16 {
        note();
        &self.0[i]
    }
}

impl IndexMut<usize> for Noted<'_> {
    fn index_mut(&mut self, i: usize) -> &mut i16 {
        note();
        &mut self.0[i]
    }
}

impl Samples for Noted<'_> {
    fn len(&self) -> usize {
        self.0.len()
    }
    fn iter(&self) -> Iter<'_, i16> {
        self.0.iter()
    }
    fn iter_mut(&mut self) -> IterMut<'_, i16> {
        self.0.iter_mut()
    }
}

/// Mixes tracks that are noted; `side` is one of the sides.
fn mixed_with(tracks: &Tracks, side: for<'a> fn(&mut Noted<'a>, &Noted<'a>)) {
    let Tracks { mut mix, mut track } = tracks.clone();
    side(&mut Noted(&mut mix), &Noted(&mut track));
}

fn input(case: &Case) -> Tracks {
    let samples = case.point as usize;
    let mut rng = case.rng("samples");
    let mut track = |louder: i32| -> Vec<i16> {
        let mut level = 0_i32;
        let mut next = |_| {
            // A random walk that is pulled back to silence, as the level of loud music is.
            level += rng.random_range(-3_000..=3_000) - level / 16;
            (level * louder).clamp(i16::MIN.into(), i16::MAX.into()) as i16
        };
        (0..samples).map(&mut next).collect()
    };
    if case.shape == Shape::Realistic {
        return Tracks { mix: track(3), track: track(2) };
    }
    let extremes = [i16::MIN, i16::MAX, 0, 1, -1];
    let values = case.values(2 * samples);
    let sample = |value: &u64| match case.shape {
        Shape::Adversarial => extremes[(value % 5) as usize],
        _ => *value as i16,
    };
    let (mix, track) = values.split_at(samples);
    Tracks { mix: mix.iter().map(sample).collect(), track: track.iter().map(sample).collect() }
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let turns = (16_384 / case.point.max(1)).clamp(2, 2_048);
    let inputs = case.rotate(turns, input);
    let over = |side: fn(&mut [i16], &[i16])| {
        by_value(&inputs, move |mut tracks: Tracks| {
            side(&mut tracks.mix, &tracks.track);
            // Both are dropped off the clock.
            (tracks.mix, tracks.track)
        })
    };
    Ok(Trial::new(
        inputs.measured(|tracks| tracks.mix.len() as u64),
        over(naive).counting(
            INDEXED_ACCESSES,
            noting(&inputs, |tracks| mixed_with(tracks, |mix, track| naive(mix, track))),
        ),
        over(optimized).counting(
            INDEXED_ACCESSES,
            noting(&inputs, |tracks| mixed_with(tracks, |mix, track| optimized(mix, track))),
        ),
    )
    .alternative(over(cut_first))
    .units(case.point))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answers() {
        for add in [naive::<[i16]>, optimized, cut_first] {
            let mixed = |mut mix: Vec<i16>, track: &[i16]| {
                add(&mut mix, track);
                mix
            };
            assert!(mixed(vec![], &[]).is_empty());
            assert_eq!(mixed(vec![1, -2, 300], &[10, 2, -1]), [11, 0, 299]);
            assert_eq!(mixed(vec![i16::MAX, i16::MIN], &[1, -1]), [i16::MAX, i16::MIN], "clipped");
        }
    }

    #[test]
    fn a_missing_sample_panics_or_ends_the_mix() {
        let short = std::panic::catch_unwind(|| naive(&mut [1_i16, 2][..], &[1][..]));
        assert!(short.is_err());
        let mut mix = [1, 2];
        optimized(&mut mix[..], &[1]);
        assert_eq!(mix, [2, 2]);
    }
}
