//! Plugins in WebAssembly text, for behaviour that no honest plugin has. Built in process, so no toolchain is needed.

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// The current contract, and version 1.0, which has no verdicts.
pub(crate) const CONTRACT: &str = include_str!("../../../plugins/wit/hooks.wit");
pub(crate) const CONTRACT_1_0: &str = include_str!("../../../plugins/wit/1.0.0/hooks.wit");

/// A plugin, given by the bodies of its functions, which have the result type `i32`.
pub(crate) struct Guest<'a> {
    /// The exported interfaces: `tagger`, `save-validator` or `delete-validator`.
    pub(crate) judges: &'a [&'a str],
    /// The body of every judge; `(i32.const 1024)` points at an answer that accepts and changes nothing.
    pub(crate) judge: &'a str,
    /// The body of `describe`; `(i32.const 512)` points at the text "a test".
    pub(crate) describe: &'a str,
    /// The body of `validate-config`; `(i32.const 1024)` points at an empty list.
    pub(crate) validate: &'a str,
    /// Further definitions.
    pub(crate) definitions: &'a str,
    /// Imports of the world in addition to the contract's own.
    pub(crate) imports: &'a str,
}

impl Default for Guest<'_> {
    fn default() -> Self {
        Self {
            judges: &["save-validator"],
            judge: ACCEPT,
            describe: "(i32.const 512)",
            validate: "(i32.const 1024)",
            definitions: "",
            imports: "",
        }
    }
}

/// An answer that accepts and changes nothing: zeros, which are valid for every judge's result type.
pub(crate) const ACCEPT: &str = "(i32.const 1024)";

/// The body of a judge that rejects with a code of one letter.
pub(crate) fn rejecting(code: char) -> String {
    let letter = u32::from(code);
    format!(
        "(i32.store8 (i32.const 2048) (i32.const 1)) \
         (i32.store (i32.const 2052) (i32.const 3072)) (i32.store (i32.const 2056) (i32.const 1)) \
         (i32.store (i32.const 3072) (i32.const 3137)) (i32.store (i32.const 3076) (i32.const 1)) \
         (i32.store8 (i32.const 3137) (i32.const {letter})) (i32.const 2048)"
    )
}

/// An endless loop.
pub(crate) const LOOP: &str = "(loop (br 0)) (unreachable)";

impl Guest<'_> {
    /// The module's text, for the newest version of the contract.
    fn wat(&self) -> String {
        let judges: String = self
            .judges
            .iter()
            .map(|judge| {
                let function = match *judge {
                    "tagger" => "tag",
                    "save-validator" => "validate-save",
                    "delete-validator" => "validate-delete",
                    other => panic!("{other} is not a judge"),
                };
                let body = self.judge;
                format!(r#"(func (export "sigpersist:hooks/{judge}@1.1.0#{function}") (param i32) (result i32) {body})"#)
            })
            .collect();
        let Self {
            describe,
            validate,
            definitions,
            ..
        } = self;
        // Definitions come first, since imports must precede everything else.
        format!(
            r#"(module
                {definitions}
                (memory (export "memory") 4)
                (data (i32.const 512) "\00\03\00\00\06\00\00\00")
                (data (i32.const 768) "a test")
                (global $next (mut i32) (i32.const 65536))
                (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
                    (local $start i32)
                    (local.set $start (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
                    (global.set $next (i32.add (local.get $start) (local.get 3)))
                    (local.get $start))
                (func (export "sigpersist:hooks/lifecycle@1.1.0#describe") (result i32) {describe})
                (func (export "sigpersist:hooks/lifecycle@1.1.0#validate-config") (param i32 i32) (result i32) {validate})
                {judges})"#
        )
    }

    /// The core module alone.
    pub(crate) fn core_module(&self) -> Vec<u8> {
        wat::parse_str(self.wat()).unwrap()
    }

    /// The component.
    pub(crate) fn component(&self) -> Vec<u8> {
        self.component_against(CONTRACT)
    }

    /// The component as built against another version of the contract.
    pub(crate) fn component_against(&self, contract: &str) -> Vec<u8> {
        let mut resolve = Resolve::default();
        let package = resolve.push_str("hooks.wit", contract).unwrap();
        let version = resolve.packages[package].name.version.clone().unwrap();
        // Renames interfaces of the newest version to those of this one.
        let of_version = |text: &str| text.replace("@1.1.0", &format!("@{version}"));
        let exports: String = self
            .judges
            .iter()
            .map(|judge| format!("export sigpersist:hooks/{judge}@1.1.0;"))
            .collect();
        let world = format!(
            "package test:guest;
             interface clock {{ now: func() -> u64; }}
             world guest {{
                 include sigpersist:hooks/host@1.1.0;
                 {}
                 export sigpersist:hooks/lifecycle@1.1.0;
                 {exports}
             }}",
            self.imports
        );
        let package = resolve.push_str("guest.wit", &of_version(&world)).unwrap();
        let world = resolve.select_world(&[package], Some("guest")).unwrap();
        let mut module = wat::parse_str(of_version(&self.wat())).unwrap();
        embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
        ComponentEncoder::default()
            .module(&module)
            .unwrap()
            .validate(true)
            .encode()
            .unwrap()
    }
}
