//! XML as a tree in document order, within limits. Unlike most trees it keeps prefixes and the places of namespace
//! declarations, which canonicalisation needs. `parse` builds it.

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::HashMap;
use std::ops::Deref;
use std::rc::Rc;

use super::elements::{WSU, XML};
use crate::pki::budget::{Budget, Exhausted};

/// Cost of visiting a node.
pub(super) const NODE_NS: u64 = 20;

/// Identifier attributes of SAML 1.1 with their elements (its schemas; core sections 2.3.2, 3.2.1 and 3.4.1).
const SAML_IDENTIFIERS: [(&str, &str, &str); 3] = [
    (
        "urn:oasis:names:tc:SAML:1.0:assertion",
        "Assertion",
        "AssertionID",
    ),
    (
        "urn:oasis:names:tc:SAML:1.0:protocol",
        "Request",
        "RequestID",
    ),
    (
        "urn:oasis:names:tc:SAML:1.0:protocol",
        "Response",
        "ResponseID",
    ),
];

/// A parsed document. Node 0 is the document itself; the other nodes follow in document order, so that a node's
/// descendants are the nodes from it up to its `end`.
pub(super) struct Document<'a> {
    nodes: Vec<Node<'a>>,
    ids: HashMap<String, Target>,
    /// Whether an identifier occurs twice.
    pub(super) duplicate_ids: bool,
    /// The root element; 0 if there is none.
    pub(super) root: NodeIndex,
    /// Whether there are processing instructions outside of the root element.
    pub(super) instructs: bool,
}

/// A namespace name, stored once for each document. Names are compared by address and ordered by rank, because one name
/// may have megabytes and belong to every element.
#[derive(Debug, Clone)]
pub(super) struct Namespace(Rc<Named>);

#[derive(Debug)]
struct Named {
    uri: Box<str>,
    rank: Cell<usize>,
}

impl Deref for Namespace {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0.uri
    }
}

impl PartialEq for Namespace {
    fn eq(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Namespace {}

impl Namespace {
    /// A number that is unique to the name within the document.
    pub(super) fn id(&self) -> usize {
        Rc::as_ptr(&self.0).addr()
    }

    /// The position of the name in the sorted names of the document.
    pub(super) fn rank(&self) -> usize {
        self.0.rank.get()
    }
}

/// The namespace names of a document, each stored once.
#[derive(Default)]
pub(super) struct Namespaces(HashMap<Box<str>, Namespace>);

impl Namespaces {
    /// Returns the stored name for this URI, adding it if it is new.
    pub(super) fn named(&mut self, uri: &str) -> Namespace {
        if let Some(known) = self.0.get(uri) {
            return known.clone();
        }
        let new = Namespace(Rc::new(Named {
            uri: uri.into(),
            rank: Cell::default(),
        }));
        self.0.insert(uri.into(), new.clone());
        new
    }

    /// Sets the rank of each name. Call it when all names are known.
    pub(super) fn rank(&self) {
        let mut all: Vec<_> = self.0.values().collect();
        all.sort_by_key(|namespace| &namespace.0.uri);
        for (rank, namespace) in all.into_iter().enumerate() {
            namespace.0.rank.set(rank);
        }
    }
}

/// Position of a node.
pub(super) type NodeIndex = usize;

/// The target of an identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    /// This element.
    One(NodeIndex),
    /// Several elements have the identifier: a reader that looks it up may find another element than the signed one.
    Several,
}

/// One node.
pub(super) struct Node<'a> {
    /// The element or document that contains the node.
    pub(super) parent: NodeIndex,
    /// One past the last descendant.
    pub(super) end: NodeIndex,
    /// The kind of node.
    pub(super) kind: Kind<'a>,
}

/// The kinds of nodes.
pub(super) enum Kind<'a> {
    /// The document.
    Root,
    /// An element.
    Element(Element<'a>),
    /// Character data with references resolved.
    Text(Cow<'a, str>),
    /// A comment.
    Comment(&'a str),
    /// A processing instruction: target and content.
    Instruction(&'a str, Option<&'a str>),
}

/// An element.
pub(super) struct Element<'a> {
    /// The prefix; empty if there is none.
    pub(super) prefix: &'a str,
    /// The local name.
    pub(super) local: &'a str,
    /// The namespace; empty if there is none.
    pub(super) namespace: Namespace,
    /// The attributes, without namespace declarations.
    pub(super) attributes: Vec<Attribute<'a>>,
    /// The namespaces that the element declares: prefix (empty for the default) and URI.
    pub(super) declarations: Vec<(&'a str, Namespace)>,
}

/// An attribute.
pub(super) struct Attribute<'a> {
    /// The prefix; empty if there is none.
    pub(super) prefix: &'a str,
    /// The local name.
    pub(super) local: &'a str,
    /// The namespace; empty if there is none.
    pub(super) namespace: Namespace,
    /// The normalised value (XML 1.0 section 3.3.3).
    pub(super) value: Cow<'a, str>,
}

impl<'a> Document<'a> {
    /// Builds a document from nodes in document order whose `end` is set.
    pub(super) fn new(nodes: Vec<Node<'a>>) -> Self {
        let mut document = Self {
            nodes,
            ids: HashMap::new(),
            duplicate_ids: false,
            root: 0,
            instructs: false,
        };
        let is_instruction =
            |child: NodeIndex| matches!(document.nodes[child].kind, Kind::Instruction(..));
        let instructs = document.children(0).any(is_instruction);
        document.instructs = instructs;
        let root = document
            .children(0)
            .find(|&child| document.element(child).is_some());
        document.root = root.unwrap_or(0);
        for index in 0..document.nodes.len() {
            document.note_identifiers(index);
        }
        document
    }

    /// Notes the identifiers of an element. Without a schema, the five usual attributes and those of SAML 1.1 count as
    /// identifiers. Two of them with the same value on one element are no duplicate.
    fn note_identifiers(&mut self, index: NodeIndex) {
        let Kind::Element(element) = &self.nodes[index].kind else {
            return;
        };
        for attribute in &element.attributes {
            let identifies = matches!(
                (&*attribute.namespace, attribute.local),
                ("", "Id" | "ID" | "id") | (XML, "id") | (WSU, "Id")
            ) || attribute.namespace.is_empty()
                && SAML_IDENTIFIERS
                    .iter()
                    .any(|&(namespace, local, identifier)| {
                        attribute.local == identifier && element.is(namespace, local)
                    });
            if !identifies {
                continue;
            }
            let target = self
                .ids
                .entry(attribute.value.to_string())
                .or_insert(Target::One(index));
            if *target != Target::One(index) {
                *target = Target::Several;
                self.duplicate_ids = true;
            }
        }
    }

    /// All nodes, in document order.
    pub(super) fn nodes(&self) -> &[Node<'a>] {
        &self.nodes
    }

    /// The element at this node, if it is one.
    pub(super) fn element(&self, index: NodeIndex) -> Option<&Element<'a>> {
        match &self.nodes.get(index)?.kind {
            Kind::Element(element) => Some(element),
            _ => None,
        }
    }

    /// The node's children.
    pub(super) fn children(&self, parent: NodeIndex) -> impl Iterator<Item = NodeIndex> + '_ {
        let end = self.nodes[parent].end;
        let mut next = parent + 1;
        std::iter::from_fn(move || {
            let child = next;
            (child < end).then(|| {
                next = self.nodes[child].end;
                child
            })
        })
    }

    /// The node's ancestors, nearest first, with the document last.
    pub(super) fn ancestors(&self, index: NodeIndex) -> impl Iterator<Item = NodeIndex> + '_ {
        let mut next = index;
        std::iter::from_fn(move || {
            (next != 0).then(|| {
                next = self.nodes[next].parent;
                next
            })
        })
    }

    /// Whether non-blank text follows a node directly, in the same element. Each `CDATA` section is a text node of its
    /// own.
    pub(super) fn precedes_text(&self, index: NodeIndex) -> bool {
        let node = &self.nodes[index];
        let mut following = self.nodes[node.end..]
            .iter()
            .take_while(|next| next.parent == node.parent && matches!(next.kind, Kind::Text(_)));
        following.any(Node::is_text)
    }

    /// Whether non-blank text comes before a node in the same element, with no element between them.
    pub(super) fn follows_text(&self, index: NodeIndex) -> bool {
        let parent = self.nodes[index].parent;
        let before = self.nodes[..index].iter().rev();
        let mut before =
            before.take_while(|it| it.parent == parent && !matches!(it.kind, Kind::Element(_)));
        before.any(Node::is_text)
    }

    /// Whether the second node is the first one or one of its descendants.
    pub(super) fn contains(&self, outer: NodeIndex, inner: NodeIndex) -> bool {
        (outer..self.nodes[outer].end).contains(&inner)
    }

    /// The child elements with this name.
    pub(super) fn named<'s>(
        &'s self,
        parent: NodeIndex,
        namespace: &'s str,
        local: &'s str,
    ) -> impl Iterator<Item = NodeIndex> + 's {
        self.children(parent).filter(move |&child| {
            self.element(child)
                .is_some_and(|element| element.is(namespace, local))
        })
    }

    /// The only child with this name; `None` if there is none or more than one.
    pub(super) fn only(
        &self,
        parent: NodeIndex,
        namespace: &str,
        local: &str,
    ) -> Option<NodeIndex> {
        let mut found = self.named(parent, namespace, local);
        found.next().filter(|_| found.next().is_none())
    }

    /// The value of an element's attribute that has no namespace.
    pub(super) fn attribute(&self, index: NodeIndex, local: &str) -> Option<&str> {
        self.element(index)?.attribute(local)
    }

    /// All text inside a node. For nested nodes, the inner text is read and charged again for each.
    pub(super) fn string(&self, index: NodeIndex, budget: &Budget) -> Result<String, Exhausted> {
        /// Cost of copying an octet and decoding it later.
        const OCTET_NS: u64 = 4;
        let mut string = String::new();
        for node in &self.nodes[index..self.nodes[index].end] {
            budget.spend(NODE_NS)?;
            if let Kind::Text(text) = &node.kind {
                budget.spend_each(text.len(), OCTET_NS)?;
                string.push_str(text);
            }
        }
        Ok(string)
    }

    /// The namespace of a prefix at an element.
    pub(super) fn namespace(&self, index: NodeIndex, prefix: &str) -> Option<&str> {
        std::iter::once(index)
            .chain(self.ancestors(index))
            .filter_map(|node| self.element(node))
            .flat_map(|element| &element.declarations)
            .find(|(declared, _)| *declared == prefix)
            .map(|(_, uri)| &**uri)
    }

    /// The target of this identifier.
    pub(super) fn target(&self, id: &str) -> Option<Target> {
        self.ids.get(id).copied()
    }
}

impl Node<'_> {
    /// Whether this is non-blank text.
    fn is_text(&self) -> bool {
        matches!(&self.kind, Kind::Text(text) if !text.trim_ascii().is_empty())
    }
}

impl Element<'_> {
    /// The value of an attribute that has no namespace.
    pub(super) fn attribute(&self, local: &str) -> Option<&str> {
        self.attributes
            .iter()
            .find(|attribute| attribute.namespace.is_empty() && attribute.local == local)
            .map(|attribute| attribute.value.as_ref())
    }

    /// Whether the element has this name.
    pub(super) fn is(&self, namespace: &str, local: &str) -> bool {
        self.local == local && *self.namespace == *namespace
    }
}
