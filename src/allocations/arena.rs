//! Build a tree that is dropped as a whole: in an arena, not with a box for each node.

use std::{collections::HashSet, slice::Iter};

use bumpalo::Bump;
use rand::{Rng, RngExt};

use worthit_pair::prelude::*;

pub const PAIR: Pair = Pair {
    title: "Build a tree in an arena",
    review: Review {
        smell: "A tree or graph of `Box`es that is built, used and dropped within one function or one request: a \
                parsed formula, a query plan.",
        remedy: "`let arena = Bump::new();` (bumpalo), and `arena.alloc(node)` for each node, whose children are \
                 references into the arena. All of them are freed together when the arena is dropped.",
        keep_naive_when: "Nodes live for different times, or the tree is kept and changed: an arena frees nothing \
                          before the end. Or a node owns something that must be dropped, such as a `String` or a \
                          file: a `Bump` runs no destructors, so these would leak.",
        costs: "A dependency, and a lifetime in every type that holds a node. Memory of nodes that are no longer \
                used stays until the end. Nodes in a `Vec` that name each other by index need neither; that is the \
                first alternative. An arena that is kept and reset saves the last allocations; that is the second.",
        lint: Lint::None,
    },
    naive: Side {
        summary: "a Box for each node",
        growth: Growth::Until(&Growth::Linear, "the nodes outgrow the caches"),
    },
    optimized: Side {
        summary: "all nodes in a bumpalo arena",
        growth: Growth::Until(&Growth::Linear, "the nodes outgrow the caches"),
    },
    input: "Formulas as tokens, with numbers, columns of a row, minus signs and three operators, of random form. Each \
            is parsed into a tree. The sides then walk through the tree two times, to collect the columns that it \
            needs and to compute its value, and drop it. Formulas alternate.",
    axis: Axis {
        name: "nodes",
        unit: "nodes",
        is_size: true,
        points: Points::Fixed { default: &[3, 10, 50, 300, 3_000, 30_000], deep: &[500_000] },
    },
    unit: "node",
    headline: Headline::At { level: "", point: 300 },
    alternatives: &[
        SideBeside { name: "indices", summary: "nodes in a Vec, which name each other by index" },
        SideBeside { name: "kept_arena", summary: "one arena, reset for each formula" },
    ],
    causes: &[Claim {
        cause: causes::ALLOCATIONS,
        naive: Count::Exactly(|case| case.point),
        // Chunks of half a KiB, one, two, …
        optimized: Count::AtMost(|case| 1 + u64::from((case.point / 8).max(1).ilog2())),
    }],
    explanation: Explanation {
        why: "A Box is an allocation for each node, and a walk through the tree that frees them one by one. The arena \
              moves an address for each node, asks the allocator for larger and larger chunks, and frees the chunks. \
              Both sides parse and walk alike, which is most of the time that is left, so the gain is far below the \
              ratio of allocations. A small tree pays for one chunk, whose room it does not fill.",
        share_of_cause: ShareOfCause::Within(0.01, 0.2),
        far_end: FarEnd::Settled,
        keep_naive: KeepNaive::UpTo(0),
    },
    traps: &[
        &Trap {
            name: "the same formula again",
            reason: "the processor would know each branch of the parser",
            check: |inputs: &[Formula]| {
                let distinct: HashSet<&[Token]> = inputs.iter().map(|f| &f.tokens[..]).collect();
                let tokens: usize = distinct.iter().map(|tokens| tokens.len()).sum();
                ensure(tokens >= 4_096, || format!("{tokens} tokens before they repeat"))
            },
            sprung: || (0..100).map(|_| input(&Case::realistic(300, 0, 1))).collect(),
        },
        &Trap {
            name: "the tree is a list",
            reason: "an array would do, and each step of a walk would wait for the one before",
            check: |inputs: &[Formula]| {
                // A tree of a few nodes always is one.
                let is_list = |formula: &&Formula| {
                    let nodes = nodes(formula);
                    nodes > 20 && depth(formula).is_some_and(|depth| depth * 3 >= nodes)
                };
                let lists = inputs.iter().filter(is_list).count();
                ensure(lists * 2 < inputs.len(), || format!("{lists} of {}", inputs.len()))
            },
            sprung: || {
                // A sum of a hundred columns: each addition has the one before on its left.
                let plus = Token::Operator(Operator::Plus);
                let mut tokens = [Token::Column(1), plus].repeat(100);
                tokens.pop();
                vec![Formula { tokens, row: [1; 16] }]
            },
        },
    ],
    limit: Limit::None(
        "a parser takes some instructions for each token, and no machine number counts those",
    ),
    prepare,
    ..Pair::DEFAULTS
};

/// Inputs in the rotation.
fn turns(nodes: u64) -> u64 {
    (16_384 / nodes.max(1)).clamp(2, 4_096)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Token {
    Number(i64),
    Column(u8),
    Operator(Operator),
    Open,
    Close,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Operator {
    Plus,
    Minus,
    Times,
}

impl Operator {
    /// Returns how strongly it binds between two operands.
    fn binds(self) -> u8 {
        if self == Operator::Times { 2 } else { 1 }
    }
}

struct Formula {
    tokens: Vec<Token>,
    /// The values of the columns.
    row: [i64; 16],
}

/// A node whose children are reached through `R`.
enum Node<R> {
    Number(i64),
    Column(u8),
    Negated(R),
    Operation(Operator, R, R),
}

struct Boxed(Box<Node<Boxed>>);

/// The columns that the formula needs, as bits, and its value; `None` if it is no formula.
fn naive(formula: &Formula) -> Option<(u64, i64)> {
    let mut make = |node| Boxed(Box::new(node));
    let root = parse(&formula.tokens, &mut make)?;
    Some((columns(&root, &|boxed| &boxed.0), value(&root, &|boxed| &boxed.0, &formula.row)))
}

#[derive(Clone, Copy)]
struct InArena<'a>(&'a Node<InArena<'a>>);

/// The columns that the formula needs, as bits, and its value; `None` if it is no formula.
fn optimized(formula: &Formula) -> Option<(u64, i64)> {
    let arena = Bump::new();
    let mut make = |node| InArena(arena.alloc(node));
    let root = parse(&formula.tokens, &mut make)?;
    Some((columns(&root, &|node| node.0), value(&root, &|node| node.0, &formula.row)))
}

#[derive(Clone, Copy)]
struct Index(u32);

/// The columns that the formula needs, as bits, and its value; `None` if it is no formula.
fn indices(formula: &Formula) -> Option<(u64, i64)> {
    let mut nodes = Vec::new();
    let mut make = |node| {
        nodes.push(node);
        Index(nodes.len() as u32 - 1)
    };
    let root = parse(&formula.tokens, &mut make)?;
    let node = |index: &Index| &nodes[index.0 as usize];
    Some((columns(&root, &node), value(&root, &node, &formula.row)))
}

/// The columns that the formula needs, as bits, and its value; `None` if it is no formula.
fn kept_arena(formula: &Formula, arena: &mut Bump) -> Option<(u64, i64)> {
    arena.reset();
    let mut make = |node| InArena(arena.alloc(node));
    let root = parse(&formula.tokens, &mut make)?;
    Some((columns(&root, &|node| node.0), value(&root, &|node| node.0, &formula.row)))
}

/// Parses all tokens; `make` puts a node where the tree is.
fn parse<R>(tokens: &[Token], make: &mut impl FnMut(Node<R>) -> R) -> Option<R> {
    let mut left = tokens.iter();
    let root = operation(&mut left, 1, make)?;
    left.as_slice().is_empty().then_some(root)
}

/// Parses operands and the operators between them, which bind at least as strongly as `least`.
fn operation<R>(
    tokens: &mut Iter<Token>,
    least: u8,
    make: &mut impl FnMut(Node<R>) -> R,
) -> Option<R> {
    let mut left = operand(tokens, make)?;
    while let Some(Token::Operator(operator)) = tokens.as_slice().first()
        && operator.binds() >= least
    {
        tokens.next();
        let right = operation(tokens, operator.binds() + 1, make)?;
        left = make(Node::Operation(*operator, left, right));
    }
    Some(left)
}

fn operand<R>(tokens: &mut Iter<Token>, make: &mut impl FnMut(Node<R>) -> R) -> Option<R> {
    match *tokens.next()? {
        Token::Number(number) => Some(make(Node::Number(number))),
        Token::Column(column) => Some(make(Node::Column(column))),
        Token::Operator(Operator::Minus) => {
            let operand = operand(tokens, make)?;
            Some(make(Node::Negated(operand)))
        }
        Token::Open => {
            let inner = operation(tokens, 1, make)?;
            (tokens.next() == Some(&Token::Close)).then_some(inner)
        }
        Token::Operator(_) | Token::Close => None,
    }
}

/// The columns that occur below `at`, as bits.
fn columns<'t, R>(at: &'t R, node: &impl Fn(&'t R) -> &'t Node<R>) -> u64 {
    match node(at) {
        Node::Number(_) => 0,
        Node::Column(column) => 1 << (column % 16),
        Node::Negated(operand) => columns(operand, node),
        Node::Operation(_, left, right) => columns(left, node) | columns(right, node),
    }
}

/// The value of what is below `at`. Numbers wrap around.
fn value<'t, R>(at: &'t R, node: &impl Fn(&'t R) -> &'t Node<R>, row: &[i64; 16]) -> i64 {
    match node(at) {
        Node::Number(number) => *number,
        Node::Column(column) => row[usize::from(*column) % 16],
        Node::Negated(operand) => value(operand, node, row).wrapping_neg(),
        Node::Operation(operator, left, right) => {
            let (left, right) = (value(left, node, row), value(right, node, row));
            match operator {
                Operator::Plus => left.wrapping_add(right),
                Operator::Minus => left.wrapping_sub(right),
                Operator::Times => left.wrapping_mul(right),
            }
        }
    }
}

/// Appends a random formula with this number of nodes.
fn append(case: &Case, nodes: u64, tokens: &mut Vec<Token>, rng: &mut impl Rng) {
    match nodes {
        0 => {}
        1 if rng.random_range(0..3) == 0 => tokens.push(Token::Number(match case.shape {
            Shape::Realistic => rng.random_range(1..1_000),
            Shape::Adversarial => [i64::MIN, i64::MAX, -1, 0][rng.random_range(0..4)],
            _ => rng.random(),
        })),
        1 => tokens.push(Token::Column(match case.shape {
            Shape::DuplicateHeavy => 7,
            Shape::Adversarial => rng.random(),
            _ => rng.random_range(0..16),
        })),
        _ => {
            let is_negated = nodes == 2 || rng.random_range(0..12) == 0;
            let in_parentheses = is_negated || rng.random_range(0..3) > 0;
            if is_negated {
                tokens.push(Token::Operator(Operator::Minus));
            }
            if in_parentheses {
                tokens.push(Token::Open);
            }
            if is_negated {
                append(case, nodes - 1, tokens, rng);
            } else {
                let left = match case.shape {
                    // A list that leans to one side.
                    Shape::Sorted => nodes - 2,
                    Shape::Adversarial => 1,
                    _ => rng.random_range(1..nodes - 1),
                };
                append(case, left, tokens, rng);
                let operators = [Operator::Plus, Operator::Minus, Operator::Times];
                tokens.push(Token::Operator(operators[rng.random_range(0..3)]));
                append(case, nodes - 1 - left, tokens, rng);
            }
            if in_parentheses {
                tokens.push(Token::Close);
            }
        }
    }
}

fn input(case: &Case) -> Formula {
    let mut rng = case.rng("formula");
    let mut tokens = Vec::new();
    append(case, case.point, &mut tokens, &mut rng);
    // One in four is no formula.
    if case.shape == Shape::Adversarial && rng.random_range(0..4) == 0 {
        let wrong = [Token::Open, Token::Close][rng.random_range(0..2)];
        tokens.insert(rng.random_range(0..=tokens.len()), wrong);
    }
    let row = std::array::from_fn(|_| match case.shape {
        Shape::Realistic => rng.random_range(0..100_000),
        _ => rng.random(),
    });
    Formula { tokens, row }
}

/// The number of nodes: each token that is no parenthesis makes one.
fn nodes(formula: &Formula) -> u64 {
    let makes_one = |token: &&Token| !matches!(token, Token::Open | Token::Close);
    formula.tokens.iter().filter(makes_one).count() as u64
}

/// The number of nodes from the root to the farthest leaf; `None` if it is no formula.
fn depth(formula: &Formula) -> Option<u64> {
    let mut make = |node: Node<u64>| match node {
        Node::Number(_) | Node::Column(_) => 1,
        Node::Negated(operand) => operand + 1,
        Node::Operation(_, left, right) => left.max(right) + 1,
    };
    parse(&formula.tokens, &mut make)
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let inputs = case.rotate(turns(case.point), input);
    let arena = std::cell::RefCell::new(Bump::new());
    Ok(Trial::new(inputs.measured(nodes), by_ref(&inputs, naive), by_ref(&inputs, optimized))
        .alternative(by_ref(&inputs, indices))
        .alternative(by_ref(&inputs, move |formula| kept_arena(formula, &mut arena.borrow_mut())))
        .units(case.point))
}

#[cfg(test)]
mod tests {
    use super::{
        Token::{Close, Column, Number, Open},
        *,
    };

    const PLUS: Token = Token::Operator(Operator::Plus);
    const MINUS: Token = Token::Operator(Operator::Minus);
    const TIMES: Token = Token::Operator(Operator::Times);

    fn all(tokens: &[Token]) -> [Option<(u64, i64)>; 4] {
        let row = std::array::from_fn(|column| 10 * column as i64);
        let formula = Formula { tokens: tokens.to_vec(), row };
        let mut arena = Bump::new();
        // An arena that was used before.
        assert_eq!(kept_arena(&Formula { tokens: vec![Number(1)], row }, &mut arena), Some((0, 1)));
        [naive(&formula), optimized(&formula), indices(&formula), kept_arena(&formula, &mut arena)]
    }

    #[test]
    fn known_answers() {
        assert_eq!(all(&[Number(7)]), [Some((0, 7)); 4]);
        let formula = [Column(2), MINUS, Number(3), TIMES, Column(1), PLUS, Column(2)];
        assert_eq!(all(&formula), [Some((0b110, 10)); 4], "20 - 3 · 10 + 20");
        let formula = [Open, Column(2), MINUS, Number(3), Close, TIMES, MINUS, MINUS, Column(1)];
        assert_eq!(all(&formula), [Some((0b110, 170)); 4]);
        assert_eq!(all(&[Number(5), MINUS, Number(3), MINUS, Number(1)]), [Some((0, 1)); 4]);
        assert_eq!(all(&[MINUS, Number(i64::MIN)]), [Some((0, i64::MIN)); 4], "wraps");
    }

    #[test]
    fn what_is_no_formula_has_no_value() {
        for tokens in [
            &[][..],
            &[PLUS],
            &[Number(1), Number(2)],
            &[Open, Number(1)],
            &[Number(1), Close],
            &[Number(1), TIMES],
            &[Open, Close],
        ] {
            assert_eq!(all(tokens), [None; 4], "{tokens:?}");
        }
    }

    #[test]
    fn trap_no_side_hands_its_tree_on() {
        // The answer of a side is dropped off the clock, so a tree within it would be freed for nothing.
        assert!(!std::mem::needs_drop::<Option<(u64, i64)>>());
    }
}
