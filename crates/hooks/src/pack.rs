//! Makes a component from a core module that was built for the contract, as `wasm-tools component new` does. The only
//! file that knows `wit-component` and `wit-parser`.

use std::path::Path;

use sigpersist_model::error::{Error, Result};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::{PackageId, Resolve, WorldId};

use super::binary::{Binary, Kind};
use super::contract::{CONTRACTS, PACKAGE};
use super::proportion;

/// World that a core module implements, if the module does not carry it.
#[derive(Debug, Clone, Copy)]
pub struct World<'a> {
    /// Path of a WIT file or of a directory of WIT files.
    pub wit: &'a Path,
    /// Name of the world; if it is left out, the package must have only one.
    pub name: Option<&'a str>,
}

/// Makes a component from a core module.
///
/// Its world is the one that the module carries (`wit-bindgen` puts it there), the given one, or one that follows from
/// the names of its exports. If the module carries a world, none may be given.
///
/// # Errors
///
/// [`Error::Refused`] with a reason that addresses the module's author.
pub fn pack(module: &[u8], world: Option<World<'_>>) -> Result<Vec<u8>> {
    let binary = Binary::read(module);
    check(&binary)?;
    // Check before any costly work on the module.
    proportion::check(module).map_err(|unfit| Error::refused(unfit.to_string()))?;
    let mut module = module.to_vec();
    match world {
        None if binary.has_component_types => {}
        None => embed(&mut module, &by_exports(&binary)?)?,
        Some(_) if binary.has_component_types => {
            return Err(Error::refused(
                "This core module already contains its world; omit --wit and --world.",
            ));
        }
        Some(world) => embed(&mut module, &of_wit(world)?)?,
    }
    let encode = || {
        ComponentEncoder::default()
            .validate(true)
            .module(&module)?
            .encode()
    };
    encode().map_err(|error| {
        Error::refused(format!(
            "The core module does not match its world: {error:#}. Build it with bindings of the contract (wit-bindgen), or check the world."
        ))
    })
}

fn check(binary: &Binary) -> Result<()> {
    match binary.kind {
        Kind::CoreModule => {}
        Kind::Component => {
            return Err(Error::refused(
                "This is already a component, so there is nothing to pack. `sigpersist plugin inspect` tells whether a server would admit it.",
            ));
        }
        Kind::Other => {
            return Err(Error::refused(
                "This is not WebAssembly. Give the core module (.wasm) that your compiler made.",
            ));
        }
    }
    let wasi = |name: &&String| name.starts_with("wasi_") || name.starts_with("wasi:");
    if let Some(name) = binary.imports.iter().find(wasi) {
        return Err(Error::refused(format!(
            "This core module imports WASI (`{name}`), which plugins can't use: they have no files, clock, randomness or environment. Build it for a target without WASI, such as wasm32-unknown-unknown."
        )));
    }
    Ok(())
}

/// A world and its package.
struct Chosen {
    resolve: Resolve,
    world: WorldId,
}

fn embed(module: &mut Vec<u8>, chosen: &Chosen) -> Result<()> {
    embed_component_metadata(module, &chosen.resolve, chosen.world, StringEncoding::UTF8)
        .map_err(|error| Error::refused(format!("The world can't be used: {error:#}.")))
}

/// The world of a module that names its exports as the contract does.
fn by_exports(binary: &Binary) -> Result<Chosen> {
    let mut interfaces: Vec<&str> = Vec::new();
    for export in &binary.exports {
        if let Some((interface, _)) = export.split_once('#')
            && is_ours(interface)
            && !interfaces.contains(&interface)
        {
            interfaces.push(interface);
        }
    }
    if interfaces.is_empty() {
        return Err(Error::refused(
            "This core module does not contain its world, which wit-bindgen would add, and exports no functions of the contract. Build it with bindings of the contract, or name its world with --wit and --world.",
        ));
    }
    let exports: String = interfaces
        .iter()
        .map(|interface| format!("export {interface};\n"))
        .collect();
    let hosts = CONTRACTS.each_ref();
    let hosts = hosts.map(|it| format!("include {PACKAGE}/host@{};\n", it.version));
    let hosts = hosts.concat();
    let text = format!("package local:plugin;\nworld plugin {{\n{hosts}{exports}}}\n");
    let mut resolve = Resolve::default();
    let package = push_contract(&mut resolve)
        .and_then(|()| resolve.push_source("plugin.wit", &text))
        .map_err(|error| {
            Error::refused(format!(
                "The module exports {}, which does not match the contract: {error:#}.",
                interfaces.join(", ")
            ))
        })?;
    select(resolve, package, None)
}

fn is_ours(interface: &str) -> bool {
    let rest = interface.strip_prefix(PACKAGE);
    rest.is_some_and(|rest| rest.starts_with('/'))
}

/// The given world. The contract need not be among its files.
fn of_wit(world: World<'_>) -> Result<Chosen> {
    let read = |with_contract: bool| {
        let mut resolve = Resolve::default();
        if with_contract {
            push_contract(&mut resolve)?;
        }
        let (package, _) = resolve.push_path(world.wit)?;
        anyhow::Ok((resolve, package))
    };
    // If the directory holds the contract, adding the contract again would define it twice. So that is tried second,
    // and its error is the one reported.
    let (resolve, package) = read(false).or_else(|_| read(true)).map_err(|error| {
        Error::refused(format!(
            "The WIT at {} can't be used: {error:#}.",
            world.wit.display()
        ))
    })?;
    select(resolve, package, world.name)
}

fn push_contract(resolve: &mut Resolve) -> anyhow::Result<()> {
    for contract in &CONTRACTS {
        let name = format!("hooks-{}.wit", contract.version);
        resolve.push_source(&name, contract.text)?;
    }
    Ok(())
}

fn select(resolve: Resolve, package: PackageId, name: Option<&str>) -> Result<Chosen> {
    let world = resolve.select_world(&[package], name).map_err(|error| {
        Error::refused(format!(
            "The world can't be chosen: {error:#}. Name it with --world."
        ))
    })?;
    Ok(Chosen { resolve, world })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The smallest plugin in WebAssembly text.
    fn module(import: &str) -> Vec<u8> {
        module_of("1.1.0", import)
    }

    fn module_of(version: &str, import: &str) -> Vec<u8> {
        let text = format!(
            r#"(module
                {import}
                (memory (export "memory") 1)
                (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 4096))
                (func (export "sigpersist:hooks/lifecycle@{version}#describe") (result i32) (i32.const 512))
                (func (export "sigpersist:hooks/lifecycle@{version}#validate-config") (param i32 i32) (result i32) (i32.const 512))
                (func (export "sigpersist:hooks/tagger@{version}#tag") (param i32) (result i32) (i32.const 512)))"#
        );
        wat::parse_str(text).unwrap()
    }

    fn refusal(module: &[u8], world: Option<World<'_>>) -> String {
        pack(module, world).unwrap_err().to_string()
    }

    #[test]
    fn a_core_module_becomes_a_component_of_what_it_exports() {
        let component = pack(&module(""), None).unwrap();
        // Each version of the contract is packed as that version.
        for version in CONTRACTS.each_ref().map(|it| it.version) {
            let component = pack(&module_of(version, ""), None).unwrap();
            let binary = Binary::read(&component);
            assert_eq!(binary.kind, Kind::Component);
            let tagger = format!("sigpersist:hooks/tagger@{version}");
            assert!(binary.exports.contains(&tagger), "{binary:?}");
        }
        assert!(refusal(&component, None).contains("already a component"));
    }

    #[test]
    fn a_world_is_given_or_carried() {
        let folder = tempfile::tempdir().unwrap();
        let wit = folder.path().join("world.wit");
        let text = "package my:plugin; world mine { include sigpersist:hooks/host@1.1.0;
            export sigpersist:hooks/lifecycle@1.1.0; export sigpersist:hooks/tagger@1.1.0; }";
        std::fs::write(&wit, text).unwrap();
        let world = World {
            wit: &wit,
            name: Some("mine"),
        };
        pack(&module(""), Some(world)).unwrap();
        let nameless = World {
            name: None,
            ..world
        };
        pack(&module(""), Some(nameless)).unwrap();
        let other = World {
            name: Some("other"),
            ..world
        };
        assert!(refusal(&module(""), Some(other)).contains("--world"));
        let nowhere = World {
            wit: Path::new("/nowhere"),
            ..world
        };
        assert!(refusal(&module(""), Some(nowhere)).contains("/nowhere"));
        // The module as `wit-bindgen` leaves it.
        let mut carries = module("");
        embed(&mut carries, &of_wit(world).unwrap()).unwrap();
        pack(&carries, None).unwrap();
        assert!(refusal(&carries, Some(world)).contains("already contains its world"));
        // The directory of the contract itself, which defines the contract again.
        let contract = World {
            wit: Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../plugins/wit")),
            name: Some("plugin"),
        };
        let misfit = refusal(&module(""), Some(contract));
        assert!(misfit.contains("does not match its world"), "{misfit}");
    }

    #[test]
    fn what_can_not_be_packed_is_refused_in_a_sentence() {
        let wasi = r#"(import "wasi_snapshot_preview1" "fd_write" (func (param i32 i32 i32 i32) (result i32)))"#;
        assert!(refusal(&module(wasi), None).contains("imports WASI (`wasi_snapshot_preview1`)"));
        let other = r#"(import "env" "now" (func))"#;
        let misfit = refusal(&module(other), None);
        assert!(misfit.contains("env"), "{misfit}");
        assert!(refusal(b"text", None).contains("not WebAssembly"));
        let foreign = wat::parse_str(r#"(module (func (export "run")))"#).unwrap();
        assert!(refusal(&foreign, None).contains("--wit"));
        let unknown =
            wat::parse_str(r#"(module (func (export "sigpersist:hooks/judge@1.1.0#judge")))"#)
                .unwrap();
        let misfit = refusal(&unknown, None);
        assert!(misfit.contains("judge"), "{misfit}");
    }
}
