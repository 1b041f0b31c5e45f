//! A bar for what is still to be done, on a terminal that nothing else is written to.

use std::io::IsTerminal as _;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::queue::State;

/// How many events make a daemon one that catches up.
const BEHIND: u64 = 500;

/// How far lanes are with what waits for them.
pub(super) struct CatchUp {
    bar: Option<ProgressBar>,
    /// The most that there was to do, since there was nothing.
    most: u64,
    target: fn() -> ProgressDrawTarget,
}

impl CatchUp {
    /// Draws on standard error, where that is a terminal and the log's records go elsewhere.
    pub(super) fn new(records_on_stdout: bool) -> CatchUp {
        let mixed = records_on_stdout && std::io::stdout().is_terminal();
        CatchUp {
            bar: None,
            most: 0,
            target: if mixed { ProgressDrawTarget::hidden } else { ProgressDrawTarget::stderr },
        }
    }

    /// Shows how far it is: how many events the lane that is furthest behind has before it, lanes that have
    /// stopped or are paused left out, and `ahead` that the site has still. Returns how many events of lanes
    /// are left.
    pub(super) fn show(&mut self, state: &State, ahead: u64) -> u64 {
        let open = state.lanes.iter().filter(|lane| lane.open && !lane.parked && !lane.paused);
        let waiting: Vec<u64> = open.map(|lane| lane.waiting).collect();
        let left = ahead + waiting.iter().max().copied().unwrap_or(0);
        self.most = self.most.max(left);
        if left == 0 {
            self.most = 0;
            if let Some(bar) = self.bar.take() {
                bar.finish_and_clear();
            }
        } else if self.bar.is_some() || left >= BEHIND {
            let target = self.target;
            let bar = self.bar.get_or_insert_with(|| bar(target()));
            bar.set_length(self.most);
            bar.set_position(self.most - left);
        }
        waiting.iter().sum()
    }

    /// How much is done and how much there is, while there is a bar.
    #[cfg(test)]
    fn shown(&self) -> Option<(u64, u64)> {
        self.bar.as_ref().map(|bar| (bar.position(), bar.length().unwrap_or_default()))
    }
}

fn bar(target: ProgressDrawTarget) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, target).with_message("catching up");
    match ProgressStyle::with_template("{msg} {wide_bar} {human_pos}/{human_len} events, {eta} left") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::queue::{LaneName, LaneState};

    fn state(waiting: &[(u64, bool)]) -> State {
        let lane = |(waiting, parked): &(u64, bool)| LaneState {
            name: LaneName(Arc::from("shotgun:/a.py")),
            site: Arc::from("shotgun"),
            project: None,
            waiting: *waiting,
            head: None,
            head_created: None,
            attempts: 0,
            parked: *parked,
            paused: false,
            retry_in_ms: None,
            failure: None,
            last_id: 0,
            undone: Vec::new(),
            open: true,
        };
        State { lanes: waiting.iter().map(lane).collect(), ..State::default() }
    }

    #[test]
    fn there_is_a_bar_from_when_much_waits_until_nothing_does() {
        let mut progress = CatchUp::new(false);
        assert_eq!((progress.show(&state(&[(20, false)]), 0), progress.shown()), (20, None));
        // One that has stopped will not catch up.
        assert_eq!(
            (progress.show(&state(&[(600, false), (9000, true)]), 0), progress.shown()),
            (600, Some((0, 600)))
        );
        assert_eq!((progress.show(&state(&[(100, false)]), 0), progress.shown()), (100, Some((500, 600))));
        assert_eq!((progress.show(&state(&[(0, false)]), 0), progress.shown()), (0, None));
        assert_eq!((progress.show(&state(&[(20, false)]), 0), progress.shown()), (20, None));
    }

    #[test]
    fn what_the_site_has_still_is_there_to_be_done_and_the_lane_furthest_behind_counts() {
        let mut progress = CatchUp::new(false);
        let lanes = state(&[(20, false), (30, false)]);
        assert_eq!((progress.show(&lanes, 5000), progress.shown()), (50, Some((0, 5030))));
        assert_eq!((progress.show(&lanes, 970), progress.shown()), (50, Some((4030, 5030))));
        assert_eq!((progress.show(&state(&[]), 0), progress.shown()), (0, None));
    }
}
