//! Parts of a document: a subtree without some subtrees inside of it. The supported transforms produce nothing else.

use std::collections::HashSet;

use super::document::{Document, NodeIndex};

/// A part of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NodeSet {
    /// The root of the subtree.
    pub(super) apex: NodeIndex,
    /// Nodes that are left out, each with all its content.
    pub(super) excluded: HashSet<NodeIndex>,
    /// Whether comments are included.
    pub(super) comments: bool,
}

impl NodeSet {
    /// A node with all its content, comments included.
    pub(super) fn whole(apex: NodeIndex) -> Self {
        Self {
            apex,
            excluded: HashSet::new(),
            comments: true,
        }
    }

    /// Whether it is the document without its root element.
    pub(super) fn is_empty(&self, document: &Document<'_>) -> bool {
        self.apex == 0 && self.excluded.contains(&document.root)
    }

    /// The indices of the nodes, in document order.
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
