//! Tells WebAssembly files that a compiler made of a real program from files that were made to be costly. Validates a
//! file, and counts everything that compiling takes more than linear time or memory for.
//!
//! The check itself takes time and memory in proportion to the file. The limits are at least six times the counts of
//! the largest real guests (the interpreters of Python and JavaScript), and twice for nesting. A file within the limits
//! may still be too costly: `compiler` bounds the real cost of compiling.

use wasmparser::{
    BinaryReaderError, FuncToValidate, FuncValidatorAllocations, FunctionBody, Operator, Parser,
    Payload, SubType, TypeRef, ValidPayload, Validator, ValidatorResources, WasmFeatures,
};

/// Reason why a file is not compiled.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unfit {
    /// The file is not valid WebAssembly.
    #[error("The file is not valid WebAssembly: {0}.")]
    Invalid(#[from] BinaryReaderError),
    /// A count exceeds its limit.
    #[error(
        "The file is too complex: {subject} has {number} {what}; the limit is {limit}. {advice}"
    )]
    TooMany {
        subject: String,
        what: &'static str,
        number: u64,
        limit: u64,
        advice: &'static str,
    },
}

const SPLIT: &str = "Split the function, or let your compiler optimise for size.";
const SMALLER: &str = "Make it smaller: remove unused code.";

/// Counter of one kind of item, with its limit.
#[derive(Debug)]
struct Count {
    what: &'static str,
    limit: u64,
    number: u64,
}

impl Count {
    const fn new(what: &'static str, limit: u64) -> Self {
        Self {
            what,
            limit,
            number: 0,
        }
    }

    /// Adds to the number for the whole file.
    fn add(&mut self, number: impl Into<u64>) -> Result<(), Unfit> {
        self.raise(self.number.saturating_add(number.into()), "it", SMALLER)
    }

    /// Records a number, and keeps the highest.
    fn raise(&mut self, number: u64, subject: &str, advice: &'static str) -> Result<(), Unfit> {
        self.number = self.number.max(number);
        if number <= self.limit {
            return Ok(());
        }
        Err(Unfit::TooMany {
            subject: subject.to_owned(),
            what: self.what,
            number,
            limit: self.limit,
            advice,
        })
    }
}

/// All counters. They cover the whole file, unless noted otherwise.
#[derive(Debug)]
struct Counts {
    nesting: Count,
    modules: Count,
    instances: Count,
    definitions: Count,
    type_bytes: Count,
    types: Count,
    values_of_type: Count,
    imports: Count,
    exports: Count,
    functions: Count,
    tables: Count,
    table_elements: Count,
    elements: Count,
    memories: Count,
    globals: Count,
    tags: Count,
    data: Count,
    operators: Count,
    /// Counters of one function: this field and all below.
    function_operators: Count,
    locals: Count,
    blocks: Count,
    depth: Count,
    liveness: Count,
}

impl Default for Counts {
    fn default() -> Self {
        Self {
            nesting: Count::new("levels of nested components", 8),
            modules: Count::new("modules and components", 200),
            instances: Count::new("instances", 2_000),
            definitions: Count::new(
                "aliases, adapted functions, imports and exports of components",
                50_000,
            ),
            type_bytes: Count::new("bytes of component types", 4 * 1024 * 1024),
            types: Count::new("types", 50_000),
            values_of_type: Count::new("parameters and results", 1_000),
            imports: Count::new("imports of modules", 100_000),
            exports: Count::new("exports of modules", 100_000),
            functions: Count::new("functions", 200_000),
            tables: Count::new("tables", 100),
            table_elements: Count::new("initial table elements", 1_000_000),
            elements: Count::new("bytes of element segments", 4 * 1024 * 1024),
            memories: Count::new("memories", 100),
            globals: Count::new("globals", 100_000),
            tags: Count::new("tags", 1_000),
            data: Count::new("data segments", 50_000),
            operators: Count::new("operators", 20_000_000),
            function_operators: Count::new("operators", 1_000_000),
            locals: Count::new("locals", 10_000),
            blocks: Count::new("blocks and branches", 200_000),
            depth: Count::new("levels of nested blocks", 10_000),
            liveness: Count::new("blocks and branches times locals and operands", 10_000_000),
        }
    }
}

/// Refuses a module or component that is invalid or out of proportion.
///
/// # Errors
///
/// The first problem found.
pub(super) fn check(bytes: &[u8]) -> Result<(), Unfit> {
    Counts::default().check(bytes)
}

impl Counts {
    fn check(&mut self, bytes: &[u8]) -> Result<(), Unfit> {
        // All features are allowed here: the compiler itself refuses those that it does not support.
        let mut validator = Validator::new_with_features(WasmFeatures::all());
        let mut allocations = FuncValidatorAllocations::default();
        let mut parser = Parser::new(0);
        parser.set_features(WasmFeatures::all());
        let mut open = 0_u64;
        for payload in parser.parse_all(bytes) {
            let payload = payload?;
            match &payload {
                Payload::Version { .. } => {
                    open += 1;
                    self.nesting.raise(open, "it", SMALLER)?;
                    self.modules.add(1_u32)?;
                }
                Payload::End(_) => open -= 1,
                payload => self.section(payload)?,
            }
            if let ValidPayload::Func(function, body) = validator.payload(&payload)? {
                allocations = self.function(function, &body, allocations)?;
            }
        }
        Ok(())
    }

    /// Counts the items that a section declares, before validating them.
    fn section(&mut self, payload: &Payload<'_>) -> Result<(), Unfit> {
        match payload {
            Payload::TypeSection(section) => {
                for group in section.clone() {
                    for kind in group?.types() {
                        self.types.add(1_u32)?;
                        self.values(kind)?;
                    }
                }
                Ok(())
            }
            Payload::ImportSection(section) => {
                for import in section.clone().into_imports() {
                    self.imports.add(1_u32)?;
                    match import?.ty {
                        TypeRef::Func(_) | TypeRef::FuncExact(_) => self.functions.add(1_u32)?,
                        TypeRef::Table(table) => {
                            self.tables.add(1_u32)?;
                            self.table_elements.add(table.initial)?;
                        }
                        TypeRef::Memory(_) => self.memories.add(1_u32)?,
                        TypeRef::Global(_) => self.globals.add(1_u32)?,
                        TypeRef::Tag(_) => self.tags.add(1_u32)?,
                    }
                }
                Ok(())
            }
            Payload::FunctionSection(section) => self.functions.add(section.count()),
            Payload::TableSection(section) => {
                for table in section.clone() {
                    self.tables.add(1_u32)?;
                    self.table_elements.add(table?.ty.initial)?;
                }
                Ok(())
            }
            Payload::MemorySection(section) => self.memories.add(section.count()),
            Payload::TagSection(section) => self.tags.add(section.count()),
            Payload::GlobalSection(section) => self.globals.add(section.count()),
            Payload::ExportSection(section) => self.exports.add(section.count()),
            Payload::ElementSection(section) => self.elements.add(size(&section.range())),
            Payload::DataSection(section) => self.data.add(section.count()),
            Payload::InstanceSection(section) => self.instances.add(section.count()),
            Payload::ComponentInstanceSection(section) => self.instances.add(section.count()),
            Payload::CoreTypeSection(section) => self.type_bytes.add(size(&section.range())),
            Payload::ComponentTypeSection(section) => self.type_bytes.add(size(&section.range())),
            Payload::ComponentAliasSection(section) => self.definitions.add(section.count()),
            Payload::ComponentCanonicalSection(section) => self.definitions.add(section.count()),
            Payload::ComponentImportSection(section) => self.definitions.add(section.count()),
            Payload::ComponentExportSection(section) => self.definitions.add(section.count()),
            _ => Ok(()),
        }
    }

    fn values(&mut self, kind: &SubType) -> Result<(), Unfit> {
        if let wasmparser::CompositeInnerType::Func(function) = &kind.composite_type.inner {
            let values = function.params().len() + function.results().len();
            self.values_of_type
                .raise(values as u64, "the type of a function", SPLIT)?;
        }
        Ok(())
    }

    /// Validates a function, and counts its parts.
    fn function(
        &mut self,
        function: FuncToValidate<ValidatorResources>,
        body: &FunctionBody<'_>,
        allocations: FuncValidatorAllocations,
    ) -> Result<FuncValidatorAllocations, Unfit> {
        let mut validator = function.into_validator(allocations);
        let subject = format!("function {}", validator.index());
        for declared in body.get_locals_reader()? {
            let (number, _) = declared?;
            let locals = u64::from(validator.len_locals()) + u64::from(number);
            self.locals.raise(locals, &subject, SPLIT)?;
        }
        let mut reader = body.get_binary_reader();
        reader.set_features(WasmFeatures::all());
        validator.read_locals(&mut reader)?;
        let locals = u64::from(validator.len_locals());
        self.locals.raise(locals, &subject, SPLIT)?;
        let (mut operators, mut blocks, mut operands) = (0_u64, 0_u64, 0_u64);
        let mut reader = body.get_operators_reader()?;
        while !reader.eof() {
            let (operator, offset) = reader.read_with_offset()?;
            operators += 1;
            blocks += match &operator {
                Operator::BrTable { targets } => u64::from(targets.len()) + 1,
                Operator::Block { .. }
                | Operator::Loop { .. }
                | Operator::If { .. }
                | Operator::Else
                | Operator::TryTable { .. }
                | Operator::Br { .. }
                | Operator::BrIf { .. }
                | Operator::Return => 1,
                _ => 0,
            };
            self.function_operators.raise(operators, &subject, SPLIT)?;
            self.blocks.raise(blocks, &subject, SPLIT)?;
            validator.op(offset, &operator)?;
            operands = operands.max(validator.operand_stack_height().into());
            self.depth
                .raise(validator.control_stack_height().into(), &subject, SPLIT)?;
            self.liveness
                .raise(blocks * (locals + operands), &subject, SPLIT)?;
        }
        reader.finish()?;
        self.operators.add(operators)?;
        Ok(validator.into_allocations())
    }
}

fn size(range: &std::ops::Range<usize>) -> u64 {
    (range.end - range.start) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_are_in_proportion() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../plugins");
        let mut checked = 0;
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if let Ok(component) = std::fs::read(path.join(format!("{name}.wasm"))) {
                check(&component).unwrap();
                checked += 1;
            }
        }
        assert!(checked >= 5, "{checked}");
    }

    /// A module of generated text, repeated `number` times.
    fn repeated(number: u32, text: impl Fn(u32) -> String) -> Vec<u8> {
        around("(module ", number, text, ")")
    }

    fn around(before: &str, number: u32, text: impl Fn(u32) -> String, after: &str) -> Vec<u8> {
        let middle: String = (0..number).map(text).collect();
        wat::parse_str(format!("{before}{middle}{after}")).unwrap()
    }

    fn function(number: u32, text: &str) -> Vec<u8> {
        around("(module (func ", number, |_| text.to_owned(), "))")
    }

    /// A section of `length` zeros, in a module or component.
    fn section(preamble: &[u8], id: u8, length: u32) -> Vec<u8> {
        let mut bytes = preamble.to_vec();
        bytes.push(id);
        bytes.extend((0..5).map(|group| {
            let more = if group < 4 { 0x80 } else { 0 };
            u8::try_from(length >> (7 * group) & 0x7f).unwrap() | more
        }));
        bytes.resize(bytes.len() + length as usize, 0);
        bytes
    }

    const MODULE: &[u8] = b"\0asm\x01\0\0\0";
    const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";

    #[test]
    fn each_excess_is_told_with_its_limit() {
        let same = |text: &'static str| move |_| text.to_owned();
        let ifs = |number| {
            let locals = "i32 ".repeat(999);
            let before = format!("(module (func (local {locals}) ");
            let text = same("(if (i32.const 1) (then) (else))");
            around(&before, number, text, "))")
        };
        // For each limit: a file just within it, if that is quick to make, and one that exceeds it.
        let excesses = [
            (
                Some(function(10_000, "(local i32)")),
                function(10_001, "(local i32)"),
                "function 0 has 10001 locals; the limit is 10000.",
            ),
            (
                Some(ifs(5_000)),
                ifs(5_001),
                "function 0 has 10001000 blocks and branches times locals and operands; the limit is 10000000.",
            ),
            (
                None,
                function(1_000_001, "nop "),
                "function 0 has 1000001 operators; the limit is 1000000.",
            ),
            (
                None,
                around(
                    "(module (func (br_table ",
                    200_001,
                    same("0 "),
                    "(i32.const 0))))",
                ),
                "function 0 has 200001 blocks and branches; the limit is 200000.",
            ),
            (
                None,
                around(
                    &format!("(module (func {}", "block ".repeat(10_001)),
                    10_001,
                    same("end "),
                    "))",
                ),
                "function 0 has 10001 levels of nested blocks; the limit is 10000.",
            ),
            (
                None,
                repeated(200_001, |_| "(func)".to_owned()),
                "it has 200001 functions; the limit is 200000.",
            ),
            (
                None,
                repeated(50_001, same("(type (func))")),
                "it has 50001 types; the limit is 50000.",
            ),
            (
                None,
                around(
                    &format!(
                        "(module (type (func (param {}) (result ",
                        "i32 ".repeat(600)
                    ),
                    600,
                    same("i32 "),
                    "))))",
                ),
                "the type of a function has 1200 parameters and results; the limit is 1000.",
            ),
            (
                None,
                repeated(100_001, same("(import \"\" \"\" (func))")),
                "it has 100001 imports of modules; the limit is 100000.",
            ),
            (
                None,
                around(
                    "(module (func)",
                    100_001,
                    |number| format!("(export \"{number}\" (func 0))"),
                    ")",
                ),
                "it has 100001 exports of modules; the limit is 100000.",
            ),
            (
                Some(repeated(100, same("(table 1 funcref)"))),
                repeated(101, same("(table 1 funcref)")),
                "it has 101 tables; the limit is 100.",
            ),
            (
                Some(repeated(1, same("(table 1000000 funcref)"))),
                repeated(1, same("(table 1000001 funcref)")),
                "it has 1000001 initial table elements; the limit is 1000000.",
            ),
            (
                Some(repeated(100, same("(memory 1)"))),
                repeated(101, same("(memory 1)")),
                "it has 101 memories; the limit is 100.",
            ),
            (
                None,
                repeated(100_001, same("(global i32 (i32.const 0))")),
                "it has 100001 globals; the limit is 100000.",
            ),
            (
                None,
                repeated(1_001, same("(tag)")),
                "it has 1001 tags; the limit is 1000.",
            ),
            (
                None,
                repeated(50_001, same("(data \"\")")),
                "it has 50001 data segments; the limit is 50000.",
            ),
            (
                None,
                section(MODULE, 9, 4_194_305),
                "it has 4194305 bytes of element segments; the limit is 4194304.",
            ),
            (
                None,
                section(COMPONENT, 7, 4_194_305),
                "it has 4194305 bytes of component types; the limit is 4194304.",
            ),
            (
                Some(around("", 8, same("(component "), &")".repeat(8))),
                around("", 9, same("(component "), &")".repeat(9)),
                "it has 9 levels of nested components; the limit is 8.",
            ),
            (
                Some(around("(component ", 199, same("(core module)"), ")")),
                around("(component ", 200, same("(core module)"), ")"),
                "it has 201 modules and components; the limit is 200.",
            ),
            (
                None,
                around("(component ", 2_001, same("(core instance)"), ")"),
                "it has 2001 instances; the limit is 2000.",
            ),
            (
                None,
                around(
                    "(component ",
                    50_001,
                    |number| format!("(import \"a{number}\" (func))"),
                    ")",
                ),
                "it has 50001 aliases, adapted functions, imports and exports of components; the limit is 50000.",
            ),
        ];
        for (within, beyond, why) in excesses {
            if let Some(within) = within {
                check(&within).unwrap();
            }
            let refusal = check(&beyond).unwrap_err().to_string();
            let expected = format!("The file is too complex: {why} ");
            assert!(refusal.starts_with(&expected), "{refusal}, not {expected}");
        }
    }

    #[test]
    fn broken_files_are_not_valid() {
        for broken in [&b""[..], b"text", b"\0asm\x01\0\0\0\x0a\xff"] {
            let refusal = check(broken).unwrap_err().to_string();
            assert!(refusal.contains("not valid WebAssembly"), "{refusal}");
        }
    }
}
