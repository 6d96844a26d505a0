//! Several nodes as one kernel.

use super::Caps;
use super::record::{Node, Script};

/// Put nodes together where one kernel can do them.
pub(super) fn fuse(nodes: Vec<Node>, _script: &Script, _caps: &Caps) -> Vec<Node> {
    nodes
}
