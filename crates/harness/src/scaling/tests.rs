//! Tests of speedups and laws, on made numbers.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{amdahl::amdahl, universal::usl, *};

const COUNTS: [u64; 8] = [1, 2, 4, 8, 12, 16, 24, 32];

fn points(counts: &[u64], mut speedup: impl FnMut(f64) -> f64) -> Vec<Point> {
    let point = |n: &u64| Point { threads: *n, speedup: Interval::exact(speedup(*n as f64)) };
    counts.iter().map(point).collect()
}

/// Speedups of a law, each beyond one thread off by up to 2 %.
fn noisy(seed: u64, law: impl Fn(f64) -> f64) -> Vec<Point> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    points(&COUNTS, |n| match n {
        1.0 => 1.0,
        _ => law(n) * (1.0 + rng.random_range(-0.02..0.02)),
    })
}

fn near(left: f64, right: f64, by: f64) {
    assert!((left - right).abs() <= by, "{left} is not {right}");
}

fn serial(points: &[Point]) -> Amdahl {
    Amdahl::best(points, 32).unwrap()
}

fn universal(points: &[Point]) -> Usl {
    Usl::best(points, 32).unwrap()
}

#[test]
fn speedup_and_efficiency_of_known_times() {
    let one = Summary::of(&[8.0, 10.0, 12.0, 14.0, 16.0]).unwrap();
    let four = Summary::of(&[2.0, 2.5, 4.0, 5.0, 6.0]).unwrap();
    let speedup = relative_speedup(&one, &four).unwrap();
    assert_eq!(speedup, Interval { low: 2.0, estimate: 3.0, high: 5.6 });
    let efficiency = Point { threads: 4, speedup }.efficiency();
    assert_eq!(efficiency, Interval { low: 0.5, estimate: 0.75, high: 1.4 });
    let negative = Summary { lower_quartile: -1.0, ..four };
    assert_eq!(relative_speedup(&one, &negative), None);
    assert_eq!(relative_speedup(&negative, &four), None);
    assert_eq!(relative_speedup(&Summary { median: f64::INFINITY, ..one }, &four), None);
}

#[test]
fn exact_speedups_give_back_the_injected_parameters() {
    for s in [0.0, 0.001, 0.05, 0.5, 1.0] {
        let fit = serial(&points(&COUNTS, |n| 1.0 / (s + (1.0 - s) / n)));
        near(fit.serial_fraction.estimate, s, 1e-9);
        near(fit.serial_fraction.high - fit.serial_fraction.low, 0.0, 1e-9);
        near(fit.predict(64), 64.0 / (1.0 + 63.0 * s), 1e-6);
    }
    assert_eq!(serial(&points(&COUNTS, |_| 1.0)).r_squared, None);
    assert_eq!(
        Amdahl::fit(&points(&COUNTS, |_| 1.0), 32),
        Err(NoFit::Poor { law: Amdahl::RULE.0, r_squared: None })
    );
    let most = |s| serial(&points(&COUNTS, |n| amdahl(s, n))).max_speedup();
    assert_eq!(most(0.0), None);
    near(most(0.05).unwrap(), 20.0, 1e-9);
    for (sigma, kappa) in [(0.0, 0.0), (0.05, 0.0), (0.0, 0.001), (0.1, 0.01), (0.9, 1e-5)] {
        let law = |n: f64| n / (1.0 + sigma * (n - 1.0) + kappa * n * (n - 1.0));
        let fit = universal(&points(&COUNTS, law));
        near(fit.contention.estimate, sigma, 1e-9);
        near(fit.coherency.estimate, kappa, 1e-9);
        near(fit.coherency.high - fit.coherency.low, 0.0, 1e-9);
        near(fit.predict(64), law(64.0), 1e-6);
        near(fit.r_squared.unwrap(), 1.0, 1e-9);
    }
}

#[test]
fn a_fit_agrees_with_an_independent_computation() {
    // s and R² by the closed forms, in Python; t(0.975, 2) = 4.3027.
    let speedup = |n| [1.0, 1.8, 3.2, 4.5][f64::log2(n) as usize];
    let fit = serial(&points(&[1, 2, 4, 8], speedup));
    near(fit.serial_fraction.estimate, 0.103863, 1e-6);
    near(fit.serial_fraction.low, 0.066749, 1e-6);
    near(fit.serial_fraction.high, 0.140976, 1e-6);
    near(fit.r_squared.unwrap(), 0.988977, 1e-6);
}

#[test]
fn intervals_cover_injected_parameters_at_their_confidence_level() {
    // 95 % of 400 is 380; ± 14 is 3.2 standard deviations. At a bound, one side cannot miss.
    let count = |covers: &dyn Fn(u64) -> bool| (0..400).filter(|seed| covers(*seed)).count();
    for s in [0.01, 0.1, 0.5] {
        let fit = |seed| serial(&noisy(seed, |n| amdahl(s, n))).serial_fraction;
        let covering = count(&|seed| fit(seed).contains(s));
        assert!((366..=394).contains(&covering), "{covering} of 400 cover {s}");
    }
    for (sigma, kappa) in [(0.05, 0.001), (0.1, 0.01), (0.3, 0.02)] {
        let fit = |seed| universal(&noisy(seed, |n| usl(sigma, kappa, n)));
        let contention = count(&|seed| fit(seed).contention.contains(sigma));
        let coherency = count(&|seed| fit(seed).coherency.contains(kappa));
        assert!((366..=394).contains(&contention), "{contention} of 400 cover σ {sigma}");
        assert!((366..=394).contains(&coherency), "{coherency} of 400 cover κ {kappa}");
    }
    let claimed = count(&|seed| universal(&noisy(seed, |n| usl(0.05, 0.0, n))).coherency.low > 0.0);
    assert!(claimed <= 20, "{claimed} of 400 claim a coherency that is not there");
}

#[test]
fn superlinear_speedups_are_held_at_the_bounds() {
    let superlinear = points(&COUNTS, |n| n * (1.0 + 0.1 * n.log2()));
    let interval = serial(&superlinear).serial_fraction;
    assert_eq!((interval.low, interval.estimate), (0.0, 0.0));
    assert!(interval.high > 0.0, "a misfit is not certainty");
    let fit = universal(&superlinear);
    assert_eq!((fit.contention.estimate, fit.coherency.estimate), (0.0, 0.0));
    assert_eq!((fit.contention.low, fit.coherency.low, fit.peak()), (0.0, 0.0, None));
    let slower = serial(&points(&COUNTS, |n| 1.0 / n));
    assert_eq!((slower.serial_fraction.estimate, slower.serial_fraction.high), (1.0, 1.0));
    assert!(slower.r_squared.unwrap() < 0.0, "{slower:?}");
    // Unbounded least squares puts σ below 0 in the first, κ in the second.
    let fit = universal(&points(&COUNTS, |n| n / (1.0 + 0.001 * (n - 1.0) * (n - 1.0))));
    assert_eq!((fit.contention.estimate, fit.peak().is_some()), (0.0, true));
    let fit = universal(&points(&COUNTS, |n| n / (1.0 + 0.1 * (n - 1.0).powf(0.9))));
    assert_eq!((fit.coherency.estimate, fit.peak()), (0.0, None));
    near(fit.contention.estimate, 0.08, 0.01);
}

#[test]
fn retrograde_scaling_peaks_where_injected() {
    for seed in 0..50 {
        let fit = universal(&noisy(seed, |n| usl(0.1, 0.01, n)));
        near(fit.peak().unwrap(), 90.0_f64.sqrt(), 1.0);
    }
    assert_eq!(universal(&points(&COUNTS, |n| usl(1.5, 0.01, n))).peak(), None);
    let (contention, coherency) = (Interval::exact(1.0), Interval::exact(0.01));
    assert_eq!(Usl { contention, coherency, r_squared: None }.peak(), None);
}

#[test]
fn no_fit_says_why() {
    let reasons = |points: &[Point], cores| {
        let amdahl = Amdahl::fit(points, cores).unwrap_err().to_string();
        (amdahl, Usl::fit(points, cores).unwrap_err().to_string())
    };
    let linear = points(&COUNTS, |n| n);
    assert_eq!(
        reasons(&linear, 2).0,
        "no fit: Amdahl's law needs at least 4 thread counts that are not oversubscribed, and \
         there are 2 (this machine has 2 logical cores)"
    );
    assert_eq!(
        reasons(&linear, 1).1,
        "no fit: the Universal Scalability Law needs at least 6 thread counts that are not \
         oversubscribed, and there is 1 (this machine has 1 logical core)"
    );
    assert!(Amdahl::fit(&linear, 7).is_err() && Amdahl::fit(&linear, 8).is_ok());
    assert!(Usl::fit(&linear, 15).is_err() && Usl::fit(&linear, 16).is_ok());
    let twice = points(&[1, 2, 4, 8, 2, 16, 24], |n| n);
    let reason = "no fit: 2 threads were measured more than once".to_owned();
    assert_eq!(reasons(&twice, 32), (reason.clone(), reason));
    for broken in [f64::NAN, f64::INFINITY, 0.0, -1.0] {
        let speedups = points(&COUNTS, |n| if n == 16.0 { broken } else { n });
        let reason = "no fit: the speedup of 16 threads is not a finite positive number";
        assert_eq!(reasons(&speedups, 32), (reason.to_owned(), reason.to_owned()));
        assert!(Amdahl::fit(&speedups, 12).is_ok(), "oversubscribed points are ignored");
    }
    let none = points(&[0, 1, 2, 3, 4, 5, 6], |n| n + 1.0);
    assert_eq!(Usl::fit(&none, 8), Err(NoFit::Unusable(0)));
    let tiny = points(&COUNTS, |_| 1e-300);
    assert_eq!(Amdahl::fit(&tiny, 32), Err(NoFit::NotFinite(Amdahl::RULE.0)));
    assert_eq!(Usl::fit(&tiny, 32), Err(NoFit::NotFinite(Usl::RULE.0)));
}

/// Speedups that no law describes: up and down from one thread count to the next.
fn erratic() -> Vec<Point> {
    points(&COUNTS, |n| if n.log2().floor() % 2.0 == 0.0 { 1.0 } else { 2.5 })
}

#[test]
fn speedups_that_no_law_describes_get_no_parameters() {
    let laws = Laws::of(&erratic(), 32);
    assert!(universal(&erratic()).r_squared.unwrap() < 0.8);
    for failure in [laws.amdahl.unwrap_err(), laws.usl.unwrap_err()] {
        assert!(matches!(failure, NoFit::Poor { r_squared: Some(value), .. } if value < 0.8));
    }
    assert_eq!(laws.predict(8), None);
    let words = laws.in_words();
    assert_eq!(words[0], "no law describes this: a fit needs an R² of at least 0.8");
    assert!(words[1].starts_with("Amdahl's law does not describe this: R² "), "{words:?}");
    assert!(words.iter().all(|words| !words.contains(['σ', 'κ', '…'])), "{words:?}");
    // Five counts are too few for the second law, which is then no answer either.
    let words = Laws::of(&erratic(), 12).in_words();
    assert!(words[0].starts_with("no law describes this") && words[2].contains("at least 6"));
}

#[test]
fn a_law_that_describes_stands_beside_one_that_does_not() {
    // Retrograde scaling, of which Amdahl's law knows nothing.
    let laws = Laws::of(&points(&COUNTS, |n| usl(0.1, 0.02, n)), 32);
    near(laws.usl.as_ref().unwrap().coherency.estimate, 0.02, 1e-9);
    near(laws.predict(8).unwrap(), usl(0.1, 0.02, 8.0), 1e-9);
    let words = laws.in_words();
    assert_eq!(words.len(), 2, "{words:?}");
    assert!(words[0].starts_with("Amdahl's law does not describe this: R² "), "{words:?}");
    assert!(words[1].starts_with("Universal Scalability Law: contention σ 0.100"), "{words:?}");
    let few = Laws::of(&points(&COUNTS, |n| amdahl(0.1, n)), 8);
    near(few.predict(4).unwrap(), amdahl(0.1, 4.0), 1e-9);
    assert!(few.in_words()[1].starts_with("no fit: the Universal Scalability Law needs"));
}

#[test]
fn known_parameters_are_recovered_from_noisy_speedups_and_noise_alone_is_no_law() {
    for seed in 0..50 {
        let laws = Laws::of(&noisy(seed, |n| usl(0.05, 0.001, n)), 32);
        let law = laws.usl.unwrap();
        near(law.contention.estimate, 0.05, 0.02);
        near(law.coherency.estimate, 0.001, 0.001);
        near(
            Amdahl::fit(&noisy(seed, |n| amdahl(0.1, n)), 32).unwrap().serial_fraction.estimate,
            0.1,
            0.01,
        );
        // Speedups of 1 whatever the number of threads, off by up to 2 %.
        let laws = Laws::of(&noisy(seed, |_| 1.0), 32);
        assert!(laws.amdahl.is_err() && laws.usl.is_err(), "{seed}: {laws:?}");
    }
}

#[test]
fn limits_are_stated_only_where_they_are_certain() {
    let words = |estimate, low: f64| {
        let parameter = Interval { low, estimate, high: estimate };
        let amdahl = Amdahl { serial_fraction: parameter, r_squared: None };
        let usl = Usl { contention: parameter, coherency: parameter, r_squared: Some(0.99) };
        (amdahl.to_string(), usl.to_string())
    };
    let (amdahl, usl) = words(0.05, 0.01);
    let serial = "serial fraction 0.0500 (0.0100…0.0500), speedup at most 20.0×; R² undefined";
    assert_eq!(amdahl, serial);
    assert!(usl.ends_with("κ 0.0500 (0.0100…0.0500), peak at about 4.36 threads; R² 0.990"));
    let (amdahl, usl) = words(0.05, 0.0);
    assert!(!amdahl.contains("most") && !usl.contains("peak"), "{amdahl}, {usl}");
}
