//! Parses text into a [`Document`]. `xmlparser` finds the tokens; this module checks that tags match, attributes are
//! unique and prefixes are declared (XML 1.0, Namespaces in XML 1.0). Document types are refused, so the five
//! predefined entities are the only ones.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use xmlparser::{ElementEnd, Token, Tokenizer};

use super::XmlError;
use super::document::{Attribute, Document, Element, Kind, Namespace, Namespaces, Node, NodeIndex};
use super::elements::{XML, XMLNS};
use super::text::unescape;
use crate::pki::budget::Budget;

type Result<T> = std::result::Result<T, XmlError>;

/// Greatest depth of nested elements.
const MAX_DEPTH: usize = 256;
/// Greatest number of elements, attributes, declarations, texts, comments and instructions together.
const MAX_NODES: usize = 500_000;
/// Greatest number of namespace declarations in scope at an element. Each XPath expression searches them.
const MAX_NAMESPACES: usize = 1_000;
/// Longest name of an element or attribute. The description of each reference repeats names.
const MAX_NAME_BYTES: usize = 1_000;

/// Greatest cost of reading a byte; text made of many character references comes closest.
const BYTE_NS: u64 = 8;
/// Cost of making a node, attribute or declaration.
const MAKE_NS: u64 = 250;

/// Parses text whose line ends are line feeds, as [`super::text::decode`] leaves it.
pub(super) fn parse<'a>(text: &'a str, budget: &Budget) -> Result<Document<'a>> {
    budget.spend_each(text.len(), BYTE_NS)?;
    let mut builder = Builder::new();
    for token in Tokenizer::from(text) {
        let token = token.map_err(|_| XmlError::Malformed("it has a syntax error"))?;
        builder.token(&token)?;
    }
    budget.spend_each(builder.count, MAKE_NS)?;
    builder.finish()
}

fn name(name: &str) -> Result<&str> {
    if name.len() > MAX_NAME_BYTES {
        return Err(XmlError::TooLarge("names"));
    }
    Ok(name)
}

/// A start tag that is not read to its end yet.
struct StartTag<'a> {
    prefix: &'a str,
    local: &'a str,
    attributes: Vec<(&'a str, &'a str, Cow<'a, str>)>,
    declarations: Vec<(&'a str, Namespace)>,
}

struct Builder<'a> {
    nodes: Vec<Node<'a>>,
    open: Vec<NodeIndex>,
    start_tag: Option<StartTag<'a>>,
    namespaces: Namespaces,
    scope: HashMap<&'a str, Vec<Namespace>>,
    /// Number of declarations in scope.
    declared: usize,
    /// Number of nodes, attributes and declarations so far.
    count: usize,
    no_namespace: Namespace,
}

impl<'a> Builder<'a> {
    fn new() -> Self {
        let mut namespaces = Namespaces::default();
        let scope = HashMap::from([("xml", vec![namespaces.named(XML)])]);
        let no_namespace = namespaces.named("");
        Self {
            nodes: vec![Node {
                parent: 0,
                end: 1,
                kind: Kind::Root,
            }],
            open: vec![0],
            start_tag: None,
            namespaces,
            scope,
            declared: 0,
            count: 0,
            no_namespace,
        }
    }

    fn token(&mut self, token: &Token<'a>) -> Result<()> {
        match token {
            Token::Declaration { version, .. } if version.as_str() != "1.0" => {
                // XML 1.1 has other line ends and characters, and Canonical XML is not defined for it.
                Err(XmlError::Malformed("it is not XML 1.0"))
            }
            Token::Declaration { .. } => Ok(()),
            Token::DtdStart { .. }
            | Token::EmptyDtd { .. }
            | Token::EntityDeclaration { .. }
            | Token::DtdEnd { .. } => Err(XmlError::DocumentType),
            Token::ProcessingInstruction {
                target, content, ..
            } => {
                if target.as_str().eq_ignore_ascii_case("xml") {
                    return Err(XmlError::Malformed(
                        "its XML declaration is not at its start",
                    ));
                }
                if content.is_some_and(|content| content.start() == target.end()) {
                    return Err(XmlError::Malformed(
                        "a processing instruction has no space after its target",
                    ));
                }
                let content = content.map(|content| content.as_str());
                self.leaf(Kind::Instruction(target.as_str(), content))
            }
            Token::Comment { text, .. } => self.leaf(Kind::Comment(text.as_str())),
            Token::Text { text } => self.text(unescape(text.as_str(), false)?),
            Token::Cdata { text, .. } => self.text(Cow::Borrowed(text.as_str())),
            Token::ElementStart { prefix, local, .. } => {
                self.start_tag = Some(StartTag {
                    prefix: name(prefix.as_str())?,
                    local: name(local.as_str())?,
                    attributes: Vec::new(),
                    declarations: Vec::new(),
                });
                Ok(())
            }
            Token::Attribute {
                prefix,
                local,
                value,
                ..
            } => self.attribute(prefix.as_str(), local.as_str(), value.as_str()),
            Token::ElementEnd { end, .. } => self.element_end(*end),
        }
    }

    fn charge(&mut self) -> Result<()> {
        self.count += 1;
        if self.count > MAX_NODES {
            return Err(XmlError::TooLarge("nodes"));
        }
        Ok(())
    }

    fn push(&mut self, kind: Kind<'a>) -> Result<NodeIndex> {
        self.charge()?;
        let index = self.nodes.len();
        let parent = self.open.last().copied().unwrap_or(0);
        self.nodes.push(Node {
            parent,
            end: index + 1,
            kind,
        });
        Ok(index)
    }

    fn leaf(&mut self, kind: Kind<'a>) -> Result<()> {
        self.push(kind).map(|_| ())
    }

    fn text(&mut self, text: Cow<'a, str>) -> Result<()> {
        if self.open.len() == 1 {
            return Err(XmlError::Malformed("it has text outside its root element"));
        }
        self.leaf(Kind::Text(text))
    }

    fn attribute(&mut self, prefix: &'a str, local: &'a str, value: &'a str) -> Result<()> {
        self.charge()?;
        let value = unescape(value, true)?;
        let (prefix, local) = (name(prefix)?, name(local)?);
        let Some(tag) = &mut self.start_tag else {
            return Err(XmlError::Malformed("an attribute is outside a tag"));
        };
        let declared = match (prefix, local) {
            ("xmlns", declared) => declared,
            ("", "xmlns") => "",
            _ => {
                tag.attributes.push((prefix, local, value));
                return Ok(());
            }
        };
        // Namespaces in XML 1.0 section 3: reserved prefixes and names.
        let allowed = match declared {
            "xml" => value == XML,
            "xmlns" => false,
            "" => value != XML && value != XMLNS,
            _ => !value.is_empty() && value != XML && value != XMLNS,
        };
        if !allowed {
            return Err(XmlError::Malformed(
                "a namespace declaration is not allowed",
            ));
        }
        if declared != "xml" {
            tag.declarations
                .push((declared, self.namespaces.named(&value)));
        }
        Ok(())
    }

    fn element_end(&mut self, end: ElementEnd<'a>) -> Result<()> {
        match end {
            ElementEnd::Open => self.start().map(|_| ()),
            ElementEnd::Empty => {
                self.start()?;
                self.close();
                Ok(())
            }
            ElementEnd::Close(prefix, local) => {
                let open = self.open.last().map(|&index| &self.nodes[index].kind);
                match open {
                    Some(Kind::Element(element))
                        if element.prefix == prefix.as_str() && element.local == local.as_str() => {
                    }
                    _ => return Err(XmlError::Malformed("its tags don't match")),
                }
                self.close();
                Ok(())
            }
        }
    }

    fn start(&mut self) -> Result<()> {
        let Some(tag) = self.start_tag.take() else {
            return Err(XmlError::Malformed("a tag has no name"));
        };
        if self.open.len() > MAX_DEPTH {
            return Err(XmlError::TooLarge("levels"));
        }
        self.declared += tag.declarations.len();
        if self.declared > MAX_NAMESPACES {
            return Err(XmlError::TooLarge("namespaces"));
        }
        let mut declared = HashSet::new();
        for (prefix, uri) in &tag.declarations {
            if !declared.insert(*prefix) {
                return Err(XmlError::Malformed("a namespace is declared twice"));
            }
            self.scope.entry(prefix).or_default().push(uri.clone());
        }
        let namespace = match tag.prefix {
            "xmlns" => return Err(XmlError::Malformed("an element has a reserved prefix")),
            "" => self.in_scope("").unwrap_or(self.no_namespace.clone()),
            prefix => self.resolve(prefix)?,
        };
        let attributes = self.attributes(tag.attributes)?;
        let index = self.push(Kind::Element(Element {
            prefix: tag.prefix,
            local: tag.local,
            namespace,
            attributes,
            declarations: tag.declarations,
        }))?;
        self.open.push(index);
        Ok(())
    }

    fn attributes(
        &self,
        read: Vec<(&'a str, &'a str, Cow<'a, str>)>,
    ) -> Result<Vec<Attribute<'a>>> {
        let mut attributes = Vec::with_capacity(read.len());
        let mut seen = HashSet::new();
        for (prefix, local, value) in read {
            let namespace = match prefix {
                // The default namespace does not apply to attributes (Namespaces in XML 1.0 section 6.2).
                "" => self.no_namespace.clone(),
                prefix => self.resolve(prefix)?,
            };
            if !seen.insert((namespace.id(), local)) {
                return Err(XmlError::Malformed("an attribute occurs twice"));
            }
            attributes.push(Attribute {
                prefix,
                local,
                namespace,
                value,
            });
        }
        Ok(attributes)
    }

    fn in_scope(&self, prefix: &str) -> Option<Namespace> {
        self.scope.get(prefix)?.last().cloned()
    }

    fn resolve(&self, prefix: &str) -> Result<Namespace> {
        self.in_scope(prefix)
            .ok_or(XmlError::Malformed("a prefix is not declared"))
    }

    fn close(&mut self) {
        let Some(index) = self.open.pop() else { return };
        self.nodes[index].end = self.nodes.len();
        if let Kind::Element(element) = &self.nodes[index].kind {
            self.declared -= element.declarations.len();
            for (prefix, _) in &element.declarations {
                self.scope.get_mut(prefix).map(Vec::pop);
            }
        }
    }

    fn finish(mut self) -> Result<Document<'a>> {
        if self.open.len() != 1 {
            return Err(XmlError::Malformed("it ends inside an element"));
        }
        self.nodes[0].end = self.nodes.len();
        self.namespaces.rank();
        let document = Document::new(self.nodes);
        if document.root == 0 {
            return Err(XmlError::Malformed("it has no root element"));
        }
        Ok(document)
    }
}
