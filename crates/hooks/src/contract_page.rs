//! The page of `docs/` that tells plugin authors the newest contract, written from the contract itself.

use std::fmt::Write as _;

use wit_parser::{Function, Interface, Resolve, Type, TypeDef, TypeDefKind, WorldItem};

use super::contract::{CONTRACTS, PACKAGE};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/contract.md");

/// Writes the page.
fn page() -> String {
    let [.., newest] = &CONTRACTS;
    let mut resolve = Resolve::default();
    let package = resolve.push_source("hooks.wit", newest.text).unwrap();
    let world = resolve.select_world(&[package], Some("plugin")).unwrap();
    let world = &resolve.worlds[world];
    let name = |item: &WorldItem| match item {
        WorldItem::Interface { id, .. } => resolve.interfaces[*id].name.clone(),
        _ => None,
    };
    let imports: Vec<_> = world.imports.values().filter_map(name).collect();
    let exports: Vec<_> = world.exports.values().filter_map(name).collect();
    let mut text = format!(
        "# The contract of plugins\n\nThis page is the reference of `{PACKAGE}@{}`, written from [hooks.wit](../plugins/wit/hooks.wit).\n\n\
         A plugin exports `lifecycle`, and at least one of `tagger`, `save-validator` and `delete-validator`. It imports only what it\n\
         uses. Each name is followed by `@{}` in a world.\n",
        newest.version, newest.version
    );
    for (title, list) in [("Exports", exports), ("Imports", imports)] {
        write!(text, "\n## {title}\n").unwrap();
        for name in list {
            let (_, interface) = resolve
                .interfaces
                .iter()
                .find(|(_, interface)| interface.name.as_ref() == Some(&name))
                .unwrap();
            write_interface(&mut text, &resolve, &name, interface);
        }
    }
    text
}

fn write_interface(text: &mut String, resolve: &Resolve, name: &str, interface: &Interface) {
    write!(text, "\n### {name}\n").unwrap();
    paragraph(text, interface.docs.contents.as_deref());
    for (name, function) in &interface.functions {
        write!(text, "\n`{name}`: `{}`\n", signature(resolve, function)).unwrap();
        paragraph(text, function.docs.contents.as_deref());
    }
    for (name, id) in &interface.types {
        write_type(text, resolve, name, &resolve.types[*id]);
    }
}

fn write_type(text: &mut String, resolve: &Resolve, name: &str, found: &TypeDef) {
    // A type of another interface, which is told there.
    if matches!(found.kind, TypeDefKind::Type(Type::Id(_))) {
        return;
    }
    write!(text, "\n#### {} `{name}`\n", found.kind.as_str()).unwrap();
    paragraph(text, found.docs.contents.as_deref());
    let mut row = |name: &str, ty: Option<&Type>, docs: Option<&str>| {
        let ty = ty.map(|ty| format!(": `{}`", spelt(resolve, ty)));
        let docs = docs.map(|docs| format!(" – {}", one_line(docs)));
        let (ty, docs) = (ty.unwrap_or_default(), docs.unwrap_or_default());
        writeln!(text, "- `{name}`{ty}{docs}").unwrap();
    };
    match &found.kind {
        TypeDefKind::Record(record) => {
            for field in &record.fields {
                row(&field.name, Some(&field.ty), field.docs.contents.as_deref());
            }
        }
        TypeDefKind::Variant(variant) => {
            for case in &variant.cases {
                row(&case.name, case.ty.as_ref(), case.docs.contents.as_deref());
            }
        }
        TypeDefKind::Enum(found) => {
            for case in &found.cases {
                row(&case.name, None, case.docs.contents.as_deref());
            }
        }
        other => panic!("{name} is a {}, which the page can't tell", other.as_str()),
    }
}

fn signature(resolve: &Resolve, function: &Function) -> String {
    let parameters = function.params.iter();
    let parameters = parameters.map(|it| format!("{}: {}", it.name, spelt(resolve, &it.ty)));
    let parameters = parameters.collect::<Vec<_>>().join(", ");
    let result = function.result.as_ref();
    let result = result.map(|ty| format!(" -> {}", spelt(resolve, ty)));
    format!("func({parameters}){}", result.unwrap_or_default())
}

/// A type as WIT spells it.
fn spelt(resolve: &Resolve, ty: &Type) -> String {
    let Type::Id(id) = ty else {
        return format!("{ty:?}").to_lowercase();
    };
    let found = &resolve.types[*id];
    if let Some(name) = &found.name {
        return name.clone();
    }
    let part = |ty: &Option<Type>| ty.map_or_else(|| "_".to_owned(), |ty| spelt(resolve, &ty));
    match &found.kind {
        TypeDefKind::List(ty) => format!("list<{}>", spelt(resolve, ty)),
        TypeDefKind::Option(ty) => format!("option<{}>", spelt(resolve, ty)),
        TypeDefKind::Result(ty) => format!("result<{}, {}>", part(&ty.ok), part(&ty.err)),
        other => panic!("the page can't spell a {}", other.as_str()),
    }
}

fn paragraph(text: &mut String, docs: Option<&str>) {
    if let Some(docs) = docs {
        write!(text, "\n{}\n\n", docs.trim()).unwrap();
    } else {
        text.push('\n');
    }
}

fn one_line(docs: &str) -> String {
    docs.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Removes empty lines that follow another one.
fn tidy(text: &str) -> String {
    let mut tidy = String::new();
    for line in text.lines() {
        if !(line.is_empty() && tidy.ends_with("\n\n")) {
            tidy.push_str(line);
            tidy.push('\n');
        }
    }
    tidy.trim_end().to_owned() + "\n"
}

/// With `INSTA_UPDATE=always`, writes the page anew.
#[test]
fn the_page_of_the_contract_is_that_of_the_newest_one() {
    let page = tidy(&page());
    if std::env::var("INSTA_UPDATE").is_ok_and(|update| update == "always") {
        std::fs::write(PAGE, &page).unwrap();
    }
    let kept = std::fs::read_to_string(PAGE).unwrap_or_default();
    assert!(
        kept == page,
        "docs/contract.md is not that of plugins/wit/hooks.wit; write it anew with INSTA_UPDATE=always"
    );
}

/// Names of attributes are words of the contract, though not of its types.
#[test]
fn every_extra_attribute_is_told_in_the_contract() {
    let [.., newest] = &CONTRACTS;
    let source = include_str!("convert.rs");
    let source = source.split("#[cfg(test)]").next().unwrap();
    let mut names: Vec<&str> = ["attribute(\"", "milliseconds(\""]
        .iter()
        .flat_map(|call| source.split(call).skip(1))
        .map(|rest| rest.split('"').next().unwrap())
        .collect();
    assert!(names.len() >= 6, "{names:?}");
    names.extend(["iin", "bin", "key-usages", "extended-key-usages"]);
    for name in names {
        assert!(newest.text.contains(&format!("`{name}`")), "{name}");
    }
}
