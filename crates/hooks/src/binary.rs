//! Reads the kind, imports and exports of a WebAssembly file without compiling it.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};
use wasmparser::{Encoding, Parser, Payload};

/// Kind of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// A component. Every plugin is one.
    #[serde(rename = "component")]
    Component,
    /// A core module. `pack` can make a component from it.
    #[serde(rename = "core module")]
    CoreModule,
    /// Something else, or a broken file.
    #[serde(rename = "no WebAssembly")]
    Other,
}

sigpersist_model::words!(Kind);

/// Kind and names found in a WebAssembly file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binary {
    /// Kind of the file.
    pub kind: Kind,
    /// Imported names, each once: interfaces of a component, or modules of a core module.
    pub imports: Vec<String>,
    /// Exported names, each once.
    pub exports: Vec<String>,
    /// Whether it is a core module that carries the types of its component in a custom section.
    pub has_component_types: bool,
}

impl Binary {
    /// Reads a file as far as possible, without validating it.
    pub fn read(bytes: &[u8]) -> Self {
        let mut binary = Self {
            kind: Kind::Other,
            imports: Vec::new(),
            exports: Vec::new(),
            has_component_types: false,
        };
        // Nesting depth of modules and components: only names of the outermost one count.
        let mut depth = 0_usize;
        for payload in Parser::new(0).parse_all(bytes) {
            let Ok(payload) = payload else { break };
            match payload {
                Payload::Version { encoding, .. } => {
                    depth += 1;
                    if depth == 1 {
                        binary.kind = match encoding {
                            Encoding::Component => Kind::Component,
                            Encoding::Module => Kind::CoreModule,
                        };
                    }
                }
                Payload::End(_) => depth = depth.saturating_sub(1),
                payload if depth == 1 => binary.note(payload),
                _ => {}
            }
        }
        once(&mut binary.imports);
        once(&mut binary.exports);
        binary
    }

    fn note(&mut self, payload: Payload<'_>) {
        match payload {
            Payload::ImportSection(section) => {
                for import in section.into_imports().flatten() {
                    self.imports.push(import.module.to_owned());
                }
            }
            Payload::ExportSection(section) => {
                for export in section.into_iter().flatten() {
                    self.exports.push(export.name.to_owned());
                }
            }
            Payload::ComponentImportSection(section) => {
                for import in section.into_iter().flatten() {
                    self.imports.push(import.name.name.to_owned());
                }
            }
            Payload::ComponentExportSection(section) => {
                for export in section.into_iter().flatten() {
                    self.exports.push(export.name.name.to_owned());
                }
            }
            Payload::CustomSection(section) if section.name().starts_with("component-type") => {
                self.has_component_types = true;
            }
            _ => {}
        }
    }
}

/// Keeps the first occurrence of each name.
fn once(names: &mut Vec<String>) {
    let mut known = HashSet::new();
    names.retain(|name| known.insert(name.clone()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn components_and_core_modules_tell_their_names() {
        let component = include_bytes!("../../../plugins/signer-tags/signer-tags.wasm");
        let binary = Binary::read(component);
        assert_eq!(binary.kind, Kind::Component);
        assert!(
            binary
                .exports
                .contains(&"sigpersist:hooks/tagger@1.1.0".to_owned()),
            "{binary:?}"
        );
        assert!(
            binary
                .imports
                .iter()
                .all(|name| name.starts_with("sigpersist:hooks/"))
        );
        let module = wat::parse_str(
            r#"(module
                (import "env" "a" (func)) (import "env" "b" (func))
                (func (export "run")))"#,
        )
        .unwrap();
        assert_eq!(
            Binary::read(&module),
            Binary {
                kind: Kind::CoreModule,
                imports: vec!["env".to_owned()],
                exports: vec!["run".to_owned()],
                has_component_types: false,
            }
        );
        for broken in [&b""[..], b"\0asm", b"text"] {
            assert_eq!(Binary::read(broken).kind, Kind::Other);
        }
        // A truncated file is read up to its end.
        assert_eq!(Binary::read(&component[..200]).kind, Kind::Component);
    }
}
