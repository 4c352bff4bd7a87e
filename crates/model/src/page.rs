//! Pages of lists.

/// A page of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T, P> {
    /// Its items.
    pub items: Vec<T>,
    /// The place after which the next page begins; none on the last page.
    pub next: Option<P>,
}

impl<T, P> Page<T, P> {
    /// The first `limit` of these items. If there are more, the next page begins after the last one of them, whose place
    /// is given by `place`.
    pub fn cut(mut items: Vec<T>, limit: usize, place: impl FnOnce(&T) -> P) -> Self {
        let more = items.len() > limit;
        items.truncate(limit);
        let next = items.last().filter(|_| more).map(place);
        Self { items, next }
    }
}

#[cfg(test)]
mod tests {
    use super::Page;

    #[test]
    fn a_page_has_a_next_one_only_if_there_is_more() {
        let cut = |count: u32| Page::cut((0..count).collect(), 3, |last| last * 10);
        assert_eq!(cut(0).next, None);
        assert_eq!(cut(3).next, None);
        let cut = cut(4);
        assert_eq!((cut.items.len(), cut.next), (3, Some(20)));
    }
}
