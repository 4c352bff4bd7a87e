//! Parts of a document: a subtree less some subtrees inside of it, which is all that the supported transforms make.

use std::collections::HashSet;

use super::document::{Document, NodeIndex};

/// Part of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NodeSet {
    /// The node that it is the subtree of.
    pub(super) apex: NodeIndex,
    /// Nodes that it has not, nor anything inside of them.
    pub(super) excluded: HashSet<NodeIndex>,
    /// Whether it has comments.
    pub(super) comments: bool,
}

impl NodeSet {
    /// A node with all that is inside, comments too.
    pub(super) fn whole(apex: NodeIndex) -> Self {
        Self {
            apex,
            excluded: HashSet::new(),
            comments: true,
        }
    }

    /// Whether it is a document without its root.
    pub(super) fn is_empty(&self, document: &Document<'_>) -> bool {
        self.apex == 0 && self.excluded.contains(&document.root)
    }

    /// The node indices in it, in document order.
    pub(super) fn iter<'s>(
        &'s self,
        document: &'s Document<'_>,
    ) -> impl Iterator<Item = NodeIndex> {
        let end = document.nodes()[self.apex].end;
        let mut next = self.apex;
        std::iter::from_fn(move || {
            while next < end && self.excluded.contains(&next) {
                next = document.nodes()[next].end;
            }
            let node = next;
            next += 1;
            (node < end).then_some(node)
        })
    }
}
