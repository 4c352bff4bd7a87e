//! Canonical XML 1.0 and 1.1, and Exclusive XML Canonicalization 1.0, with and without comments.
//!
//! In a [`NodeSet`], the parent of each element except the apex is in the set too. So the general rules for gaps in a
//! node set are not needed.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};

use super::base_uri::join;
use super::document::{Attribute, Document, Element, Kind, Namespace, NodeIndex};
use super::elements::XML;
use super::node_set::NodeSet;
use super::output::{Output, Stop};
use crate::pki::budget::Budget;

type Result<T> = std::result::Result<T, Stop>;

/// Cost of visiting a node, beside the octets that are written for it.
const NODE_NS: u64 = 60;
/// Further cost of an element.
const ELEMENT_NS: u64 = 150;
/// Cost of an attribute, beside its octets.
const ATTRIBUTE_NS: u64 = 120;
/// Cost of checking whether an octet must be escaped.
const SCAN_NS: u64 = 1;
/// Number of octets of two names that are compared in a nanosecond.
const NAME_OCTETS_A_NS: usize = 4;
/// Cost of joining an octet of `xml:base` with another one.
const JOIN_NS: u64 = 20;
/// Cost of a prefix that may have to be declared.
const PREFIX_NS: u64 = 150;

/// A canonicalisation method with its parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Method<'d> {
    flavour: Flavour,
    pub(super) comments: bool,
    /// The `PrefixList` of `InclusiveNamespaces` (Exclusive XML Canonicalization section 3), with "" for `#default`.
    prefixes: HashSet<&'d str>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flavour {
    Inclusive10,
    Inclusive11,
    Exclusive,
}

impl<'d> Method<'d> {
    /// Canonical XML 1.0 without comments, the default for node sets that no transform turned into octets (XMLDSig 1.1
    /// section 4.4.3.2).
    pub(super) fn implicit() -> Self {
        Self {
            flavour: Flavour::Inclusive10,
            comments: false,
            prefixes: HashSet::new(),
        }
    }

    /// The method with this URI (XMLDSig 1.1 section 6.5).
    pub(super) fn named(uri: &str) -> Option<Self> {
        let (flavour, comments) = match uri {
            "http://www.w3.org/TR/2001/REC-xml-c14n-20010315" => (Flavour::Inclusive10, false),
            "http://www.w3.org/TR/2001/REC-xml-c14n-20010315#WithComments" => {
                (Flavour::Inclusive10, true)
            }
            "http://www.w3.org/2006/12/xml-c14n11" => (Flavour::Inclusive11, false),
            "http://www.w3.org/2006/12/xml-c14n11#WithComments" => (Flavour::Inclusive11, true),
            "http://www.w3.org/2001/10/xml-exc-c14n#" => (Flavour::Exclusive, false),
            "http://www.w3.org/2001/10/xml-exc-c14n#WithComments" => (Flavour::Exclusive, true),
            _ => return None,
        };
        Some(Self {
            flavour,
            comments,
            prefixes: HashSet::new(),
        })
    }

    /// Sets the prefixes that an exclusive method treats inclusively. Other methods ignore them.
    pub(super) fn with_prefixes(mut self, list: &'d str) -> Self {
        if self.flavour == Flavour::Exclusive {
            let prefixes = list.split_ascii_whitespace();
            self.prefixes = prefixes
                .map(|prefix| if prefix == "#default" { "" } else { prefix })
                .collect();
        }
        self
    }
}

/// Writes a node set.
///
/// # Errors
///
/// [`Stop`] if there is too much to write, or something is not supported.
pub(super) fn canonicalize(
    document: &Document<'_>,
    nodes: &NodeSet,
    method: &Method<'_>,
    output: &mut Output<'_>,
) -> Result<()> {
    let mut writer = Writer {
        document,
        method,
        output,
        in_scope: HashMap::new(),
        rendered: HashMap::new(),
        open: Vec::new(),
    };
    let (inherited, base) = writer.enter(nodes.apex)?;
    let inherited: Vec<_> = inherited.into_iter().chain(&base).collect();
    let root = document.root;
    for index in nodes.iter(document) {
        writer.close_until(index)?;
        writer.budget().spend(NODE_NS)?;
        let node = &document.nodes()[index];
        match &node.kind {
            Kind::Root => {}
            Kind::Element(element) => {
                let is_apex = index == nodes.apex;
                let inherited = if is_apex { &inherited[..] } else { &[] };
                writer.start(index, element, inherited)?;
            }
            Kind::Text(text) => writer.escaped(text, text_escape)?,
            Kind::Comment(text) if nodes.comments && method.comments => {
                writer.beside_root(node.parent, index, root, &["<!--", text, "-->"])?;
            }
            Kind::Comment(_) => {}
            Kind::Instruction(target, None) => {
                writer.beside_root(node.parent, index, root, &["<?", target, "?>"])?;
            }
            Kind::Instruction(target, Some(content)) => {
                writer.beside_root(
                    node.parent,
                    index,
                    root,
                    &["<?", target, " ", content, "?>"],
                )?;
            }
        }
    }
    writer.close_until(document.nodes().len())
}

/// Attributes that an element inherits, and its joined `xml:base`.
type Inherited<'d, 'a> = (Vec<&'d Attribute<'a>>, Option<Attribute<'a>>);

struct Writer<'d, 'a, 'o, 'w> {
    document: &'d Document<'a>,
    method: &'d Method<'d>,
    output: &'o mut Output<'w>,
    /// For each prefix, the namespaces that open elements and ancestors of the apex declare, innermost last.
    in_scope: Scope<'d>,
    /// For each prefix, the namespaces that were written, innermost last.
    rendered: Scope<'d>,
    open: Vec<Open<'d>>,
}

struct Open<'d> {
    index: NodeIndex,
    /// The prefixes whose namespaces were written with it.
    rendered: Vec<&'d str>,
}

/// For each prefix, the namespaces that it has had, innermost last; `None` if it was undeclared.
type Scope<'d> = HashMap<&'d str, Vec<Option<&'d Namespace>>>;

fn innermost<'d>(scope: &Scope<'d>, prefix: &str) -> Option<&'d Namespace> {
    scope.get(prefix)?.last().copied().flatten()
}

impl<'d, 'a> Writer<'d, 'a, '_, '_> {
    /// Notes the declarations of the apex's ancestors. Returns the `xml:` attributes that the apex inherits (Canonical
    /// XML 1.0 section 2.4, Canonical XML 1.1 section 2.4), and the `xml:base` that replaces its own.
    fn enter(&mut self, apex: NodeIndex) -> Result<Inherited<'d, 'a>> {
        let document = self.document;
        let ancestors: Vec<_> = document
            .ancestors(apex)
            .filter_map(|ancestor| document.element(ancestor))
            .collect();
        let mut inherited: Vec<&'d Attribute<'a>> = Vec::new();
        let mut known = HashSet::new();
        let mut bases = Vec::new();
        for ancestor in &ancestors {
            self.budget()
                .spend_each(1 + ancestor.attributes.len(), ATTRIBUTE_NS)?;
            for attribute in ancestor
                .attributes
                .iter()
                .filter(|it| *it.namespace == *XML)
            {
                let is_inherited = match (self.method.flavour, attribute.local) {
                    (Flavour::Exclusive, _) => false,
                    (Flavour::Inclusive10, _) | (Flavour::Inclusive11, "lang" | "space") => true,
                    (Flavour::Inclusive11, "base") => {
                        bases.push(attribute);
                        false
                    }
                    (Flavour::Inclusive11, _) => false,
                };
                if is_inherited && known.insert(attribute.local) {
                    inherited.push(attribute);
                }
            }
        }
        for ancestor in ancestors.iter().rev() {
            self.budget()
                .spend_each(ancestor.declarations.len(), PREFIX_NS)?;
            self.declare(ancestor);
        }
        let base = self.joined(apex, &bases)?;
        Ok((inherited, base))
    }

    /// The `xml:base` of an element, joined with those of its ancestors, nearest first; `None` if no ancestor has one.
    fn joined(
        &mut self,
        apex: NodeIndex,
        ancestors: &[&Attribute<'a>],
    ) -> Result<Option<Attribute<'a>>> {
        let Some(nearest) = ancestors.first() else {
            return Ok(None);
        };
        let element = self.document.element(apex);
        let own = element.and_then(|element| {
            let mut own = element.attributes.iter();
            own.find(|it| *it.namespace == *XML && it.local == "base")
        });
        // A single base is not joined, and stays as it is.
        let mut bases = own.into_iter().chain(ancestors.iter().copied());
        let innermost = bases.next().map_or("", |base| &*base.value);
        let mut joined = innermost.to_owned();
        for base in bases {
            self.budget()
                .spend_each(joined.len() + base.value.len(), JOIN_NS)?;
            joined = join(&base.value, &joined);
        }
        Ok(Some(Attribute {
            prefix: nearest.prefix,
            local: nearest.local,
            namespace: nearest.namespace.clone(),
            value: Cow::Owned(joined),
        }))
    }

    fn budget(&self) -> &Budget {
        self.output.budget()
    }

    fn declare(&mut self, element: &'d Element<'a>) {
        for (prefix, uri) in &element.declarations {
            let declared = self.in_scope.entry(prefix).or_default();
            declared.push(Some(uri).filter(|uri| !uri.is_empty()));
        }
    }

    fn start(
        &mut self,
        index: NodeIndex,
        element: &'d Element<'a>,
        inherited: &[&Attribute<'a>],
    ) -> Result<()> {
        self.budget().spend(ELEMENT_NS)?;
        self.budget()
            .spend_each(element.declarations.len(), PREFIX_NS)?;
        self.declare(element);
        self.output.write(b"<")?;
        self.name(element.prefix, element.local)?;
        let mut open = Open {
            index,
            rendered: Vec::new(),
        };
        for (prefix, namespace) in self.namespaces(element)? {
            self.output.write(b" xmlns")?;
            if !prefix.is_empty() {
                self.output.write(b":")?;
                self.output.write(prefix.as_bytes())?;
            }
            self.value(namespace.map_or("", |uri| uri))?;
            self.rendered.entry(prefix).or_default().push(namespace);
            open.rendered.push(prefix);
        }
        self.attributes(element, inherited)?;
        self.open.push(open);
        self.output.write(b">")
    }

    /// The namespaces to write with an element, by prefix: those that differ from what its ancestors have written.
    fn namespaces(
        &mut self,
        element: &'d Element<'a>,
    ) -> Result<BTreeMap<&'d str, Option<&'d Namespace>>> {
        let method = self.method;
        let declared = element.declarations.iter().map(|(prefix, _)| *prefix);
        let is_listed = |prefix: &&str| method.prefixes.contains(prefix);
        let mut candidates: Vec<&'d str> = Vec::new();
        match (method.flavour, self.open.is_empty()) {
            (Flavour::Exclusive, is_outermost) => {
                // Visibly utilized or listed prefixes (Exclusive XML Canonicalization section 3). A listed prefix that
                // the element does not declare was already written with an element around it.
                candidates.push(element.prefix);
                let prefixes = element.attributes.iter().map(|it| it.prefix);
                candidates.extend(prefixes.filter(|it| !it.is_empty()));
                if is_outermost {
                    candidates.extend(self.in_scope.keys().copied().filter(is_listed));
                } else {
                    candidates.extend(declared.filter(is_listed));
                }
            }
            (_, true) => candidates.extend(self.in_scope.keys()),
            (_, false) => candidates.extend(declared),
        }
        self.budget().spend_each(candidates.len(), PREFIX_NS)?;
        let mut namespaces = BTreeMap::new();
        for prefix in candidates {
            let namespace = innermost(&self.in_scope, prefix);
            // Only the default namespace can be undeclared. That is written as empty only if it takes effect.
            if namespace != innermost(&self.rendered, prefix) {
                namespaces.insert(prefix, namespace);
            }
        }
        Ok(namespaces)
    }

    fn attributes(&mut self, element: &'d Element<'a>, inherited: &[&Attribute<'a>]) -> Result<()> {
        let own = &element.attributes;
        let mut attributes: Vec<&Attribute<'_>> = own.iter().collect();
        if !inherited.is_empty() {
            // All inherited attributes are in `xml:`. An own attribute comes first, except `xml:base`, which is joined
            // from all.
            let is_11 = self.method.flavour == Flavour::Inclusive11;
            let is_joined = |it: &Attribute<'_>| is_11 && it.local == "base";
            if inherited.iter().any(|it| is_joined(it)) {
                attributes.retain(|it| *it.namespace != *XML || it.local != "base");
            }
            let named = attributes.iter().filter(|it| *it.namespace == *XML);
            let named: HashSet<_> = named.map(|it| it.local).collect();
            let inherited = inherited.iter().copied();
            attributes.extend(
                inherited.filter(|it| {
                    !(named.contains(it.local) || is_joined(it) && it.value.is_empty())
                }),
            );
        }
        // Sorting compares all octets of the names this many times.
        let octets: usize = attributes.iter().map(|it| it.local.len()).sum();
        let rounds = attributes.len().max(2).ilog2() as usize;
        self.budget()
            .spend((octets * rounds / NAME_OCTETS_A_NS) as u64)?;
        self.budget()
            .spend_each(attributes.len() * (1 + rounds / 4), ATTRIBUTE_NS)?;
        attributes.sort_by_key(|it| (it.namespace.rank(), it.local));
        for attribute in attributes {
            self.output.write(b" ")?;
            self.name(attribute.prefix, attribute.local)?;
            self.value(&attribute.value)?;
        }
        Ok(())
    }

    /// Closes the open elements that do not contain this node.
    fn close_until(&mut self, index: NodeIndex) -> Result<()> {
        while let Some(open) = self
            .open
            .pop_if(|open| self.document.nodes()[open.index].end <= index)
        {
            let Some(element) = self.document.element(open.index) else {
                continue;
            };
            self.output.write(b"</")?;
            self.name(element.prefix, element.local)?;
            self.output.write(b">")?;
            for prefix in open.rendered {
                self.rendered.get_mut(prefix).map(Vec::pop);
            }
            for (prefix, _) in &element.declarations {
                self.in_scope.get_mut(prefix).map(Vec::pop);
            }
        }
        Ok(())
    }

    /// Writes a comment or instruction. Outside of the root element, a line feed separates it from that (Canonical XML
    /// 1.0 section 2.3, "Processing Instruction Nodes").
    fn beside_root(
        &mut self,
        parent: NodeIndex,
        index: NodeIndex,
        root: NodeIndex,
        parts: &[&str],
    ) -> Result<()> {
        if parent == 0 && index > root {
            self.output.write(b"\n")?;
        }
        for part in parts {
            self.output.write(part.as_bytes())?;
        }
        if parent == 0 && index < root {
            self.output.write(b"\n")?;
        }
        Ok(())
    }

    fn name(&mut self, prefix: &str, local: &str) -> Result<()> {
        if !prefix.is_empty() {
            self.output.write(prefix.as_bytes())?;
            self.output.write(b":")?;
        }
        self.output.write(local.as_bytes())
    }

    fn value(&mut self, value: &str) -> Result<()> {
        self.output.write(b"=\"")?;
        self.escaped(value, attribute_escape)?;
        self.output.write(b"\"")
    }

    fn escaped(&mut self, text: &str, escape: impl Fn(u8) -> Option<&'static str>) -> Result<()> {
        self.budget().spend_each(text.len(), SCAN_NS)?;
        let mut rest = text.as_bytes();
        while let Some(at) = rest.iter().position(|&byte| escape(byte).is_some()) {
            self.output.write(&rest[..at])?;
            self.output
                .write(escape(rest[at]).unwrap_or_default().as_bytes())?;
            rest = &rest[at + 1..];
        }
        self.output.write(rest)
    }
}

/// Escapes text (Canonical XML 1.0 section 2.3, "Text Nodes").
fn text_escape(byte: u8) -> Option<&'static str> {
    match byte {
        b'&' => Some("&amp;"),
        b'<' => Some("&lt;"),
        b'>' => Some("&gt;"),
        b'\r' => Some("&#xD;"),
        _ => None,
    }
}

/// Escapes an attribute's value (Canonical XML 1.0 section 2.3, "Attribute Nodes").
fn attribute_escape(byte: u8) -> Option<&'static str> {
    match byte {
        b'&' => Some("&amp;"),
        b'<' => Some("&lt;"),
        b'"' => Some("&quot;"),
        b'\t' => Some("&#x9;"),
        b'\n' => Some("&#xA;"),
        b'\r' => Some("&#xD;"),
        _ => None,
    }
}
