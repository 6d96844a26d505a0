//! What a GPU can do, and what hfcore makes of it, measured by one program that needs nothing but itself: weights have
//! the shapes of published models and numbers that the GPU makes up ([`synthetic`]).
//!
//! | file | what |
//! |---|---|
//! | `shapes.rs` | [`shapes`]: published models |
//! | `synthetic.rs` | [`synthetic`]: a model of such a shape, without a file |
//! | `measure.rs` | [`measure`]: samples, and what one more of something takes |
//! | `limits.rs` | [`limits`]: what reading, dispatching, submitting and reading back cost at best |
//! | `products.rs`, `attention.rs` | [`products`], [`attention`]: the operations that matter, alone |
//! | `decoding.rs` | [`decoding`]: whole models |
//! | `report.rs`, `markdown.rs` | [`report`], [`markdown`]: the figures as JSON and as tables |

#![forbid(unsafe_code)]

pub mod attention;
pub mod decoding;
pub mod limits;
pub mod markdown;
pub mod measure;
pub mod products;
pub mod report;
pub mod shapes;
pub mod synthetic;

/// What can go wrong while something is measured: the device, mostly.
pub type Error = Box<dyn std::error::Error + Send + Sync>;
