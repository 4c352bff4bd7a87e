//! An admitted and compiled component, ready to be instantiated.

use sigpersist_model::decision::{MAX_ENTRIES, clean};
use sigpersist_model::error::{Error, Result, SettingsIssue};
use sigpersist_model::plugin::Operation;
use wasmtime::component::{Component, InstancePre};

use super::bindings::exports::sigpersist::hooks as exports;
use super::call::{Call, Failure};
use super::contract::{CONTRACTS, Contract, PACKAGE, interface_of};
use super::engine::Engine;
use super::host::HostState;

const LIFECYCLE: &str = "lifecycle";
const JUDGES: [&str; 3] = ["tagger", "save-validator", "delete-validator"];
/// `types` has no functions; components import it for its records.
const IMPORTS: [&str; 8] = [
    "types",
    "log",
    "config",
    "payload",
    "cms",
    "previous",
    VERDICTS,
    PREVIOUS_VERDICTS,
];
const VERDICTS: &str = "verdicts";
const PREVIOUS_VERDICTS: &str = "previous-verdicts";

/// Ways to build a component without WASI.
const WITHOUT_WASI: &str = " Build it without WASI: with `--stub-wasi` of componentize-qjs or componentize-py, `--backend qjs --backend-qjs-stub-wasi` of jco, all of `disableFeatures` of componentize-js, or the target wasm32-unknown-unknown of Rust.";

/// Start of every component: the magic number of WebAssembly, then the version and layer of components.
const COMPONENT_PREAMBLE: &[u8] = b"\0asm\x0d\0\x01\0";
const CORE_MODULE_PREAMBLE: &[u8] = b"\0asm\x01\0\0\0";

/// A compiled plugin.
pub struct Plugin {
    pub(super) pre: InstancePre<HostState>,
    pub(super) lifecycle: exports::lifecycle::GuestIndices,
    pub(super) tagger: Option<exports::tagger::GuestIndices>,
    pub(super) save_validator: Option<exports::save_validator::GuestIndices>,
    pub(super) delete_validator: Option<exports::delete_validator::GuestIndices>,
    exports: Vec<String>,
    imports: Vec<String>,
}

impl std::fmt::Debug for Plugin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Plugin {:?}", self.exports)
    }
}

/// A plugin's description of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// The plugin's purpose, in one line.
    pub summary: String,
    /// Cost of the call that returned the description.
    pub cost: Cost,
}

/// Cost of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cost {
    /// Fuel used.
    pub fuel: u64,
    /// Duration, in microseconds.
    pub microseconds: u64,
    /// Peak linear memory, in bytes.
    pub memory_bytes: u64,
}

impl Plugin {
    /// Admits a compiled component if its imports and exports fit the contract.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] with a reason that addresses the component's author.
    pub(super) fn new(engine: &Engine, component: &Component) -> Result<Self> {
        let kind = component.component_type();
        let mut imports: Vec<String> = Vec::new();
        for (name, item) in kind.imports(&engine.engine) {
            // The linker would not refuse this: it accepts an empty instance of any name.
            match interface_of(name) {
                Some((contract, interface)) if IMPORTS.contains(&interface) => {
                    contract
                        .check_import(&engine.engine, interface, &item.ty)
                        .map_err(|how| mismatch(contract, &how))?;
                    if imports.iter().all(|known| known != interface) {
                        imports.push(interface.to_owned());
                    }
                }
                _ => {
                    let advice = if name.starts_with("wasi:") {
                        WITHOUT_WASI
                    } else {
                        ""
                    };
                    return Err(Error::refused(format!(
                        "The component imports `{name}`, which hooks can't use. They may import {} of {PACKAGE}, version {}, but no WASI.{advice}",
                        IMPORTS.join(", "),
                        versions()
                    )));
                }
            }
        }
        let mut exported: Vec<String> = Vec::new();
        for (name, item) in kind.exports(&engine.engine) {
            match interface_of(name) {
                Some((contract, interface))
                    if interface == LIFECYCLE || JUDGES.contains(&interface) =>
                {
                    contract
                        .check_export(&engine.engine, interface, &item.ty)
                        .map_err(|how| mismatch(contract, &how))?;
                    // Only one of the versions would run.
                    if exported.iter().any(|known| known == interface) {
                        return Err(Error::refused(format!(
                            "The component exports `{interface}` in more than one version."
                        )));
                    }
                    exported.push(interface.to_owned());
                }
                // An interface of another version, or with a misspelt name, would never run, without notice.
                _ if name.starts_with("sigpersist:") => {
                    return Err(Error::refused(format!(
                        "The component exports `{name}`, which this server does not know."
                    )));
                }
                _ => {}
            }
        }
        let exports = |interface: &str| exported.iter().any(|name| name == interface);
        if !exports(LIFECYCLE) {
            return Err(Error::refused(format!(
                "The component does not export `{PACKAGE}/{LIFECYCLE}`, version {}.",
                versions()
            )));
        }
        if !JUDGES.into_iter().any(exports) {
            return Err(Error::refused(format!(
                "The component exports none of {}, so it would judge nothing.",
                JUDGES.join(", ")
            )));
        }
        let [.., newest] = &CONTRACTS;
        let unlinked = |error: wasmtime::Error| mismatch(newest, &format!("{error:#}"));
        let pre = engine.linker.instantiate_pre(component).map_err(unlinked)?;
        Ok(Self {
            lifecycle: exports::lifecycle::GuestIndices::new(&pre).map_err(unlinked)?,
            tagger: exports("tagger")
                .then(|| exports::tagger::GuestIndices::new(&pre))
                .transpose()
                .map_err(unlinked)?,
            save_validator: exports("save-validator")
                .then(|| exports::save_validator::GuestIndices::new(&pre))
                .transpose()
                .map_err(unlinked)?,
            delete_validator: exports("delete-validator")
                .then(|| exports::delete_validator::GuestIndices::new(&pre))
                .transpose()
                .map_err(unlinked)?,
            pre,
            imports,
            exports: exported,
        })
    }

    /// Checks size and first bytes of a component, before it is parsed.
    pub(super) fn check_kind(bytes: &[u8], max_bytes: usize) -> Result<()> {
        if bytes.len() > max_bytes {
            return Err(Error::ComponentTooLarge {
                bytes: bytes.len(),
                limit_bytes: max_bytes,
            });
        }
        if bytes.starts_with(COMPONENT_PREAMBLE) {
            return Ok(());
        }
        Err(Error::refused(if bytes.starts_with(CORE_MODULE_PREAMBLE) {
            "This is a core WebAssembly module; a plugin is a component. `sigpersist plugin pack` makes one from a core module that was built for the contract."
        } else {
            "This is not a WebAssembly component."
        }))
    }

    /// Memory that the compiled code takes, in bytes.
    pub(super) fn code_bytes(&self) -> u64 {
        let image = self.pre.component().image_range();
        (image.end.addr() - image.start.addr()) as u64
    }

    /// Interfaces of the contract that the plugin exports.
    pub fn exports(&self) -> &[String] {
        &self.exports
    }

    /// Interfaces of the contract that the plugin imports.
    pub fn imports(&self) -> &[String] {
        &self.imports
    }

    /// Whether the plugin judges this operation.
    pub fn judges(&self, operation: Operation) -> bool {
        match operation {
            Operation::Save => self.tagger.is_some() || self.save_validator.is_some(),
            Operation::Delete => self.delete_validator.is_some(),
        }
    }

    /// Whether the plugin reads the version that is signed over.
    pub fn imports_previous(&self) -> bool {
        let mut imports = self.imports.iter();
        imports.any(|name| name == "previous" || name == PREVIOUS_VERDICTS)
    }

    /// Whether the plugin may ask for verification results.
    pub fn imports_verdicts(&self) -> bool {
        let mut imports = self.imports.iter();
        imports.any(|name| name == VERDICTS || name == PREVIOUS_VERDICTS)
    }

    /// Calls the plugin's `describe`.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] if the call fails.
    pub fn describe(&self, engine: &Engine) -> Result<Description> {
        let ended = self.lifecycle_call(engine).run(|store, instance| {
            self.lifecycle
                .load(&mut *store, instance)?
                .call_describe(store)
        });
        let description = ended
            .result
            .map_err(|failure| refuse("describe", &failure))?;
        Ok(Description {
            summary: clean(&description.summary),
            cost: Cost {
                fuel: ended.fuel,
                microseconds: ended.microseconds,
                memory_bytes: ended.memory_bytes,
            },
        })
    }

    /// Calls the plugin's `validate-config`. Returns the mistakes in the settings; none if they are accepted.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] if the call fails.
    pub fn validate_settings(&self, engine: &Engine, settings: &str) -> Result<Vec<SettingsIssue>> {
        let issues = self
            .lifecycle_call(engine)
            .run(|store, instance| {
                self.lifecycle
                    .load(&mut *store, instance)?
                    .call_validate_config(store, settings)
            })
            .result
            .map_err(|failure| refuse("validate-config", &failure))?;
        Ok(issues
            .into_iter()
            .take(MAX_ENTRIES)
            .map(|issue| SettingsIssue {
                field: clean(&issue.field),
                message: clean(&issue.message),
            })
            .collect())
    }

    fn lifecycle_call<'a>(&'a self, engine: &'a Engine) -> Call<'a> {
        let limits = engine.config.ceiling();
        Call {
            engine,
            plugin: self,
            state: HostState::new(
                &engine.config,
                &LIFECYCLE.into(),
                &"{}".into(),
                limits.memory_bytes,
                None,
            ),
            limits,
            gives_way: false,
        }
    }
}

fn refuse(function: &str, failure: &Failure) -> Error {
    Error::refused(format!(
        "The component's `{function}` failed: {}.",
        clean(&failure.to_string())
    ))
}

fn mismatch(contract: &Contract, how: &str) -> Error {
    let version = contract.version;
    Error::refused(format!(
        "The component does not match the contract {PACKAGE}@{version}: {how}. Build it with bindings of that contract, unchanged."
    ))
}

/// The versions of the contract that this server supports, for messages.
fn versions() -> String {
    CONTRACTS.each_ref().map(|it| it.version).join(" or ")
}
