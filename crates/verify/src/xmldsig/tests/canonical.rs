//! Tests of canonicalisation alone: the examples of Canonical XML 1.0 section 3, without what needs a document type,
//! and of exclusive canonicalisation.

use std::collections::HashSet;

use crate::pki::Budget;
use crate::xmldsig::canonical::{Method, canonicalize};
use crate::xmldsig::document::{NodeIndex, Target};
use crate::xmldsig::node_set::NodeSet;
use crate::xmldsig::output::Output;
use crate::xmldsig::parse::parse;
use crate::xmldsig::text::decode;

const C14N: &str = "http://www.w3.org/TR/2001/REC-xml-c14n-20010315";
const C14N_COMMENTS: &str = "http://www.w3.org/TR/2001/REC-xml-c14n-20010315#WithComments";
const EXCLUSIVE: &str = "http://www.w3.org/2001/10/xml-exc-c14n#";

/// Canonicalises the element with this identifier, or the whole document.
fn canonical(xml: &str, id: &str, method: &Method<'_>) -> String {
    let text = decode(xml.as_bytes()).unwrap();
    let document = parse(&text, &Budget::new()).unwrap();
    let apex: NodeIndex = match document.target(id) {
        Some(Target::One(index)) => index,
        _ => 0,
    };
    let nodes = NodeSet {
        apex,
        excluded: HashSet::new(),
        comments: true,
    };
    let budget = Budget::new();
    let mut output = Output::collect(&budget);
    canonicalize(&document, &nodes, method, &mut output).unwrap();
    String::from_utf8(output.finish().unwrap()).unwrap()
}

fn whole(xml: &str, method: &str) -> String {
    canonical(xml, "", &Method::named(method).unwrap())
}

/// The example of section 3.1, without its document type.
#[test]
fn instructions_comments_and_outside_of_document_element() {
    let xml = "<?xml version=\"1.0\"?>\n\n<?xml-stylesheet   href=\"doc.xsl\"\n   type=\"text/xsl\"   ?>\n\n\
               <doc>Hello, world!<!-- Comment 1 --></doc>\n\n<?pi-without-data     ?>\n\n\
               <!-- Comment 2 -->\n\n<!-- Comment 3 -->\n";
    assert_eq!(
        whole(xml, C14N),
        "<?xml-stylesheet href=\"doc.xsl\"\n   type=\"text/xsl\"   ?>\n<doc>Hello, world!</doc>\n<?pi-without-data?>"
    );
    assert_eq!(
        whole(xml, C14N_COMMENTS),
        "<?xml-stylesheet href=\"doc.xsl\"\n   type=\"text/xsl\"   ?>\n\
         <doc>Hello, world!<!-- Comment 1 --></doc>\n<?pi-without-data?>\n\
         <!-- Comment 2 -->\n<!-- Comment 3 -->"
    );
}

/// The example of section 3.2.
#[test]
fn white_space_in_content_stays() {
    let xml = "<doc>\n   <clean>   </clean>\n   <dirty>   A   B   </dirty>\n   <mixed>\n      A\n      \
               <clean>   </clean>\n      B\n      <dirty>   A   B   </dirty>\n      C\n   </mixed>\n</doc>";
    assert_eq!(whole(xml, C14N), xml);
    assert_eq!(whole(&xml.replace('\n', "\r\n"), C14N), xml);
}

/// The example of section 3.3. Its document type gives `e9` an attribute, which is written out here.
#[test]
fn start_and_end_tags() {
    let xml = r#"<doc>
   <e1   />
   <e2   ></e2>
   <e3   name = "elem3"   id="elem3"   />
   <e4   name="elem4"   id="elem4"   ></e4>
   <e5 a:attr="out" b:attr="sorted" attr2="all" attr="I'm"
      xmlns:b="http://www.ietf.org"
      xmlns:a="http://www.w3.org"
      xmlns="http://example.org"/>
   <e6 xmlns="" xmlns:a="http://www.w3.org">
      <e7 xmlns="http://www.ietf.org">
         <e8 xmlns="" xmlns:a="http://www.w3.org">
            <e9 xmlns="" xmlns:a="http://www.ietf.org" attr="default"/>
         </e8>
      </e7>
   </e6>
</doc>"#;
    let expected = r#"<doc>
   <e1></e1>
   <e2></e2>
   <e3 id="elem3" name="elem3"></e3>
   <e4 id="elem4" name="elem4"></e4>
   <e5 xmlns="http://example.org" xmlns:a="http://www.w3.org" xmlns:b="http://www.ietf.org" attr="I'm" attr2="all" b:attr="sorted" a:attr="out"></e5>
   <e6 xmlns:a="http://www.w3.org">
      <e7 xmlns="http://www.ietf.org">
         <e8 xmlns="">
            <e9 xmlns:a="http://www.ietf.org" attr="default"></e9>
         </e8>
      </e7>
   </e6>
</doc>"#;
    assert_eq!(whole(xml, C14N), expected);
}

/// The example of section 3.4, without the element that its document type gives an identifier.
#[test]
fn character_references() {
    let xml = "<doc>\n   <text>First line&#x0d;&#10;Second line</text>\n   <value>&#x32;</value>\n   \
               <compute><![CDATA[value>\"0\" && value<\"10\" ?\"valid\":\"error\"]]></compute>\n   \
               <compute expr='value>\"0\" &amp;&amp; value&lt;\"10\" ?\"valid\":\"error\"'>valid</compute>\n   \
               <norm attr=' &apos;   &#x20;&#13;&#xa;&#9;   &apos; '/>\n</doc>";
    let expected = "<doc>\n   <text>First line&#xD;\nSecond line</text>\n   <value>2</value>\n   \
                    <compute>value&gt;\"0\" &amp;&amp; value&lt;\"10\" ?\"valid\":\"error\"</compute>\n   \
                    <compute expr=\"value>&quot;0&quot; &amp;&amp; value&lt;&quot;10&quot; ?&quot;valid&quot;:&quot;error&quot;\">valid</compute>\n   \
                    <norm attr=\" '    &#xD;&#xA;&#x9;   ' \"></norm>\n</doc>";
    assert_eq!(whole(xml, C14N), expected);
}

/// The example of section 3.6, in UTF-8.
#[test]
fn characters_are_written_in_utf_8() {
    assert_eq!(
        whole(
            "<?xml version=\"1.0\" encoding=\"utf-8\"?><doc>&#169;</doc>",
            C14N
        ),
        "<doc>©</doc>"
    );
}

#[test]
fn carriage_returns_of_references_survive_beside_real_line_ends() {
    assert_eq!(
        whole("<a b='1\r\n2\t3'>&#13;\r\n&#13;\r</a>", C14N),
        "<a b=\"1 2 3\">&#xD;\n&#xD;\n</a>"
    );
}

/// The example of Exclusive XML Canonicalization section 2.2: an element keeps its form when it moves.
#[test]
fn exclusive_form_does_not_depend_on_context() {
    let method = Method::named(EXCLUSIVE).unwrap();
    let expected = "<n1:elem2 xmlns:n1=\"http://example.net\" id=\"e\" xml:lang=\"en\">\n  \
                    <n3:stuff xmlns:n3=\"ftp://example.org\"></n3:stuff>\n</n1:elem2>";
    let elem2 = "<n1:elem2 xmlns:n1=\"http://example.net\" id=\"e\" xml:lang=\"en\">\n  \
                 <n3:stuff xmlns:n3=\"ftp://example.org\"/>\n</n1:elem2>";
    let contexts = [
        format!(
            "<n0:pdu xmlns:n0=\"http://a.example\" xmlns:n1=\"http://b.example\" xml:space=\"preserve\">{elem2}</n0:pdu>"
        ),
        format!(
            "<n2:pdu xmlns:n1=\"http://example.com\" xmlns:n2=\"http://foo.example\" xml:lang=\"fr\">{elem2}</n2:pdu>"
        ),
    ];
    for xml in contexts {
        assert_eq!(canonical(&xml, "e", &method), expected);
    }
}

#[test]
fn inclusive_form_takes_the_context_along() {
    let xml = "<n0:a xmlns:n0=\"urn:0\" xmlns=\"urn:d\" xml:space=\"preserve\"><b id=\"b\" xmlns=\"\"><n0:c xmlns:n0=\"urn:0\"/></b></n0:a>";
    assert_eq!(
        canonical(xml, "b", &Method::named(C14N).unwrap()),
        "<b xmlns:n0=\"urn:0\" id=\"b\" xml:space=\"preserve\"><n0:c></n0:c></b>"
    );
}

#[test]
fn exclusive_form_declares_where_used_and_again_for_siblings() {
    let xml = "<a xmlns=\"urn:d\" xmlns:p=\"urn:p\" xmlns:q=\"urn:q\"><p:b/><p:b q:c=\"1\"><d xmlns=\"\"/></p:b></a>";
    assert_eq!(
        whole(xml, EXCLUSIVE),
        "<a xmlns=\"urn:d\"><p:b xmlns:p=\"urn:p\"></p:b><p:b xmlns:p=\"urn:p\" xmlns:q=\"urn:q\" q:c=\"1\"><d xmlns=\"\"></d></p:b></a>"
    );
    let listed = Method::named(EXCLUSIVE)
        .unwrap()
        .with_prefixes("q p unknown");
    assert_eq!(
        canonical(xml, "", &listed),
        "<a xmlns=\"urn:d\" xmlns:p=\"urn:p\" xmlns:q=\"urn:q\"><p:b></p:b><p:b q:c=\"1\"><d xmlns=\"\"></d></p:b></a>"
    );
}

#[test]
fn redeclared_prefix_ends_with_its_element() {
    let xml = "<a xmlns:p=\"urn:1\"><b xmlns:p=\"urn:2\"></b><p:c></p:c></a>";
    assert_eq!(whole(xml, C14N), xml);
    let expected = "<a><b></b><p:c xmlns:p=\"urn:1\"></p:c></a>";
    assert_eq!(whole(xml, EXCLUSIVE), expected);
}
