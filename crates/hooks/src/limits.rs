//! Limits of a call whose breach is an error that names them.

use wasmtime::{ResourceLimiter, Result};

/// A limit that a call exceeded.
#[derive(Debug, Clone, thiserror::Error)]
#[error("it exceeded the limit of {value} {unit} ({setting})")]
pub(super) struct LimitBroken {
    pub(super) setting: &'static str,
    pub(super) value: u64,
    pub(super) unit: &'static str,
}

impl LimitBroken {
    /// Too many bytes in one host call or result.
    pub(super) fn hostcall_bytes(limit: usize) -> Self {
        Self {
            setting: "hooks.max_hostcall_bytes",
            value: limit as u64,
            unit: "bytes of one host call or result",
        }
    }
}

/// Limits linear memory, summed over all memories of the instance, and the elements of each table.
///
/// A broken limit is an error that names it. A failed `memory.grow` would not do: guests turn it into an `unreachable`
/// trap that explains nothing.
pub(super) struct MemoryLimits {
    max_memory_bytes: u64,
    max_table_elements: usize,
    memory_bytes: u64,
}

impl MemoryLimits {
    /// Limits of an instance that has no memory yet.
    pub(super) fn new(max_memory_bytes: u64, max_table_elements: usize) -> Self {
        Self {
            max_memory_bytes,
            max_table_elements,
            memory_bytes: 0,
        }
    }

    /// Size that the instance's memories have grown to, in bytes.
    pub(super) fn memory_bytes(&self) -> u64 {
        self.memory_bytes
    }
}

impl ResourceLimiter for MemoryLimits {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> Result<bool> {
        let total = self
            .memory_bytes
            .saturating_sub(current as u64)
            .saturating_add(desired as u64);
        if total > self.max_memory_bytes {
            return Err(LimitBroken {
                setting: "memory_bytes",
                value: self.max_memory_bytes,
                unit: "bytes of memory",
            }
            .into());
        }
        self.memory_bytes = total;
        Ok(true)
    }

    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> Result<bool> {
        if desired > self.max_table_elements {
            return Err(LimitBroken {
                setting: "hooks.max_table_elements",
                value: self.max_table_elements as u64,
                unit: "table elements",
            }
            .into());
        }
        Ok(true)
    }
}
