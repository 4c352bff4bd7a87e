//! Up to where the queue is known to be empty for ever.
//!
//! Rows become visible when their transactions commit, in any order, so an id that was not found may still appear. A pass
//! over the whole queue would find it, but gets slow: deleted rows stay in the index for as long as anything in the
//! database, such as a dump, might still see them.
//!
//! Whoever adds a row has a transaction id before it draws the row's. So once every transaction with an id below that of
//! a pass has ended, nothing can appear any more up to the id that was last drawn when the pass began. The next pass then
//! finds what did, and those after it need not look there.

/// The mark, as seen by one sequencer.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct LowMark {
    /// Nothing up to this id is in the queue, or will be.
    low: i64,
    /// A later mark, for when it is sure that nothing more appears up to it.
    next: Option<Drawn>,
}

/// The state of the queue at the beginning of a pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drawn {
    /// The id that was last drawn.
    pub id: i64,
    /// The transaction id of the pass, which it got afterwards.
    pub transaction: i64,
}

impl LowMark {
    /// The id after which a pass looks.
    pub fn low(&self) -> i64 {
        self.low
    }

    /// Takes note of a pass that was committed. `ended` is the transaction id below which all had ended when it began.
    /// With `is_full`, it took as many rows as it may, so that others may be left.
    pub fn passed(&mut self, ended: i64, drawn: Option<Drawn>, is_full: bool) {
        if is_full {
            return;
        }
        if let Some(next) = self.next.filter(|next| next.transaction < ended) {
            self.low = self.low.max(next.id);
            self.next = None;
        }
        self.next = self.next.or(drawn);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mark_moves_one_pass_after_all_earlier_transactions_have_ended() {
        let drawn = |id, transaction| Some(Drawn { id, transaction });
        let mut mark = LowMark::default();
        mark.passed(90, drawn(10, 100), false);
        assert_eq!(mark.low(), 0);
        // A transaction from before is still running.
        mark.passed(95, drawn(20, 110), false);
        assert_eq!(mark.low(), 0);
        // A full pass leaves rows, whatever has ended.
        mark.passed(200, drawn(30, 120), true);
        assert_eq!(mark.low(), 0);
        mark.passed(200, drawn(30, 130), false);
        assert_eq!(mark.low(), 10);
        mark.passed(131, None, false);
        assert_eq!(mark.low(), 30);
        // A mark is never taken by the pass that saw it.
        mark.passed(500, drawn(40, 400), false);
        assert_eq!(mark.low(), 30);
    }
}
