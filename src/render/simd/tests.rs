//! Every set of instructions held bit by bit against the scalar definition.

use proptest::prelude::*;

use super::*;

fn sets() -> Vec<Set> {
    let mut sets = vec![Set::Scalar];
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("sse4.1") {
            sets.push(Set::Sse41);
        }
        if is_x86_feature_detected!("avx2") {
            sets.push(Set::Avx2);
        }
    }
    sets
}

fn supports() -> impl Strategy<Value = Support> {
    prop_oneof![Just(Support::Two), Just(Support::Four)]
}

/// Bytes with as many fully opaque and fully clear ones as others.
fn bytes(count: usize) -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![2 => any::<u8>(), 1 => Just(0u8), 1 => Just(255u8)];
    proptest::collection::vec(byte, count)
}

#[test]
fn weights_add_up() {
    for support in [Support::Two, Support::Four] {
        for at in 0..=1000 {
            let fixed = weights(support, f64::from(at) / 1000.0);
            assert_eq!(fixed.iter().map(|&w| i32::from(w)).sum::<i32>(), 1 << WEIGHT_BITS);
        }
        assert_eq!(phases(support).len(), 1024);
    }
    assert_eq!(weights(Support::Two, 0.25), [12288, 4096, 0, 0]);
    assert_eq!(weights(Support::Four, 0.5), [-2048, 10240, 10240, -2048]);
    assert_eq!(weights(Support::Four, 0.0), [0, 16384, 0, 0]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn horizontal_is_the_same_in_all_sets(
        support in supports(),
        line in bytes(40 * 4),
        unaligned in 0usize..4,
        places in proptest::collection::vec((0u32..30, 0.0f64..1.0), 0..70),
    ) {
        let taps: Vec<Tap> = places
            .iter()
            .map(|&(first, t)| Tap { first, weights: weights(support, t) })
            .collect();
        let taps = Taps::new(support, taps);
        // The line ends just where the last tap does.
        let line = &line[unaligned..unaligned + taps.reach() * 4];
        let results = sets().into_iter().map(|set| {
            let mut out = vec![-1i16; taps.len() * 4 + 1];
            horizontal_with(set, line, &taps, &mut out[1..]);
            out
        });
        let results: Vec<_> = results.collect();
        prop_assert!(results.windows(2).all(|pair| pair[0] == pair[1]));
    }

    #[test]
    fn vertical_is_the_same_in_all_sets(
        support in supports(),
        values in proptest::collection::vec(-4096i16..20416, 4 * 4 * 40),
        width in 0usize..39,
        unaligned in 0usize..4,
        t in 0.0f64..1.0,
    ) {
        let lines: [&[i16]; 4] = std::array::from_fn(|at| &values[at * 160 + unaligned..][..width * 4]);
        let results = sets().into_iter().map(|set| {
            let mut out = vec![7u8; width * 4 + unaligned];
            vertical_with(set, support, lines, weights(support, t), &mut out[unaligned..]);
            out
        });
        let results: Vec<_> = results.collect();
        prop_assert!(results.windows(2).all(|pair| pair[0] == pair[1]));
    }

    #[test]
    fn sampling_is_the_same_in_all_sets(
        support in supports(),
        pixels in bytes(12 * 9 * 4),
        ends in ((1.0f64..9.0, 1.0f64..6.0), (1.0f64..9.0, 1.0f64..6.0)),
        count in 0usize..40,
    ) {
        let window = Window { width: 12, height: 9, pixels };
        let fixed = |v: f64| (v * (1i64 << POSITION_BITS) as f64) as i64;
        let ((x0, y0), (x1, y1)) = ends;
        let steps = count.max(2) as f64 - 1.0;
        let run = Run {
            x: fixed(x0),
            y: fixed(y0),
            step_x: fixed((x1 - x0) / steps),
            step_y: fixed((y1 - y0) / steps),
            count,
        };
        let results = sets().into_iter().map(|set| {
            let mut out = vec![7u8; count * 4 + 1];
            sample_with(set, &window, support, &run, &mut out[1..]);
            out
        });
        let results: Vec<_> = results.collect();
        prop_assert!(results.windows(2).all(|pair| pair[0] == pair[1]));
    }

    #[test]
    fn colours_are_the_same_in_all_sets(
        below in bytes(37 * 4),
        above in bytes(37 * 4),
        from in 0usize..8,
        to in 8usize..=37,
        fade in any::<u8>(),
        ground in any::<[u8; 4]>(),
    ) {
        let range = from * 4..to * 4;
        let each = |ours: &dyn Fn(&mut [u8]), definition: &dyn Fn(&mut [u8])| {
            let (mut a, mut b) = (above[range.clone()].to_vec(), above[range.clone()].to_vec());
            ours(&mut a);
            definition(&mut b);
            assert_eq!(a, b);
        };
        each(&premultiply, &scalar::premultiply);
        each(&unpremultiply, &scalar::unpremultiply);
        each(&|p| flatten(p, ground), &|p| scalar::flatten(p, ground));
        for fade in [fade, 255] {
            let below = &below[range.clone()];
            each(&|p| over_opaque(p, below, fade), &|p| scalar::over_opaque(p, below, fade));
        }
    }
}

/// Every product and every quotient there can be.
#[test]
fn every_colour_at_every_alpha() {
    let mut all = Vec::with_capacity(65536 * 4);
    for alpha in 0..=255u8 {
        for value in 0..=255u8 {
            all.extend([value, 255 - value, value / 2, alpha]);
        }
    }
    let (mut a, mut b) = (all.clone(), all.clone());
    premultiply(&mut a);
    scalar::premultiply(&mut b);
    assert_eq!(a, b);
    let (mut a, mut b) = (all.clone(), all);
    unpremultiply(&mut a);
    scalar::unpremultiply(&mut b);
    assert_eq!(a, b);
}

#[test]
#[should_panic(expected = "run.fits")]
fn a_run_past_the_window_is_refused() {
    let window = Window { width: 4, height: 4, pixels: vec![0; 64] };
    let one = 1i64 << POSITION_BITS;
    let run = Run { x: one, y: one, step_x: one, step_y: 0, count: 2 };
    sample(&window, Support::Four, &run, &mut [0; 8]);
}
