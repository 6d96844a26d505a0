//! Several nodes as one kernel.
//!
//! ```text
//! norm ► linears                    few rows: the norm is done as the input is read
//! linears ► gated                   gate and up, row by row
//! linear ► activation               few rows: it is applied to the sums
//! linear ► add, experts ► add       the residual is added to the sums
//! norm ► rope, of q and of k ► write    heads on their way to attention
//! heads ► attention                 one new row of each sequence: what is done to heads is done by whoever attends
//! attention ► linear                few rows: what parts of a context gave is merged as the input is read
//! ```
//!
//! A pass looks for one such shape, where nobody else reads what lies between, and puts the whole at the
//! place of its last node: what a node reads was made before, so that it is there. A plan does this once.

use crate::gpu::ops::elementwise::{Elementwise, Function};
use crate::gpu::ops::heads::{HeadNorm, Heads};
use crate::gpu::ops::linear::{Epilogue, Linears, NormPrologue};
use crate::gpu::ops::moe::Moe;
use crate::gpu::ops::norm::{Norm, NormKind};

use super::op::{Op, Operand};
use super::record::{Node, Script};

/// Put nodes together where one kernel can do them.
pub(super) fn fuse(nodes: Vec<Node>, script: &Script) -> Vec<Node> {
    let passes: [fn(&Graph<'_>, usize) -> Option<Fused>; 8] = [
        norm_and_rope,
        heads,
        heads_and_attention,
        gate,
        activation,
        residual,
        norm_and_linears,
        attention_and_linear,
    ];
    passes.into_iter().fold(nodes, |nodes, pass| {
        let mut graph = Graph::new(nodes, script);
        for index in 0..graph.nodes.len() {
            if let Some(fused) = pass(&graph, index) {
                graph.apply(index, fused);
            }
        }
        graph.nodes.into_iter().flatten().collect()
    })
}

/// What stands for a node, and the earlier ones that are no longer needed.
struct Fused {
    op: Op,
    /// The values it makes: `first..first + count`.
    made: [u32; 2],
    gone: Vec<usize>,
}

/// Nodes, with who makes and who reads each value.
struct Graph<'a> {
    nodes: Vec<Option<Node>>,
    maker: Vec<Option<usize>>,
    readers: Vec<Vec<usize>>,
    wanted: &'a [bool],
}

impl<'a> Graph<'a> {
    fn new(nodes: Vec<Node>, script: &'a Script) -> Self {
        let values = script.lens.len();
        let mut graph = Self {
            nodes: nodes.into_iter().map(Some).collect(),
            maker: vec![None; values],
            readers: vec![Vec::new(); values],
            wanted: &script.wanted,
        };
        for index in 0..graph.nodes.len() {
            graph.add(index);
        }
        graph
    }

    fn add(&mut self, index: usize) {
        let Some(node) = &self.nodes[index] else {
            return;
        };
        for value in node.first..node.first + node.count {
            self.maker[value as usize] = Some(index);
        }
        for operand in node.op.operation().operands() {
            if let &Operand::Value(value) = operand {
                self.readers[value as usize].push(index);
            }
        }
    }

    fn apply(&mut self, index: usize, fused: Fused) {
        for gone in fused.gone.into_iter().chain([index]) {
            if let Some(node) = self.nodes[gone].take() {
                for operand in node.op.operation().operands() {
                    if let &Operand::Value(value) = operand {
                        self.readers[value as usize].retain(|&reader| reader != gone);
                    }
                }
            }
        }
        let [first, count] = fused.made;
        self.nodes[index] = Some(Node {
            op: fused.op,
            first,
            count,
        });
        self.add(index);
    }

    fn op(&self, index: usize) -> Option<&Op> {
        self.nodes[index].as_ref().map(|node| &node.op)
    }

    /// The node that makes `operand`, if that is all it makes and node `reader` alone reads it, once.
    fn only_for(&self, operand: &Operand, reader: usize) -> Option<(usize, &Node)> {
        let &Operand::Value(value) = operand else {
            return None;
        };
        let value = value as usize;
        let maker = self.maker[value]?;
        let node = self.nodes[maker].as_ref()?;
        (node.count == 1 && !self.wanted[value] && self.readers[value] == [reader])
            .then_some((maker, node))
    }

    /// The values of a node.
    fn made(&self, index: usize) -> [u32; 2] {
        let node = self.nodes[index].as_ref();
        node.map_or([0, 0], |node| [node.first, node.count])
    }
}

/// RMS over each head, and its rotation.
fn norm_and_rope(graph: &Graph<'_>, index: usize) -> Option<Fused> {
    let Op::Heads(rope) = graph.op(index)? else {
        return None;
    };
    let queries = rope.queries.as_ref()?;
    let (maker, node) = graph.only_for(&queries.x, index)?;
    let Op::Norm(norm) = &node.op else {
        return None;
    };
    let unit_offset = match norm.kind {
        NormKind::Rms => false,
        NormKind::RmsUnitOffset => true,
        _ => return None,
    };
    let by_head = norm.width == queries.width && norm.rows == rope.rows * queries.heads;
    let kind = HeadNorm {
        eps: norm.eps,
        unit_offset,
    };
    let op = rope.normed(kind, &norm.x, norm.gain.as_ref()?)?;
    by_head.then(|| Fused {
        op: op.into(),
        made: graph.made(index),
        gone: vec![maker],
    })
}

/// Keys and values that are written, with the rotation of the keys and that of the queries.
fn heads(graph: &Graph<'_>, index: usize) -> Option<Fused> {
    let Op::Heads(write) = graph.op(index)? else {
        return None;
    };
    let writes = write.writes.as_ref()?;
    let (keys_at, keys) = graph.only_for(&writes.k, index)?;
    let Op::Heads(keys) = &keys.op else {
        return None;
    };
    let mut fused = None;
    for queries_at in (index.saturating_sub(8)..index)
        .rev()
        .filter(|&at| at != keys_at)
    {
        let Some(Op::Heads(queries)) = graph.op(queries_at) else {
            continue;
        };
        if let Some(op) = write.joined(queries, keys) {
            fused = Some((queries_at, op));
            break;
        }
    }
    let (queries_at, op): (usize, Heads) = fused?;
    let made = graph.made(queries_at);
    // Whoever reads the queries comes after the write.
    let later = (graph.readers[made[0] as usize].iter()).all(|&reader| reader > index);
    later.then(|| Fused {
        op: op.into(),
        made,
        gone: vec![keys_at, queries_at],
    })
}

/// Heads on their way to attention, and attention.
fn heads_and_attention(graph: &Graph<'_>, index: usize) -> Option<Fused> {
    let Op::Attention(attention) = graph.op(index)? else {
        return None;
    };
    // Nothing between them reads what is written, as nothing is between them.
    let before = index.checked_sub(1)?;
    let Op::Heads(heads) = graph.op(before)? else {
        return None;
    };
    let for_it = (graph.only_for(&attention.q, index)).is_some_and(|(maker, _)| maker == before);
    (heads.queries.is_none() || for_it).then_some(())?;
    Some(Fused {
        op: attention.with_heads(heads)?.into(),
        made: graph.made(index),
        gone: vec![before],
    })
}

/// `activation(gate) * up`, of two matrices.
fn gate(graph: &Graph<'_>, index: usize) -> Option<Fused> {
    let Op::Elementwise(Elementwise {
        function: Function::Gated(activation),
        a: Operand::Value(gate),
        b: Some(Operand::Value(up)),
        ..
    }) = graph.op(index)?
    else {
        return None;
    };
    let maker = graph.maker[*gate as usize]?;
    let node = graph.nodes[maker].as_ref()?;
    let Op::Linears(linears) = &node.op else {
        return None;
    };
    let both = [*gate, *up] == [node.first, node.first + 1] && node.count == 2;
    let unread =
        |value: u32| !graph.wanted[value as usize] && graph.readers[value as usize] == [index];
    (both && unread(*gate) && unread(*up) && linears.takes_gate(*activation)).then(|| Fused {
        op: Linears {
            epilogue: Epilogue::Gated(*activation),
            ..linears.clone()
        }
        .into(),
        made: graph.made(index),
        gone: vec![maker],
    })
}

/// `activation(linear)`.
fn activation(graph: &Graph<'_>, index: usize) -> Option<Fused> {
    let Op::Elementwise(Elementwise {
        function: Function::Activate(activation),
        a,
        ..
    }) = graph.op(index)?
    else {
        return None;
    };
    let (maker, node) = graph.only_for(a, index)?;
    let Op::Linears(linears) = &node.op else {
        return None;
    };
    linears.takes_activation().then(|| Fused {
        op: Linears {
            epilogue: Epilogue::Activated(*activation),
            ..linears.clone()
        }
        .into(),
        made: graph.made(index),
        gone: vec![maker],
    })
}

/// `x + linear`, or the other way round.
fn residual(graph: &Graph<'_>, index: usize) -> Option<Fused> {
    let Op::Elementwise(Elementwise {
        function: Function::Add,
        a,
        b: Some(b),
        len,
        period,
    }) = graph.op(index)?
    else {
        return None;
    };
    if len != period {
        return None;
    }
    // A matrix product on both sides: the later one, so that the other is there.
    let mut sides = [(b, a), (a, b)];
    sides.sort_by_key(|(sum, _)| match sum {
        Operand::Value(value) => std::cmp::Reverse(graph.maker[*value as usize]),
        _ => std::cmp::Reverse(None),
    });
    sides.into_iter().find_map(|(sum, residual)| {
        let (maker, node) = graph.only_for(sum, index)?;
        let op: Op = match &node.op {
            Op::Linears(linears) if linears.takes_residual() => Linears {
                epilogue: Epilogue::Residual(residual.clone()),
                ..linears.clone()
            }
            .into(),
            Op::Moe(moe) if moe.residual.is_none() => Moe {
                residual: Some(residual.clone()),
                ..moe.clone()
            }
            .into(),
            _ => return None,
        };
        Some(Fused {
            op,
            made: graph.made(index),
            gone: vec![maker],
        })
    })
}

/// Matrices whose input is normed for them alone.
fn norm_and_linears(graph: &Graph<'_>, index: usize) -> Option<Fused> {
    let Op::Linears(linears) = graph.op(index)? else {
        return None;
    };
    let (maker, node) = graph.only_for(&linears.x, index)?;
    let Op::Norm(norm) = &node.op else {
        return None;
    };
    let Norm {
        kind,
        x,
        gain: Some(gain),
        bias,
        eps,
        ..
    } = norm
    else {
        return None;
    };
    let takes = norm.rows == linears.rows && linears.takes_norm(*kind, bias.is_some());
    takes.then(|| Fused {
        op: Linears {
            x: x.clone(),
            norm: Some(Box::new(NormPrologue {
                kind: *kind,
                gain: gain.clone(),
                bias: bias.clone(),
                eps: *eps,
            })),
            ..linears.clone()
        }
        .into(),
        made: graph.made(index),
        gone: vec![maker],
    })
}

/// Attention and the projection of its result, which merges what splits leave.
fn attention_and_linear(graph: &Graph<'_>, index: usize) -> Option<Fused> {
    let Op::Linears(linears) = graph.op(index)? else {
        return None;
    };
    let (maker, node) = graph.only_for(&linears.x, index)?;
    let Op::Attention(attention) = &node.op else {
        return None;
    };
    Some(Fused {
        op: attention.with_linear(linears)?.into(),
        made: graph.made(index),
        gone: vec![maker],
    })
}
