//! XML as a tree in document order, within bounds. It knows what canonicalisation needs and most trees forget: prefixes,
//! and where namespaces are declared.
//! `parse` makes it.

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::HashMap;
use std::ops::Deref;
use std::rc::Rc;

use super::elements::{WSU, XML};
use crate::pki::work::{Exhausted, Work};

/// What it costs to pass a node.
pub(super) const NODE_NS: u64 = 20;

/// Elements of SAML 1.1 with their identifiers (its schemas, sections 2.3.2, 3.2.1 and 3.4.1 of its core).
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

/// A parsed document. Node 0 is the document itself; the others follow in document order, so that a node's
/// descendants are the nodes from it up to its `end`.
pub(super) struct Document<'a> {
    nodes: Vec<Node<'a>>,
    ids: HashMap<String, Target>,
    /// Whether any identifier occurs twice.
    pub(super) duplicate_ids: bool,
    /// The outermost element; 0 where there is none.
    pub(super) root: NodeIndex,
    /// Whether there are processing instructions around it.
    pub(super) instructs: bool,
}

/// A namespace's name. Those of one document are told apart by where they are, and ordered by their rank, since a name may have
/// megabytes and belong to everything in it.
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
    /// Another one for each of the document.
    pub(super) fn id(&self) -> usize {
        Rc::as_ptr(&self.0).addr()
    }

    /// Its place among all of the document, by name.
    pub(super) fn rank(&self) -> usize {
        self.0.rank.get()
    }
}

/// The namespaces of a document, each once.
#[derive(Default)]
pub(super) struct Namespaces(HashMap<Box<str>, Namespace>);

impl Namespaces {
    /// The one of this name.
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

    /// Ranks them, when all are known.
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

/// What an identifier leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    /// This element.
    One(NodeIndex),
    /// Several elements: whoever reads it by identifier may see another one than what was signed.
    Several,
}

/// One node.
pub(super) struct Node<'a> {
    /// The element or document that it is in.
    pub(super) parent: NodeIndex,
    /// One past its last descendant.
    pub(super) end: NodeIndex,
    /// What it is.
    pub(super) kind: Kind<'a>,
}

/// What a node is.
pub(super) enum Kind<'a> {
    /// The document.
    Root,
    /// An element.
    Element(Element<'a>),
    /// Character data, without references.
    Text(Cow<'a, str>),
    /// A comment.
    Comment(&'a str),
    /// A processing instruction's target and content.
    Instruction(&'a str, Option<&'a str>),
}

/// An element.
pub(super) struct Element<'a> {
    /// Its prefix; empty for none.
    pub(super) prefix: &'a str,
    /// Its local name.
    pub(super) local: &'a str,
    /// Its namespace; empty for none.
    pub(super) namespace: Namespace,
    /// Its attributes, without namespace declarations.
    pub(super) attributes: Vec<Attribute<'a>>,
    /// The namespaces that it declares: prefix (empty for the default) and URI.
    pub(super) declarations: Vec<(&'a str, Namespace)>,
}

/// An attribute.
pub(super) struct Attribute<'a> {
    /// Its prefix; empty for none.
    pub(super) prefix: &'a str,
    /// Its local name.
    pub(super) local: &'a str,
    /// Its namespace; empty for none.
    pub(super) namespace: Namespace,
    /// Its normalised value (XML 1.0 section 3.3.3).
    pub(super) value: Cow<'a, str>,
}

impl<'a> Document<'a> {
    /// Of nodes in document order that end where they should.
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

    /// Without a schema there is no telling which attributes are identifiers, so the usual five are, and those of SAML 1.1. Two of
    /// them with one value on the same element are no duplicate.
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

    /// Whether text that is more than blanks comes next after a node, in the same element. Sections of `CDATA` are texts of their own.
    pub(super) fn precedes_text(&self, index: NodeIndex) -> bool {
        let node = &self.nodes[index];
        let mut following = self.nodes[node.end..]
            .iter()
            .take_while(|next| next.parent == node.parent && matches!(next.kind, Kind::Text(_)));
        following.any(Node::is_text)
    }

    /// Whether text that is more than blanks comes before a node in the same element, with no other element between them.
    pub(super) fn follows_text(&self, index: NodeIndex) -> bool {
        let parent = self.nodes[index].parent;
        let before = self.nodes[..index].iter().rev();
        let mut before =
            before.take_while(|it| it.parent == parent && !matches!(it.kind, Kind::Element(_)));
        before.any(Node::is_text)
    }

    /// Whether the second node is the first or inside of it.
    pub(super) fn contains(&self, outer: NodeIndex, inner: NodeIndex) -> bool {
        (outer..self.nodes[outer].end).contains(&inner)
    }

    /// The children that are elements of this name.
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

    /// The one child of this name; `None` also where there are several.
    pub(super) fn only(
        &self,
        parent: NodeIndex,
        namespace: &str,
        local: &str,
    ) -> Option<NodeIndex> {
        let mut found = self.named(parent, namespace, local);
        found.next().filter(|_| found.next().is_none())
    }

    /// The value of an element's attribute without namespace.
    pub(super) fn attribute(&self, index: NodeIndex, local: &str) -> Option<&str> {
        self.element(index)?.attribute(local)
    }

    /// All text inside of a node. What is inside of several such nodes is looked at for each.
    pub(super) fn string(&self, index: NodeIndex, work: &Work) -> Result<String, Exhausted> {
        /// What it costs to copy and later decode an octet.
        const OCTET_NS: u64 = 4;
        let mut string = String::new();
        for node in &self.nodes[index..self.nodes[index].end] {
            work.spend(NODE_NS)?;
            if let Kind::Text(text) = &node.kind {
                work.spend_each(text.len(), OCTET_NS)?;
                string.push_str(text);
            }
        }
        Ok(string)
    }

    /// The namespace that a prefix has at an element.
    pub(super) fn namespace(&self, index: NodeIndex, prefix: &str) -> Option<&str> {
        std::iter::once(index)
            .chain(self.ancestors(index))
            .filter_map(|node| self.element(node))
            .flat_map(|element| &element.declarations)
            .find(|(declared, _)| *declared == prefix)
            .map(|(_, uri)| &**uri)
    }

    /// What this identifier leads to.
    pub(super) fn target(&self, id: &str) -> Option<Target> {
        self.ids.get(id).copied()
    }
}

impl Node<'_> {
    /// Whether it is text that is more than blanks.
    fn is_text(&self) -> bool {
        matches!(&self.kind, Kind::Text(text) if !text.trim_ascii().is_empty())
    }
}

impl Element<'_> {
    /// The value of an attribute without namespace.
    pub(super) fn attribute(&self, local: &str) -> Option<&str> {
        self.attributes
            .iter()
            .find(|attribute| attribute.namespace.is_empty() && attribute.local == local)
            .map(|attribute| attribute.value.as_ref())
    }

    /// Whether it has this name.
    pub(super) fn is(&self, namespace: &str, local: &str) -> bool {
        self.local == local && *self.namespace == *namespace
    }
}
