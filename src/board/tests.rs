//! The board: slots that share nothing, totals that outlive workers.

use super::*;

#[test]
fn slots_do_not_share_cache_lines() {
    assert_eq!(size_of::<Slot>() % 64, 0);
    assert_eq!(align_of::<Slot>(), 64);
    assert_eq!(std::mem::offset_of!(Table, slots) % 64, 0);
}

#[test]
fn folding_keeps_totals_and_frees_the_slot() {
    let board = Board::new(1).expect("board");
    let first = board.claim(1, 5).expect("slot");
    let second = board.claim(1, 5).expect("slot");
    assert_ne!(first, second);
    board.set_pid(first, 77);
    let slot = board.slot(first);
    slot.set_state(State::Serving);
    slot.set_connections(3);
    slot.mark_busy(1, "GET /b", 1000);
    slot.mark_busy(THREADS_MAX + 1, "GET /a", 1);
    let roads = board.place_layer("roads");
    let series = |class| Series { service: Service::Wms, layer: roads, class, cache: CacheState::Hit };
    let places = [board.place_series(series(2)), board.place_series(series(4))];
    slot.counters.count_request(places[0], Service::Wms, 10);
    slot.counters.count_request(places[1], Service::Wms, 1_000_000_000_000);
    let source = board.place_source("wms");
    slot.counters.source(source).expect("its counters").count(Outcome::Timeout, 5);
    slot.counters.count(Event::BytesSent, 4096);
    board.slot(second).counters.count(Event::BytesSent, 4);
    assert_eq!(
        slot.busy_threads().collect::<Vec<_>>(),
        [BusyThread { thread: 1, since_ms: 1000, fingerprint: fingerprint("GET /b") }]
    );

    let bytes = |counters: &Counters| counters.events(Event::BytesSent);
    assert_eq!(board.total(bytes), 4100);
    board.fold(first);
    assert_eq!(board.total(bytes), 4100);
    assert_eq!((board.requests(Service::Wms, 4), board.requests(Service::Tms, 4)), (1, 0));
    assert_eq!(board.total(|c| c.latency(Service::Wms).bucket(LATENCY_BUCKETS - 1)), 1);
    assert_eq!(board.total(|c| c.source(source).map_or(0, |s| s.outcome(Outcome::Timeout))), 1);
    assert_eq!(slot.counters.series(places[0]), 0);
    let names: Vec<_> = board.series().map(|(_, s)| (board.layer_name(s.layer), s.class)).collect();
    assert_eq!(names, [("roads".to_owned(), 2), ("roads".to_owned(), 4)]);
    assert_eq!(slot.state(), State::Free);
    assert_eq!((slot.pid(), slot.connections()), (0, 0));
    assert_eq!(slot.busy_threads().count(), 0);
    assert_eq!(board.live_slots().map(|(n, _)| n).collect::<Vec<_>>(), [second]);
    assert_eq!(board.claim(2, 6), Some(first));
    assert_eq!(slot.generation(), 2);
}

#[test]
fn wishes_and_culprits_end_with_their_worker() {
    let board = Board::new(1).expect("board");
    let number = board.claim(1, 5).expect("slot");
    let slot = board.slot(number);
    assert_eq!((slot.wish(), slot.culprit()), (None, None));
    slot.set_wish(Wish::Memory);
    slot.mark_busy(LOOP, "GET /7", 3);
    slot.mark_busy(2, "GET /8", 3);
    assert_eq!(slot.wish(), Some(Wish::Memory));
    slot.culprit_word().store(LOOP as u64 + 1, Relaxed);
    assert_eq!(slot.culprit(), Some(LOOP));
    board.fold(number);
    assert_eq!(board.claim(2, 6), Some(number));
    assert_eq!((slot.wish(), slot.culprit()), (None, None));
}

#[test]
fn lines_are_kept_as_far_as_there_is_room() {
    let board = Board::new(1).expect("board");
    let slot = board.slot(board.claim(1, 5).expect("slot"));
    let long = "GET /".to_owned() + &"x".repeat(500);
    for line in [&long, "GET /12345678", "GET /123", "", "G"] {
        slot.mark_busy(0, line, 1);
        assert_eq!(slot.line(0), line[..line.len().min(8 * LINE_WORDS)]);
    }
    assert_eq!(slot.line(THREADS_MAX + 1), "");
}

#[test]
fn a_quarantine_ends_and_is_bounded() {
    let board = Board::new(1).expect("board");
    assert!(!board.has_quarantine(0));
    board.quarantine(5, 1_000);
    assert!(board.has_quarantine(999) && !board.has_quarantine(1_000));
    assert_eq!(board.quarantine_left_ms(5, 400), Some(600));
    assert_eq!((board.quarantine_left_ms(5, 1_000), board.quarantine_left_ms(6, 0)), (None, None));
    board.quarantine(5, 2_000);
    assert_eq!(board.quarantine_left_ms(5, 1_000), Some(1_000));
    for other in 0..QUARANTINE_MAX as u64 {
        board.quarantine(100 + other, 3_000 + other);
    }
    assert_eq!(board.quarantine_left_ms(5, 1_000), None, "the first to end made room");
    assert_eq!(board.quarantine_left_ms(100, 1_000), Some(2_000));
}

#[test]
fn slots_run_out() {
    let board = Board::new(1).expect("board");
    for _ in 0..SLOTS_MAX {
        assert!(board.claim(1, 1).is_some());
    }
    assert_eq!(board.claim(1, 1), None);
}

#[test]
fn more_layers_than_there_is_room_for_are_counted_together() {
    let board = Board::new(1).expect("board");
    let slot = board.slot(board.claim(1, 1).expect("slot"));
    for number in 0..2 * LAYERS_MAX {
        let layer = board.place_layer(&format!("layer-{number}"));
        for class in 1..=5 {
            for cache in [CacheState::Hit, CacheState::Miss] {
                let series = Series { service: Service::Wmts, layer, class, cache };
                slot.counters.count_request(board.place_series(series), Service::Wmts, 1);
            }
        }
    }
    let all: u64 = (1..=5).map(|class| board.requests(Service::Wmts, class)).sum();
    assert_eq!(all, 2 * LAYERS_MAX as u64 * 10);
    let other = board.place_layer(LAYER_OTHER);
    let others = board.series().filter(|(_, series)| series.layer == other);
    assert!(others.map(|(place, _)| slot.counters.series(place)).sum::<u64>() > LAYERS_MAX as u64);
}

#[test]
fn the_last_reload_is_told_in_full_lines() {
    let board = Board::new(1).expect("board");
    assert_eq!(board.last_reload(), None);
    let mut report = ReloadReport {
        unix_s: 7,
        is_done: false,
        message: "refused".into(),
        errors: vec!["a.yaml:1: ärger".into(), "b".into()],
        warnings: vec!["W".into()],
    };
    board.report_reload(&report);
    assert_eq!(board.last_reload().as_ref(), Some(&report));
    report.is_done = true;
    report.errors = vec!["ä".repeat(10_000)];
    board.report_reload(&report);
    let read = board.last_reload().expect("a report");
    assert!(read.is_done && read.errors[0].len() <= 4096 && report.errors[0].starts_with(&read.errors[0]));
}

#[test]
fn latency_buckets_are_powers_of_two() {
    let table = [(0, 0), (64, 0), (65, 1), (128, 1), (129, 2), (64 << 10, 10), (u64::MAX, 23)];
    for (duration_us, bucket) in table {
        assert_eq!(counters::latency_bucket(duration_us), bucket, "{duration_us}");
        let end_s = counters::bucket_end_s(bucket).unwrap_or(f64::INFINITY);
        assert!(duration_us as f64 / 1e6 <= end_s, "{duration_us}");
    }
}
