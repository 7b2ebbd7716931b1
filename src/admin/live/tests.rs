use tokio::task::yield_now;

use super::*;

fn tick(before: Option<&Tick>) -> Tick {
    let rows = Rows::from([("service/shop".into(), Bytes::from_static(b"{}"))]);
    Tick::after(before, rows, Found::default())
}

/// Ticks, what a viewer is told of them, and which ticks were written.
struct Viewed {
    ticks: watch::Sender<Option<Arc<Tick>>>,
    lines: mpsc::Receiver<Bytes>,
    last: Option<Arc<Tick>>,
}

impl Viewed {
    fn new(left: u64) -> Viewed {
        let (ticks, seen) = watch::channel(None);
        let (lines, read) = mpsc::channel(1);
        tokio::spawn(tell(seen, lines, left, |tick, extent| {
            Some(Bytes::from(format!("{} {extent:?}", tick.number)))
        }));
        Viewed { ticks, lines: read, last: None }
    }

    /// Another look, and all the time a viewer needs to be told of it.
    async fn look(&mut self) {
        let next = Arc::new(tick(self.last.as_deref()));
        self.ticks.send_replace(Some(next.clone()));
        self.last = Some(next);
        for _ in 0..20 {
            yield_now().await;
        }
    }

    async fn read(&mut self) -> String {
        String::from_utf8(self.lines.recv().await.unwrap().to_vec()).unwrap()
    }
}

#[tokio::test]
async fn who_keeps_up_is_told_what_is_different() {
    let mut viewed = Viewed::new(u64::MAX);
    for expected in ["1 Whole", "2 Changes", "3 Changes"] {
        viewed.look().await;
        assert_eq!(viewed.read().await, expected);
    }
}

#[tokio::test]
async fn who_reads_nothing_has_one_line_on_its_way_and_then_the_newest_whole() {
    let mut viewed = Viewed::new(u64::MAX);
    for _ in 0..100 {
        viewed.look().await;
    }
    // The first was written when it came, and nothing after it until there was room.
    assert_eq!(viewed.lines.len(), 1);
    assert_eq!(viewed.read().await, "1 Whole");
    assert_eq!(viewed.read().await, "100 Whole");
    viewed.look().await;
    assert_eq!(viewed.read().await, "101 Changes");
}

#[tokio::test]
async fn it_ends_after_the_lines_that_were_asked_for_and_when_nobody_looks_any_more() {
    let mut viewed = Viewed::new(2);
    for _ in 0..2 {
        viewed.look().await;
        viewed.read().await;
    }
    assert_eq!(viewed.lines.recv().await, None);
    let Viewed { ticks, mut lines, .. } = Viewed::new(u64::MAX);
    drop(ticks);
    assert_eq!(lines.recv().await, None);
}

#[tokio::test]
async fn places_are_half_of_the_connections_and_never_more_than_so_many() {
    assert_eq!([0, 8, 128, 10_000].map(|connections| Live::new(connections).most), [1, 4, 64, 64]);
}
