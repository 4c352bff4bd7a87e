//! Generated from `plugins/wit`: the types and traits of the plugin contract.

wasmtime::component::bindgen!({
    path: "../../plugins/wit",
    world: "plugin",
    imports: { default: trappable },
});
