//! The text of the contract, and checks that a component's imports and exports have exactly its types. The component
//! model compares types too, but only when a function is called, which is too late.

use std::sync::LazyLock;

use wasmtime::component::types::{self, ComponentFunc, ComponentInstance, ComponentItem};
use wit_parser::{Function, Interface, Resolve, Type, TypeDefKind};

/// The package of every version of the contract.
pub(super) const PACKAGE: &str = "sigpersist:hooks";

/// A version of the contract. wasmtime links components of all versions of one major to the newest.
#[derive(Debug)]
pub(super) struct Contract {
    pub(super) version: &'static str,
    /// Text of the contract's WIT, so that plugin authors need no copy beside their own world.
    pub(super) text: &'static str,
    resolve: LazyLock<Option<Resolve>>,
}

/// The released versions, oldest first.
pub(super) static CONTRACTS: [Contract; 2] = [
    Contract {
        version: "1.0.0",
        text: OF_1_0,
        resolve: LazyLock::new(|| read(OF_1_0)),
    },
    Contract {
        version: "1.1.0",
        text: OF_1_1,
        resolve: LazyLock::new(|| read(OF_1_1)),
    },
];

const OF_1_0: &str = include_str!("../../../plugins/wit/1.0.0/hooks.wit");
const OF_1_1: &str = include_str!("../../../plugins/wit/hooks.wit");

fn read(text: &str) -> Option<Resolve> {
    let mut resolve = Resolve::default();
    resolve.push_source("hooks.wit", text).ok()?;
    Some(resolve)
}

/// The contract's version and the interface in the name of an import or export. None if the name is not of the
/// contract, or of a version that this server does not support.
pub(super) fn interface_of(name: &str) -> Option<(&'static Contract, &str)> {
    let (interface, version) = name
        .strip_prefix(PACKAGE)?
        .strip_prefix('/')?
        .split_once('@')?;
    let contract = CONTRACTS.iter().find(|it| it.version == version)?;
    Some((contract, interface))
}

impl Contract {
    /// Checks an imported interface: it may have fewer functions than the contract's, but each must have exactly its
    /// types.
    ///
    /// # Errors
    ///
    /// A sentence that names the first function or type that differs, and how.
    pub(super) fn check_import(
        &'static self,
        engine: &wasmtime::Engine,
        name: &str,
        item: &ComponentItem,
    ) -> Result<(), String> {
        Checked::new(self, engine, name, item)?.some()
    }

    /// Checks an exported interface: it must have all functions of the contract's, each with exactly its types.
    ///
    /// # Errors
    ///
    /// See [`Self::check_import`].
    pub(super) fn check_export(
        &'static self,
        engine: &wasmtime::Engine,
        name: &str,
        item: &ComponentItem,
    ) -> Result<(), String> {
        let checked = Checked::new(self, engine, name, item)?;
        for function in checked.interface.functions.keys() {
            if checked.found.get_export(engine, function).is_none() {
                return Err(format!("`{name}` lacks the function `{function}`"));
            }
        }
        checked.some()
    }
}

/// An interface of a component, and the contract's interface to compare it with.
struct Checked<'a> {
    engine: &'a wasmtime::Engine,
    name: &'a str,
    resolve: &'static Resolve,
    interface: &'static Interface,
    found: &'a ComponentInstance,
}

impl<'a> Checked<'a> {
    fn new(
        contract: &'static Contract,
        engine: &'a wasmtime::Engine,
        name: &'a str,
        item: &'a ComponentItem,
    ) -> Result<Self, String> {
        let ComponentItem::ComponentInstance(found) = item else {
            return Err(format!("`{name}` is not an interface"));
        };
        let resolve = contract
            .resolve
            .as_ref()
            .ok_or("the contract can't be read")?;
        let interface = resolve
            .interfaces
            .iter()
            .find(|(_, interface)| interface.name.as_deref() == Some(name))
            .map(|(_, interface)| interface)
            .ok_or_else(|| format!("the contract has no interface `{name}`"))?;
        Ok(Self {
            engine,
            name,
            resolve,
            interface,
            found,
        })
    }

    /// Compares types before functions, since a differing type makes the clearer message.
    fn some(&self) -> Result<(), String> {
        let items: Vec<_> = self.found.exports(self.engine).collect();
        for (name, item) in &items {
            if let (ComponentItem::Type(found), Some(expected)) =
                (&item.ty, self.interface.types.get(*name))
            {
                self.same(&Type::Id(*expected), found)
                    .map_err(|how| format!("the type `{name}` of `{}` {how}", self.name))?;
            }
        }
        for (name, item) in &items {
            if let ComponentItem::ComponentFunc(found) = &item.ty {
                let expected = self.interface.functions.get(*name).ok_or_else(|| {
                    format!("`{}` has no function `{name}` in the contract", self.name)
                })?;
                self.same_function(expected, found)
                    .map_err(|how| format!("the function `{name}` of `{}` {how}", self.name))?;
            }
        }
        Ok(())
    }

    fn same_function(&self, expected: &Function, found: &ComponentFunc) -> Result<(), String> {
        let parameters = expected.params.len();
        if found.params().len() != parameters {
            return Err(format!(
                "has the wrong number of parameters: {}, not {parameters}",
                found.params().len()
            ));
        }
        if found.async_() {
            return Err("is asynchronous".to_owned());
        }
        for (expected, (_, found)) in expected.params.iter().zip(found.params()) {
            self.same(&expected.ty, &found)
                .map_err(|how| format!("takes `{}`, which {how}", expected.name))?;
        }
        match (expected.result, found.results().next()) {
            (None, None) => Ok(()),
            (Some(_), None) => Err("returns nothing".to_owned()),
            (None, Some(_)) => Err("returns a value".to_owned()),
            (Some(expected), Some(found)) => self
                .same(&expected, &found)
                .map_err(|how| format!("returns a value that {how}")),
        }
    }

    /// Compares two types only as deep as the contract's type goes, so that a hostile type can't make this slow.
    fn same(&self, expected: &Type, found: &types::Type) -> Result<(), String> {
        let Type::Id(id) = expected else {
            let (expected, found) = (primitive(expected), word(found));
            return if expected == found {
                Ok(())
            } else {
                Err(format!("is {found}, not {expected}"))
            };
        };
        let expected = &self.resolve.types[*id];
        let within = |part: &str, expected: &Type, found: &types::Type| {
            self.same(expected, found)
                .map_err(|how| format!("has {part} that {how}"))
        };
        match (&expected.kind, found) {
            (TypeDefKind::Type(alias), found) => self.same(alias, found),
            (TypeDefKind::List(expected), types::Type::List(found)) => {
                within("elements", expected, &found.ty())
            }
            (TypeDefKind::Option(expected), types::Type::Option(found)) => {
                within("a value", expected, &found.ty())
            }
            (TypeDefKind::Record(expected), types::Type::Record(found)) => {
                let names = expected.fields.iter().map(|field| field.name.as_str());
                same_names("field", names, found.fields().map(|field| field.name))?;
                for (expected, found) in expected.fields.iter().zip(found.fields()) {
                    within(
                        &format!("a field `{}`", expected.name),
                        &expected.ty,
                        &found.ty,
                    )?;
                }
                Ok(())
            }
            (TypeDefKind::Enum(expected), types::Type::Enum(found)) => {
                let names = expected.cases.iter().map(|case| case.name.as_str());
                same_names("case", names, found.names())
            }
            (TypeDefKind::Variant(expected), types::Type::Variant(found)) => {
                let names = expected.cases.iter().map(|case| case.name.as_str());
                same_names("case", names, found.cases().map(|case| case.name))?;
                for (expected, found) in expected.cases.iter().zip(found.cases()) {
                    let part = format!("a case `{}`", expected.name);
                    self.both(&part, expected.ty, found.ty)?;
                }
                Ok(())
            }
            (TypeDefKind::Result(expected), types::Type::Result(found)) => {
                self.both("a result", expected.ok, found.ok())?;
                self.both("an error", expected.err, found.err())
            }
            (kind, found) => Err(format!("is {}, not {}", word(found), kind.as_str())),
        }
    }

    fn both(
        &self,
        part: &str,
        expected: Option<Type>,
        found: Option<types::Type>,
    ) -> Result<(), String> {
        match (expected, found) {
            (None, None) => Ok(()),
            (Some(_), None) => Err(format!("has {part} without a value")),
            (None, Some(_)) => Err(format!("has {part} with a value")),
            (Some(expected), Some(found)) => self
                .same(&expected, &found)
                .map_err(|how| format!("has {part} that {how}")),
        }
    }
}

/// Compares names and their order.
fn same_names<'a>(
    what: &str,
    mut expected: impl Iterator<Item = &'a str>,
    mut found: impl Iterator<Item = &'a str>,
) -> Result<(), String> {
    loop {
        match (expected.next(), found.next()) {
            (None, None) => return Ok(()),
            (Some(expected), None) => return Err(format!("lacks the {what} `{expected}`")),
            (None, Some(found)) => {
                return Err(format!(
                    "has a {what} `{found}`, which the contract does not have"
                ));
            }
            (Some(expected), Some(found)) if expected != found => {
                return Err(format!(
                    "has a {what} `{found}` where the contract has `{expected}`"
                ));
            }
            _ => {}
        }
    }
}

/// Name of a primitive type of the contract.
fn primitive(primitive: &Type) -> &'static str {
    match primitive {
        Type::Bool => "bool",
        Type::U8 => "u8",
        Type::U16 => "u16",
        Type::U32 => "u32",
        Type::U64 => "u64",
        Type::S8 => "s8",
        Type::S16 => "s16",
        Type::S32 => "s32",
        Type::S64 => "s64",
        Type::F32 => "f32",
        Type::F64 => "f64",
        Type::Char => "char",
        Type::String => "string",
        Type::ErrorContext => "error-context",
        Type::Id(_) => "a type of its own",
    }
}

/// Name of a component's type, spelt as [`primitive`] does.
fn word(found: &types::Type) -> &'static str {
    match found {
        types::Type::Bool => "bool",
        types::Type::U8 => "u8",
        types::Type::U16 => "u16",
        types::Type::U32 => "u32",
        types::Type::U64 => "u64",
        types::Type::S8 => "s8",
        types::Type::S16 => "s16",
        types::Type::S32 => "s32",
        types::Type::S64 => "s64",
        types::Type::Float32 => "f32",
        types::Type::Float64 => "f64",
        types::Type::Char => "char",
        types::Type::String => "string",
        types::Type::ErrorContext => "error-context",
        types::Type::List(_) => "list",
        types::Type::Map(_) => "map",
        types::Type::Record(_) => "record",
        types::Type::Tuple(_) => "tuple",
        types::Type::Variant(_) => "variant",
        types::Type::Enum(_) => "enum",
        types::Type::Option(_) => "option",
        types::Type::Result(_) => "result",
        types::Type::Flags(_) => "flags",
        types::Type::Own(_) => "own",
        types::Type::Borrow(_) => "borrow",
        types::Type::Future(_) => "future",
        types::Type::Stream(_) => "stream",
        types::Type::FixedLengthList(_) => "fixed-length list",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Interfaces without comments, each on one line.
    fn interfaces(text: &str) -> Vec<String> {
        let code = text.lines().map(str::trim);
        let code: Vec<_> = code.filter(|line| !line.starts_with("//")).collect();
        let code = code.join(" ");
        let parts = code.split("interface ").skip(1);
        let of_it = |part: &str| part.split("world ").next().unwrap().trim().to_owned();
        parts.map(of_it).collect()
    }

    #[test]
    fn what_was_released_never_changes_and_only_interfaces_are_added() {
        for versions in CONTRACTS.windows(2) {
            let [old, new] = versions else { unreachable!() };
            let (old, new) = (interfaces(old.text), interfaces(new.text));
            assert!(old.len() > 9 && new.len() > old.len());
            for interface in old {
                assert!(new.contains(&interface), "{interface}");
            }
        }
    }

    #[test]
    fn a_name_is_of_a_version_that_was_released() {
        for version in ["1.0.0", "1.1.0"] {
            let name = format!("sigpersist:hooks/cms@{version}");
            let (contract, interface) = interface_of(&name).unwrap();
            assert_eq!((contract.version, interface), (version, "cms"));
        }
        for name in [
            "hooks/cms@1.2.0",
            "hooks/cms@1.0.1",
            "hooks/cms@2.0.0",
            "hooks/cms",
            "other/cms@1.0.0",
        ] {
            assert!(interface_of(&format!("sigpersist:{name}")).is_none());
        }
    }
}
