//! Numbering what happened, and growing the trees of the logs by it. Plain code, without a database.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use sigpersist_model::context::TenantId;
use sigpersist_model::log::{Epoch, Node, Numbered, Queued, entry};
use sigpersist_tlog::{Edge, Kind, MAX_REFS};

/// The trees of the tenants of a pass, by tenant.
pub(super) type Epochs = BTreeMap<TenantId, Epoch>;

/// What a pass adds.
#[derive(Debug, Default)]
pub(super) struct Appended {
    pub(super) entries: Vec<Numbered>,
    pub(super) nodes: Vec<Node>,
}

/// A tree without entries.
pub(super) fn new_epoch(
    tenant: TenantId,
    epoch: i16,
    origin: String,
    first: i64,
    at: DateTime<Utc>,
) -> Epoch {
    let edge = Edge::empty();
    Epoch {
        tenant,
        epoch,
        origin,
        first,
        size: 0,
        root: edge.root(),
        edge: edge.to_bytes(),
        checkpoint: None,
        at,
        closed_at: None,
        frozen: None,
        seen: 0,
    }
}

/// Numbers the rows, which are in the order of the queue, and adds them to the trees of their tenants. `earlier` tells
/// the numbers of the stored entries about a tenant's thread.
///
/// Returns none if a tree's stored edge does not fit its size.
pub(super) fn append(
    rows: Vec<Queued>,
    epochs: &mut Epochs,
    earlier: &BTreeMap<(TenantId, i64), Vec<i64>>,
) -> Option<Appended> {
    let mut edges = BTreeMap::new();
    for (tenant, epoch) in epochs.iter() {
        let size = u64::try_from(epoch.size).ok()?;
        edges.insert(*tenant, Edge::from_bytes(size, &epoch.edge)?);
    }
    let mut appended = Appended::default();
    let mut of_pass: BTreeMap<(TenantId, i64), Vec<i64>> = BTreeMap::new();
    for what in rows {
        let (Some(epoch), Some(edge)) = (epochs.get(&what.tenant), edges.get_mut(&what.tenant))
        else {
            // The tenant was removed.
            continue;
        };
        let number = epoch.first + i64::try_from(edge.size()).ok()?;
        let thread = what.signature.map(|signature| (what.tenant, signature));
        let refs = match thread {
            Some(thread) if what.kind == Kind::Deleted => {
                let earlier = earlier.get(&thread).into_iter().flatten();
                let of_pass = of_pass.get(&thread).into_iter().flatten();
                // A longer entry would not fit into the tiles that serve it.
                earlier.chain(of_pass).copied().take(MAX_REFS).collect()
            }
            _ => Vec::new(),
        };
        if let Some(thread) = thread {
            of_pass.entry(thread).or_default().push(number);
        }
        let leaf = entry(&what, &refs).leaf();
        let (tenant, epoch) = (what.tenant, epoch.epoch);
        edge.push(leaf, &mut |level, number, hash| {
            appended.nodes.push(Node {
                tenant,
                epoch,
                level: level.into(),
                number: i64::try_from(number).unwrap_or(i64::MAX),
                hash,
            });
        });
        appended.entries.push(Numbered {
            what,
            number,
            leaf,
            refs,
        });
    }
    for (tenant, edge) in edges {
        let epoch = epochs.get_mut(&tenant)?;
        epoch.size = i64::try_from(edge.size()).ok()?;
        epoch.edge = edge.to_bytes();
        epoch.root = edge.root();
    }
    Some(appended)
}
